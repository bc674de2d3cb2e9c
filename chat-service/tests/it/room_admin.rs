//! `RoomAdmin` over gRPC, and what people see of it.

use crate::operator::{Operator, committed, declare, log, manifest, naming, with};
use anyhow::{Context, Result};
use e2e::person::Person;
use e2e::proxy::Proxy;
use e2e::rig::Rig;
use e2e::wait;
use futures::{StreamExt, TryStreamExt, stream};
use proto::chat::v1::{
    CloseRoomRequest, DeleteRoomRequest, DeleteRoomResponse, GetRoomRequest, ReplaceLogRequest, Room,
};
use proto::users::v1::CreateInviteRequest;
use proto::users::v1::users_client::UsersClient;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

const ROOM: &str = "team-a/general";
const SOON: Duration = Duration::from_secs(15);

/// user-service and so many gateways, and no room yet.
async fn rig(gateways: usize) -> Rig {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    for _ in 0..gateways {
        let wiring = rig.wiring();
        rig.start_gateway(&wiring).await.unwrap();
    }
    rig
}

/// Status code, error word and finer reason.
fn word(status: &Status) -> (Code, String, String) {
    let info = status.get_details_error_info();
    let reason = info.as_ref().and_then(|info| info.metadata.get("reason").cloned());
    (status.code(), info.map(|info| info.reason).unwrap_or_default(), reason.unwrap_or_default())
}

/// `POST …/messages`.
async fn post(rig: &Rig, gateway: usize, who: &Person, room: &str, text: &str) -> Result<(StatusCode, Value)> {
    let url = format!("{}/v1/rooms/{room}/messages", rig.gateway(gateway).http);
    let body = json!({"id": Uuid::now_v7(), "text": text});
    let answer = rig.http.post(url).bearer_auth(&who.access_token).json(&body).send().await?;
    Ok((answer.status(), answer.json().await?))
}

/// A GET below `/v1/rooms`.
async fn get(rig: &Rig, gateway: usize, who: &Person, path: &str) -> Result<Value> {
    let url = format!("{}/v1/rooms{path}", rig.gateway(gateway).http);
    let answer = rig.http.get(url).bearer_auth(&who.access_token).send().await?;
    answer.error_for_status()?.json().await.context("no JSON")
}

async fn texts(rig: &Rig, who: &Person, room: &str) -> Result<Vec<String>> {
    let page = get(rig, 0, who, &format!("/{room}/messages")).await?;
    let messages = page["messages"].as_array().cloned().unwrap_or_default();
    Ok(messages.iter().filter_map(|one| one["message"]["text"].as_str().map(str::to_owned)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_service_with_the_scope_administers_rooms() {
    let rig = rig(1).await;
    let anna = rig.stranger("anna");
    for (token, code) in [
        (anna.access_token, Code::Unauthenticated),
        ("forged".to_owned(), Code::Unauthenticated),
        (rig.service_token("other", "presence users"), Code::PermissionDenied),
    ] {
        let caller = Operator::connect(&rig.gateway(0).grpc, &token).await.unwrap();
        let status = caller.put(vec![manifest(ROOM, "1")]).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert_eq!(caller.list().await.unwrap_err().code(), code);
    }
    let operator = Operator::new(&rig, 0).await.unwrap();
    let bare = operator.calls.clone().list_rooms(proto::chat::v1::ListRoomsRequest {}).await.unwrap_err();
    assert_eq!(word(&bare), (Code::Unauthenticated, "unauthenticated".into(), String::new()));
    let many = (0..251).map(|n| manifest(&format!("a/r{n}"), "1")).collect();
    assert_eq!(word(&operator.put(many).await.unwrap_err()).1, "invalid");
    let nothing = operator.list().await.unwrap();
    assert_eq!((nothing.len(), nothing[0].rooms.len()), (1, 0));
    assert!(nothing[0].platform_id.parse::<Uuid>().is_ok());
}

/// Without the broker's part: nobody is there who would miss the streams.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_rooms_are_put_confirmed_and_listed_in_little_time() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let mut wiring = rig.wiring();
    wiring.roles = "gateway";
    rig.start_gateway(&wiring).await.unwrap();
    let operator = Operator::new(&rig, 0).await.unwrap();
    let room = |n: usize| naming(manifest(&format!("team-{}/room-{n}", n % 7), "1"), &[("nobody", "Owner")]);
    let puts: Vec<_> = (0..1000).map(room).collect();
    let (mut rooms, start) = (Vec::new(), Instant::now());
    for set in puts.chunks(250) {
        rooms.extend(committed(operator.put(set.to_vec()).await.unwrap()).unwrap());
    }
    let (putting, start) = (start.elapsed(), Instant::now());
    for set in rooms.chunks(250) {
        let confirmed = committed(operator.confirm(set).await.unwrap()).unwrap();
        assert!(confirmed.iter().all(|room| log(room).state == "open" && room.members_pending == ["nobody"]));
    }
    let (confirming, start) = (start.elapsed(), Instant::now());
    let pages = operator.list().await.unwrap();
    println!("1,000 rooms: PutRooms {putting:?}, ConfirmLogs {confirming:?}, ListRooms {:?}", start.elapsed());
    // On a machine of its own it is a tenth of this.
    assert!(putting < SOON && confirming < SOON, "{putting:?} {confirming:?}");
    let sizes: Vec<_> = pages.iter().map(|page| page.rooms.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1000);
    assert!(sizes.iter().all(|size| *size <= 500));
    assert!(pages.iter().all(|page| page.platform_id == pages[0].platform_id));
    let start = Instant::now();
    for set in puts.chunks(250) {
        committed(operator.put(set.to_vec()).await.unwrap()).unwrap();
    }
    println!("put again: {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instant_a_log_is_confirmed_its_room_takes_a_message() {
    let rig = rig(1).await;
    let operator = Operator::new(&rig, 0).await.unwrap();
    let anna = rig.stranger("anna");
    for set in 0..4 {
        let puts = (0..25).map(|n| manifest(&format!("team-{set}/room-{n}"), "1")).collect();
        let rooms = operator.make(&rig, puts).await.unwrap();
        let start = Instant::now();
        let say = |room| say_first(&rig, &anna, room);
        stream::iter(rooms).map(say).buffer_unordered(4).try_collect::<Vec<()>>().await.unwrap();
        println!("25 rooms, one message each: {:?}", start.elapsed());
    }
}

async fn say_first(rig: &Rig, who: &Person, room: Room) -> Result<()> {
    rig.join(0, who, &room.room).await?;
    let (status, answer) = post(rig, 0, who, &room.room, "first").await?;
    anyhow::ensure!(status == 201, "{}: {status} {answer}", room.room);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_people_and_a_withdrawn_room_comes_back_with_the_same_epoch() {
    let rig = rig(2).await;
    let operator = Operator::new(&rig, 0).await.unwrap();
    let anna = rig.stranger("anna");
    let made = operator.make(&rig, vec![manifest(ROOM, "1")]).await.unwrap().remove(0);
    rig.join(1, &anna, ROOM).await.unwrap();
    let mut socket = rig.socket(1, &anna).await.unwrap();
    socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();

    let changed = with(manifest(ROOM, "2"), |spec| spec.topic = "second".to_owned());
    committed(operator.put(vec![changed.clone()]).await.unwrap()).unwrap();
    wait::until(SOON, "the new topic in the list", async || {
        Ok((get(&rig, 1, &anna, &format!("/{ROOM}")).await?["topic"] == "second").then_some(()))
    })
    .await
    .unwrap();
    wait::until(SOON, "the event", async || {
        let event = socket.event(SOON).await?;
        Ok((event["type"] == "room" && event["topic"] == "second").then_some(()))
    })
    .await
    .unwrap();

    let close = || CloseRoomRequest { room: ROOM.to_owned(), owner_uid: changed.owner_uid.clone() };
    operator.calls.clone().close_room(operator.request(close())).await.unwrap();
    wait::until(SOON, "sending closed", async || {
        let (status, answer) = post(&rig, 1, &anna, ROOM, "too late").await?;
        Ok((status == 409 && answer["reason"] == "room_closed").then_some(()))
    })
    .await
    .unwrap();
    wait::until(SOON, "the log read to its end", async || {
        let answer = operator.calls.clone().close_room(operator.request(close())).await?.into_inner();
        Ok(answer.read_to_end.then_some(()))
    })
    .await
    .unwrap();

    let back = committed(operator.put(vec![changed]).await.unwrap()).unwrap().remove(0);
    assert_eq!((log(&back).epoch, back.open, back.released), (log(&made).epoch, true, false));
    wait::until(SOON, "sending open", async || {
        let (status, _) = post(&rig, 1, &anna, ROOM, "we are back").await?;
        Ok((status == 201).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_room_is_deleted_once_history_is_whole_and_one_with_a_message_is_not() {
    let rig = rig(1).await;
    let operator = Operator::new(&rig, 0).await.unwrap();
    let anna = rig.stranger("anna");
    let if_empty = |room: &str| with(manifest(room, "1"), |spec| spec.deletion_policy = "DeleteIfEmpty".to_owned());
    let rooms = ["a/empty", "a/used"];
    let made = operator.make(&rig, rooms.map(if_empty).to_vec()).await.unwrap();
    rig.join(0, &anna, "a/used").await.unwrap();
    assert_eq!(post(&rig, 0, &anna, "a/used", "stays").await.unwrap().0, 201);
    for room in rooms {
        let close = || CloseRoomRequest { room: room.to_owned(), owner_uid: format!("{room}.yaml") };
        let messages = wait::until(SOON, "the log read to its end", async || {
            let answer = operator.calls.clone().close_room(operator.request(close())).await?.into_inner();
            Ok(answer.read_to_end.then_some(answer.messages))
        });
        assert_eq!(messages.await.unwrap(), u64::from(room == "a/used"));
    }
    let delete = async |room: &str| -> Result<DeleteRoomResponse, Status> {
        let request = DeleteRoomRequest { room: room.to_owned(), owner_uid: format!("{room}.yaml") };
        Ok(operator.calls.clone().delete_room(operator.request(request)).await?.into_inner())
    };
    let refused = delete("a/used").await.unwrap_err();
    assert_eq!(word(&refused), (Code::FailedPrecondition, "conflict".into(), "not_empty".into()));
    for _ in 0..2 {
        assert_eq!(delete("a/empty").await.unwrap().streams, [log(&made[0]).stream]);
    }
    let gone = GetRoomRequest { room: "a/empty".to_owned() };
    assert_eq!(operator.calls.clone().get_room(operator.request(gone)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(texts(&rig, &anna, "a/used").await.unwrap(), ["stays"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_pending_until_its_holder_registers_and_then_they_are_in() {
    let mut rig = Rig::new().await.unwrap();
    let wiring = rig.wiring();
    rig.start_users().await.unwrap();
    rig.start_gateway(&wiring).await.unwrap();
    let bob = rig.register("bob").await.unwrap();
    let operator = Operator::new(&rig, 0).await.unwrap();
    let private = |room: &str| with(manifest(room, "1"), |spec| spec.visibility = "Private".to_owned());
    let put = naming(private(ROOM), &[("alice", "Owner"), ("bob", "Member")]);
    let room = operator.make(&rig, vec![put]).await.unwrap().remove(0);
    // Somebody whom user-service knows is in before the answer.
    assert_eq!(room.members_pending, ["alice"]);
    assert_eq!(get(&rig, 0, &bob, &format!("/{ROOM}")).await.unwrap()["role"], "Member");

    let stranger = rig.register("alice").await.err().unwrap().to_string();
    assert!(stranger.contains("403"), "{stranger}");
    let mut users = UsersClient::connect(rig.users.as_ref().unwrap().address.grpc.clone()).await.unwrap();
    let ask = operator_token(&rig, CreateInviteRequest { username: "alice".to_owned(), ttl_seconds: 0 });
    let invite = users.create_invite(ask).await.unwrap().into_inner().invite;
    let password = "correct horse battery";
    let body = json!({"username": "alice", "password": password, "invite": invite});
    let registered = rig.http.post(format!("{}/v1/register", rig.issuer())).json(&body).send().await.unwrap();
    assert_eq!(registered.status(), 201);
    let alice = Person::login(&rig.http, &rig.issuer(), "alice", password).await.unwrap();
    // At the first sight of her, not at the next look.
    let listed = get(&rig, 0, &alice, "").await.unwrap();
    assert_eq!((&listed["rooms"][0]["room"], &listed["rooms"][0]["role"]), (&json!(ROOM), &json!("Owner")));
    assert_eq!(post(&rig, 0, &alice, ROOM, "here I am").await.unwrap().0, 201);
    let seen = operator.list().await.unwrap().remove(0).rooms.remove(0);
    assert_eq!(seen.members_pending, [""; 0]);
}

fn operator_token<T>(rig: &Rig, body: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(body);
    let token = rig.service_token("test", "users");
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_committed_while_user_service_is_away_and_its_names_are_bound_when_it_is_back() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let users = Proxy::start(&rig.users.as_ref().unwrap().address.grpc).await.unwrap();
    let mut wiring = rig.wiring();
    wiring.users_grpc = users.url(&wiring.users_grpc);
    rig.start_gateway(&wiring).await.unwrap();
    let bob = rig.register("bob").await.unwrap();
    let operator = Operator::new(&rig, 0).await.unwrap();
    users.refuse(true);
    users.cut_where(|_| true);
    let start = Instant::now();
    let room = operator.make(&rig, vec![naming(manifest(ROOM, "1"), &[("bob", "Owner")])]).await.unwrap().remove(0);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(room.members_pending, ["bob"]);
    users.refuse(false);
    wait::until(SOON, "bob bound", async || {
        let rooms = operator.list().await?.remove(0).rooms;
        Ok(rooms[0].members_pending.is_empty().then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(get(&rig, 0, &bob, &format!("/{ROOM}")).await.unwrap()["role"], "Owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_replaced_is_closed_by_an_event_and_history_goes_on() {
    let rig = rig(2).await;
    let operator = Operator::new(&rig, 0).await.unwrap();
    let anna = rig.stranger("anna");
    let made = operator.make(&rig, vec![manifest(ROOM, "1")]).await.unwrap().remove(0);
    rig.join(1, &anna, ROOM).await.unwrap();
    assert_eq!(post(&rig, 1, &anna, ROOM, "before").await.unwrap().0, 201);
    let replace = ReplaceLogRequest { room: ROOM.to_owned(), expected_epoch: log(&made).epoch, gone: false };
    let next = operator.calls.clone().replace_log(operator.request(replace)).await.unwrap().into_inner().room.unwrap();
    assert_eq!((log(&next).state.as_str(), next.current.clone().unwrap().epoch), ("pending", log(&made).epoch));
    declare(&rig, std::slice::from_ref(&next)).await.unwrap();
    let open = operator.confirm_until_open(&next, SOON).await.unwrap();
    assert_eq!(log(&open).epoch, log(&next).epoch);
    let answer = wait::until(SOON, "a message in the new log", async || {
        let (status, answer) = post(&rig, 1, &anna, ROOM, "after").await?;
        Ok((status == 201).then_some(answer))
    });
    assert_eq!(answer.await.unwrap()["epoch"], log(&next).epoch.as_str());
    wait::until(SOON, "both in history", async || {
        Ok((texts(&rig, &anna, ROOM).await? == ["before", "after"]).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_observers_of_a_deleted_log_one_names_the_next_and_the_room_goes_on() {
    let rig = rig(2).await;
    let (one, two) = (Operator::new(&rig, 0).await.unwrap(), Operator::new(&rig, 1).await.unwrap());
    let anna = rig.stranger("anna");
    let made = one.make(&rig, vec![manifest(ROOM, "1")]).await.unwrap().remove(0);
    rig.join(0, &anna, ROOM).await.unwrap();
    assert_eq!(post(&rig, 0, &anna, ROOM, "before").await.unwrap().0, 201);
    rig.vhost.delete(&rig.vhost.path("queues", &log(&made).stream)).await.unwrap();
    let replace = || ReplaceLogRequest { room: ROOM.to_owned(), expected_epoch: log(&made).epoch, gone: true };
    let (mut calls_one, mut calls_two) = (one.calls.clone(), two.calls.clone());
    let (first, second) =
        tokio::join!(calls_one.replace_log(one.request(replace())), calls_two.replace_log(two.request(replace())));
    let first = first.unwrap().into_inner().room.unwrap();
    let second = second.unwrap().into_inner().room.unwrap();
    assert_eq!(log(&first), log(&second));
    assert!(log(&first).epoch.starts_with("2-") && first.current.is_none());
    declare(&rig, std::slice::from_ref(&first)).await.unwrap();
    let start = Instant::now();
    one.confirm_until_open(&first, SOON).await.unwrap();
    println!("the next log opened {:?} after the deletion was told", start.elapsed());
    let answer = wait::until(SOON, "a message in the new log", async || {
        let (status, answer) = post(&rig, 1, &anna, ROOM, "after").await?;
        Ok((status == 201).then_some(answer))
    });
    assert_eq!(answer.await.unwrap()["epoch"], log(&first).epoch.as_str());
    wait::until(SOON, "both in history", async || {
        Ok((texts(&rig, &anna, ROOM).await? == ["before", "after"]).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_away_every_call_says_unavailable_within_a_few_seconds() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let database = Proxy::start(&rig.database.url).await.unwrap();
    let mut wiring = rig.wiring();
    wiring.database_url = database.url(&wiring.database_url);
    rig.start_gateway(&wiring).await.unwrap();
    let operator = Operator::new(&rig, 0).await.unwrap();
    committed(operator.put(vec![manifest(ROOM, "1")]).await.unwrap()).unwrap();
    database.refuse(true);
    database.cut_where(|_| true);
    let start = Instant::now();
    let status = operator.put(vec![manifest(ROOM, "1")]).await.unwrap_err();
    assert_eq!(word(&status), (Code::Unavailable, "unavailable".into(), "database".into()));
    assert_eq!(word(&operator.list().await.unwrap_err()).1, "unavailable");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    database.refuse(false);
    wait::until(SOON, "the database back", async || Ok(operator.put(vec![manifest(ROOM, "1")]).await.ok()))
        .await
        .unwrap();
}
