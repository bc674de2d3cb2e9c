//! Runs something asynchronous at the end of a value's life, also while a test panics, when no runtime may be at hand.

use std::future::Future;
use std::time::Duration;

/// Removing a database or a virtual host with everything in it.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs `work` to its end in a thread of its own and says on stderr if it fails; called from `drop`.
pub fn run<F>(what: &str, work: impl FnOnce() -> F + Send)
where
    F: Future<Output = anyhow::Result<()>>,
{
    let outcome = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async { tokio::time::timeout(LIMIT, work()).await })?
            })
            .join()
    });
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("failed to remove {what}: {error:#}"),
        Err(_) => eprintln!("failed to remove {what}: its thread ended"),
    }
}
