//! However a log is cut into segments, the rows are those of one pass, and those that the rules of `contract` give.

use super::{EPOCH, Segment, Stored, append};
use crate::log::delivery::Delivery;
use crate::testing::{Fixture, closed, delivery, event, message_as, person, room_event};
use contract::event::{Body, Event, MemberChange, MessageRef, Role};
use contract::fold::{self, Folded, MessageKey};
use contract::position::{Epoch, pos};
use contract::standing::Standing;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const CASES: u32 = 60;

#[derive(Debug, Clone)]
enum Act {
    Message(u8),
    Edit(u8, u8),
    Delete(u8, u8),
    React(u8, u8, u8, bool),
    Room(bool),
    Member(u8),
    Closed,
    /// A copy of an earlier event.
    Again(prop::sample::Index),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0_u8..3).prop_map(Act::Message),
        4 => (0_u8..3, any::<u8>()).prop_map(|(who, of)| Act::Edit(who, of)),
        1 => (0_u8..3, any::<u8>()).prop_map(|(who, of)| Act::Delete(who, of)),
        4 => (0_u8..3, any::<u8>(), 0_u8..2, any::<bool>()).prop_map(|(who, of, emoji, removed)| Act::React(who, of, emoji, removed)),
        2 => any::<bool>().prop_map(Act::Room),
        1 => (0_u8..3).prop_map(Act::Member),
        1 => Just(Act::Closed),
        5 => any::<prop::sample::Index>().prop_map(Act::Again),
    ]
}

/// A log: acts in messages of 1 to 4, and where to cut it.
fn script() -> impl Strategy<Value = (Vec<Vec<Act>>, Vec<bool>)> {
    prop::collection::vec(prop::collection::vec(act(), 1..5), 1..16)
        .prop_flat_map(|messages| (Just(messages.clone()), prop::collection::vec(any::<bool>(), messages.len())))
}

fn events(messages: &[Vec<Act>]) -> Vec<Vec<Event>> {
    let mut said: Vec<Event> = Vec::new();
    let mut sent: Vec<MessageRef> = Vec::new();
    let mut all = Vec::new();
    for (offset, acts) in messages.iter().enumerate() {
        let mut batch = Vec::new();
        for (index, act) in acts.iter().enumerate() {
            let about = |of: &u8| sent.get(usize::from(*of) % sent.len().max(1)).cloned();
            let event = match act {
                Act::Message(who) => {
                    let event = message_as(person(*who), Uuid::now_v7(), &format!("{offset}.{index} @person-{who}"));
                    sent.push(MessageRef {
                        id: event.key,
                        author: event.sender_id(),
                        epoch: EPOCH.parse().unwrap(),
                        pos: pos(u64::try_from(offset).unwrap(), index),
                    });
                    Some(event)
                }
                Act::Edit(who, of) => about(of).map(|message| {
                    event(
                        Some(person(*who)),
                        Uuid::now_v7(),
                        Body::Edited { message, text: format!("edit {offset}.{index}") },
                    )
                }),
                Act::Delete(who, of) => {
                    about(of).map(|message| event(Some(person(*who)), Uuid::now_v7(), Body::Deleted { message }))
                }
                Act::React(who, of, emoji, removed) => about(of).map(|message| {
                    let body = Body::Reaction { message, emoji: format!(":e{emoji}:"), removed: *removed };
                    event(Some(person(*who)), Uuid::now_v7(), body)
                }),
                Act::Room(open) => Some(room_event(*open)),
                Act::Member(who) => {
                    let body = Body::Member { user: person(*who), change: MemberChange::Joined, role: Role::Member };
                    Some(event(None, Uuid::now_v7(), body))
                }
                Act::Closed => Some(closed("2-bbbbbb")),
                Act::Again(which) if !said.is_empty() => Some(which.get(&said).clone()),
                Act::Again(_) => None,
            };
            let event = event.unwrap_or_else(|| message_as(person(0), Uuid::now_v7(), "filler"));
            said.push(event.clone());
            batch.push(event);
        }
        all.push(batch);
    }
    all
}

/// Position, text, time of the last edit, whether it is deleted, and reactions of a message.
type Row = (u64, String, Option<String>, bool, BTreeSet<(String, Uuid)>);

/// Everything that the tables say of the room, comparable.
#[derive(Debug, PartialEq)]
struct Rows {
    positions: Vec<u64>,
    keys: BTreeSet<(Uuid, Uuid, u64)>,
    messages: BTreeMap<(Uuid, Uuid), Row>,
    sending: bool,
    closed: bool,
    pos: u64,
}

/// By the rules alone, event by event.
fn expected(messages: &[Vec<Event>]) -> Rows {
    let epoch: Epoch = EPOCH.parse().unwrap();
    let mut standing = Standing::default();
    let (mut positions, mut keys) = (Vec::new(), BTreeMap::new());
    let mut folds: BTreeMap<MessageKey, (u64, Option<Folded>)> = BTreeMap::new();
    for (offset, events) in messages.iter().enumerate() {
        for (index, event) in events.iter().enumerate() {
            let at = pos(u64::try_from(offset).unwrap(), index);
            let key = (event.sender_id(), event.key);
            if !standing.admits(&epoch, event) || keys.contains_key(&key) {
                continue;
            }
            keys.insert(key, at);
            standing.apply(event);
            if !matches!(event.body, Body::Closed { .. }) {
                positions.push(at);
            }
            if let Some(about) = fold::subject(event) {
                let (first, state) = folds.entry(about).or_insert((at, None));
                let known = state.is_some();
                fold::apply(state, event);
                if !known {
                    *first = at;
                }
            }
        }
    }
    let messages_of = folds.into_iter().filter_map(|(about, (at, state))| {
        let folded = state?;
        let reactions = folded.reactions.into_iter().map(|reaction| (reaction.emoji, reaction.user)).collect();
        let edited = folded.edited_at.map(|time| time.to_string());
        Some(((about.author, about.id), (at, folded.message.text, edited, folded.deleted, reactions)))
    });
    let last = messages.len() - 1;
    Rows {
        positions,
        keys: keys.into_iter().map(|((sender, key), at)| (sender, key, at)).collect(),
        messages: messages_of.collect(),
        sending: standing.sending,
        closed: standing.closed.is_some(),
        pos: pos(u64::try_from(last).unwrap(), messages[last].len() - 1),
    }
}

async fn rows(fixture: &Fixture, log: i64) -> Rows {
    let unsigned = |number: i64| u64::try_from(number).unwrap();
    let room = fixture.room.id;
    let keys =
        sqlx::query("select sender, key, pos from message_keys where room = $1").bind(room).fetch_all(&fixture.pool);
    let keys = keys.await.unwrap().iter().map(|row| (row.get(0), row.get(1), unsigned(row.get(2)))).collect();
    let messages =
        sqlx::query("select author, id, pos, text, edited_at, deleted, reactions from messages where room = $1")
            .bind(room)
            .fetch_all(&fixture.pool)
            .await
            .unwrap();
    let messages = messages.iter().map(|row| {
        let reactions: sqlx::types::Json<BTreeSet<fold::Reaction>> = row.get(6);
        let reactions = reactions.0.into_iter().map(|reaction| (reaction.emoji, reaction.user)).collect();
        ((row.get(0), row.get(1)), (unsigned(row.get(2)), row.get(3), row.get(4), row.get(5), reactions))
    });
    let (_, _, pos, sending, state) = fixture.log_row(log).await;
    Rows {
        positions: fixture.positions().await.into_iter().map(|(_, pos)| unsigned(pos)).collect(),
        keys,
        messages: messages.collect(),
        sending,
        closed: state == "closed",
        pos: unsigned(pos),
    }
}

async fn reset(fixture: &Fixture) {
    for table in ["events", "messages", "message_keys"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}"))).execute(&fixture.pool).await.unwrap();
    }
    sqlx::query("update logs set state = 'pending' where ordinal = 2").execute(&fixture.pool).await.unwrap();
    sqlx::query(
        "update logs set state = 'open', off = -1, anchor_crc = null, pos = 0, sending = true where ordinal = 1",
    )
    .execute(&fixture.pool)
    .await
    .unwrap();
}

/// Stores segment by segment, each a second time as well, until the log is over.
async fn store_cut(fixture: &Fixture, log: i64, deliveries: &[Delivery], cuts: &[bool]) {
    let mut old_off = -1;
    let mut open: Vec<Delivery> = Vec::new();
    for (delivery, cut) in deliveries.iter().zip(cuts.iter().copied().chain([true])) {
        open.push(delivery.clone());
        if cut || delivery.offset + 1 == u64::try_from(deliveries.len()).unwrap() {
            let segment = Segment {
                log,
                room: fixture.room.clone(),
                epoch: EPOCH.parse().unwrap(),
                old_off,
                deliveries: open.split_off(0),
            };
            let stored = append(&fixture.pool, std::slice::from_ref(&segment)).await.unwrap();
            if stored == [Stored::Overtaken] {
                assert_eq!(fixture.log_row(log).await.4, "closed");
                return;
            }
            assert_eq!(append(&fixture.pool, &[segment]).await.unwrap(), [Stored::Overtaken]);
            old_off = i64::try_from(delivery.offset).unwrap();
        }
    }
}

#[test]
fn however_a_log_is_cut_the_rows_are_those_of_the_rules() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (fixture, log) = runtime.block_on(async {
        let fixture = Fixture::new().await;
        let log = fixture.log(EPOCH, "open").await;
        fixture.log("2-bbbbbb", "pending").await;
        (fixture, log)
    });
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&script(), |(messages, cuts)| {
        let messages = events(&messages);
        let deliveries: Vec<Delivery> =
            (0_u64..).zip(&messages).map(|(offset, events)| delivery(fixture.room.id, EPOCH, offset, events)).collect();
        let (whole, cut) = runtime.block_on(async {
            reset(&fixture).await;
            store_cut(&fixture, log, &deliveries, &vec![false; deliveries.len()]).await;
            let whole = rows(&fixture, log).await;
            reset(&fixture).await;
            store_cut(&fixture, log, &deliveries, &cuts).await;
            (whole, rows(&fixture, log).await)
        });
        let rules = expected(&messages);
        prop_assert_eq!(&whole, &rules);
        // A log that is over is not read on: only how far its row got depends on the cut.
        let pos = if rules.closed { rules.pos } else { cut.pos };
        prop_assert_eq!(Rows { pos, ..cut }, rules);
        Ok(())
    });
    let _runtime = runtime.enter();
    drop(fixture);
    outcome.unwrap();
}
