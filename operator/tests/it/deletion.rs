//! Policies of rooms whose manifest goes.

use std::time::Duration;

use serde_json::json;

use crate::util::{Flags, Operator, chat, entry, until};

/// Two looks 5 s apart, then history has to read the closing.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_the_room_with_its_queues_and_an_interrupted_one_is_finished_at_the_next_start() {
    let rig = chat().await;
    let subscriptions = json!([{"name": "audit", "events": ["message"]}]);
    for (room, policy) in [
        ("a/gone", "Delete"),
        ("a/empty", "DeleteIfEmpty"),
        ("a/kept", "Retain"),
        ("a/stays", "Retain"),
        ("a/more", "Retain"),
    ] {
        rig.write_room(room, &json!({"deletionPolicy": policy, "subscriptions": subscriptions})).unwrap();
    }
    let management = rig.vhost.management_url.clone();
    let flags = || Flags { management_url: &management, events: true, resync_seconds: 30, chat: vec![] };
    let mut operator = Operator::start(&rig, flags()).await;
    for room in ["a/gone", "a/empty", "a/kept", "a/stays", "a/more"] {
        operator.ready(room).await;
    }
    let remove =
        |room: &str| std::fs::remove_file(rig.rooms().join(format!("{}.yaml", room.replace('/', ".")))).unwrap();
    let streams = async |room: &str| {
        let prefix = room.replace('/', ".");
        let logs = rig.vhost.queues(&format!("parlor.log.standard.{prefix}.")).await.unwrap();
        let subscriptions = rig.vhost.queues(&format!("parlor.sub.{prefix}.")).await.unwrap();
        logs.len() + subscriptions.len()
    };
    remove("a/gone");
    until("the room's queues are gone", LIMIT, async || streams("a/gone").await == 0).await;
    until("nothing is said of it any more", LIMIT, async || {
        entry(&operator.status().await["rooms"], "room", "a/gone").is_null()
    })
    .await;
    let pool = rig.database.pool().await.unwrap();
    let rows: i64 =
        sqlx::query_scalar("select count(*) from rooms where name = 'gone'").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);

    // The operator dies between closing and deleting.
    operator.program.kill().unwrap();
    sqlx::query("update rooms set released = true where name = 'empty'").execute(&pool).await.unwrap();
    remove("a/empty");
    remove("a/kept");
    let operator = Operator::start(&rig, flags()).await;
    until("the empty room's queues are gone", LIMIT, async || streams("a/empty").await == 0).await;
    until("the kept room is withdrawn", LIMIT, async || {
        entry(&operator.status().await["withdrawn"], "room", "a/kept")["reason"] == "Withdrawn"
    })
    .await;
    assert_eq!(streams("a/kept").await, 2, "a room that is kept keeps its queues");
    assert_eq!(streams("a/stays").await, 2);
    operator.ready("a/stays").await;
    assert!(operator.status().await["notices"].as_array().unwrap().is_empty(), "{}", operator.status().await);
}
