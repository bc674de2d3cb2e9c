//! A socket of somebody who is there: their commands, the rooms that they read, and what comes back.

use super::command::Verb;
use super::connect::{self, Arrived, Rejected};
use super::deadlines::Deadlines;
use super::pointers::Pointers;
use super::subscriptions::{Beginning, Need, Subscriptions};
use super::turns::Turns;
use super::work::{self, Done};
use super::{HEAVY, Phase, Session, ending, say};
use crate::error::Refused;
use crate::log::Subscribed;
use crate::log::outlet::{Inlet, Outlet, Push};
use crate::rooms::subscribe::At;
use crate::store::rooms::RoomRow;
use contract::event::User;
use contract::position::LogPosition;
use service::problem::{Code, Problem};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokens::Person;
use tokio::time::Instant;
use uuid::Uuid;

/// Pushes that are taken at once, so that they share a write.
const AT_ONCE: usize = 64;

/// What a socket has once somebody is there.
pub(super) struct Online {
    user: User,
    outlet: Outlet,
    inlet: Inlet,
    subscriptions: Subscriptions,
    /// Messages of one room keep their order, and so do subscriptions.
    sends: Turns,
    reads: Turns,
    pointers: Pointers,
}

impl Online {
    pub(super) fn new(arrived: Arrived) -> Self {
        let Person { user: id, username, display_name, .. } = arrived.person;
        Self {
            user: User { id, username, display_name },
            outlet: arrived.outlet,
            inlet: arrived.inlet,
            subscriptions: Subscriptions::new(id),
            sends: Turns::default(),
            reads: Turns::default(),
            pointers: Pointers::default(),
        }
    }

    /// The next push of a room. Cancel-safe.
    pub(super) async fn next_push(&mut self) -> Push {
        if self.subscriptions.takes_pushes()
            && let Some(push) = self.inlet.next().await
        {
            return push;
        }
        std::future::pending().await
    }

    /// Ends everything that is read, and gives what is to be stored.
    pub(super) fn end(self) -> (Uuid, Vec<(Uuid, LogPosition)>) {
        (self.user.id, self.pointers.rest())
    }
}

impl Session {
    /// A command of somebody who is there.
    pub(super) fn command(&mut self, id: u64, verb: Verb) {
        let Phase::Online(online) = &mut self.phase else { return };
        let (state, user) = (self.state.clone(), online.user.id);
        let (name, weight, work) = match verb {
            Verb::Subscribe { room, at } => {
                if !online.subscriptions.has_space() {
                    let problem = Problem::new(Code::Invalid, "this socket reads as many rooms as it may")
                        .reason("too_many_rooms");
                    return self.refuse(id, &problem);
                }
                online.subscriptions.expect();
                let turn = online.reads.take(&room);
                ("subscribe", HEAVY, work::subscribe(state, id, user, room, at, online.outlet.clone(), turn))
            }
            Verb::Unsubscribe { room } => {
                let turn = online.reads.take(&room);
                ("unsubscribe", 1, work::unsubscribe(id, room, turn))
            }
            Verb::Send { room, message } => {
                let turn = online.sends.take(&room);
                ("send", 1, work::send(state, id, online.user.clone(), room, message, turn))
            }
            Verb::Read { room, epoch, pos } => ("read", 1, work::point(state, id, user, room, epoch, pos)),
            Verb::History { room, asked } => ("history", HEAVY, work::history(state, id, user, room, asked, HEAVY)),
            Verb::Refresh { token } => ("refresh", 1, work::refresh(state, id, token)),
            // Was answered before.
            Verb::Connect(_) => return,
        };
        metrics::counter!("parlor_commands_total", "verb" => name).increment(1);
        self.begin(weight, work);
    }

    /// Work of somebody who is there is done.
    pub(super) fn finished(&mut self, done: Done) {
        match done {
            Done::Connected { .. } => {}
            Done::Answered { id, outcome, weight } => {
                self.weight -= weight;
                match outcome {
                    Ok(answer) => self.socket.push(say::ok_text(id, &answer)),
                    Err(refused) => self.refuse(id, &refused.into()),
                }
            }
            Done::Subscribed { id, at, outcome } => self.subscribed(id, &at, outcome),
            Done::Unsubscribe { id, room } => {
                self.weight -= 1;
                if let Phase::Online(online) = &mut self.phase
                    && let Some(left) = online.subscriptions.end(&room)
                {
                    self.seat.leaves(left);
                }
                self.socket.push(say::ok(id, &serde_json::json!({"room": room})));
            }
            Done::Pointed { id, outcome: Ok(pointer) } => {
                // The command goes on until the pointer is stored.
                if let Phase::Online(online) = &mut self.phase {
                    let due = online.pointers.add(id, &pointer, Instant::now());
                    set_pointers(&mut self.deadlines, due);
                }
            }
            Done::Pointed { id, outcome: Err(refused) } => {
                self.weight -= 1;
                self.refuse(id, &refused.into());
            }
            Done::PointersStored { commands, outcome } => self.pointers_stored(&commands, &outcome),
            Done::Refreshed { id, outcome } => {
                self.weight -= 1;
                self.refreshed(id, outcome);
            }
            Done::Pulled { cursor, room, outcome } => {
                let known = self.state.logs.applied(room).map_or(0, |(_, pos)| pos);
                self.with_subscriptions(|subscriptions, socket, needs| {
                    subscriptions.pulled(cursor, outcome, known, socket, needs);
                });
            }
            Done::Checked { room, may_read } => {
                self.with_subscriptions(|subscriptions, socket, needs| {
                    subscriptions.verdict(room, may_read, socket, needs);
                });
            }
        }
    }

    /// Something that a room says, and whatever else is there already.
    pub(super) fn pushed(&mut self, push: Push) {
        let mut needs = Vec::new();
        if let Phase::Online(online) = &mut self.phase {
            online.subscriptions.take(push, &mut self.socket, &mut needs);
            for _ in 0..AT_ONCE {
                if self.socket.is_full() || !online.subscriptions.takes_pushes() {
                    break;
                }
                let Some(push) = online.inlet.try_next() else { break };
                online.subscriptions.take(push, &mut self.socket, &mut needs);
            }
        }
        self.provide(needs);
    }

    /// There is room again.
    pub(super) fn drained(&mut self) {
        self.with_subscriptions(Subscriptions::flow_all);
    }

    /// It may be that these rooms can be read no longer.
    pub(super) fn doubt(&mut self, rooms: BTreeSet<Uuid>) {
        self.with_subscriptions(|subscriptions, _, needs| {
            for room in rooms {
                subscriptions.doubt(room, needs);
            }
        });
    }

    /// Subscriptions that came with `connect`, whose reply is in the queue.
    pub(super) fn begin_all(&mut self, beginnings: Vec<Beginning>) {
        for beginning in &beginnings {
            self.seat.reads(beginning.room.id);
        }
        self.with_subscriptions(|subscriptions, socket, needs| {
            for beginning in beginnings {
                subscriptions.begin(beginning, socket, needs);
            }
        });
    }

    /// Writes the read pointers that wait.
    pub(super) fn write_pointers(&mut self) {
        if let Phase::Online(online) = &mut self.phase
            && let Some(batch) = online.pointers.take(Instant::now())
        {
            self.work.push(work::store_pointers(self.state.clone(), online.user.id, batch));
        }
    }

    fn subscribed(&mut self, id: u64, at: &At, outcome: Result<(Arc<RoomRow>, Subscribed), Refused>) {
        self.weight -= HEAVY;
        match outcome {
            Ok((room, subscribed)) => {
                // One room stays within its own bounds.
                let mut budget = usize::MAX;
                let (text, beginning) = connect::begin(room.key.name.as_str(), at, &room, subscribed, &mut budget);
                self.socket.push(say::ok_text(id, &text));
                self.begin_all(vec![beginning]);
            }
            Err(refused) => self.refuse(id, &refused.into()),
        }
        self.with_subscriptions(|subscriptions, _, _| subscriptions.settle());
    }

    fn pointers_stored(&mut self, commands: &[u64], outcome: &Result<(), Refused>) {
        self.weight -= commands.len();
        for id in commands {
            match outcome {
                Ok(()) => self.socket.push(say::ok(*id, &serde_json::json!({}))),
                Err(refused) => self.refuse(*id, &refused.clone().into()),
            }
        }
        if let Phase::Online(online) = &mut self.phase {
            let due = online.pointers.written(Instant::now());
            set_pointers(&mut self.deadlines, due);
        }
    }

    /// Another token for the same person. Where it is not good, the one before still is, to its end.
    fn refreshed(&mut self, id: u64, outcome: Result<Person, Rejected>) {
        let Phase::Online(online) = &mut self.phase else { return };
        match outcome {
            Ok(person) if person.user != online.user.id => {
                self.refuse(id, &Problem::new(Code::Invalid, "refresh: this is another person's token"));
            }
            Ok(person) => {
                let left = ending::left(&person);
                online.user.username = person.username;
                online.user.display_name = person.display_name;
                self.seat.identify(person.user, person.session);
                self.deadlines.token(Instant::now(), left);
                let milliseconds = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                self.socket.push(say::ok(id, &serde_json::json!({"expires_in_ms": milliseconds})));
            }
            Err(rejected) => self.refuse(id, &ending::problem(rejected)),
        }
    }

    fn with_subscriptions(
        &mut self,
        act: impl FnOnce(&mut Subscriptions, &mut crate::websocket::WebSocket, &mut Vec<Need>),
    ) {
        let mut needs = Vec::new();
        if let Phase::Online(online) = &mut self.phase {
            act(&mut online.subscriptions, &mut self.socket, &mut needs);
        }
        self.provide(needs);
    }

    /// Does what subscriptions need to go on.
    fn provide(&mut self, needs: Vec<Need>) {
        let Phase::Online(online) = &self.phase else { return };
        for need in needs {
            match need {
                Need::Pull { id, room, cursor } => self.work.push(work::pull(self.state.clone(), id, room, cursor)),
                Need::Check(room) => self.work.push(work::check(self.state.clone(), online.user.id, room)),
                Need::Left(room) => self.seat.leaves(room),
            }
        }
    }
}

/// An earlier look stays.
fn set_pointers(deadlines: &mut Deadlines, due: Option<Instant>) {
    if let Some(due) = due {
        deadlines.pointers = Some(deadlines.pointers.map_or(due, |before| before.min(due)));
    }
}
