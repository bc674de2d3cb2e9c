//! Waiting with a limit: for a condition, asked again and again, for the lock of a file, or for a child process.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt;

/// How often a condition is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks `probe` until it gives something. `Ok(None)` after `limit`; an error if `probe` fails or Ctrl-C came.
pub(crate) fn until<T>(limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        interrupt::check()?;
        if let Some(value) = probe()? {
            return Ok(Some(value));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// The lock of a file, made if it is not there; held until the value goes or the process ends. `busy` says who has it after `limit`.
pub(crate) fn lock(path: &Path, limit: Duration, busy: &str) -> Result<File> {
    let file = File::create(path).with_context(|| format!("failed to make {}", path.display()))?;
    let taken = until(limit, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    })?;
    match taken {
        Some(()) => Ok(file),
        None => bail!("{busy}, still after {} s", limit.as_secs()),
    }
}

/// Waits for a child, ending it after `limit` or on Ctrl-C.
pub(crate) fn child(child: &mut Child, what: &str, limit: Duration) -> Result<ExitStatus> {
    let outcome = until(limit, || child.try_wait().with_context(|| format!("failed to wait for {what}")));
    if let Ok(Some(status)) = outcome {
        return Ok(status);
    }
    // Whatever happened, it must not stay behind; that it may be gone already is no failure.
    child.kill().ok();
    child.wait().ok();
    outcome?;
    bail!("{what} was still running after {} s and was ended", limit.as_secs())
}

/// Waits for a child, ending it after `limit`. A Ctrl-C does not end the wait: the child cleans up.
pub(crate) fn to_the_end(child: &mut Child, what: &str, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait().with_context(|| format!("failed to wait for {what}"))? {
            return Ok(status);
        }
        std::thread::sleep(PAUSE);
    }
    // It may have ended at this very moment.
    child.kill().ok();
    child.wait().ok();
    bail!("{what} was still running after {} s and was ended", limit.as_secs())
}
