//! Servers that are away, at the start and later, and servers that are somebody else's.

use std::time::Duration;

use e2e::ports;
use e2e::proxy::{Proxy, Request};
use e2e::servers::Servers;
use serde_json::json;

use crate::util::{Flags, Operator, SOON, chat, until};

fn is_change(request: &Request) -> bool {
    request.method != "GET"
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_servers_away_it_is_ready_asks_with_one_probe_and_catches_up() {
    let rig = chat().await;
    for number in 0..50 {
        rig.write_room(&format!("a/r{number}"), &json!({})).unwrap();
    }
    let management = Proxy::http(&rig.vhost.management_url).await.unwrap();
    let grpc = Proxy::start(&rig.gateway(0).grpc).await.unwrap();
    management.refuse(true);
    grpc.refuse(true);
    let url = management.url(&rig.vhost.management_url);
    let chat = vec![grpc.url(&rig.gateway(0).grpc)];
    let operator = Operator::start(&rig, Flags { management_url: &url, events: true, resync_seconds: 30, chat }).await;
    operator.room("a/r7", SOON, |room| room["reason"] == "RoomsServiceUnreachable").await;
    operator.notice("RoomsServiceUnreachable").await;
    let before = grpc.accepted();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Not one attempt for each of 50 rooms.
    assert!(grpc.accepted() - before <= 20, "{} connections in 5 s", grpc.accepted() - before);
    grpc.refuse(false);
    operator.room("a/r7", SOON, |room| room["reason"] == "BrokerUnreachable").await;
    management.refuse(false);
    for number in 0..50 {
        operator.ready(&format!("a/r{number}")).await;
    }

    // Later: settled rooms stay as they are, a new one waits, and is made when the broker is back.
    management.refuse(true);
    management.cut_where(|_| true);
    rig.write_room("a/new", &json!({})).unwrap();
    operator.room("a/new", SOON, |room| room["reason"] == "BrokerUnreachable").await;
    assert_eq!(operator.ready("a/r7").await["reason"], "Ready");
    management.refuse(false);
    operator.ready("a/new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_over_ready_rooms_changes_nothing_and_ends_in_good_order() {
    let rig = chat().await;
    for number in 0..30 {
        rig.write_room(&format!("a/r{number}"), &json!({"members": [{"user": "anna"}, {"user": "bob"}]})).unwrap();
    }
    let proxy = Proxy::http(&rig.vhost.management_url).await.unwrap();
    let url = proxy.url(&rig.vhost.management_url);
    let flags = || Flags { management_url: &url, events: true, resync_seconds: 30, chat: vec![] };
    let mut operator = Operator::start(&rig, flags()).await;
    for number in 0..30 {
        operator.ready(&format!("a/r{number}")).await;
    }
    assert!(operator.program.terminate(Duration::from_secs(5)).await.unwrap().success());
    let log = operator.program.log();
    for secret in [password(&rig.vhost.management_url), rig.service_token("x", "rooms")[..40].to_owned()] {
        assert!(!log.contains(&secret), "the log holds a secret");
    }
    let pool = rig.database.pool().await.unwrap();
    let versions = async || -> Vec<(String, i64, String)> {
        sqlx::query_as("select name, owner_generation, xmin::text from rooms order by name")
            .fetch_all(&pool)
            .await
            .unwrap()
    };
    let before = versions().await;
    proxy.forget_requests();
    let operator = Operator::start(&rig, flags()).await;
    for number in 0..30 {
        operator.ready(&format!("a/r{number}")).await;
    }
    assert_eq!(proxy.requests(is_change), []);
    assert_eq!(versions().await, before, "no row was written");
    let table = operator.get("/status", "text/plain").await;
    assert!(table.starts_with("ROOM") && table.contains("a/r29  yes    MembersUnresolved"), "{table}");
}

fn password(url: &str) -> String {
    url.split('@').next().and_then(|start| start.rsplit(':').next()).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_or_an_empty_broker_changes_nothing() {
    let mut rig = chat().await;
    rig.write_room("a/x", &json!({})).unwrap();
    let management = rig.vhost.management_url.clone();
    let flags = |chat: Vec<String>| Flags { management_url: &management, events: false, resync_seconds: 2, chat };
    let mut operator = Operator::start(&rig, flags(vec![])).await;
    let ready = operator.ready("a/x").await;
    operator.program.kill().unwrap();

    // PostgreSQL is empty, as after a wrong restore.
    let empty = Servers::from_env().unwrap().database().await.unwrap();
    let mut wiring = rig.wiring();
    wiring.database_url.clone_from(&empty.url);
    let other = rig.start_gateway(&wiring).await.unwrap();
    let operator = Operator::start(&rig, flags(vec![rig.gateway(other).grpc.clone()])).await;
    let told = operator.room("a/x", SOON, |room| room["reason"] == "ForeignBroker").await;
    assert_eq!(told["ready"], false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.vhost.queues("parlor.log.").await.unwrap(), [ready["stream"].as_str().unwrap()]);
    let pool = empty.pool().await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from rooms").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0, "nothing was written to the wrong database");
    drop(operator);
    drop(pool);
    rig.gateways.remove(other);

    // The broker is empty: a person has to say whether the logs are lost.
    let vhost = format!("/api/vhosts/{}", rig.vhost.name);
    rig.vhost.delete(&vhost).await.unwrap();
    let operator = Operator::start(&rig, flags(vec![])).await;
    let told = operator.room("a/x", SOON, |room| room["reason"] == "ForeignBroker").await;
    assert!(told["message"].as_str().unwrap().contains("confirm-lost-logs"), "{told}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(rig.vhost.get(&vhost).await.unwrap().is_none(), "it was not even made");
    assert_eq!(operator.post("/confirm-lost-logs").await["confirmed"], true);
    until("the virtual host with the exchange is there", SOON, async || {
        rig.vhost.get(&rig.vhost.path("exchanges", "parlor.rooms")).await.unwrap().is_some()
    })
    .await;
    until("a new log", Duration::from_secs(40), async || {
        rig.vhost.queues("parlor.log.standard.a.x.2-").await.unwrap().len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_address_of_chat_service_is_asked_when_one_does_not_answer() {
    let rig = chat().await;
    rig.write_room("a/x", &json!({})).unwrap();
    let [nobody]: [u16; 1] = ports::free().unwrap();
    let proxy = Proxy::start(&rig.gateway(0).grpc).await.unwrap();
    let management = rig.vhost.management_url.clone();
    let chat = vec![format!("http://127.0.0.1:{nobody}"), proxy.url(&rig.gateway(0).grpc), rig.gateway(0).grpc.clone()];
    let operator =
        Operator::start(&rig, Flags { management_url: &management, events: true, resync_seconds: 30, chat }).await;
    operator.ready("a/x").await;
    // Frozen rather than dead: it holds its connections and answers nothing.
    proxy.set(e2e::proxy::Direction::ToClient, e2e::proxy::Flow::Hold);
    rig.write_room("a/y", &json!({})).unwrap();
    operator.room("a/y", Duration::from_secs(30), |room| room["ready"] == true).await;
}
