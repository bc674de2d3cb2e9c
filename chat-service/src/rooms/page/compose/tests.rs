//! Pages of a small room: stored up to some position, read beyond it.

use super::*;
use crate::store::rooms::EpochRow;
use contract::event::{Event, MessageRef};
use contract::position::Epoch;
use proptest::prelude::*;
use serde_json::{Value, json};
use sqlx::types::Json;

fn epoch() -> Epoch {
    "2-bbbbbb".parse().unwrap()
}

fn room() -> RoomName {
    "team-a/general".parse().unwrap()
}

fn row(pos: i64) -> MessageRow {
    MessageRow {
        author: Uuid::from_u128(1),
        id: Uuid::from_u128(u128::try_from(pos).unwrap()),
        ordinal: 2,
        pos,
        epoch: "2-bbbbbb".into(),
        time: "t".into(),
        author_username: "mia".into(),
        author_display_name: "Mia".into(),
        text: format!("text {pos}"),
        reply_to: None,
        reply_to_author: None,
        attachments: vec![],
        edited_at: None,
        deleted: false,
        reactions: Json(vec![]),
    }
}

fn event(pos: u64, body: Body) -> (LogPosition, Event) {
    let sender = User { id: Uuid::from_u128(1), username: "mia".into(), display_name: "Mia".into() };
    let event = Event {
        key: Uuid::nil(),
        hash: String::new(),
        after: LogPosition::START,
        sender: Some(sender),
        time: "t2".into(),
        body,
    };
    (LogPosition::new(2, pos), event)
}

fn said(pos: u64) -> (LogPosition, Event) {
    let id = Uuid::from_u128(pos.into());
    event(
        pos,
        Body::Message {
            message: Message {
                id,
                text: format!("text {pos}"),
                reply_to: None,
                reply_to_author: None,
                attachments: vec![],
            },
        },
    )
}

fn reference(pos: u64) -> MessageRef {
    MessageRef { id: Uuid::from_u128(pos.into()), author: Uuid::from_u128(1), epoch: epoch(), pos }
}

/// What PostgreSQL would answer, of messages at all positions 1..=stored.
fn snapshot(stored: u64, bound: Bound, limit: usize, gaps: Vec<GapRow>) -> Snapshot {
    let inside = (1..=stored).filter(|pos| bound.holds(LogPosition::new(2, *pos)));
    let mut positions: Vec<u64> = match bound {
        Bound::Before(_) => inside.rev().take(limit + 1).collect(),
        Bound::After(_) => inside.take(limit + 1).collect(),
    };
    positions.sort_unstable();
    let rows = positions.into_iter().map(|pos| row(i64::try_from(pos).unwrap())).collect();
    Snapshot { current: EpochRow { epoch: epoch(), pos: stored, open: true }, bound, rows, gaps }
}

fn overlay(stored: u64, applied: u64) -> Overlay {
    Overlay { epoch: epoch(), pos: applied, events: (stored + 1..=applied).map(said).collect() }
}

fn positions(page: &Page) -> Vec<u64> {
    page.messages
        .iter()
        .map(|entry| match entry {
            Entry::Message(message) => message.pos,
            Entry::Gap { gap } => gap.from,
        })
        .collect()
}

proptest! {
    #[test]
    fn pages_backwards_and_forwards_hold_every_message_once_wherever_the_store_ends(
        stored in 0_u64..30, more in 0_u64..10, limit in 1_usize..7, forwards in any::<bool>()
    ) {
        let all = stored + more;
        let mut seen: Vec<u64> = Vec::new();
        let mut bound = if forwards { Bound::After(LogPosition::START) } else { Bound::Before(LogPosition::new(3, 0)) };
        loop {
            let page = compose(&room(), Uuid::nil(), limit, snapshot(stored, bound, limit, vec![]), overlay(stored, all));
            prop_assert_eq!(page.pos, all);
            let found = positions(&page);
            prop_assert!(found.len() <= limit && found.is_sorted());
            let next = if forwards { found.last() } else { found.first() }.copied();
            if forwards { seen.extend(found) } else { seen.splice(0..0, found); }
            match next {
                Some(pos) if page.has_more => {
                    let at = LogPosition::new(2, pos);
                    bound = if forwards { Bound::After(at) } else { Bound::Before(at) };
                }
                _ => break,
            }
        }
        prop_assert_eq!(seen, (1..=all).collect::<Vec<_>>());
    }
}

#[test]
fn what_happened_to_a_stored_message_beyond_the_store_is_reflected() {
    let bound = Bound::Before(LogPosition::new(3, 0));
    let mut beyond = overlay(3, 4);
    beyond.events.push(event(5, Body::Edited { message: reference(2), text: "new".into() }));
    beyond.events.push(event(6, Body::Deleted { message: reference(3) }));
    beyond.events.push(event(7, Body::Reaction { message: reference(4), emoji: "👍".into(), removed: false }));
    // About a message of an earlier page: nothing to show here.
    beyond.events.push(event(8, Body::Edited { message: reference(1), text: "old".into() }));
    beyond.pos = 8;
    let page = compose(&room(), Uuid::from_u128(1), 3, snapshot(3, bound, 3, vec![]), beyond);
    let json: Value = serde_json::to_value(&page).unwrap();
    assert_eq!(positions(&page), [2, 3, 4]);
    assert_eq!(json["messages"][0]["message"]["text"], "new");
    assert_eq!(json["messages"][0]["edited_at"], "t2");
    assert_eq!(json["messages"][1]["deleted"], true);
    assert_eq!(json["messages"][1]["message"].get("text"), None);
    assert_eq!(json["messages"][2]["reactions"], json!([{"emoji": "👍", "count": 1, "me": true}]));
    assert_eq!(json["pos"], 8);
    assert_eq!(json["has_more"], true);
}

#[test]
fn a_message_of_a_page_is_its_event_and_more() {
    let bound = Bound::Before(LogPosition::new(3, 0));
    let mut one = snapshot(1, bound, 5, vec![]);
    let reaction = |user| Reaction { emoji: "x".into(), user: Uuid::from_u128(user) };
    one.rows[0].reactions = Json(vec![reaction(7), reaction(8)]);
    let page = compose(&room(), Uuid::from_u128(8), 5, one, overlay(1, 1));
    let id = Uuid::from_u128(1);
    assert_eq!(
        serde_json::to_value(&page).unwrap(),
        json!({"messages": [{"room": "team-a/general", "epoch": "2-bbbbbb", "pos": 1, "type": "message", "time": "t",
            "sender": {"id": id, "username": "mia", "display_name": "Mia"},
            "message": {"id": id, "text": "text 1", "reply_to": null, "reply_to_author": null, "attachments": []},
            "edited_at": null, "deleted": false, "reactions": [{"emoji": "x", "count": 2, "me": true}]}],
            "has_more": false, "epoch": "2-bbbbbb", "pos": 1})
    );
}

#[test]
fn each_loss_stands_on_one_page_at_its_place() {
    // Messages at 10, 20, … 90; lost are 35 to 38 and 95 to 99.
    let pages = |mut bound: Bound| {
        let mut seen = Vec::new();
        loop {
            let mut inside: Vec<u64> =
                (1..10).map(|n| n * 10).filter(|pos| bound.holds(LogPosition::new(2, *pos))).collect();
            match bound {
                Bound::Before(_) => drop(inside.drain(..inside.len().saturating_sub(4))),
                Bound::After(_) => inside.truncate(4),
            }
            let rows = inside.into_iter().map(|pos| row(i64::try_from(pos).unwrap())).collect();
            let gap = |from_pos, to_pos| GapRow { ordinal: 2, epoch: "2-bbbbbb".into(), from_pos, to_pos };
            let current = EpochRow { epoch: epoch(), pos: 99, open: true };
            let snapshot = Snapshot { current, bound, rows, gaps: vec![gap(35, 38), gap(95, 99)] };
            let page = compose(&room(), Uuid::nil(), 3, snapshot, overlay(99, 99));
            let found = positions(&page);
            let messages: Vec<u64> = found.iter().copied().filter(|pos| pos % 10 == 0).collect();
            let more = page.has_more;
            seen.push(found);
            match (bound, messages.first(), messages.last()) {
                (Bound::Before(_), Some(first), _) if more => bound = Bound::Before(LogPosition::new(2, *first)),
                (Bound::After(_), _, Some(last)) if more => bound = Bound::After(LogPosition::new(2, *last)),
                _ => return seen,
            }
        }
    };
    assert_eq!(
        pages(Bound::Before(LogPosition::new(3, 0))),
        [vec![70, 80, 90, 95], vec![40, 50, 60], vec![10, 20, 30, 35]]
    );
    assert_eq!(pages(Bound::After(LogPosition::START)), [vec![10, 20, 30], vec![35, 40, 50, 60], vec![70, 80, 90, 95]]);
}
