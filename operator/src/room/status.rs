//! Step 5, pure: what is said of each room, from what was applied, and when it is looked at again.

use std::time::Duration;

use contract::names;
use contract::room::RoomName;
use proto::chat::v1::Room;

use super::Subject;
use super::apply::{Applied, Done, Failure};
use super::validate::ValidatedRoom;
use crate::broker::topology::Topology;
use crate::context::Context;
use crate::platform::build::is_open;
use crate::report::{Reason, RoomReport};

/// How soon a log that is opening is looked at again.
const SOON: Duration = Duration::from_secs(1);

/// How a pass ended for a room.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The room.
    pub(crate) subject: Subject,
    /// What is said of it.
    pub(crate) report: RoomReport,
    /// When it is looked at again.
    pub(crate) verdict: Verdict,
}

/// When a room is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// At a change, and when everything is looked at.
    Settled,
    /// After this time.
    Again(Duration),
    /// Once the servers were read anew.
    Reread,
    /// Once the servers are back.
    Parked,
}

/// What is said of each room.
pub(super) fn outcomes(context: &Context, applied: Vec<Applied>) -> Vec<Outcome> {
    let world = context.world();
    applied.into_iter().map(|applied| outcome(&world.picture, applied)).collect()
}

fn outcome(picture: &Topology, Applied { found, valid, result }: Applied) -> Outcome {
    let row = found.row.as_ref();
    let (report, verdict) = match result {
        Ok(Done::Settled) => (settled(picture, &found.subject.room, valid.as_deref(), row), Verdict::Settled),
        Ok(Done::Opening) => {
            let message = "the new log is there; it opens once the one before is closed and read";
            (RoomReport::not_ready(Reason::LogOpening, message), Verdict::Again(SOON))
        }
        Ok(Done::Suspended) => (suspended(row), Verdict::Settled),
        Err(Failure::Refused(refusal)) => (RoomReport::not_ready(refusal.reason, refusal.message), Verdict::Settled),
        Err(Failure::Closed(closed)) => {
            let verdict = if closed.may_pass() { Verdict::Parked } else { Verdict::Settled };
            (RoomReport::not_ready(closed.reason, closed.message), verdict)
        }
        Err(Failure::Changed(message)) => (RoomReport::not_ready(Reason::Pending, message), Verdict::Reread),
    };
    let log = row.and_then(|row| row.log.as_ref());
    let report = RoomReport {
        generation: found.subject.claim.as_ref().and_then(|claim| claim.manifest.generation),
        members_pending: row.map(|row| row.members_pending.clone()).unwrap_or_default(),
        ..report.with_log(log)
    };
    Outcome { subject: found.subject, report, verdict }
}

fn settled(picture: &Topology, room: &RoomName, valid: Option<&ValidatedRoom>, row: Option<&Room>) -> RoomReport {
    let ready = |reason, message: String| RoomReport { ready: true, ..RoomReport::not_ready(reason, message) };
    let pending = row.map(|row| row.members_pending.as_slice()).unwrap_or_default();
    if !pending.is_empty() {
        let message =
            format!("nobody is called {} yet; the name is kept for whoever gets an invite for it", pending.join(", "));
        return ready(Reason::MembersUnresolved, message);
    }
    let dropped = valid.map(|valid| dropped(picture, room, valid)).unwrap_or_default();
    if !dropped.is_empty() {
        let message = format!(
            "{}: no subscription of the manifest has it; it keeps its events until somebody deletes it",
            dropped.join(", ")
        );
        return ready(Reason::SubscriptionDropped, message);
    }
    ready(Reason::Ready, String::new())
}

/// Queues of subscriptions that left the manifest. Absence is not intent: they stay.
fn dropped(picture: &Topology, room: &RoomName, valid: &ValidatedRoom) -> Vec<String> {
    let kept = |name: &str| valid.spec.subscriptions.iter().any(|subscription| subscription.name == name);
    let prefix = names::subscription_queue(room, "");
    let of_room =
        picture.queues.range(prefix.clone()..).map_while(|(name, _)| Some((name, name.strip_prefix(&prefix)?)));
    of_room.filter(|(_, subscription)| !kept(subscription)).map(|(name, _)| name.clone()).collect()
}

fn suspended(row: Option<&Room>) -> RoomReport {
    let goes_on = row.is_some_and(|row| row.open && row.log.as_ref().is_some_and(is_open));
    let message = if goes_on {
        "suspend is true: nothing is changed, the room goes on"
    } else {
        "suspend is true: the room is not made"
    };
    RoomReport { ready: goes_on, ..RoomReport::not_ready(Reason::Suspended, message) }
}
