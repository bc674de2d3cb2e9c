//! The status of a ChatPlatform, pure: conditions as kstatus reads them, from what is said on its board.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::conditions::Conditions;
use crate::context::Closed;
use crate::report::{Part, Reason, Reports};

/// A message of more is cut: it is read in a terminal.
const LETTERS_MOST: usize = 1000;

/// The status that says what stands in `reports` of a platform at `generation`.
pub(super) fn status(reports: &Reports, generation: i64, before: &Value, now: Timestamp) -> Value {
    let mut conditions = Conditions::new(generation, before, now);
    let (ready, reason, message) = summary(reports);
    let message: String = message.chars().take(LETTERS_MOST).collect();
    conditions.add("Ready", ready, &reason.word(), &message);
    if reason.is_stalled() {
        conditions.add("Stalled", "True", &reason.word(), &message);
    } else if ready != "True" {
        conditions.add("Reconciling", "True", &reason.word(), &message);
    }
    let deployed = reports.deployed.as_ref().and_then(|deployed| deployed.as_ref().ok());
    for part in deployed.iter().flat_map(|deployed| &deployed.parts) {
        let status = match part.reason {
            Reason::Ready => "True",
            Reason::Pending => "Unknown",
            _ => "False",
        };
        conditions.add(part.kind, status, &part.reason.word(), &part.message);
    }
    let (broker, reason, message) = broker(reports.servers.as_ref());
    conditions.add("BrokerReachable", broker, &reason, &message);
    let count = |which: &dyn Fn(&crate::report::RoomReport) -> bool| {
        reports.rooms.values().filter(|report| which(report)).count()
    };
    let mut status = json!({
        "observedGeneration": generation,
        "conditions": conditions.list(),
        "rooms": {
            "total": reports.rooms.len(),
            "ready": count(&|report| report.ready),
            "stalled": count(&|report| report.reason.is_stalled()),
        },
    });
    for (name, value) in deployed.iter().flat_map(|it| [("endpoint", &it.endpoint), ("version", &it.version)]) {
        if let Some(value) = value {
            status[name] = json!(value);
        }
    }
    status
}

/// The first thing that is not right: the programs before the servers, which they connect to.
fn summary(reports: &Reports) -> (&'static str, Reason, String) {
    let closed = |closed: &Closed| ("False", closed.reason, closed.message.clone());
    match &reports.deployed {
        Some(Err(error)) => return closed(error),
        Some(Ok(deployed)) => {
            // What is not known of a part stands at the part.
            let is_fault = |part: &&Part| !matches!(part.reason, Reason::Ready | Reason::Pending);
            let missing: Vec<&Part> = deployed.parts.iter().filter(is_fault).collect();
            // Of several the last: a program is not there because of the server that it waits for.
            if let Some(worst) = missing.iter().max_by_key(|part| part.reason.is_stalled()) {
                let lines = missing.iter().map(|part| format!("{}: {}", part.kind, part.message));
                return ("False", worst.reason, lines.collect::<Vec<_>>().join("; "));
            }
        }
        None => {}
    }
    match &reports.servers {
        None => ("Unknown", Reason::Pending, "the servers are looked at".to_owned()),
        Some(Ok(())) => ("True", Reason::Ready, notices(reports)),
        Some(Err(error)) => closed(error),
    }
}

/// Whether two statuses differ in the numbers of rooms alone, which change quickly.
pub(super) fn differ_in_numbers(one: &Value, other: &Value) -> bool {
    ["observedGeneration", "conditions"].iter().all(|field| one[field] == other[field])
}

/// The broker is asked only after chat-service has answered.
fn broker(servers: Option<&Result<(), Closed>>) -> (&'static str, String, String) {
    let reachable = || ("True", "Reachable".to_owned(), String::new());
    match servers {
        Some(Ok(())) => reachable(),
        Some(Err(closed)) => match closed.reason {
            Reason::BrokerUnreachable | Reason::BrokerRefused => {
                ("False", closed.reason.word(), closed.message.clone())
            }
            Reason::ForeignBroker | Reason::ArgumentsConflict => reachable(),
            _ => ("Unknown", closed.reason.word(), closed.message.clone()),
        },
        None => ("Unknown", Reason::Pending.word(), String::new()),
    }
}

fn notices(reports: &Reports) -> String {
    let notices = reports.notices.iter().map(|notice| format!("{}: {}", notice.reason, notice.message));
    notices.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Notice, RoomReport};

    fn reports(servers: Option<Result<(), Closed>>) -> Reports {
        Reports { servers, ..Reports::default() }
    }

    /// Type, status and reason of each condition.
    fn conditions(reports: &Reports) -> Vec<String> {
        let status = status(reports, 3, &Value::Null, Timestamp::UNIX_EPOCH);
        let conditions = status["conditions"].as_array().unwrap().iter();
        conditions.map(|one| format!("{} {} {}", one["type"], one["status"], one["reason"]).replace('"', "")).collect()
    }

    #[test]
    fn what_the_servers_are_is_what_the_platform_is() {
        let closed = |reason| Some(Err(Closed::new(reason, "why")));
        assert_eq!(conditions(&reports(None))[0], "Ready Unknown Pending");
        assert_eq!(conditions(&reports(Some(Ok(())))), ["Ready True Ready", "BrokerReachable True Reachable"]);
        let away = conditions(&reports(closed(Reason::BrokerUnreachable)));
        let expected = [
            "Ready False BrokerUnreachable",
            "Reconciling True BrokerUnreachable",
            "BrokerReachable False BrokerUnreachable",
        ];
        assert_eq!(away, expected);
        let foreign = conditions(&reports(closed(Reason::ForeignBroker)));
        assert_eq!(foreign[1..], ["Stalled True ForeignBroker", "BrokerReachable True Reachable"]);
        let service = conditions(&reports(closed(Reason::RoomsServiceUnreachable)));
        assert_eq!(service[2], "BrokerReachable Unknown RoomsServiceUnreachable");
    }

    #[test]
    fn rooms_are_counted_and_notices_stand_in_the_message() {
        let mut reports = reports(Some(Ok(())));
        let room = |reason| RoomReport { ready: reason == Reason::Ready, ..RoomReport::not_ready(reason, "") };
        reports.rooms.insert("a/x".parse().unwrap(), room(Reason::Ready));
        reports.rooms.insert("a/y".parse().unwrap(), room(Reason::ClassNotFound));
        reports.rooms.insert("a/z".parse().unwrap(), room(Reason::Pending));
        reports.notices.insert(Notice { reason: "OrphanLogs", message: "one".into() });
        let first = status(&reports, 1, &Value::Null, Timestamp::UNIX_EPOCH);
        assert_eq!(first["rooms"], json!({"total": 3, "ready": 1, "stalled": 1}));
        assert_eq!(first["conditions"][0]["message"], "OrphanLogs: one");
        reports.rooms.clear();
        let second = status(&reports, 1, &first, Timestamp::UNIX_EPOCH);
        assert!(first != second && differ_in_numbers(&first, &second));
    }
}
