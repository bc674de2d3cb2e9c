//! Which logs open, decided and against a real PostgreSQL.

use super::*;
use crate::rooms::replace::replace;
use crate::rooms::testing::{Fixture, manifest, naming, person};
use contract::event::Role;

fn log(ordinal: i32, state: &str) -> LogState {
    LogState {
        id: i64::from(ordinal),
        room: Uuid::nil(),
        ordinal,
        epoch: format!("{ordinal}-aaaaaa"),
        state: state.into(),
        stored: true,
        pos: 1024,
        sending: true,
        salvage: Salvage::Over,
    }
}

fn opens(log: i64, sending: bool, first: bool, abandoned: &[i64]) -> Step {
    Step::Open { log, sending, first, abandoned: abandoned.to_vec() }
}

#[test]
fn a_first_log_opens_at_once_and_again_it_is_in_use() {
    assert_eq!(decide(&[log(1, "pending")], "1-aaaaaa"), opens(1, true, true, &[]));
    assert_eq!(decide(&[log(1, "open")], "1-aaaaaa"), Step::InUse);
}

#[test]
fn an_older_log_is_closed_first() {
    let logs = [log(1, "open"), log(2, "pending")];
    assert_eq!(decide(&logs, "2-aaaaaa"), Step::Close { older: "1-aaaaaa".into(), next: "2-aaaaaa".into() });
    assert_eq!(decide(&[log(1, "closed"), log(2, "pending")], "2-aaaaaa"), opens(2, true, false, &[]));
}

#[test]
fn a_deleted_log_is_waited_for() {
    let gone = |salvage| LogState { salvage, ..log(1, "gone") };
    assert_eq!(decide(&[gone(Salvage::Running), log(2, "pending")], "2-aaaaaa"), Step::Wait);
    assert_eq!(decide(&[gone(Salvage::Abandoned), log(2, "pending")], "2-aaaaaa"), opens(2, true, false, &[1]));
    assert_eq!(decide(&[gone(Salvage::Over), log(2, "pending")], "2-aaaaaa"), opens(2, true, false, &[]));
}

#[test]
fn a_new_log_stands_as_the_last_one_that_stored_anything() {
    let shut = LogState { sending: false, ..log(1, "gone") };
    let unused = LogState { stored: false, sending: true, ..log(2, "gone") };
    assert_eq!(decide(&[shut, unused, log(3, "pending")], "3-aaaaaa"), opens(3, false, false, &[]));
}

#[test]
fn unknown_and_replaced_logs_are_refused() {
    assert!(matches!(decide(&[log(1, "open")], "2-aaaaaa"), Step::Refuse(Refusal::UnknownEpoch { .. })));
    let stale = Refusal::StaleEpoch { epoch: "1-aaaaaa".into(), newest: "2-aaaaaa".into() };
    assert_eq!(decide(&[log(1, "closed"), log(2, "open")], "1-aaaaaa"), Step::Refuse(stale));
}

async fn newest(fixture: &Fixture, room: &str) -> Declared {
    let view = crate::rooms::view::get(&fixture.pool, &room.parse().unwrap()).await.unwrap().unwrap();
    Declared { room: view.name, epoch: view.newest.epoch.parse().unwrap() }
}

async fn confirmed(fixture: &Fixture, log: &Declared) -> Result<Uuid, Refusal> {
    commit(&fixture.pool, std::slice::from_ref(log)).await.unwrap().0.remove(0)
}

#[tokio::test]
async fn a_set_of_first_logs_opens_and_what_is_unknown_in_it_does_not_stop_it() {
    let fixture = Fixture::new().await;
    fixture.put(&naming(&manifest("a/one"), "1", &[("alice", Role::Member)])).await.unwrap();
    crate::rooms::names::bind(&fixture.pool, &[person("alice")]).await.unwrap();
    fixture.put(&manifest("a/two")).await.unwrap();
    let (one, two) = (newest(&fixture, "a/one").await, newest(&fixture, "a/two").await);
    let unknown = Declared { epoch: "1-zzzzzz".parse().unwrap(), ..two.clone() };
    let nowhere = Declared { room: "a/nowhere".parse().unwrap(), ..two.clone() };
    let (outcomes, effects) = commit(&fixture.pool, &[one, unknown, nowhere, two]).await.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[3].is_ok());
    assert_eq!(outcomes[1], Err(Refusal::UnknownEpoch { epoch: "1-zzzzzz".into() }));
    assert_eq!(outcomes[2], Err(Refusal::NotFound));
    assert_eq!(fixture.count("select count(*) from logs where state = 'open'").await, 2);
    let told = Hint::RoomsChanged { user: person("alice").id, room: "a/one".parse().unwrap() };
    assert!(effects.hints.contains(&told) && !effects.events);
}

#[tokio::test]
async fn an_older_log_gets_one_closing_event_and_the_new_one_stays_pending() {
    let fixture = Fixture::new().await;
    let room = fixture.open_room(&manifest("a/b")).await;
    let first = newest(&fixture, "a/b").await;
    replace(&fixture.pool, room, &first.epoch, false).await.unwrap();
    let second = newest(&fixture, "a/b").await;
    for _ in 0..2 {
        assert_eq!(confirmed(&fixture, &second).await, Ok(room));
    }
    let said = fixture.outbox(room).await;
    assert_eq!(said.len(), 1);
    assert_eq!((&said[0]["type"], &said[0]["next_epoch"]), (&"closed".into(), &second.epoch.as_str().into()));
    let states: Vec<String> = fixture.logs(room).await.into_iter().map(|log| log.1).collect();
    assert_eq!(states, ["open", "pending"]);
    // The pending one is replaced before the historian read the closing: the closing names the third.
    replace(&fixture.pool, room, &second.epoch, false).await.unwrap();
    let third = newest(&fixture, "a/b").await;
    assert_eq!((third.epoch.ordinal(), fixture.outbox(room).await.len()), (3, 0));
    assert!(matches!(confirmed(&fixture, &second).await, Err(Refusal::UnknownEpoch { .. })));
    confirmed(&fixture, &third).await.unwrap();
    assert_eq!(fixture.outbox(room).await[0]["next_epoch"], third.epoch.as_str());
}

#[tokio::test]
async fn a_log_after_a_deleted_one_opens_when_all_have_handed_over_and_else_after_ten_seconds_with_a_gap() {
    let fixture = Fixture::new().await;
    for name in ["a/done", "a/late"] {
        let room = fixture.open_room(&manifest(name)).await;
        fixture.execute("update logs set off = 4, pos = 5120, sending = false where room = $1", room).await;
    }
    let lease = "insert into gateways values ('g1', now() + interval '1 minute'), ('g2', now() + interval '1 minute'),
        ('dead', now() - interval '1 second')";
    sqlx::query(lease).execute(&fixture.pool).await.unwrap();
    for name in ["a/done", "a/late"] {
        let log = newest(&fixture, name).await;
        let room = crate::rooms::view::get(&fixture.pool, &log.room).await.unwrap().unwrap().id;
        replace(&fixture.pool, room, &log.epoch, true).await.unwrap();
        let next = newest(&fixture, name).await;
        assert_eq!(
            fixture.logs(room).await,
            [(log.epoch.to_string(), "gone".into()), (next.epoch.to_string(), "pending".into())]
        );
        assert_eq!(confirmed(&fixture, &next).await, Ok(room));
        assert_eq!(fixture.logs(room).await[1].1, "pending");
    }
    assert_eq!(fixture.count("select count(*) from salvages where gateway in ('g1', 'g2')").await, 4);
    assert_eq!(fixture.count("select count(*) from salvages").await, 4);

    let done = newest(&fixture, "a/done").await;
    let late = newest(&fixture, "a/late").await;
    let ids = "update salvages s set done = true from logs l, rooms r where l.id = s.log and r.id = l.room and r.name = 'done'";
    sqlx::query(ids).execute(&fixture.pool).await.unwrap();
    let (outcomes, effects) = commit(&fixture.pool, &[done.clone(), late.clone()]).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(effects.hints.len(), 1);
    let open = "select count(*) from logs l join rooms r on r.id = l.room where l.state = 'open' and not l.sending and r.name = ";
    assert_eq!(fixture.count(Box::leak(format!("{open}'done'").into_boxed_str())).await, 1);
    assert_eq!(fixture.count("select count(*) from gaps").await, 0);

    let past = "update logs set gone_at = now() - interval '11 seconds' where state = 'gone'";
    sqlx::query(past).execute(&fixture.pool).await.unwrap();
    confirmed(&fixture, &late).await.unwrap();
    assert_eq!(fixture.count(Box::leak(format!("{open}'late'").into_boxed_str())).await, 1);
    assert_eq!(
        fixture
            .count("select count(*) from gaps where ordinal = 1 and from_pos = 5121 and reason = 'log_deleted'")
            .await,
        1
    );
    assert_eq!(fixture.count("select count(*) from salvages where not done").await, 0);
}
