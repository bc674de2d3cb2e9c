//! One subscription of a socket: what of it is to be written in which order.

use super::{HELD_BYTES, Need};
use crate::log::RoomKey;
use crate::log::frame::{Frame, Notice};
use crate::session::say;
use crate::websocket::WebSocket;
use contract::event::{MemberChange, Visibility};
use contract::position::Epoch;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

/// One of a socket's subscriptions.
#[derive(Debug)]
pub(super) struct Subscription<C> {
    pub(super) room: RoomKey,
    pub(super) cursor: Arc<C>,
    epoch: Epoch,
    /// The client has everything up to here.
    sent: u64,
    pub(super) replay: Replay,
    /// To be written next.
    pub(super) ready: VecDeque<Item>,
    /// To be written after the replay.
    live: VecDeque<Item>,
    held_bytes: usize,
    /// It is being found out whether the person may still read the room.
    pub(super) doubtful: bool,
    pub(super) waits: bool,
    /// What comes now is void: the client was told to subscribe again.
    over: bool,
}

/// How far the replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    /// Another page is to be fetched.
    More,
    /// One is on its way.
    Pulling,
    /// Events come by themselves.
    Done,
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Item {
    Event(Arc<Frame>),
    Lagged { epoch: Epoch, from: u64, to: u64 },
    Reset { epoch: Epoch, pos: u64 },
    Gone,
}

/// How far a subscription came.
pub(super) enum Flow {
    /// Nothing to do until something comes.
    Idle,
    /// It could fetch a page.
    Pull,
    /// The socket takes no more at the moment.
    Full,
    /// It has ended.
    End,
}

impl<C> Subscription<C> {
    pub(super) fn new(room: RoomKey, cursor: C, epoch: Epoch, pos: u64, rest: Vec<Arc<Frame>>, more: bool) -> Self {
        Self {
            room,
            cursor: Arc::new(cursor),
            epoch,
            sent: pos,
            replay: if more { Replay::More } else { Replay::Done },
            ready: rest.into_iter().map(Item::Event).collect(),
            live: VecDeque::new(),
            held_bytes: 0,
            doubtful: false,
            waits: false,
            over: false,
        }
    }

    /// Takes what comes by itself.
    pub(super) fn hold(&mut self, item: Item) {
        if self.over {
            return;
        }
        match &item {
            Item::Event(frame) => {
                self.held_bytes += frame.push.len();
                if self.held_bytes > HELD_BYTES {
                    return self.lag(frame.at.pos);
                }
            }
            Item::Lagged { .. } | Item::Gone => self.over = true,
            Item::Reset { .. } => {}
        }
        self.live.push_back(item);
    }

    /// Everything after what was written is missing, up to `known`: exact events come by subscribing again.
    pub(super) fn lag(&mut self, known: u64) {
        self.ready.clear();
        self.live.clear();
        self.held_bytes = 0;
        self.over = true;
        self.replay = Replay::Done;
        self.ready.push_back(Item::Lagged {
            epoch: self.epoch.clone(),
            from: self.sent + 1,
            to: known.max(self.sent + 1),
        });
    }

    /// Writes what may be written now.
    pub(super) fn write<S>(&mut self, person: Uuid, out: &mut WebSocket<S>, needs: &mut Vec<Need<C>>) -> Flow
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            if self.doubtful {
                return Flow::Idle;
            }
            if out.is_full() {
                let idle = self.ready.is_empty() && self.live.is_empty() && self.replay != Replay::More;
                return if idle { Flow::Idle } else { Flow::Full };
            }
            let item = match (self.ready.pop_front(), self.replay) {
                (Some(item), _) => item,
                (None, Replay::More) => return Flow::Pull,
                (None, Replay::Pulling) => return Flow::Idle,
                (None, Replay::Done) => {
                    let Some(item) = self.live.pop_front() else { return Flow::Idle };
                    if let Item::Event(frame) = &item {
                        self.held_bytes = self.held_bytes.saturating_sub(frame.push.len());
                    }
                    item
                }
            };
            match item {
                Item::Event(frame) => {
                    self.sent = frame.at.pos;
                    out.push(frame.push.clone());
                    if frame.notice.as_ref().is_some_and(|notice| concerns(notice, person)) {
                        self.doubtful = true;
                        needs.push(Need::Check(self.room.clone()));
                    }
                }
                Item::Lagged { epoch, from, to } => {
                    out.push(say::lagged(&self.room.name, &epoch, from, to));
                    return Flow::End;
                }
                Item::Reset { epoch, pos } => {
                    out.push(say::reset(&self.room.name, &epoch, pos));
                    (self.epoch, self.sent) = (epoch, pos);
                }
                Item::Gone => {
                    out.push(say::unsubscribed(&self.room.name));
                    return Flow::End;
                }
            }
        }
    }
}

/// Whether an event may mean that this person can read the room no longer.
fn concerns(notice: &Notice, person: Uuid) -> bool {
    match notice {
        Notice::Member { user, change } => *user == person && *change == MemberChange::Left,
        Notice::Room { visibility } => *visibility == Visibility::Private,
    }
}
