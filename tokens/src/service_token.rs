//! The service token in a file, which somebody else renews.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::jws::TOKEN_BYTES;

/// A file with a service token. Clones share what was read.
#[derive(Debug, Clone)]
pub struct ServiceTokenFile {
    path: PathBuf,
    read: Arc<Mutex<Option<Read>>>,
}

#[derive(Clone)]
struct Read {
    modified: SystemTime,
    length: u64,
    bearer: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTokenFileError {
    /// The file cannot be read.
    #[error("failed to read the service token {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The file holds something else.
    #[error("{0} holds no token")]
    NoToken(PathBuf),
}

impl ServiceTokenFile {
    /// Of this file; it is read when the token is asked for.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: Arc::default() }
    }

    /// The value of `authorization`: `Bearer <token>`. Read again when the file has changed.
    pub fn bearer(&self) -> Result<String, ServiceTokenFileError> {
        let failed = |error| ServiceTokenFileError::File(self.path.clone(), error);
        let metadata = std::fs::metadata(&self.path).map_err(failed)?;
        let (modified, length) = (metadata.modified().map_err(failed)?, metadata.len());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = read.as_ref().filter(|read| (read.modified, read.length) == (modified, length)) {
            return Ok(read.bearer.clone());
        }
        let text = std::fs::read_to_string(&self.path).map_err(failed)?;
        let token = text.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if token.is_empty() || token.len() > TOKEN_BYTES || !token.bytes().all(plain) {
            return Err(ServiceTokenFileError::NoToken(self.path.clone()));
        }
        let bearer = format!("Bearer {token}");
        *read = Some(Read { modified, length, bearer: bearer.clone() });
        Ok(bearer)
    }
}

/// Never the token itself.
impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("modified", &self.modified).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_token_is_read_and_what_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let file = ServiceTokenFile::new(&path);
        assert!(matches!(file.bearer(), Err(ServiceTokenFileError::File(..))));
        std::fs::write(&path, "one.two.three\n").unwrap();
        assert_eq!(file.bearer().unwrap(), "Bearer one.two.three");
        std::fs::write(&path, "four.five.sixth\n").unwrap();
        assert_eq!(file.bearer().unwrap(), "Bearer four.five.sixth");
        assert!(!format!("{file:?}").contains("four"));
        std::fs::write(&path, "a line\nand another").unwrap();
        assert!(matches!(file.bearer(), Err(ServiceTokenFileError::NoToken(_))));
    }
}
