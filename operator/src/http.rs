//! The status port: how rooms and files are, health, metrics, and the two things that a person may have to confirm.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use service::health::{self, Health};
use service::problem::{Code, Problem};
use service::shutdown::Shutdown;
use service::telemetry::Metrics;
use tokio::sync::{mpsc, oneshot};

use crate::report::{Boards, Reports, RoomReport};
use crate::worker::{Command, Order};

/// What the pages show and whom they tell.
#[derive(Clone)]
struct Pages {
    boards: Boards,
    commands: mpsc::Sender<Command>,
}

/// All pages of the port.
pub(crate) fn router(
    boards: Boards,
    commands: mpsc::Sender<Command>,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
) -> Router {
    let pages = Router::new()
        .route("/status", get(status))
        .route("/confirm-withdrawals", post(confirm_withdrawals))
        .route("/confirm-lost-logs", post(confirm_lost_logs))
        .with_state(Pages { boards, commands });
    pages.merge(health::router(health, metrics, shutdown))
}

/// Which platform is meant, as `namespace/name`.
#[derive(Deserialize)]
struct Whose {
    platform: Option<String>,
}

async fn status(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let reports = pages.boards.read();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/plain") && !accept.contains("application/json") {
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text(&reports)).into_response()
    } else {
        Json(json(&reports)).into_response()
    }
}

async fn confirm_withdrawals(
    State(pages): State<Pages>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    local(peer, &headers)?;
    let rooms = ask(&pages, whose, Order::ConfirmWithdrawals).await?;
    Ok(Json(json!({"confirmed": rooms})))
}

async fn confirm_lost_logs(
    State(pages): State<Pages>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    local(peer, &headers)?;
    let confirmed = ask(&pages, whose, Order::ConfirmLostLogs).await?;
    Ok(Json(json!({"confirmed": confirmed})))
}

/// Only somebody on this machine, and no page in their browser.
fn local(peer: SocketAddr, headers: &HeaderMap) -> Result<(), Problem> {
    if !peer.ip().to_canonical().is_loopback() {
        return Err(Problem::new(Code::Forbidden, "confirm on the machine where the operator runs"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(Code::Forbidden, "a browser's page cannot confirm anything"));
    }
    Ok(())
}

async fn ask<A>(pages: &Pages, whose: Whose, order: impl FnOnce(oneshot::Sender<A>) -> Order) -> Result<A, Problem> {
    let parse = |name: String| name.parse().map_err(|_| Problem::new(Code::Invalid, "platform: write namespace/name"));
    let platform = whose.platform.map(parse).transpose()?;
    let nobody = || {
        let message = "this operator does not act for that platform: it is stopping, another one holds the lease, or it keeps several \
                       platforms and one has to be named, as ?platform=namespace/name";
        Problem::new(Code::Unavailable, message)
    };
    let (reply, answer) = oneshot::channel();
    pages.commands.send(Command { platform, order: order(reply) }).await.map_err(|_| nobody())?;
    answer.await.map_err(|_| nobody())
}

fn json(reports: &Reports) -> Value {
    let named = |name: &'static str, key: Value, report: Value| {
        let mut entry = json!({name: key});
        if let (Value::Object(entry), Value::Object(fields)) = (&mut entry, report) {
            entry.extend(fields);
        }
        entry
    };
    let rooms = |reports: &std::collections::BTreeMap<_, RoomReport>| {
        reports.iter().map(|(room, report)| named("room", json!(room), json!(report))).collect::<Vec<_>>()
    };
    json!({
        "rooms": rooms(&reports.rooms),
        "files": reports.files.iter().map(|(file, report)| named("file", json!(&**file), json!(report))).collect::<Vec<_>>(),
        "withdrawn": rooms(&reports.withdrawn),
        "notices": reports.notices,
    })
}

fn text(reports: &Reports) -> String {
    let mut rows = vec![["ROOM", "READY", "REASON", "EPOCH", "MESSAGE"].map(str::to_owned).to_vec()];
    for (room, report) in reports.rooms.iter().chain(&reports.withdrawn) {
        let epoch = report.epoch.clone().unwrap_or_else(|| "-".to_owned());
        rows.push(vec![room.to_string(), yes(report.ready), report.reason.word(), epoch, one_line(&report.message)]);
    }
    let mut all = table(&rows);
    let mut rows = vec![["FILE", "READY", "REASON", "MESSAGE"].map(str::to_owned).to_vec()];
    for (file, report) in &reports.files {
        rows.push(vec![file.to_string(), yes(report.ready), report.reason.word(), one_line(&report.message)]);
    }
    all.push('\n');
    all.push_str(&table(&rows));
    for notice in &reports.notices {
        all.extend(["\n", notice.reason, ": ", &notice.message, "\n"]);
    }
    all
}

fn yes(ready: bool) -> String {
    if ready { "yes" } else { "no" }.to_owned()
}

fn one_line(message: &str) -> String {
    message.replace('\n', " | ")
}

/// Columns as wide as their widest entry; the last one as it is.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FileReport, Reason};

    fn reports() -> Reports {
        let mut reports = Reports::default();
        let ready = RoomReport {
            ready: true,
            epoch: Some("1-abcdef".into()),
            stream: Some("parlor.log.standard.a.b.1-abcdef".into()),
            ..RoomReport::not_ready(Reason::Ready, "")
        };
        reports.rooms.insert("a/b".parse().unwrap(), ready);
        reports.rooms.insert("a/c".parse().unwrap(), RoomReport::not_ready(Reason::NameConflict, "why"));
        let file = FileReport { ready: false, reason: Reason::InvalidManifest, message: "one\ntwo".into() };
        reports.files.insert("x.yaml".into(), file);
        reports
    }

    #[test]
    fn status_has_the_shape_of_the_protocol() {
        let value = json(&reports());
        assert_eq!(
            value["rooms"],
            json!([
                {"room": "a/b", "ready": true, "reason": "Ready", "message": "", "epoch": "1-abcdef", "stream": "parlor.log.standard.a.b.1-abcdef"},
                {"room": "a/c", "ready": false, "reason": "NameConflict", "message": "why"},
            ])
        );
        assert_eq!(
            value["files"],
            json!([{"file": "x.yaml", "ready": false, "reason": "InvalidManifest", "message": "one\ntwo"}])
        );
    }

    #[test]
    fn people_get_a_table() {
        let text = text(&reports());
        assert!(
            text.starts_with("ROOM  READY  REASON        EPOCH     MESSAGE\na/b   yes    Ready         1-abcdef\n"),
            "{text}"
        );
        assert!(text.contains("x.yaml  no     InvalidManifest  one | two"), "{text}");
    }

    #[test]
    fn only_somebody_on_this_machine_confirms() {
        let plain = HeaderMap::new();
        assert!(
            local("127.0.0.1:5".parse().unwrap(), &plain).is_ok()
                && local("[::ffff:127.0.0.1]:5".parse().unwrap(), &plain).is_ok()
        );
        assert!(local("10.0.0.1:5".parse().unwrap(), &plain).is_err());
        let mut page = HeaderMap::new();
        page.insert(header::ORIGIN, "http://evil.example".parse().unwrap());
        assert!(local("127.0.0.1:5".parse().unwrap(), &page).is_err());
    }
}
