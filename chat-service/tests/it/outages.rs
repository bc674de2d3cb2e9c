//! PostgreSQL gone and frozen: rooms that a gateway reads go on, for people whom it knows.

use crate::util::{ROOM, SOON, get, heard, message};
use e2e::proxy::{Direction, Flow, Proxy};
use e2e::rig::{Rig, Wiring};
use e2e::socket::Socket;
use serde_json::json;
use std::time::{Duration, Instant};

const OTHER: &str = "team-a/other";

/// A gateway whose PostgreSQL is behind a proxy; the historian has its own way.
async fn scene() -> (Rig, Proxy) {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    for room in [ROOM, OTHER] {
        rig.write_room(room, &json!({})).unwrap();
    }
    let proxy = Proxy::start(&rig.database.url).await.unwrap();
    let gateway = Wiring { roles: "gateway", database_url: proxy.url(&rig.database.url), ..rig.wiring() };
    rig.start_gateway(&gateway).await.unwrap();
    let historian = Wiring { roles: "historian", name: "historian".to_owned(), ..rig.wiring() };
    rig.start_gateway(&historian).await.unwrap();
    rig.start_operator().await.unwrap();
    rig.rooms_ready(2, SOON).await.unwrap();
    (rig, proxy)
}

async fn goes_on(rig: &Rig, sender: &mut Socket, reader: &mut Socket) {
    // The first may wait until it is noticed; those after it do not.
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let start = Instant::now();
        let (id, _) = sender.said(ROOM, &format!("number {number}")).await.unwrap();
        if number > 0 {
            slowest = slowest.max(start.elapsed());
        }
        assert_eq!(heard(reader).await["message"]["id"], id.as_str());
        // All in all longer than what is known counts as fresh.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(slowest < Duration::from_millis(2_500), "{slowest:?}");
    let err = reader.err("subscribe", json!({"room": OTHER})).await.unwrap();
    assert_eq!((&err["code"], &err["temporary"]), (&json!("unavailable"), &json!(true)));
    let stranger = rig.stranger("stranger");
    let (status, problem) = get(rig, &stranger, "/v1/rooms").await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    let ready = rig.http.get(format!("{}/readyz", rig.gateway(0).health)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "an outage that all gateways share must not take all of them away");
}

async fn is_back(rig: &Rig, reader: &mut Socket) {
    let end = Instant::now() + SOON * 2;
    while get(rig, &rig.stranger("stranger"), "/v1/rooms").await.0 != 200 {
        assert!(Instant::now() < end, "PostgreSQL is back and the gateway has not noticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    while reader.call("subscribe", json!({"room": OTHER})).await.unwrap().get("ok").is_none() {
        assert!(Instant::now() < end, "another room does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_gone_or_frozen_people_whom_the_gateway_knows_go_on_talking() {
    for frozen in [false, true] {
        let (rig, proxy) = scene().await;
        let (anna, bert) = (rig.member("anna", ROOM).await.unwrap(), rig.member("bert", ROOM).await.unwrap());
        let mut sender = rig.socket(0, &anna).await.unwrap();
        let mut reader = rig.socket(0, &bert).await.unwrap();
        reader.ok("subscribe", json!({"room": ROOM})).await.unwrap();
        sender.ok("send", json!({"room": ROOM, "message": message("before")})).await.unwrap();
        heard(&mut reader).await;
        if frozen {
            proxy.set(Direction::ToServer, Flow::Hold);
            proxy.set(Direction::ToClient, Flow::Hold);
        } else {
            proxy.refuse(true);
            proxy.cut_where(|_| true);
        }
        goes_on(&rig, &mut sender, &mut reader).await;
        proxy.release();
        proxy.refuse(false);
        is_back(&rig, &mut reader).await;
    }
}
