//! What happens to files, and to the folder.

use std::time::Duration;

use e2e::rig::Rig;
use serde_json::{Value, json};

use crate::util::{Flags, Operator, SOON, chat, entry, until};

/// Two looks 5 s apart decide, so this shows that nothing was decided.
const TWO_LOOKS: Duration = Duration::from_secs(12);

async fn start(rig: &Rig) -> Operator {
    let flags = Flags { management_url: &rig.vhost.management_url, events: true, resync_seconds: 30, chat: vec![] };
    Operator::start(rig, flags).await
}

fn is_open(status: &Value, room: &str) -> bool {
    entry(&status["rooms"], "room", room)["ready"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_the_first_keeps_the_room_and_the_second_follows_when_it_goes() {
    let rig = chat().await;
    let text = |topic: &str| {
        format!(
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: x, namespace: a}}\nspec: {{topic: {topic}}}\n"
        )
    };
    rig.write_manifest("b.yaml", &text("second")).unwrap();
    rig.write_room("a/y", &json!({})).unwrap();
    let operator = start(&rig).await;
    let ready = operator.ready("a/x").await;
    // The other comes first by name, but not in time.
    rig.write_manifest("a.yaml", &text("first")).unwrap();
    until("the conflict is told", SOON, async || {
        entry(&operator.status().await["files"], "file", "a.yaml")["reason"] == "NameConflict"
    })
    .await;
    let file = entry(&operator.status().await["files"], "file", "a.yaml");
    assert_eq!(file["message"], "a.yaml:3: metadata.name: a/x is declared by b.yaml first: remove one of the two");
    assert!(is_open(&operator.status().await, "a/x"));
    std::fs::remove_file(rig.rooms().join("b.yaml")).unwrap();
    until("the second file is right now", SOON, async || {
        entry(&operator.status().await["files"], "file", "a.yaml")["ready"] == true
    })
    .await;
    let pool = rig.database.pool().await.unwrap();
    until("the row has the second owner", SOON, async || {
        let owner: String =
            sqlx::query_scalar("select owner_uid from rooms where name = 'x'").fetch_one(&pool).await.unwrap();
        owner.ends_with("/a.yaml")
    })
    .await;
    assert_eq!(operator.ready("a/x").await["epoch"], ready["epoch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_or_is_renamed_and_broken_withdraws_nothing() {
    let rig = chat().await;
    for room in ["a/p", "a/q", "a/r"] {
        rig.write_room(room, &json!({})).unwrap();
    }
    let operator = start(&rig).await;
    operator.ready("a/p").await;
    rig.write_manifest("a.p.yaml", "apiVersion: [").unwrap();
    std::fs::remove_file(rig.rooms().join("a.q.yaml")).unwrap();
    rig.write_manifest("renamed.yaml", "also: [").unwrap();
    tokio::time::sleep(TWO_LOOKS).await;
    let status = operator.status().await;
    for (room, reason) in [("a/p", "InvalidManifest"), ("a/q", "WithdrawalsHeld")] {
        let told = entry(&status["rooms"], "room", room);
        assert!(told["ready"] == true && told["reason"] == reason, "{told}");
    }
    // Once everything is understood, what is absent is withdrawn.
    std::fs::remove_file(rig.rooms().join("renamed.yaml")).unwrap();
    rig.write_room("a/p", &json!({"topic": "back"})).unwrap();
    until("q is withdrawn", SOON, async || {
        entry(&operator.status().await["withdrawn"], "room", "a/q")["reason"] == "Withdrawn"
    })
    .await;
    operator.room("a/p", SOON, |room| room["ready"] == true && room["reason"] == "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_folder_waits_for_a_person_and_no_web_page_can_be_one() {
    let rig = chat().await;
    let rooms = ["a/p", "a/q", "a/r"];
    for room in rooms {
        rig.write_room(room, &json!({})).unwrap();
    }
    let operator = start(&rig).await;
    for room in rooms {
        operator.ready(room).await;
    }
    for room in rooms {
        std::fs::remove_file(rig.rooms().join(format!("{}.yaml", room.replace('/', ".")))).unwrap();
    }
    tokio::time::sleep(TWO_LOOKS).await;
    let status = operator.status().await;
    for room in rooms {
        let told = entry(&status["rooms"], "room", room);
        assert!(told["ready"] == true && told["reason"] == "WithdrawalsHeld", "{told}");
    }
    assert_eq!(operator.post_as_page("/confirm-withdrawals").await, 403);
    assert_eq!(operator.post("/confirm-withdrawals").await["confirmed"], json!(rooms));
    until("all are withdrawn", SOON, async || {
        operator.status().await["withdrawn"].as_array().is_some_and(|all| all.len() == 3)
    })
    .await;
    let pool = rig.database.pool().await.unwrap();
    let open: i64 = sqlx::query_scalar("select count(*) from rooms where open").fetch_one(&pool).await.unwrap();
    assert_eq!(open, 0);
    // They come back with the same logs.
    let before = operator.status().await;
    rig.write_room("a/q", &json!({})).unwrap();
    let epoch = entry(&before["withdrawn"], "room", "a/q")["epoch"].clone();
    assert_eq!(operator.ready("a/q").await["epoch"], epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_in_the_folder_gives_classes_whose_policies_change_in_place() {
    let rig = chat().await;
    let platform = |age: &str| {
        format!(
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatPlatform\nmetadata: {{name: parlor}}\nspec:\n  demo: true\n  rooms:\n    classes: [{{name: standard, maxAge: {age}, segmentBytes: 1Mi, replicas: 3}}]\n"
        )
    };
    rig.write_manifest("platform.yaml", &platform("2w")).unwrap();
    rig.write_room("a/x", &json!({})).unwrap();
    let operator = start(&rig).await;
    let ready = operator.ready("a/x").await;
    let file = entry(&operator.status().await["files"], "file", "platform.yaml");
    assert!(
        file["ready"] == true && file["reason"] == "NotApplicable" && file["message"].to_string().contains("spec.demo")
    );
    let stream = rig.vhost.get(&rig.vhost.path("queues", ready["stream"].as_str().unwrap())).await.unwrap().unwrap();
    assert_eq!(stream["arguments"]["x-stream-max-segment-size-bytes"], 1 << 20);
    // One node: more replicas than nodes cannot be.
    assert_eq!(stream["arguments"]["x-initial-cluster-size"], 1);
    let policy = async || rig.vhost.get(&rig.vhost.path("policies", "parlor.log.standard")).await.unwrap().unwrap();
    assert_eq!(policy().await["definition"], json!({"max-age": "14D", "max-length-bytes": 1 << 30}));
    rig.write_manifest("platform.yaml", &platform("36h")).unwrap();
    until("the policy changed in place", SOON, async || policy().await["definition"]["max-age"] == "36h").await;
    // A wrong platform changes nothing, and no room suffers from it.
    rig.write_manifest("platform.yaml", &platform("soon")).unwrap();
    rig.write_room("a/y", &json!({"suspend": true})).unwrap();
    rig.write_room("a/z", &json!({})).unwrap();
    operator.ready("a/z").await;
    assert_eq!(policy().await["definition"]["max-age"], "36h");
    let told = entry(&operator.status().await["files"], "file", "platform.yaml");
    assert!(
        told["ready"] == false
            && told["message"].as_str().unwrap().starts_with("platform.yaml:7: spec.rooms.classes[0].maxAge")
    );
    assert_eq!(operator.room("a/y", SOON, |room| room["reason"] == "Suspended").await["ready"], false);
    // A room that is made goes on while it is suspended, whatever its manifest says.
    rig.write_room("a/z", &json!({"suspend": true, "topic": "new"})).unwrap();
    assert_eq!(operator.room("a/z", SOON, |room| room["reason"] == "Suspended").await["ready"], true);
    let pool = rig.database.pool().await.unwrap();
    let topic: String = sqlx::query_scalar("select topic from rooms where name = 'z'").fetch_one(&pool).await.unwrap();
    assert_eq!(topic, "");
}
