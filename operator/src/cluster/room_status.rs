//! The status of a ChatRoom, pure: conditions as kstatus reads them, from what is said of the room.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::conditions::Conditions;
use crate::report::{Reason, RoomReport};

/// The status that says `report` of an object at `generation`. A condition that is as in `before` keeps its time.
pub(super) fn status(report: &RoomReport, generation: i64, before: &Value, now: Timestamp) -> Value {
    let reason = report.reason.word();
    let mut conditions = Conditions::new(generation, before, now);
    conditions.add("Ready", ready(report), &reason, &report.message);
    // These two are there only while they are true.
    if report.reason.is_stalled() {
        conditions.add("Stalled", "True", &reason, &report.message);
    } else if !report.ready && report.reason != Reason::Suspended {
        conditions.add("Reconciling", "True", &reason, &report.message);
    }
    let mut status = Map::new();
    status.insert("observedGeneration".to_owned(), json!(generation));
    status.insert("conditions".to_owned(), conditions.list());
    for (name, value) in [("epoch", &report.epoch), ("stream", &report.stream)] {
        if let Some(value) = value {
            status.insert(name.to_owned(), json!(value));
        }
    }
    if !report.members_pending.is_empty() {
        status.insert("membersPending".to_owned(), json!(report.members_pending));
    }
    Value::Object(status)
}

/// What is not known is neither true nor false.
fn ready(report: &RoomReport) -> &'static str {
    match report {
        RoomReport { ready: true, .. } => "True",
        RoomReport { reason, .. } if reason.is_away() || *reason == Reason::Pending => "Unknown",
        RoomReport { .. } => "False",
    }
}

/// Whether the object's status says that the room is ready, of the object as it is now.
pub(super) fn is_settled(status: &Value, generation: i64) -> bool {
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    status["observedGeneration"] == generation
        && status["conditions"].as_array().is_some_and(|all| all.iter().any(ready))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_ready_room_has_one_condition_and_its_log() {
        let report = RoomReport {
            ready: true,
            epoch: Some("1-abcdef".into()),
            stream: Some("parlor.log.standard.a.b.1-abcdef".into()),
            ..RoomReport::not_ready(Reason::Ready, "")
        };
        let found = status(&report, 2, &Value::Null, now(0));
        let condition = json!({"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 2,
            "lastTransitionTime": "1970-01-01T00:00:00Z"});
        let expected = json!({"observedGeneration": 2, "conditions": [condition], "epoch": "1-abcdef",
            "stream": "parlor.log.standard.a.b.1-abcdef"});
        assert_eq!(found, expected);
        assert!(is_settled(&found, 2) && !is_settled(&found, 3) && !is_settled(&Value::Null, 2));
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_is_the_same() {
        let away = RoomReport::not_ready(Reason::BrokerUnreachable, "why");
        let first = status(&away, 1, &Value::Null, now(5));
        assert_eq!(first["conditions"][0]["status"], "Unknown");
        assert_eq!(first["conditions"][1]["type"], "Reconciling");
        assert_eq!(status(&away, 1, &first, now(9)), first);
        let wrong = RoomReport::not_ready(Reason::ClassNotFound, "why");
        let second = status(&wrong, 1, &first, now(9));
        assert_eq!(second["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:09Z");
        assert_eq!(
            (&second["conditions"][0]["status"], &second["conditions"][1]["type"]),
            (&json!("False"), &json!("Stalled"))
        );
    }

    #[test]
    fn a_suspended_room_is_neither_on_its_way_nor_stuck() {
        let report = RoomReport::not_ready(Reason::Suspended, "");
        assert_eq!(status(&report, 1, &Value::Null, now(0))["conditions"].as_array().unwrap().len(), 1);
    }
}
