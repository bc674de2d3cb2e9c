//! What a look at the folder or at the rows means: who speaks for each room, what changed, and what is withdrawn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::room::RoomName;
use proto::chat::v1::Room;
use tokio::time::Instant;

use super::state::State;
use crate::platform::build::is_open;
use crate::platform::{Extent, Platform};
use crate::report::{Reason, RoomReport};
use crate::room::{Claim, Subject};
use crate::source::withdrawal::{Look, Standing};
use crate::source::{Scan, claims, files};

impl State {
    /// A look at the folder.
    pub(super) fn see(&mut self, scan: Arc<Scan>) {
        // Time alone decides something only about rooms that no file declares.
        if self.scan.as_ref().is_some_and(|before| scan.same(before)) && self.standings.is_empty() {
            return;
        }
        let choice = files::choose_platform(&self.settings.schemas, &scan);
        let platform = self.platform_of(&choice, &scan);
        self.platform_choice = choice;
        self.scan = Some(scan);
        if platform != *self.platform {
            tracing::info!(classes = ?platform.classes.keys().collect::<Vec<_>>(), "the platform's classes and limits changed");
            self.platform = Arc::new(platform);
            self.schedule.ask(Extent::All, Instant::now());
        }
        self.decide();
    }

    /// A wrong manifest, or one that went away, changes no class: the last good one holds.
    fn platform_of(&self, choice: &files::PlatformChoice, scan: &Scan) -> Platform {
        match &choice.platform {
            Some(Ok(platform)) => platform.clone(),
            Some(Err(())) if self.platform.name.is_none() => Platform { stands_in: true, ..Platform::default() },
            None if self.platform.name.is_none() && !scan.missing && scan.incomplete.is_none() => Platform::default(),
            Some(Err(())) | None => (*self.platform).clone(),
        }
    }

    /// Who speaks for each room, what changed about that, and which rooms nobody speaks for.
    pub(super) fn decide(&mut self) {
        let Some(scan) = self.scan.clone() else { return };
        let claims = {
            let world = self.context.world();
            claims::choose(&scan, &world.rows, &self.settings.prefix, self.platform.rooms_per_namespace)
        };
        let changed = |(room, claim): &(&RoomName, &Claim)| {
            !self.claims.chosen.get(*room).is_some_and(|before| same(before, claim))
        };
        let changed: Vec<RoomName> = claims.chosen.iter().filter(changed).map(|(room, _)| room.clone()).collect();
        self.claims = claims;
        self.stand(&scan);
        if !self.settings.cluster {
            self.board.set_files(files::reports(&self.settings.schemas, &scan, &self.claims, &self.platform_choice));
        }
        let (claims, standings, leaving) = (&self.claims.chosen, &self.standings, &self.leaving);
        self.board
            .keep_rooms(|room| claims.contains_key(room) || standings.contains_key(room) || leaving.contains_key(room));
        if !changed.is_empty() {
            let unseen = changed.iter().filter(|room| self.board.room(room).is_none());
            let pending = |room: &RoomName| (room.clone(), RoomReport::not_ready(Reason::Pending, ""));
            self.board.set_rooms(unseen.map(pending).collect::<Vec<_>>());
            if self.closed.is_none() {
                self.schedule.before_change(Instant::now());
            }
            self.lanes.changed(changed);
        }
    }

    /// How the rooms stand that are in the rows but in no file.
    fn stand(&mut self, scan: &Scan) {
        self.leaving.retain(|room, _| !self.claims.chosen.contains_key(room));
        if !self.schedule.rows_known() {
            return;
        }
        let mut rows = self.unclaimed();
        rows.retain(|_, row| !scan.elsewhere.contains(row.owner_uid.as_str()));
        let (held, released): (BTreeMap<_, _>, BTreeMap<_, _>) = rows.into_iter().partition(|(_, row)| !row.released);
        let owners = held.iter().map(|(room, row)| (room.clone(), row.owner_uid.clone()));
        let declared: BTreeSet<RoomName> = self.claims.chosen.keys().cloned().collect();
        // Those that are declared count too: how many were lost is a share of all.
        let mut all: BTreeMap<RoomName, String> = owners.collect();
        all.extend(self.claimed_owners());
        let look = Look {
            now: Instant::now(),
            scan,
            prefix: &self.settings.prefix,
            held: &all,
            declared: &declared,
            deletes: self.settings.cluster,
        };
        self.standings = self.withdrawals.look(&look);
        let gone =
            self.standings.iter().filter(|(_, standing)| **standing == Standing::Withdrawn).map(|(room, _)| room);
        for room in gone {
            self.leaving.entry(room.clone()).or_insert_with(Instant::now);
        }
        self.doomed.extend(scan.deleting.clone());
        self.doomed.retain(|room, owner| {
            let row = held.get(room).or_else(|| released.get(room));
            row.is_some_and(|row| row.owner_uid == **owner)
        });
        for room in self.doomed.keys().filter(|room| held.contains_key(*room)) {
            self.leaving.entry(room.clone()).or_insert_with(Instant::now);
        }
        let deleted = released.iter().filter(|(room, row)| self.policy(room, row) != "Retain");
        for room in deleted.map(|(room, _)| room.clone()).collect::<Vec<_>>() {
            self.leaving.entry(room).or_insert_with(Instant::now);
        }
        self.report_standings(&held, &released);
    }

    /// The deletion policy of a room without a manifest. An object that is gone without having been seen deleted says nothing of
    /// what was meant: somebody took its finalizer away, or the definitions themselves were removed.
    pub(super) fn policy<'a>(&self, room: &RoomName, row: &'a Room) -> &'a str {
        let deleted = !self.settings.cluster || self.doomed.get(room).is_some_and(|owner| row.owner_uid == **owner);
        if row.deletion_policy == "Delete" && !deleted { "Retain" } else { &row.deletion_policy }
    }

    /// Rooms of this source without a manifest.
    pub(super) fn unclaimed(&self) -> BTreeMap<RoomName, Room> {
        let world = self.context.world();
        let ours = world.rows.iter().filter(|(room, row)| {
            row.owner_uid.starts_with(&self.settings.prefix) && !self.claims.chosen.contains_key(*room)
        });
        ours.map(|(room, row)| (room.clone(), row.clone())).collect()
    }

    fn claimed_owners(&self) -> Vec<(RoomName, String)> {
        let world = self.context.world();
        let claimed = self.claims.chosen.keys().filter_map(|room| Some((room, world.rows.get(room)?)));
        let ours = claimed.filter(|(_, row)| !row.released && row.owner_uid.starts_with(&self.settings.prefix));
        ours.map(|(room, row)| (room.clone(), row.owner_uid.clone())).collect()
    }

    fn report_standings(&self, held: &BTreeMap<RoomName, Room>, released: &BTreeMap<RoomName, Room>) {
        let mut reports = Vec::new();
        for (room, standing) in &self.standings {
            let Some(row) = held.get(room) else { continue };
            let (reason, message) = match standing {
                Standing::Unclear(file) => (Reason::InvalidManifest, format!("{file} is not understood; the room stays as it is")),
                Standing::Hidden(file) => (
                    Reason::WithdrawalsHeld,
                    format!("its manifest is gone, but may be in {file}, which is not understood; the room stays as it is"),
                ),
                Standing::Incomplete => (Reason::WithdrawalsHeld, "the folder cannot be listed; the room stays as it is".to_owned()),
                Standing::Held => (
                    Reason::WithdrawalsHeld,
                    "its manifest is gone together with most others, so the room stays as it is: put the folder back, or confirm with \
                     POST /confirm-withdrawals on this machine"
                        .to_owned(),
                ),
                Standing::Missing | Standing::Withdrawn => continue,
            };
            reports.push((room.clone(), standing_report(row, reason, message)));
        }
        self.board.set_rooms(reports);
        let withdrawn = released.iter().filter(|(room, _)| !self.leaving.contains_key(*room)).map(|(room, row)| {
            let message = "its manifest is gone: readable, closed to sending; it comes back with the manifest";
            (room.clone(), RoomReport::not_ready(Reason::Withdrawn, message).with_log(row.log.as_ref()))
        });
        self.board.set_withdrawn(withdrawn.collect());
    }

    /// A room as a pass takes it; `None` for one that nobody speaks for any more.
    pub(super) fn subject(&self, room: &RoomName) -> Option<Subject> {
        let claim = self.claims.chosen.get(room).cloned();
        let ours = || {
            let world = self.context.world();
            world.rows.get(room).is_some_and(|row| row.owner_uid.starts_with(&self.settings.prefix))
        };
        (claim.is_some() || (ours() && !self.leaving.contains_key(room))).then(|| Subject { room: room.clone(), claim })
    }
}

fn same(before: &Claim, now: &Claim) -> bool {
    let manifest = Arc::ptr_eq(&before.manifest, &now.manifest) || before.manifest.same(&now.manifest);
    manifest && before.takes_over_from == now.takes_over_from && before.over_quota == now.over_quota
}

/// A room that stays as it is: whether one can send to it is what its row says.
fn standing_report(row: &Room, reason: Reason, message: String) -> RoomReport {
    let ready = row.open && row.log.as_ref().is_some_and(is_open);
    RoomReport { ready, ..RoomReport::not_ready(reason, message) }.with_log(row.log.as_ref())
}
