//! One stream of `Messages.Subscribe`: a room from a position on, until the token ends or the person is out. The caller's pace is
//! the stream's: what it does not take waits with the room, and is `lagged` in the end.

use crate::error::Refused;
use crate::log::frame::{Frame, Notice};
use crate::log::outlet::{Inlet, Outlet, Push, outlet};
use crate::log::{RoomKey, Subscribed};
use crate::rooms::subscribe::{At, subscribe};
use crate::sockets::Seat;
use crate::state::State;
use contract::event::{MemberChange, Visibility};
use contract::position::Epoch;
use contract::room::RoomName;
use proto::chat::v1::subscribe_response::Body;
use proto::chat::v1::{Event, Lagged, Reset, SubscribeResponse, Unsubscribed};
use serde::Deserialize;
use service::problem::{Code, Problem};
use std::time::Duration;
use time::OffsetDateTime;
use tokens::Person;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

/// Events that the room may have ready for a caller that has not taken them.
const OUTLET_BYTES: usize = 1024 * 1024;
/// Responses between us and the transport, which has windows of its own.
const RESPONSES: usize = 16;
/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(5);

type Responses = mpsc::Sender<Result<SubscribeResponse, Status>>;

/// A stream that has begun.
pub(super) struct Following {
    state: State,
    person: Person,
    room: RoomKey,
    seat: Seat,
    subscribed: Subscribed,
    /// The client's position.
    at: At,
    inlet: Inlet,
    /// Keeps the inlet open.
    _outlet: Outlet,
}

/// Why a stream ends.
enum End {
    /// With a last response.
    Said(Body),
    /// With an error.
    Refused(Problem),
    /// The caller is gone.
    Gone,
}

impl Following {
    /// Subscribes.
    pub(super) async fn begin(state: &State, person: Person, name: &RoomName, at: At) -> Result<Self, Refused> {
        let (outlet, inlet) = outlet(OUTLET_BYTES);
        let seat = state.sockets.enter();
        seat.identify(person.user, person.session);
        let (room, subscribed) = subscribe(state, person.user, name, at.clone(), &outlet).await?;
        seat.reads(room.key.id);
        let room = room.key.clone();
        Ok(Self { state: state.clone(), person, room, seat, subscribed, at, inlet, _outlet: outlet })
    }

    async fn run(mut self, responses: Responses) {
        let end = {
            let Self { state, person, room, seat, subscribed, at, inlet, .. } = &mut self;
            let flow = Flow { state, user: person.user, room, responses: &responses };
            tokio::select! {
                end = flow.run(subscribed, at, inlet) => end,
                end = ended(state, person, room, seat) => end,
                () = responses.closed() => End::Gone,
            }
        };
        let last = match end {
            End::Said(body) => Ok(SubscribeResponse { body: Some(body) }),
            End::Refused(problem) => Err(problem.into()),
            End::Gone => return,
        };
        // The caller may not take even that.
        timeout(LAST_WORD, responses.send(last)).await.ok();
    }
}

/// Runs it in a task of its own.
pub(super) fn stream(following: Following) -> ReceiverStream<Result<SubscribeResponse, Status>> {
    let (responses, stream) = mpsc::channel(RESPONSES);
    tokio::spawn(following.run(responses));
    ReceiverStream::new(stream)
}

/// What ends a stream from outside: the token's end, the session's, the gateway's, or that the room is lost.
async fn ended(state: &State, person: &Person, room: &RoomKey, seat: &Seat) -> End {
    let left = Duration::try_from(person.expires_at - OffsetDateTime::now_utc()).unwrap_or(Duration::ZERO);
    let expired = tokio::time::sleep(left);
    tokio::pin!(expired);
    loop {
        let news = tokio::select! {
            () = &mut expired => return End::Refused(Problem::new(Code::TokenExpired, "the token has expired: refresh it, and subscribe from the last position")),
            news = seat.news() => news,
        };
        if news.revoked {
            return End::Refused(
                Problem::new(Code::Unauthenticated, "the session was ended: sign in again").reason("revoked"),
            );
        }
        if news.leave {
            return End::Refused(
                Problem::new(Code::Unavailable, "this gateway stops: subscribe elsewhere").reason("draining"),
            );
        }
        if news.doubtful.contains(&room.id) && !may_read(state, person.user, room).await {
            return End::Said(unsubscribed(room));
        }
    }
}

/// Where it cannot be known, what the log or the members say counts: out.
async fn may_read(state: &State, user: Uuid, room: &RoomKey) -> bool {
    state.access.may_still_read(user, room).await.unwrap_or(false)
}

struct Flow<'a> {
    state: &'a State,
    user: Uuid,
    room: &'a RoomKey,
    responses: &'a Responses,
}

impl Flow<'_> {
    async fn run(&self, subscribed: &mut Subscribed, at: &At, inlet: &mut Inlet) -> End {
        match self.flow(subscribed, at, inlet).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn flow(
        &self,
        subscribed: &mut Subscribed,
        at: &At,
        inlet: &mut Inlet,
    ) -> Result<std::convert::Infallible, End> {
        let epoch = subscribed.epoch.clone();
        // The events come behind it, so it covers what the client had.
        let mut sent = if subscribed.recovered { at.pos.unwrap_or(subscribed.pos) } else { subscribed.pos };
        let answer = proto::chat::v1::Subscribed {
            room: self.room.name.to_string(),
            epoch: epoch.to_string(),
            pos: sent,
            recovered: subscribed.recovered,
        };
        self.say(Body::Subscribed(answer)).await?;
        for frame in std::mem::take(&mut subscribed.events) {
            self.event(&frame, &mut sent).await?;
        }
        let mut more = subscribed.more;
        while more {
            let Ok(page) = self.state.logs.pull(&subscribed.cursor).await else {
                let known = self.state.logs.applied(self.room.id).map_or(0, |(_, pos)| pos);
                return Err(End::Said(self.lagged(&epoch, sent + 1, known.max(sent + 1))));
            };
            for frame in page.frames {
                self.event(&frame, &mut sent).await?;
            }
            more = !page.live;
        }
        loop {
            match inlet.next().await {
                Some(Push::Event { frame, .. }) => self.event(&frame, &mut sent).await?,
                Some(Push::Reset { epoch: next, pos, .. }) => {
                    let room = self.room.name.to_string();
                    self.say(Body::Reset(Reset { room, epoch: next.to_string(), pos })).await?;
                    sent = pos;
                }
                Some(Push::Lagged { epoch, from, to, .. }) => return Err(End::Said(self.lagged(&epoch, from, to))),
                Some(Push::Gone { .. }) | None => return Err(End::Said(unsubscribed(self.room))),
            }
        }
    }

    async fn event(&self, frame: &Frame, sent: &mut u64) -> Result<(), End> {
        #[derive(Deserialize)]
        struct Head {
            epoch: String,
            r#type: String,
        }
        let json = String::from_utf8_lossy(&frame.event()).into_owned();
        let head: Head = serde_json::from_str(&json).map_err(|error| {
            tracing::error!(%error, "an event is not as it should be");
            End::Refused(Refused::Internal.into())
        })?;
        let room = self.room.name.to_string();
        self.say(Body::Event(Event { room, epoch: head.epoch, pos: frame.at.pos, r#type: head.r#type, json })).await?;
        *sent = frame.at.pos;
        let doubtful = match &frame.notice {
            Some(Notice::Member { user, change }) => *user == self.user && *change == MemberChange::Left,
            Some(Notice::Room { visibility }) => *visibility == Visibility::Private,
            None => false,
        };
        if doubtful && !may_read(self.state, self.user, self.room).await {
            return Err(End::Said(unsubscribed(self.room)));
        }
        Ok(())
    }

    async fn say(&self, body: Body) -> Result<(), End> {
        self.responses.send(Ok(SubscribeResponse { body: Some(body) })).await.map_err(|_| End::Gone)
    }

    fn lagged(&self, epoch: &Epoch, from: u64, to: u64) -> Body {
        Body::Lagged(Lagged { room: self.room.name.to_string(), epoch: epoch.to_string(), from, to })
    }
}

fn unsubscribed(room: &RoomKey) -> Body {
    Body::Unsubscribed(Unsubscribed { room: room.name.to_string(), code: Code::NotFound.word().to_owned() })
}
