//! What this crate's tests against real servers share: a database with a room and a log in it, and messages as a stream delivers them.

pub(crate) mod rig;

use crate::log::RoomKey;
use crate::log::delivery::Delivery;
use contract::event::{Body, Envelope, Event, Message, MessageRef, User, Visibility};
use contract::position::{Epoch, LogPosition};
use e2e::servers::{Servers, TestDatabase};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

/// A database of this test's own, and its first room.
pub(crate) struct Fixture {
    pub(crate) pool: PgPool,
    pub(crate) database: TestDatabase,
    pub(crate) servers: Servers,
    pub(crate) room: RoomKey,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let servers = Servers::from_env().unwrap();
        let database = servers.database().await.unwrap();
        let pool = PgPoolOptions::new().max_connections(8).connect(&database.url).await.unwrap();
        let room = room(&pool, "general").await;
        Self { pool, database, servers, room }
    }

    /// A log of the first room; its id.
    pub(crate) async fn log(&self, epoch: &str, state: &str) -> i64 {
        log(&self.pool, &self.room, epoch, state).await
    }
}

pub(crate) async fn room(pool: &PgPool, name: &str) -> RoomKey {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into rooms (id, namespace, name, owner_uid, owner_generation, spec_hash, spec, display_name, topic, visibility, class,
         message_bytes, messages_per_second, burst, max_members, deletion_policy)
         values ($1, 'team-a', $2, 'uid', 1, 'hash', '{}', 'Shown', '', 'Public', 'standard', 8192, 10, 20, 5000, 'Retain')",
    )
    .bind(id)
    .bind(name)
    .execute(pool)
    .await
    .unwrap();
    RoomKey { id, name: format!("team-a/{name}").parse().unwrap() }
}

pub(crate) async fn log(pool: &PgPool, room: &RoomKey, epoch: &str, state: &str) -> i64 {
    let epoch: Epoch = epoch.parse().unwrap();
    sqlx::query_scalar(
        "insert into logs (room, ordinal, epoch, stream, routing_key, class, replicas, segment_bytes, state)
         values ($1, $2, $3, $4, $5, 'standard', 1, 16777216, $6) returning id",
    )
    .bind(room.id)
    .bind(i32::try_from(epoch.ordinal()).unwrap())
    .bind(epoch.as_str())
    .bind(contract::names::log_stream("standard", &room.name, &epoch))
    .bind(contract::names::log_key(&room.name, &epoch))
    .bind(state)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// An AMQP message of a log.
pub(crate) fn delivery(room: Uuid, epoch: &str, offset: u64, events: &[Event]) -> Delivery {
    Delivery { offset, room: Some(room), epoch: Some(epoch.parse().unwrap()), body: body(events).into() }
}

fn body(events: &[Event]) -> Vec<u8> {
    let encoded: Vec<Vec<u8>> = events.iter().map(|event| event.encode().unwrap()).collect();
    Envelope::join(&encoded)
}

/// The nth person.
pub(crate) fn person(number: u8) -> User {
    let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number));
    User { id, username: format!("person-{number}"), display_name: format!("Person {number}") }
}

pub(crate) fn event(sender: Option<User>, key: Uuid, body: Body) -> Event {
    let time = "2026-11-24T10:00:00.000Z".into();
    Event { key, hash: crate::log::hash(&body), after: LogPosition::START, sender, time, body }
}

/// A message of the first person.
pub(crate) fn message(text: &str) -> Event {
    message_as(person(1), Uuid::now_v7(), text)
}

pub(crate) fn message_as(sender: User, id: Uuid, text: &str) -> Event {
    let message = Message { id, text: text.into(), reply_to: None, reply_to_author: None, attachments: vec![] };
    event(Some(sender), id, Body::Message { message })
}

/// What an event about this message calls it.
pub(crate) fn reference(message: &Event, epoch: &str, pos: u64) -> MessageRef {
    MessageRef { id: message.key, author: message.sender_id(), epoch: epoch.parse().unwrap(), pos }
}

pub(crate) fn room_event(open: bool) -> Event {
    let body = Body::Room { display_name: "Shown".into(), topic: String::new(), visibility: Visibility::Public, open };
    event(None, Uuid::now_v7(), body)
}

pub(crate) fn closed(next: &str) -> Event {
    event(None, Uuid::now_v7(), Body::Closed { next_epoch: next.parse().unwrap() })
}
