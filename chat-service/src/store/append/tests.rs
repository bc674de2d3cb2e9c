//! Against a real PostgreSQL.

mod property;

use super::{Losses, Outcome, Segment, Stored, append, store};
use crate::log::delivery::Delivery;
use crate::store::outbox::{self, NewRow};
use crate::testing::{Fixture, closed, delivery, event, message, message_as, person, reference, room_event};
use contract::event::{Body, Event, MemberChange, Role};
use contract::position::pos;
use std::time::Duration;
use uuid::Uuid;

const EPOCH: &str = "1-aaaaaa";

/// Text, mentions, time of the last edit, whether it is deleted, and reactions of a message.
type Row = (String, Vec<String>, Option<String>, bool, serde_json::Value);

impl Fixture {
    fn segment(&self, log: i64, old_off: i64, deliveries: Vec<Delivery>) -> Segment {
        Segment { log, room: self.room.clone(), epoch: EPOCH.parse().unwrap(), old_off, deliveries }
    }

    fn deliver(&self, offset: u64, events: &[Event]) -> Delivery {
        delivery(self.room.id, EPOCH, offset, events)
    }

    async fn texts(&self) -> Vec<String> {
        sqlx::query_scalar("select text from messages where room = $1 order by ordinal, pos")
            .bind(self.room.id)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    async fn positions(&self) -> Vec<(i32, i64)> {
        sqlx::query_as("select ordinal, pos from events where room = $1 order by ordinal, pos")
            .bind(self.room.id)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn log_row(&self, log: i64) -> (i64, Option<i64>, i64, bool, String) {
        sqlx::query_as("select off, anchor_crc, pos, sending, state from logs where id = $1")
            .bind(log)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

fn signed(pos: u64) -> i64 {
    i64::try_from(pos).unwrap()
}

#[tokio::test]
async fn events_messages_keys_and_the_offset_are_stored_together() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let (first, second) = (message("hello @person-2"), message("again"));
    let last = fixture.deliver(1, std::slice::from_ref(&second));
    let crc = i64::from(last.crc());
    let segment = fixture.segment(log, -1, vec![fixture.deliver(0, &[first.clone(), message("b")]), last]);
    assert_eq!(append(&fixture.pool, &[segment]).await.unwrap(), [Stored::Done]);
    assert_eq!(fixture.texts().await, ["hello @person-2", "b", "again"]);
    assert_eq!(fixture.positions().await, [(1, 1024), (1, 1025), (1, 2048)]);
    assert_eq!(fixture.log_row(log).await, (1, Some(crc), 2048, true, "open".into()));
    assert_eq!(fixture.count("message_keys").await, 3);
    let (stored, mentions): (String, Vec<String>) = sqlx::query_as(
        "select e.event, m.mentions from events e join messages m using (room, ordinal, pos) where pos = 1024",
    )
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    let rendered = crate::log::frame::render(&fixture.room.name, &EPOCH.parse().unwrap(), 1024, &first);
    assert_eq!(stored, rendered);
    assert_eq!(mentions, ["person-2"]);
}

#[tokio::test]
async fn the_same_segment_a_second_time_is_overtaken_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let segment = fixture.segment(log, -1, vec![fixture.deliver(0, &[message("once")])]);
    assert_eq!(append(&fixture.pool, std::slice::from_ref(&segment)).await.unwrap(), [Stored::Done]);
    assert_eq!(
        append(&fixture.pool, &[segment.clone(), segment]).await.unwrap(),
        [Stored::Overtaken, Stored::Overtaken]
    );
    assert_eq!(fixture.texts().await, ["once"]);
    assert_eq!(fixture.count("events").await, 1);
}

#[tokio::test]
async fn the_first_copy_of_a_key_counts_also_across_segments_and_another_senders_key_is_another() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let id = Uuid::now_v7();
    let (mine, theirs) = (message_as(person(1), id, "mine"), message_as(person(2), id, "theirs"));
    let other_text = message_as(person(1), id, "other text");
    let deliveries = vec![
        fixture.deliver(0, &[mine.clone(), other_text.clone()]),
        fixture.deliver(1, std::slice::from_ref(&theirs)),
    ];
    append(&fixture.pool, &[fixture.segment(log, -1, deliveries)]).await.unwrap();
    let again = vec![fixture.deliver(2, &[other_text, theirs, message("new")])];
    append(&fixture.pool, &[fixture.segment(log, 1, again)]).await.unwrap();
    assert_eq!(fixture.texts().await, ["mine", "theirs", "new"]);
    assert_eq!(fixture.positions().await, [(1, 1024), (1, 2048), (1, signed(pos(2, 2)))]);
}

#[tokio::test]
async fn edits_reactions_and_deletions_fold_into_messages_of_earlier_segments() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let (edited, deleted) = (message("frist"), message("regret @person-3"));
    let first = vec![fixture.deliver(0, &[edited.clone(), deleted.clone()])];
    append(&fixture.pool, &[fixture.segment(log, -1, first)]).await.unwrap();
    let about = reference(&edited, EPOCH, 1024);
    let acts = [
        event(Some(person(1)), Uuid::now_v7(), Body::Edited { message: about.clone(), text: "first @person-2".into() }),
        event(Some(person(2)), Uuid::now_v7(), Body::Reaction { message: about, emoji: "👍".into(), removed: false }),
        event(Some(person(1)), Uuid::now_v7(), Body::Deleted { message: reference(&deleted, EPOCH, 1025) }),
    ];
    append(&fixture.pool, &[fixture.segment(log, 0, vec![fixture.deliver(1, &acts)])]).await.unwrap();
    let rows: Vec<Row> =
        sqlx::query_as("select text, mentions, edited_at, deleted, reactions from messages order by pos")
            .fetch_all(&fixture.pool)
            .await
            .unwrap();
    let reactions = serde_json::json!([{"emoji": "👍", "user": person(2).id}]);
    let edited_at = Some("2026-11-24T10:00:00.000Z".to_owned());
    assert_eq!(rows[0], ("first @person-2".into(), vec!["person-2".into()], edited_at, false, reactions));
    assert_eq!(rows[1], (String::new(), vec![], None, true, serde_json::json!([])));
}

#[tokio::test]
async fn messages_between_closing_and_opening_are_void_and_their_keys_are_free_again() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let refused = message("too late");
    let (closing, opening) = (room_event(false), room_event(true));
    let deliveries = vec![
        fixture.deliver(0, &[message("before"), closing.clone()]),
        fixture.deliver(1, std::slice::from_ref(&refused)),
    ];
    append(&fixture.pool, &[fixture.segment(log, -1, deliveries)]).await.unwrap();
    assert_eq!(fixture.texts().await, ["before"]);
    assert_eq!(fixture.log_row(log).await.2, 2048, "void events count for the position");
    assert!(!fixture.log_row(log).await.3);
    // A late copy of the closing must not close again what was opened.
    let deliveries = vec![fixture.deliver(2, &[opening, closing]), fixture.deliver(3, &[refused])];
    append(&fixture.pool, &[fixture.segment(log, 1, deliveries)]).await.unwrap();
    assert_eq!(fixture.texts().await, ["before", "too late"]);
    assert!(fixture.log_row(log).await.3);
}

#[tokio::test]
async fn closed_ends_the_log_and_opens_the_next_as_this_one_stood() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let next = fixture.log("2-bbbbbb", "pending").await;
    let deliveries = vec![
        fixture.deliver(0, &[message("a"), room_event(false), closed("2-bbbbbb"), room_event(true)]),
        fixture.deliver(1, &[message("void")]),
    ];
    let outcome = store(&fixture.pool, &[fixture.segment(log, -1, deliveries)], &Losses::new()).await.unwrap();
    let last_time = Some("2026-11-24T10:00:00.000Z".into());
    assert_eq!(outcome, [Outcome { stored: Stored::Done, events: 2, closed: true, last_time }]);
    assert_eq!(fixture.log_row(log).await.4, "closed");
    let (_, _, _, sending, state) = fixture.log_row(next).await;
    assert_eq!((sending, state.as_str()), (false, "open"));
    let behind = fixture.segment(log, 1, vec![fixture.deliver(2, &[message("behind")])]);
    assert_eq!(append(&fixture.pool, &[behind]).await.unwrap(), [Stored::Overtaken]);
    assert_eq!(fixture.texts().await, ["a"]);
}

#[tokio::test]
async fn a_closing_that_was_meant_for_the_log_before_does_not_close_its_successor() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let segment = fixture.segment(log, -1, vec![fixture.deliver(0, &[closed(EPOCH), message("goes on")])]);
    append(&fixture.pool, &[segment]).await.unwrap();
    assert_eq!(fixture.log_row(log).await.4, "open");
    assert_eq!(fixture.texts().await, ["goes on"]);
}

#[tokio::test]
async fn a_deleted_log_is_salvaged_until_the_next_one_opens_and_never_after() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "gone").await;
    let next = fixture.log("2-bbbbbb", "pending").await;
    let first = fixture.segment(log, -1, vec![fixture.deliver(0, &[message("saved")])]);
    assert_eq!(append(&fixture.pool, &[first]).await.unwrap(), [Stored::Done]);
    sqlx::query("update logs set state = 'open' where id = $1").bind(next).execute(&fixture.pool).await.unwrap();
    let late = fixture.segment(log, 0, vec![fixture.deliver(1, &[message("late")])]);
    assert_eq!(append(&fixture.pool, &[late]).await.unwrap(), [Stored::Overtaken]);
    assert_eq!(fixture.texts().await, ["saved"]);
    assert_eq!(fixture.log_row(log).await.4, "gone");
}

#[tokio::test]
async fn messages_of_another_room_or_epoch_and_without_headers_are_passed_by() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let foreign = message("foreign");
    let mut bare = fixture.deliver(2, std::slice::from_ref(&foreign));
    bare.room = None;
    let deliveries = vec![
        delivery(Uuid::now_v7(), EPOCH, 0, std::slice::from_ref(&foreign)),
        delivery(fixture.room.id, "2-bbbbbb", 1, &[foreign]),
        bare,
    ];
    assert_eq!(append(&fixture.pool, &[fixture.segment(log, -1, deliveries)]).await.unwrap(), [Stored::Done]);
    assert_eq!((fixture.count("events").await, fixture.count("quarantine").await), (0, 0));
    assert_eq!((fixture.log_row(log).await.0, fixture.log_row(log).await.2), (2, signed(pos(2, 0))));
}

#[tokio::test]
async fn a_poison_body_and_an_event_that_postgresql_refuses_go_to_quarantine_and_the_rest_is_stored() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let other = crate::testing::room(&fixture.pool, "other").await;
    let other_log = crate::testing::log(&fixture.pool, &other, "1-cccccc", "open").await;
    let poison =
        |offset, body: &[u8]| Delivery { body: body.to_vec().into(), ..fixture.deliver(offset, &[message("")]) };
    let nul = message("a\0b");
    let deliveries = vec![
        fixture.deliver(0, &[message("first")]),
        poison(1, b"{\"v\":1,\"events\":[{\"what\":1}]}"),
        poison(2, b"\xff\x00"),
        fixture.deliver(3, &[message("second"), nul.clone(), message("third")]),
        fixture.deliver(4, &[message("fourth")]),
    ];
    let segments = [
        fixture.segment(log, -1, deliveries),
        Segment {
            log: other_log,
            room: other.clone(),
            epoch: "1-cccccc".parse().unwrap(),
            old_off: -1,
            deliveries: vec![delivery(other.id, "1-cccccc", 0, &[message("elsewhere")])],
        },
    ];
    assert_eq!(append(&fixture.pool, &segments).await.unwrap(), [Stored::Done, Stored::Done]);
    assert_eq!(fixture.texts().await, ["first", "second", "third", "fourth"]);
    assert_eq!(fixture.count("messages").await, 5);
    assert_eq!(fixture.log_row(log).await.0, 4);
    let quarantined: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select off, body from quarantine order by off").fetch_all(&fixture.pool).await.unwrap();
    assert_eq!(quarantined.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(quarantined[2].1, nul.encode().unwrap());
    // Its key was not remembered: the same again in a form that can be stored counts.
    let again = message_as(person(1), nul.key, "ab");
    append(&fixture.pool, &[fixture.segment(log, 4, vec![fixture.deliver(5, &[again])])]).await.unwrap();
    assert_eq!(fixture.texts().await.last().unwrap(), "ab");
}

#[tokio::test]
async fn a_thousand_events_with_poison_among_them_are_stored_without_the_poison() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let deliveries: Vec<Delivery> = (0..1000_u64)
        .map(|n| fixture.deliver(n, &[message(&if n % 300 == 7 { "\0".to_owned() } else { n.to_string() })]))
        .collect();
    append(&fixture.pool, &[fixture.segment(log, -1, deliveries)]).await.unwrap();
    assert_eq!(fixture.count("events").await, 996);
    assert_eq!(fixture.count("quarantine").await, 4);
}

#[tokio::test]
async fn a_loss_is_a_gap_in_the_transaction_that_stores_what_follows_it() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    append(&fixture.pool, &[fixture.segment(log, -1, vec![fixture.deliver(0, &[message("a")])])]).await.unwrap();
    let losses = Losses::from([(log, "cut off")]);
    let behind = fixture.segment(log, 0, vec![fixture.deliver(7, &[message("b")])]);
    let stale = fixture.segment(log, -1, vec![fixture.deliver(7, &[message("b")])]);
    assert_eq!(store(&fixture.pool, &[stale], &losses).await.unwrap()[0].stored, Stored::Overtaken);
    assert_eq!(fixture.count("gaps").await, 0, "whoever is overtaken has lost nothing");
    store(&fixture.pool, &[behind], &losses).await.unwrap();
    let gap: (i32, i64, i64, String) =
        sqlx::query_as("select ordinal, from_pos, to_pos, reason from gaps").fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(gap, (1, signed(pos(1, 0)), signed(pos(7, 0)) - 1, "cut off".into()));
    assert_eq!(fixture.texts().await, ["a", "b"]);
}

#[tokio::test]
async fn an_outbox_row_goes_in_the_transaction_that_stores_its_key_also_as_a_late_copy() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    append(&fixture.pool, &[fixture.segment(log, -1, vec![fixture.deliver(0, &[message("a")])])]).await.unwrap();
    let body = Body::Member { user: person(2), change: MemberChange::Joined, role: Role::Member };
    let row = NewRow { room: fixture.room.id, sender: Some(person(2)), key: Uuid::now_v7(), body: body.clone() };
    let mut connection = fixture.pool.acquire().await.unwrap();
    outbox::put(&mut connection, &row).await.unwrap();
    outbox::put(&mut connection, &row).await.unwrap();
    let after: (i32, i64) =
        sqlx::query_as("select after_ordinal, after_pos from outbox").fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(after, (1, 1024));
    let joined = event(Some(person(2)), row.key, body);
    append(&fixture.pool, &[fixture.segment(log, 0, vec![fixture.deliver(1, std::slice::from_ref(&joined))])])
        .await
        .unwrap();
    assert_eq!(fixture.count("outbox").await, 0);
    outbox::put(&mut connection, &row).await.unwrap();
    assert_eq!(fixture.count("outbox").await, 0, "what history has is not said again");
    sqlx::query(
        "insert into outbox (room, sender, key, event, after_ordinal, after_pos) values ($1, $2, $3, '{}', 1, 0)",
    )
    .bind(fixture.room.id)
    .bind(person(2).id)
    .bind(row.key)
    .execute(&fixture.pool)
    .await
    .unwrap();
    append(&fixture.pool, &[fixture.segment(log, 1, vec![fixture.deliver(2, &[joined])])]).await.unwrap();
    assert_eq!(fixture.count("outbox").await, 0);
    assert_eq!(fixture.count("events").await, 2);
}

#[tokio::test]
async fn a_process_frozen_in_mid_transaction_holds_nobody_up_for_long_and_stores_nothing_when_it_thaws() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let segment = fixture.segment(log, -1, vec![fixture.deliver(0, &[message("once")])]);
    // What `append` holds between its first and its last statement.
    let segments = [segment.clone()];
    let mut frozen = fixture.pool.begin().await.unwrap();
    assert_eq!(super::guard::lock(&mut frozen, &segments).await.unwrap().len(), 1);
    let stored = tokio::time::timeout(Duration::from_mins(1), append(&fixture.pool, &segments)).await.unwrap();
    assert_eq!(stored.unwrap(), [Stored::Done]);
    let thawed = sqlx::query("update logs set off = 0 where id = $1").bind(log).execute(&mut *frozen).await;
    assert!(thawed.is_err(), "PostgreSQL has ended that transaction");
    drop(frozen);
    assert_eq!(append(&fixture.pool, &segments).await.unwrap(), [Stored::Overtaken]);
    assert_eq!(fixture.texts().await, ["once"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_store_the_same_logs_at_once_store_everything_once() {
    let fixture = Fixture::new().await;
    let mut logs = Vec::new();
    for n in 0..8 {
        let room = crate::testing::room(&fixture.pool, &format!("room-{n}")).await;
        let log = crate::testing::log(&fixture.pool, &room, EPOCH, "open").await;
        logs.push((room, log));
    }
    let rounds: Vec<Vec<Segment>> = (0..20_u64)
        .map(|offset| {
            let segment = |(room, log): &(crate::log::RoomKey, i64)| Segment {
                log: *log,
                room: room.clone(),
                epoch: EPOCH.parse().unwrap(),
                old_off: signed(offset) - 1,
                deliveries: vec![delivery(room.id, EPOCH, offset, &[message(&offset.to_string())])],
            };
            logs.iter().map(segment).collect()
        })
        .collect();
    let writers = (0..4).map(|writer| {
        let (pool, mut rounds) = (fixture.pool.clone(), rounds.clone());
        tokio::spawn(async move {
            let mut done = 0;
            for round in &mut rounds {
                // Each in another order.
                round.rotate_left(writer);
                done += append(&pool, round).await.unwrap().iter().filter(|stored| **stored == Stored::Done).count();
            }
            done
        })
    });
    let mut done = 0;
    for writer in writers.collect::<Vec<_>>() {
        done += writer.await.unwrap();
    }
    assert_eq!(done, 160);
    assert_eq!((fixture.count("events").await, fixture.count("message_keys").await), (160, 160));
}
