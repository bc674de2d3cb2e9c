//! One word for the whole program: stop. Said by a signal or by a part that cannot go on.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether the program is to stop. Clones speak of the same program.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Begun by `begin` alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begun by the first SIGTERM or SIGINT too; the second one ends the process at once. Call it inside the runtime.
    pub fn on_signals() -> Self {
        let shutdown = Self::new();
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => {
                tokio::spawn(listen(shutdown.clone(), terminate, interrupt));
            }
            (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "failed to listen for signals"),
        }
        shutdown
    }

    /// Cancelled once the program is to stop.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// From now on the program is to stop.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether it is to stop.
    pub fn is_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves once it is to stop.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }
}

async fn listen(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "stopping; a second signal ends the process at once");
    shutdown.begin();
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = name, "ended by a second signal");
    // 128 + SIGINT, as shells report a process that a signal ended.
    std::process::exit(130);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clones_learn_of_it() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert!(!other.is_begun());
        shutdown.begin();
        other.begun().await;
        assert!(other.is_begun() && other.token().is_cancelled());
    }
}
