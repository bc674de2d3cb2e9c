//! Alive is not ready: `/healthz` says that the process answers, `/readyz` what it waits for and what it works without, `/metrics` how
//! it does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::serve;
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;

/// What a check says until its part has come up.
const STARTING: &str = "starting";
/// How often what was measured is put into its buckets.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// All checks of a program.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<Check>>>,
}

/// Whether one part of the program is ready. Clones speak of the same part.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    /// Why it is not ready; `None`: it is.
    reason: Arc<Mutex<Option<String>>>,
    needed: Needed,
    passed: Arc<AtomicBool>,
}

/// When a program cannot do without a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Always,
    AtTheStart,
    Never,
}

/// What `/readyz` says: not ready because of each part that it waits for; at work without the others.
#[derive(Serialize)]
struct Report {
    ready: bool,
    waiting: Vec<Away>,
    without: Vec<Away>,
}

#[derive(Serialize)]
struct Away {
    name: &'static str,
    reason: String,
}

impl Health {
    /// Without checks: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that is not ready yet.
    pub fn check(&self, name: &'static str) -> Check {
        self.add(name, Needed::Always)
    }

    /// Adds a check that only the start waits for. Where a server is shared by all copies of a program and each can do something
    /// without it, its outage must not take all of them out of service at once.
    pub fn gate(&self, name: &'static str) -> Check {
        self.add(name, Needed::AtTheStart)
    }

    /// Adds a check of a part that the program can always do without, and says that it does.
    pub fn note(&self, name: &'static str) -> Check {
        self.add(name, Needed::Never)
    }

    fn add(&self, name: &'static str, needed: Needed) -> Check {
        let reason = Arc::new(Mutex::new(Some(STARTING.to_owned())));
        let check = Check { name, reason, needed, passed: Arc::default() };
        check.measure(false);
        lock(&self.checks).push(check.clone());
        check
    }

    /// Whether nothing has to be waited for.
    pub fn is_ready(&self) -> bool {
        self.report().ready
    }

    fn report(&self) -> Report {
        let (mut waiting, mut without) = (Vec::new(), Vec::new());
        for check in lock(&self.checks).iter() {
            let Some(reason) = check.reason() else { continue };
            let list = if check.is_needed() { &mut waiting } else { &mut without };
            list.push(Away { name: check.name, reason });
        }
        Report { ready: waiting.is_empty(), waiting, without }
    }
}

impl Check {
    /// A check that belongs to no report: for parts used alone, in tests.
    pub fn detached(name: &'static str) -> Self {
        Health::new().check(name)
    }

    /// The part is ready.
    pub fn ready(&self) {
        let before = lock(&self.reason).take();
        self.passed.store(true, Ordering::Relaxed);
        if before.is_some() {
            self.measure(true);
            tracing::info!(check = self.name, "ready");
        }
    }

    /// The part is not ready, for a reason that a person understands and that holds no secret.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        let mut current = lock(&self.reason);
        // Each reason is said once, not at every attempt.
        if current.as_deref() != Some(&reason) {
            self.measure(false);
            tracing::warn!(check = self.name, reason, "not ready");
            *current = Some(reason);
        }
    }

    /// Why the part is not ready.
    pub fn reason(&self) -> Option<String> {
        lock(&self.reason).clone()
    }

    /// Whether the part is ready.
    pub fn is_ready(&self) -> bool {
        lock(&self.reason).is_none()
    }

    fn is_needed(&self) -> bool {
        match self.needed {
            Needed::Always => true,
            Needed::AtTheStart => !self.passed.load(Ordering::Relaxed),
            Needed::Never => false,
        }
    }

    /// `parlor_part_ready`, 1 or 0.
    fn measure(&self, ready: bool) {
        metrics::gauge!("parlor_part_ready", "part" => self.name).set(if ready { 1.0 } else { 0.0 });
    }
}

/// Serves health and metrics on `addr` for as long as the process lives: also while it drains, when it must count as alive but
/// not as ready. Spawn it and do not wait for its end.
pub async fn serve(addr: SocketAddr, health: Health, metrics: Metrics, shutdown: Shutdown) -> Result<()> {
    let listener = serve::bind(addr)?;
    let tidied = metrics.clone();
    // Its own word to stop is never said.
    let never = Shutdown::new();
    let serving = serve::serve(listener, None, router(health, metrics, shutdown), &never, Duration::ZERO);
    tokio::select! {
        served = serving => served,
        () = tidy(&tidied) => Ok(()),
    }
}

/// Metrics that nobody fetches would pile up.
async fn tidy(metrics: &Metrics) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        metrics.tidy();
    }
}

/// The three pages.
pub fn router(health: Health, metrics: Metrics, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .with_state((health, shutdown))
        .route("/metrics", get(async move || render(&metrics)))
}

async fn ready(State((health, shutdown)): State<(Health, Shutdown)>) -> Response {
    let mut report = health.report();
    if shutdown.is_begun() {
        report.ready = false;
        report.waiting.push(Away { name: "shutdown", reason: "stopping".to_owned() });
    }
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

fn render(metrics: &Metrics) -> Response {
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_only_while_every_part_is_and_nobody_said_stop() {
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let router = router(health.clone(), Metrics::detached("test").unwrap(), shutdown.clone());
        assert_eq!(
            ask(&router, "/readyz").await,
            (StatusCode::OK, r#"{"ready":true,"waiting":[],"without":[]}"#.to_owned())
        );

        let (database, broker) = (health.check("database"), health.check("broker"));
        broker.ready();
        let waiting = r#"{"ready":false,"waiting":[{"name":"database","reason":"starting"}],"without":[]}"#;
        assert_eq!(ask(&router, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, waiting.to_owned()));

        database.ready();
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);
        broker.not_ready("RabbitMQ is not reachable");
        assert!(!health.is_ready());
        broker.ready();

        shutdown.begin();
        let (status, body) = ask(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("shutdown"), "{body}");
        assert_eq!(ask(&router, "/healthz").await.0, StatusCode::OK);
        assert_eq!(ask(&router, "/metrics").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_gate_keeps_the_start_and_nothing_after_it_but_says_what_is_away() {
        let health = Health::new();
        let router = router(health.clone(), Metrics::detached("test").unwrap(), Shutdown::new());
        let gate = health.gate("broker");
        gate.not_ready("RabbitMQ is not reachable");
        let (status, body) = ask(&router, "/readyz").await;
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("RabbitMQ is not reachable"), "{body}");
        gate.ready();
        gate.not_ready("RabbitMQ is not reachable");
        let note = health.note("redis");
        let (status, body) = ask(&router, "/readyz").await;
        let without = r#"{"ready":true,"waiting":[],"without":[{"name":"broker","reason":"RabbitMQ is not reachable"},{"name":"redis","reason":"starting"}]}"#;
        assert_eq!((status, body.as_str()), (StatusCode::OK, without));
        assert!(health.is_ready() && !gate.is_ready() && !note.is_ready());
    }
}
