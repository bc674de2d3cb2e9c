//! Where no operator makes credentials: a first signing key, and the tokens that Parlor's programs show each other, as files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;
use tokens::holders::{HOLDERS, LIFE};
use tokens::keys::{self, Keys};
use tokio::time::{Instant, sleep_until};

/// How soon a failure is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Makes a signing key where the folder has none.
pub(crate) fn ensure_key(folder: &Path) -> Result<()> {
    let failed = || format!("failed to make a key in {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    for entry in fs::read_dir(folder).with_context(failed)? {
        if entry.with_context(failed)?.path().extension().is_some_and(|extension| extension == "pem") {
            return Ok(());
        }
    }
    match write(folder, &keys::generate()?).with_context(failed)?.persist_noclobber(folder.join("first.pem")) {
        // Another program has made it meanwhile.
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(|failure| failure.error).with_context(failed)?,
    };
    tracing::info!(folder = %folder.display(), "made the first signing key");
    Ok(())
}

/// Service tokens, one file for each program.
pub(crate) struct ServiceTokens {
    pub(crate) folder: PathBuf,
    pub(crate) keys: Keys,
    pub(crate) issuer: String,
}

impl ServiceTokens {
    /// Writes them all.
    pub(crate) fn write(&self) -> Result<()> {
        let failed = || format!("failed to write service tokens to {}", self.folder.display());
        fs::create_dir_all(&self.folder).with_context(failed)?;
        for (holder, scopes) in HOLDERS {
            let token = self.keys.sign_service(&self.issuer, holder, scopes, LIFE)?;
            let file = write(&self.folder, &token).with_context(failed)?;
            file.persist(self.folder.join(holder)).map_err(|failure| failure.error).with_context(failed)?;
        }
        Ok(())
    }

    /// Writes them anew at half of their life, for as long as the program runs. Spawn it.
    pub(crate) async fn keep(self) {
        let mut due = Instant::now() + LIFE / 2;
        loop {
            sleep_until(due).await;
            due = Instant::now() + LIFE / 2;
            if let Err(error) = self.write() {
                tracing::warn!(error = format!("{error:#}"), "service tokens were not renewed");
                due = Instant::now() + AGAIN;
            }
        }
    }
}

/// A file without a name yet that is whole, and for this user's eyes only.
fn write(folder: &Path, text: &str) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_key_is_made_once_and_is_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        ensure_key(&keys).unwrap();
        Keys::load(&keys).unwrap();
        let file = keys.join("first.pem");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read(&file).unwrap();
        ensure_key(&keys).unwrap();
        assert_eq!(fs::read(&file).unwrap(), text);
        // A key of another name is one too.
        fs::rename(&file, keys.join("mine.pem")).unwrap();
        ensure_key(&keys).unwrap();
        assert!(!file.exists());
    }
}
