//! The election of the one operator that acts, by a Lease. Times of other machines are not compared with ours: a lease has run out
//! once it was seen unchanged for as long as its holder promised.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

/// A candidate.
pub(crate) struct Election {
    api: Api<Lease>,
    name: String,
    /// Another one in each process.
    me: String,
    duration: Duration,
    /// The lease's version, and since when it is seen.
    seen: Option<(String, Instant)>,
}

impl Election {
    /// Stands for the lease `name` in `namespace`, which is held for `duration` after each renewal.
    pub(crate) fn new(client: Client, namespace: &str, name: &str, duration: Duration) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
        let me = format!("{host}-{}", uuid::Uuid::new_v4().simple());
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), me, duration, seen: None }
    }

    /// Waits until it is ours; gives the number of the term, which grows with every holder.
    pub(crate) async fn win(&mut self) -> u64 {
        loop {
            match timeout(self.duration, self.attempt()).await {
                Ok(Ok(Some(term))) => return term,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be asked for"),
                Err(_) => tracing::warn!("the API server does not answer about the lease"),
            }
            sleep(self.pause()).await;
        }
    }

    /// Renews it; returns once it may be somebody else's.
    pub(crate) async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(self.pause()).await;
            // Ended before others may take over.
            let left = (self.duration * 2 / 3).saturating_sub(renewed.elapsed());
            match timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return tracing::warn!("another operator has the lease"),
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be renewed"),
                Err(_) => return tracing::warn!("the lease could not be renewed in time: another operator may act"),
            }
        }
    }

    /// Lets go of it, so that the next one need not wait.
    pub(crate) async fn release(&mut self) {
        let letting_go = async {
            let mut lease = self.api.get(&self.name).await?;
            if let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.me)) {
                spec.holder_identity = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(self.duration / 3, letting_go).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not let go of; it runs out"),
            Err(_) => tracing::warn!("the lease was not let go of in time; it runs out"),
        }
    }

    /// A fifth of the duration, with some jitter: candidates do not ask at the same moment.
    fn pause(&self) -> Duration {
        self.duration.mul_f64(rand::random_range(0.15..0.25))
    }

    async fn attempt(&mut self) -> Result<Option<u64>, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(1)) };
            return taken(self.api.create(&PostParams::default(), &lease).await, 1);
        };
        if !self.is_free(&lease, Instant::now()) {
            return Ok(None);
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0) + 1;
        lease.spec = Some(self.spec(transitions));
        // The version that was read is sent along: of two candidates one is refused.
        taken(self.api.replace(&self.name, &PostParams::default(), &lease).await, transitions)
    }

    fn is_free(&mut self, lease: &Lease, now: Instant) -> bool {
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.is_none_or(|holder| holder.is_empty()) {
            return true;
        }
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        match &self.seen {
            Some((seen, since)) if *seen == version => now.duration_since(*since) >= Duration::from_secs(seconds),
            _ => {
                self.seen = Some((version, now));
                false
            }
        }
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs().max(1)).ok(),
            lease_transitions: Some(transitions),
            acquire_time: now.clone(),
            renew_time: now,
            ..LeaseSpec::default()
        }
    }

    /// False: it is not ours any more.
    async fn renew(&self) -> Result<bool, kube::Error> {
        let mut lease = self.api.get(&self.name).await?;
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.me)) else {
            return Ok(false);
        };
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        match self.api.replace(&self.name, &PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A conflict: somebody else was first.
fn taken(outcome: Result<Lease, kube::Error>, transitions: i32) -> Result<Option<u64>, kube::Error> {
    match outcome {
        Ok(_) => Ok(u64::try_from(transitions).ok()),
        Err(error) if is_conflict(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
