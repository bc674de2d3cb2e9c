//! What a socket reads of which rooms: replays before live events, nothing before the `ok` of its subscription, nothing of a room
//! that the person may have lost. Events wait here or with their room, never in the socket's queue.

mod subscription;

use crate::log::frame::Frame;
use crate::log::outlet::Push;
use crate::log::{Cursor, Pulled, RoomKey, SubscribeError};
use crate::session::say;
use crate::websocket::WebSocket;
use contract::position::Epoch;
use contract::room::RoomName;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use subscription::{Flow, Item, Replay, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

/// Most rooms that one socket reads.
pub(super) const MOST: usize = 1_000;
/// Replays that one socket fetches at the same time.
const MOST_PULLS: usize = 2;
/// Bytes of events that may wait while something has to be found out first; more is `lagged`.
const HELD_BYTES: usize = 256 * 1024;

/// All subscriptions of a socket.
#[derive(Debug)]
pub(super) struct Subscriptions<C = Cursor> {
    person: Uuid,
    by_cursor: HashMap<u64, Subscription<C>>,
    /// Cursors that have something to write and no room, in the order of their turns.
    waiting: VecDeque<u64>,
    pulls: usize,
    /// Subscriptions that are on their way: pushes of theirs may come before their answers.
    expected: usize,
    early: Vec<Push>,
    early_bytes: usize,
}

/// A subscription as it begins.
#[derive(Debug)]
pub(super) struct Beginning<C = Cursor> {
    pub(super) room: RoomKey,
    /// What ends the subscription when it is dropped, and its id.
    pub(super) cursor: (u64, C),
    pub(super) epoch: Epoch,
    /// The `ok` covers up to here.
    pub(super) pos: u64,
    /// Events behind that which were fetched with it.
    pub(super) rest: Vec<Arc<Frame>>,
    /// More have to be fetched.
    pub(super) more: bool,
}

/// What has to be done for the subscriptions to go on.
#[derive(Debug)]
pub(super) enum Need<C = Cursor> {
    /// Fetch the next page.
    Pull { id: u64, room: Uuid, cursor: Arc<C> },
    /// Find out whether the person may still read.
    Check(RoomKey),
    /// The room is not read here any longer.
    Left(Uuid),
}

impl<C> Subscriptions<C> {
    pub(super) fn new(person: Uuid) -> Self {
        Self {
            person,
            by_cursor: HashMap::new(),
            waiting: VecDeque::new(),
            pulls: 0,
            expected: 0,
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    /// Whether one more fits.
    pub(super) fn has_space(&self) -> bool {
        self.by_cursor.len() + self.expected < MOST
    }

    /// Whether pushes can be taken: those that nobody can place yet do not fill the memory.
    pub(super) fn takes_pushes(&self) -> bool {
        self.early_bytes < HELD_BYTES
    }

    /// A subscription is on its way.
    pub(super) fn expect(&mut self) {
        self.expected += 1;
    }

    /// It has come, or failed. Call it after [`Self::begin`].
    pub(super) fn settle(&mut self) {
        self.expected = self.expected.saturating_sub(1);
        if self.expected == 0 {
            self.early = Vec::new();
            self.early_bytes = 0;
        }
    }

    /// Its `ok` is in the socket's queue: events may follow. Ends an older subscription of the same room.
    pub(super) fn begin<S>(&mut self, beginning: Beginning<C>, out: &mut WebSocket<S>, needs: &mut Vec<Need<C>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Beginning { room, cursor: (id, cursor), epoch, pos, rest, more } = beginning;
        self.by_cursor.retain(|_, old| old.room.id != room.id);
        self.by_cursor.insert(id, Subscription::new(room, cursor, epoch, pos, rest, more));
        let (mine, others) = std::mem::take(&mut self.early).into_iter().partition(|push| cursor_of(push) == id);
        self.early = others;
        self.early_bytes = self.early.iter().map(size).sum();
        for push in mine {
            self.push(push);
        }
        self.flow(id, out, needs);
    }

    /// Something that a room says.
    pub(super) fn take<S>(&mut self, push: Push, out: &mut WebSocket<S>, needs: &mut Vec<Need<C>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let id = cursor_of(&push);
        if self.by_cursor.contains_key(&id) {
            self.push(push);
            self.flow(id, out, needs);
        } else if self.expected > 0 {
            self.early_bytes += size(&push);
            self.early.push(push);
        }
    }

    /// A page of a replay has come. `known`: up to where this gateway has read the room.
    pub(super) fn pulled<S>(
        &mut self,
        id: u64,
        page: Result<Pulled, SubscribeError>,
        known: u64,
        out: &mut WebSocket<S>,
        needs: &mut Vec<Need<C>>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.pulls = self.pulls.saturating_sub(1);
        if let Some(subscription) = self.by_cursor.get_mut(&id) {
            match page {
                Ok(Pulled { frames, live }) => {
                    subscription.ready.extend(frames.into_iter().map(Item::Event));
                    subscription.replay = if live { Replay::Done } else { Replay::More };
                }
                // Exact events come by subscribing again.
                Err(_) => subscription.lag(known),
            }
            self.flow(id, out, needs);
        }
        self.flow_all(out, needs);
    }

    /// There is room again.
    pub(super) fn flow_all<S>(&mut self, out: &mut WebSocket<S>, needs: &mut Vec<Need<C>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        for _ in 0..self.waiting.len() {
            if out.is_full() {
                return;
            }
            let Some(id) = self.waiting.pop_front() else { return };
            if let Some(subscription) = self.by_cursor.get_mut(&id) {
                subscription.waits = false;
                self.flow(id, out, needs);
            }
        }
    }

    /// Writes nothing of this room until [`Self::verdict`].
    pub(super) fn doubt(&mut self, room: Uuid, needs: &mut Vec<Need<C>>) {
        for subscription in self.by_cursor.values_mut().filter(|one| one.room.id == room && !one.doubtful) {
            subscription.doubtful = true;
            needs.push(Need::Check(subscription.room.clone()));
        }
    }

    /// The person may go on reading this room, or not.
    pub(super) fn verdict<S>(&mut self, room: Uuid, may_read: bool, out: &mut WebSocket<S>, needs: &mut Vec<Need<C>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ids: Vec<u64> = self.by_cursor.iter().filter(|(_, one)| one.room.id == room).map(|(id, _)| *id).collect();
        for id in ids {
            if may_read {
                if let Some(subscription) = self.by_cursor.get_mut(&id) {
                    subscription.doubtful = false;
                    self.flow(id, out, needs);
                }
            } else if let Some(subscription) = self.by_cursor.remove(&id) {
                out.push(say::unsubscribed(&subscription.room.name));
                needs.push(Need::Left(room));
            }
        }
    }

    /// The client wants no more of this room; gives its id, if it was read.
    pub(super) fn end(&mut self, room: &RoomName) -> Option<Uuid> {
        let id = self.by_cursor.values().map(|one| &one.room).find(|one| one.name == *room)?.id;
        self.by_cursor.retain(|_, subscription| subscription.room.id != id);
        Some(id)
    }

    fn push(&mut self, push: Push) {
        let Some(subscription) = self.by_cursor.get_mut(&cursor_of(&push)) else { return };
        let item = match push {
            Push::Event { frame, .. } => Item::Event(frame),
            Push::Lagged { epoch, from, to, .. } => Item::Lagged { epoch, from, to },
            Push::Reset { epoch, pos, .. } => Item::Reset { epoch, pos },
            Push::Gone { .. } => Item::Gone,
        };
        subscription.hold(item);
    }

    /// Writes what may be written of one subscription, and says what it needs to go on.
    fn flow<S>(&mut self, id: u64, out: &mut WebSocket<S>, needs: &mut Vec<Need<C>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let person = self.person;
        let Some(subscription) = self.by_cursor.get_mut(&id) else { return };
        match subscription.write(person, out, needs) {
            Flow::Idle => {}
            Flow::Pull if self.pulls < MOST_PULLS => {
                self.pulls += 1;
                subscription.replay = Replay::Pulling;
                let (room, cursor) = (subscription.room.id, subscription.cursor.clone());
                needs.push(Need::Pull { id, room, cursor });
            }
            Flow::Pull | Flow::Full => {
                if !subscription.waits {
                    subscription.waits = true;
                    self.waiting.push_back(id);
                }
            }
            Flow::End => {
                needs.push(Need::Left(subscription.room.id));
                self.by_cursor.remove(&id);
            }
        }
    }
}

fn cursor_of(push: &Push) -> u64 {
    match push {
        Push::Event { cursor, .. }
        | Push::Lagged { cursor, .. }
        | Push::Reset { cursor, .. }
        | Push::Gone { cursor } => *cursor,
    }
}

fn size(push: &Push) -> usize {
    match push {
        Push::Event { frame, .. } => frame.push.len(),
        Push::Lagged { .. } | Push::Reset { .. } | Push::Gone { .. } => 64,
    }
}

#[cfg(test)]
mod tests;
