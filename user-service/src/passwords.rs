//! Argon2id off the async threads: a few hashes at the same time, each in memory that is kept, and a queue with an end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use crate::secret::Secret;

/// How long a request waits for its turn before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests that wait, for each that is at work.
const WAITING_EACH: usize = 32;
/// Stands in for the hash of a user who does not exist, so that finding out takes as long: our parameters, and an output that
/// nobody knows a password for (and that opens nothing if somebody did).
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cGFybG9yLW5vLXNhbHQhIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why there is no answer about a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// All are at work and enough wait.
    #[error("failed to get a turn at hashing passwords in time")]
    Busy,
    /// The stored hash is not one of ours.
    #[error("failed to read a stored password hash: {0}")]
    Stored(argon2::password_hash::Error),
    /// The algorithm refused.
    #[error("failed to hash a password: {0}")]
    Hash(argon2::Error),
    /// The hash has no text form.
    #[error("failed to write a password hash: {0}")]
    Encode(argon2::password_hash::Error),
    /// The thread ended early.
    #[error("failed to finish hashing a password")]
    Thread(#[source] tokio::task::JoinError),
}

/// Hashes and verifies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// Who may wait or work.
    queue: Arc<Semaphore>,
    /// Who may work.
    turns: Arc<Semaphore>,
    /// Memory of those who do not work now. Kept, because memory of this size that comes and goes makes the heap grow.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Passwords {
    /// `at_once`: how many may work at the same time.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            queue: Arc::new(Semaphore::new(at_once * (1 + WAITING_EACH))),
            turns: Arc::new(Semaphore::new(at_once)),
            memory: Arc::default(),
        }
    }

    /// The hash to store, with its parameters and a salt of its own.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, Error> {
        self.work(move |memory| hash(&password, &rand::random(), memory)).await
    }

    /// Whether `password` is the one that was stored. Takes as long where nothing was stored.
    pub(crate) async fn verify(&self, password: Secret, stored: Option<String>) -> Result<bool, Error> {
        self.work(move |memory| {
            let right = verify(&password, stored.as_deref().unwrap_or(NOBODY), memory)?;
            Ok(right && stored.is_some())
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vec<Block>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let arrived = Instant::now();
        let _place = self.queue.try_acquire().map_err(|_| Error::Busy)?;
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(Error::Busy) };
        metrics::histogram!("parlor_users_password_wait_seconds").record(arrived.elapsed());
        let shelf = Arc::clone(&self.memory);
        let started = Instant::now();
        let outcome = tokio::task::spawn_blocking(move || {
            let mut memory = shelf.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let outcome = job(&mut memory);
            shelf.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            // Not before the work is over, also if the request was given up meanwhile.
            drop(turn);
            outcome
        });
        let outcome = outcome.await.map_err(Error::Thread)?;
        metrics::histogram!("parlor_users_password_hash_seconds").record(started.elapsed());
        outcome
    }
}

fn hash(password: &Secret, salt: &[u8; 16], memory: &mut Vec<Block>) -> Result<String, Error> {
    // 19 MiB, 2 passes, 1 lane.
    let params = Params::DEFAULT;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()), password, salt, &mut output, memory)?;
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(Error::Encode)?,
        salt: Some(Salt::new(salt).map_err(|error| Error::Encode(error.into()))?),
        hash: Some(Output::new(&output).map_err(|error| Error::Encode(error.into()))?),
    };
    Ok(hash.to_string())
}

/// With the parameters that stand in the stored hash, whatever ours are today.
fn verify(password: &Secret, stored: &str, memory: &mut Vec<Block>) -> Result<bool, Error> {
    let stored = PasswordHash::new(stored).map_err(|error| Error::Stored(error.into()))?;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(Error::Stored)?;
    let version = stored.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(Error::Hash)?;
    let params = Params::try_from(&stored).map_err(Error::Stored)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else { return Ok(false) };
    let mut output = vec![0; expected.len()];
    compute(&Argon2::new(algorithm, version, params), password, &salt, &mut output, memory)?;
    // Compares in constant time.
    Ok(Output::new(&output).map_err(|error| Error::Stored(error.into()))? == expected)
}

fn compute(
    argon2: &Argon2<'_>,
    password: &Secret,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Vec<Block>,
) -> Result<(), Error> {
    if memory.len() < argon2.params().block_count() {
        memory.resize(argon2.params().block_count(), Block::default());
    }
    argon2
        .hash_password_into_with_memory(password.expose().as_bytes(), salt, output, memory.as_mut_slice())
        .map_err(Error::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let passwords = Passwords::new(1);
        let stored = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(secret("correct horse"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct horsf"), Some(stored)).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
    }

    #[test]
    fn the_hash_of_nobody_costs_what_ours_cost() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let ours = PasswordHash::new(&hash(&secret("12345678"), &[7; 16], &mut Vec::new()).unwrap()).unwrap();
        assert_eq!(nobody.params, ours.params);
        assert_eq!(nobody.salt.unwrap().len(), ours.salt.unwrap().len());
        assert_eq!(nobody.hash.unwrap().len(), ours.hash.unwrap().len());
    }

    #[tokio::test]
    async fn the_queue_has_an_end() {
        let passwords = Passwords::new(1);
        let many = (0..100).map(|_| passwords.verify(secret("12345678"), None));
        let outcomes = futures::future::join_all(many).await;
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Busy))).count();
        assert!(refused >= 100 - 1 - WAITING_EACH, "{refused}");
        assert!(outcomes.iter().any(Result::is_ok));
    }
}
