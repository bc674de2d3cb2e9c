//! What a client's frame says. Pure: nothing is looked up here.

use crate::error::Refused;
use crate::rooms::page::Asked;
use crate::rooms::position::MOST;
use crate::rooms::post::NewMessage;
use crate::rooms::subscribe::At;
use contract::position::Epoch;
use contract::room::RoomName;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use service::problem::{Code, Problem};
use std::borrow::Cow;
use std::fmt;

/// Most rooms in one `connect`.
pub(super) const CONNECT_ROOMS: usize = 200;
/// Verbs that the protocol has and that are not built.
const UNBUILT: [&str; 4] = ["edit", "delete", "react", "typing"];
const BUILT: [&str; 7] = ["connect", "refresh", "subscribe", "unsubscribe", "send", "read", "history"];

/// What a text frame is.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// `{}`, the answer to a ping.
    Pong,
    /// A command.
    Command {
        /// Stands in the reply.
        id: u64,
        /// What to do.
        verb: Verb,
    },
    /// Something that is answered with an error.
    Wrong {
        /// Stands in the reply; 0 if there was none.
        id: u64,
        /// What it was about.
        about: About,
        /// The error.
        problem: Problem,
    },
    /// No JSON object: this is not our protocol.
    NotJson,
}

/// What a wrong frame was about: that decides whether the socket stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// No verb, or several.
    Nothing,
    /// A `connect` that is none.
    Connect,
    /// A `connect` with more rooms than one may have.
    ManyRooms,
    /// Another verb.
    Other,
}

/// A command.
#[derive(Debug, PartialEq)]
pub(super) enum Verb {
    Connect(Connect),
    Refresh { token: String },
    Subscribe { room: RoomName, at: At },
    Unsubscribe { room: RoomName },
    Send { room: RoomName, message: NewMessage },
    Read { room: RoomName, epoch: Option<Epoch>, pos: u64 },
    History { room: RoomName, asked: Asked },
}

/// The first command.
#[derive(Debug, PartialEq)]
pub(super) struct Connect {
    pub(super) token: String,
    pub(super) lines: bool,
    /// A room that is no room has its error in its own place.
    pub(super) rooms: Vec<Wanted>,
}

/// One room of a `connect`: its address as it came, and what it means.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) room: String,
    pub(super) place: Result<(RoomName, At), Refused>,
}

/// Reads a text frame.
pub(super) fn parse(text: &str) -> Parsed {
    let Ok(frame) = serde_json::from_str::<Frame>(text) else { return Parsed::NotJson };
    if frame.is_empty {
        return Parsed::Pong;
    }
    let Some(id) = frame.id else {
        return wrong(0, About::Nothing, Problem::new(Code::Invalid, "id has to be an integer above 0"));
    };
    let (name, body) = match frame.verb() {
        Ok(verb) => verb,
        Err(detail) => return wrong(id, About::Nothing, Problem::new(Code::Invalid, detail)),
    };
    match verb(name, body) {
        Ok(Verb::Connect(connect)) if connect.rooms.len() > CONNECT_ROOMS => {
            let count = connect.rooms.len();
            let detail = format!("connect: {count} rooms are more than {CONNECT_ROOMS}; subscribe to the others");
            wrong(id, About::ManyRooms, Problem::new(Code::Invalid, detail))
        }
        Ok(verb) => Parsed::Command { id, verb },
        Err(problem) => wrong(id, if name == "connect" { About::Connect } else { About::Other }, problem),
    }
}

fn wrong(id: u64, about: About, problem: Problem) -> Parsed {
    Parsed::Wrong { id, about, problem }
}

/// The top level of a frame. Bodies stay text: what is wrong inside one must not cost the id.
struct Frame<'a> {
    is_empty: bool,
    id: Option<u64>,
    rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de> Deserialize<'de> for Frame<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Frame<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame<'de>, A::Error> {
                let mut frame = Frame { is_empty: true, id: None, rest: Vec::new() };
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    frame.is_empty = false;
                    if key == "id" {
                        frame.id = value.get().parse().ok().filter(|id| *id > 0);
                    } else {
                        frame.rest.push((key, value));
                    }
                }
                Ok(frame)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Frame<'_> {
    /// The one verb. A known word is a verb, and so is an unknown one with a body; other unknown fields are passed by.
    fn verb(&self) -> Result<(&str, &str), &'static str> {
        let known = |name: &str| BUILT.contains(&name) || UNBUILT.contains(&name);
        let mut verbs = self.rest.iter().filter(|(name, body)| known(name) || body.get().starts_with('{'));
        let first = verbs.next().or(self.rest.first()).ok_or("there is no verb beside id")?;
        if verbs.next().is_some() {
            return Err("there is more than one verb beside id");
        }
        Ok((&first.0, first.1.get()))
    }
}

fn verb(name: &str, body: &str) -> Result<Verb, Problem> {
    match name {
        "connect" => read(name, body).map(connect),
        "refresh" => read::<RefreshBody>(name, body).map(|body| Verb::Refresh { token: body.token }),
        "subscribe" => read(name, body).and_then(|body: RoomBody| {
            let (room, at) = place(&body)?;
            Ok(Verb::Subscribe { room, at })
        }),
        "unsubscribe" => read(name, body).and_then(|body: RoomBody| Ok(Verb::Unsubscribe { room: room(&body.room)? })),
        "send" => read(name, body)
            .and_then(|body: SendBody| Ok(Verb::Send { room: room(&body.room)?, message: body.message })),
        "read" => read(name, body).and_then(|body: ReadBody| {
            let epoch = epoch(body.epoch.as_deref())?;
            Ok(Verb::Read { room: room(&body.room)?, epoch, pos: pos(body.pos)? })
        }),
        "history" => read(name, body)
            .and_then(|body: HistoryBody| Ok(Verb::History { room: room(&body.room)?, asked: body.asked() })),
        unbuilt if UNBUILT.contains(&unbuilt) => Err(Refused::Unimplemented("this verb").into()),
        _ => Err(Problem::new(Code::Unimplemented, "this verb is not known")),
    }
}

fn read<T: DeserializeOwned>(name: &str, body: &str) -> Result<T, Problem> {
    // serde would take an array for a struct.
    if !body.starts_with('{') {
        return Err(Problem::new(Code::Invalid, format!("{name}: an object is needed")));
    }
    serde_json::from_str(body).map_err(|error| Problem::new(Code::Invalid, format!("{name}: {error}")))
}

#[derive(Deserialize)]
struct ConnectBody {
    token: String,
    #[serde(default)]
    lines: Option<bool>,
    #[serde(default)]
    rooms: Option<Vec<RoomBody>>,
}

#[derive(Deserialize)]
struct RefreshBody {
    token: String,
}

#[derive(Deserialize)]
struct RoomBody {
    room: String,
    epoch: Option<String>,
    pos: Option<u64>,
}

#[derive(Deserialize)]
struct SendBody {
    room: String,
    message: NewMessage,
}

#[derive(Deserialize)]
struct ReadBody {
    room: String,
    epoch: Option<String>,
    pos: u64,
}

#[derive(Deserialize)]
struct HistoryBody {
    room: String,
    before: Option<u64>,
    after: Option<u64>,
    epoch: Option<String>,
    limit: Option<u32>,
    min_pos: Option<u64>,
}

impl HistoryBody {
    fn asked(self) -> Asked {
        let Self { before, after, epoch, limit, min_pos, .. } = self;
        Asked { before, after, epoch, limit, min_pos }
    }
}

fn connect(body: ConnectBody) -> Verb {
    let wanted = |body: RoomBody| Wanted { place: place(&body), room: body.room };
    let rooms = body.rooms.unwrap_or_default().into_iter().map(wanted).collect();
    Verb::Connect(Connect { token: body.token, lines: body.lines.unwrap_or(false), rooms })
}

fn place(body: &RoomBody) -> Result<(RoomName, At), Refused> {
    let at = At { epoch: epoch(body.epoch.as_deref())?, pos: body.pos.map(pos).transpose()? };
    Ok((room(&body.room)?, at))
}

fn room(text: &str) -> Result<RoomName, Refused> {
    text.parse().map_err(|error| Refused::invalid(format!("room: {error}")))
}

fn epoch(text: Option<&str>) -> Result<Option<Epoch>, Refused> {
    text.map(|text| text.parse().map_err(|error| Refused::invalid(format!("epoch: {error}")))).transpose()
}

fn pos(number: u64) -> Result<u64, Refused> {
    if number > MOST {
        return Err(Refused::invalid("pos is no position"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
