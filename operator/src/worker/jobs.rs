//! The worker's I/O: a look at the servers by itself, else at most two passes and one round of withdrawals, over different rooms.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::room::RoomName;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use proto::chat::v1::Room;
use tokio::time::Instant;

use super::state::State;
use crate::context::Closed;
use crate::platform::{self, Extent};
use crate::report::{Notice, RoomReport};
use crate::room::withdraw::{self, Withdrawal};
use crate::room::{self, Ground, Outcome, Subject, Verdict};
use crate::rooms_service::ROOMS_MOST;

/// Passes at a time: while one declares, the next one's rows are written.
const PASSES_MOST: usize = 2;
/// Withdrawals of one round.
const WITHDRAWALS_MOST: usize = 16;
/// A room that stays `NotEmpty` is looked at with everything else.
const NOT_EMPTY: Duration = Duration::from_hours(1);

/// Something that runs.
pub(super) type Job = BoxFuture<'static, Done>;

/// How it ended.
pub(super) enum Done {
    /// A look at the servers.
    Refreshed(Extent, Result<BTreeSet<Notice>, Closed>),
    /// A pass over rooms.
    Passed(Vec<Outcome>),
    /// Withdrawals.
    Withdrawn(Vec<(RoomName, Withdrawal)>),
}

impl State {
    /// Starts what can be started now.
    pub(super) fn start_jobs(&mut self) {
        if self.schedule.is_running() || self.scan.is_none() {
            return;
        }
        let stale = self.context.world().stale.take();
        if let Some(extent) = stale.filter(|_| self.closed.is_none()) {
            self.schedule.ask(extent, Instant::now());
        }
        if let Some(extent) = self.schedule.due(Instant::now()) {
            // A look while a pass changes things would show some of them as they were.
            if self.jobs.is_empty() {
                self.start_refresh(extent);
            }
            return;
        }
        if !self.known {
            return;
        }
        while self.jobs.len() < PASSES_MOST && !self.lanes.is_empty() {
            let rooms = self.lanes.take(ROOMS_MOST, &self.busy);
            if rooms.is_empty() {
                break;
            }
            let set: Vec<Subject> = rooms.iter().filter_map(|room| self.subject(room)).collect();
            if !set.is_empty() {
                self.start_pass(set);
            }
        }
        self.start_withdrawals();
    }

    fn start_refresh(&mut self, extent: Extent) {
        self.schedule.started();
        let (context, platform) = (self.context.clone(), self.platform.clone());
        let confirmed_loss = self.confirmed_loss;
        let look = async move {
            let outcome = platform::pass(&context, &platform, extent, confirmed_loss).await;
            if outcome.is_ok() {
                withdraw::remove_queues(&context).await;
            }
            Done::Refreshed(extent, outcome)
        };
        self.jobs.push(look.boxed());
    }

    fn start_pass(&mut self, set: Vec<Subject>) {
        metrics::counter!("parlor_operator_passes_total").increment(1);
        self.busy.extend(set.iter().map(|subject| subject.room.clone()));
        let ground = Ground {
            schemas: self.settings.schemas.clone(),
            platform: self.platform.clone(),
            closed: self.closed.clone(),
        };
        let context = self.context.clone();
        self.jobs.push(async move { Done::Passed(room::pass(&context, &ground, set).await) }.boxed());
    }

    fn start_withdrawals(&mut self) {
        if self.closed.is_some() || self.jobs.len() > PASSES_MOST {
            return;
        }
        let now = Instant::now();
        let due = self.leaving.iter().filter(|(room, at)| **at <= now && !self.busy.contains(*room));
        let rooms: Vec<RoomName> = due.map(|(room, _)| room.clone()).take(WITHDRAWALS_MOST).collect();
        let rows: Vec<_> = {
            let world = self.context.world();
            let row = |room: &RoomName| {
                let row = world.rows.get(room)?;
                Some(Room { deletion_policy: self.policy(room, row).to_owned(), ..row.clone() })
            };
            rooms.iter().filter_map(|room| Some((room.clone(), row(room)?))).collect()
        };
        for room in rooms.iter().filter(|room| !rows.iter().any(|(other, _)| other == *room)) {
            self.leaving.remove(room);
        }
        if rows.is_empty() {
            return;
        }
        self.busy.extend(rows.iter().map(|(room, _)| room.clone()));
        let context = self.context.clone();
        let job = async move {
            let attempts =
                rows.iter().map(async |(room, row)| (room.clone(), withdraw::attempt(&context, room, row).await));
            Done::Withdrawn(join_all(attempts).await)
        };
        self.jobs.push(job.boxed());
    }

    /// A job ended.
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Refreshed(extent, outcome) => self.refreshed(extent, outcome),
            Done::Passed(outcomes) => self.passed(outcomes),
            Done::Withdrawn(withdrawals) => self.withdrew(withdrawals),
        }
    }

    fn passed(&mut self, outcomes: Vec<Outcome>) {
        let now = Instant::now();
        let mut reports: Vec<(RoomName, RoomReport)> = Vec::new();
        for Outcome { subject, report, verdict } in outcomes {
            let room = subject.room;
            self.busy.remove(&room);
            match verdict {
                Verdict::Settled => {}
                Verdict::Again(wait) => {
                    self.later.insert((now + wait, room.clone()));
                    // What the log waits for shows in its row.
                    self.context.world().is_stale(Extent::Rows);
                }
                Verdict::Reread => {
                    self.parked.insert(room.clone());
                    self.context.world().is_stale(Extent::All);
                }
                Verdict::Parked => {
                    self.parked.insert(room.clone());
                    self.probe();
                }
            }
            // A room that nobody declares has its report from how it stands.
            if subject.claim.is_some() && self.claims.chosen.contains_key(&room) {
                reports.push((room, report));
            }
        }
        self.board.set_rooms(reports);
    }

    /// A pass met a server that is away: from now on one probe asks for all.
    fn probe(&mut self) {
        if self.closed.is_none() {
            self.schedule.probe(Instant::now());
        }
    }

    fn withdrew(&mut self, withdrawals: Vec<(RoomName, Withdrawal)>) {
        let now = Instant::now();
        let mut reports = Vec::new();
        for (room, withdrawal) in withdrawals {
            self.busy.remove(&room);
            // The manifest may have come back meanwhile; then the room is put again.
            let still = self.leaving.contains_key(&room);
            let (report, again) = match withdrawal {
                Withdrawal::Closed => {
                    tracing::info!(%room, "withdrawn: its manifest is gone; readable, closed to sending");
                    (None, None)
                }
                Withdrawal::Deleted => {
                    tracing::info!(%room, "deleted: its manifest is gone, and its deletionPolicy says so");
                    (None, None)
                }
                Withdrawal::NotEmpty(report) => (Some(report), Some(now + NOT_EMPTY)),
                Withdrawal::Again(report, wait) => (Some(report), Some(now + wait)),
                Withdrawal::Parked(report) => {
                    self.probe();
                    (Some(report), Some(now + NOT_EMPTY))
                }
            };
            match again {
                Some(at) if still => {
                    self.leaving.insert(room.clone(), at);
                }
                _ => {
                    self.leaving.remove(&room);
                }
            }
            if still {
                reports.extend(report.map(|report| (room.clone(), report)));
            } else {
                self.lanes.changed([room]);
            }
        }
        self.board.set_rooms(reports);
        self.decide();
    }
}
