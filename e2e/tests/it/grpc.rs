//! The calls over gRPC keep the socket's promises, and name errors by the same words.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::person::Person;
use e2e::rig::Rig;
use e2e::wait;
use proto::chat::v1::messages_client::MessagesClient;
use proto::chat::v1::room_admin_client::RoomAdminClient;
use proto::chat::v1::subscribe_response::Body;
use proto::chat::v1::{
    GetRoomRequest, HistoryRequest, ListRoomsRequest, SendRequest, SubscribeRequest, SubscribeResponse, Subscribed,
};
use serde_json::Value;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;
use uuid::Uuid;

const ROOM: &str = "team-a/general";
const SOON: Duration = Duration::from_secs(10);

fn with_token<T>(body: T, token: &str) -> Request<T> {
    let mut request = Request::new(body);
    request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
    request
}

async fn messages(rig: &Rig, gateway: usize) -> MessagesClient<Channel> {
    MessagesClient::connect(rig.gateway(gateway).grpc.clone()).await.unwrap()
}

async fn send(rig: &Rig, gateway: usize, person: &Person, text: &str) -> (String, u64) {
    let id = Uuid::now_v7().to_string();
    let request = SendRequest { room: ROOM.to_owned(), id: id.clone(), text: text.to_owned(), ..Default::default() };
    let answer = messages(rig, gateway).await.send(with_token(request, &person.access_token)).await.unwrap();
    (id, answer.into_inner().pos)
}

/// A subscription and its first message.
async fn subscribe(
    rig: &Rig,
    gateway: usize,
    token: &str,
    at: Option<(&str, u64)>,
) -> Result<(Subscribed, Streaming<SubscribeResponse>), Status> {
    let request = SubscribeRequest {
        room: ROOM.to_owned(),
        epoch: at.map_or_else(String::new, |(epoch, _)| epoch.to_owned()),
        pos: at.map(|(_, pos)| pos),
    };
    let mut stream = messages(rig, gateway).await.subscribe(with_token(request, token)).await?.into_inner();
    match stream.message().await?.and_then(|first| first.body) {
        Some(Body::Subscribed(subscribed)) => Ok((subscribed, stream)),
        other => Err(Status::internal(format!("first comes `subscribed`, not {other:?}"))),
    }
}

/// The next event as JSON.
async fn event(stream: &mut Streaming<SubscribeResponse>) -> Result<Value> {
    let next = tokio::time::timeout(SOON, stream.message()).await.context("no event")??;
    match next.and_then(|next| next.body) {
        Some(Body::Event(event)) => {
            let json: Value = serde_json::from_str(&event.json)?;
            assert_eq!((json["pos"].as_u64(), json["type"].as_str()), (Some(event.pos), Some(event.r#type.as_str())));
            Ok(json)
        }
        other => bail!("an event was to come, not {other:?}"),
    }
}

fn word(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_resumes_on_another_gateway_without_loss_or_copy() {
    let rig = Rig::chat(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (start, mut stream) = subscribe(&rig, 0, &anna.access_token, None).await.unwrap();
    assert!(!start.recovered);
    let (first, pos) = send(&rig, 1, &anna, "first").await;
    let mut seen = event(&mut stream).await.unwrap();
    // Her joining is an event of its own, relayed a moment after it was decided.
    if seen["type"] == "member" {
        seen = event(&mut stream).await.unwrap();
    }
    assert_eq!((seen["message"]["id"].as_str(), seen["pos"].as_u64()), (Some(first.as_str()), Some(pos)));
    drop(stream);
    let mut missed = Vec::new();
    for number in 0..600 {
        missed.push(send(&rig, number % 2, &anna, &format!("missed {number}")).await.0);
    }
    let (again, mut stream) =
        subscribe(&rig, 1, &anna.access_token, Some((&start.epoch, seen["pos"].as_u64().unwrap()))).await.unwrap();
    assert!(again.recovered, "{again:?}");
    for id in &missed {
        assert_eq!(event(&mut stream).await.unwrap()["message"]["id"], id.as_str());
    }
    let (live, _) = send(&rig, 0, &anna, "live").await;
    assert_eq!(event(&mut stream).await.unwrap()["message"]["id"], live.as_str());
    let request = HistoryRequest { room: ROOM.to_owned(), limit: 2, ..Default::default() };
    let page = messages(&rig, 0).await.history(with_token(request, &anna.access_token)).await.unwrap().into_inner();
    assert!(page.messages.len() == 2 && page.has_more && page.messages[1].contains(&live), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_with_its_token() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let soon = e2e::keys::unix_seconds() + 4;
    let token = rig.token(
        &serde_json::json!({"sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "preferred_username": "short", "exp": soon}),
    );
    let (_, mut stream) = subscribe(&rig, 0, &token, None).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(15), stream.message()).await.unwrap();
    assert!(matches!(&end, Ok(None)) || end.is_err_and(|status| word(&status) == "token_expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_canonical_codes_and_the_words_of_the_protocol() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let (anna, outsider) = (rig.member("anna", ROOM).await.unwrap(), rig.stranger("outsider"));
    let request = |room: &str, id: &str, text: &str| SendRequest {
        room: room.to_owned(),
        id: id.to_owned(),
        text: text.to_owned(),
        ..Default::default()
    };
    let id = Uuid::now_v7().to_string();
    let mut client = messages(&rig, 0).await;
    client.send(with_token(request(ROOM, &id, "one"), &anna.access_token)).await.unwrap();
    let cases = [
        (request(ROOM, &id, "another"), anna.access_token.as_str(), Code::AlreadyExists, "idempotency_conflict"),
        (request("team-a/nothing", &id, "x"), &anna.access_token, Code::NotFound, "not_found"),
        (request(ROOM, &id, "x"), &outsider.access_token, Code::PermissionDenied, "forbidden"),
        (request(ROOM, "1", "x"), &anna.access_token, Code::InvalidArgument, "invalid"),
        (request(ROOM, &id, "x"), "forged", Code::Unauthenticated, "unauthenticated"),
    ];
    for (body, token, code, expected) in cases {
        let status = client.send(with_token(body, token)).await.unwrap_err();
        assert_eq!(word(&status), expected, "{status:?}");
        // Which of the canonical codes stands for a used id is ours to choose; the word is not.
        let conflicts = [Code::AlreadyExists, Code::Aborted, Code::FailedPrecondition];
        assert!(
            status.code() == code || (code == Code::AlreadyExists && conflicts.contains(&status.code())),
            "{status:?}"
        );
    }
    // RoomAdmin is not for people, and not for every service.
    let mut admin = RoomAdminClient::connect(rig.gateway(0).grpc.clone()).await.unwrap();
    for token in [anna.access_token.clone(), rig.service_token("other", "presence")] {
        let status = admin.list_rooms(with_token(ListRoomsRequest {}, &token)).await.unwrap_err();
        assert!(["forbidden", "unauthenticated"].contains(&word(&status).as_str()), "{status:?}");
    }
    let ask = GetRoomRequest { room: ROOM.to_owned() };
    let room = admin.get_room(with_token(ask, &rig.service_token("test", "rooms"))).await.unwrap().into_inner();
    assert_eq!((room.room.as_str(), room.open, room.log.unwrap().state.as_str()), (ROOM, true, "open"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_rotate_and_nobody_is_logged_out() {
    let mut rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let users = rig.issuer();
    let mut anna = rig.register("anna").await.unwrap();
    rig.join(0, &anna, ROOM).await.unwrap();
    let mut open = rig.socket(0, &anna).await.unwrap();
    assert_eq!(kid(&anna.access_token), "rig-1");

    let old_file = rig.keys().join("rig-1.pem");
    rig.rotate_key("rig-2").unwrap();
    wait::until(SOON, "the new key in the JWKS", async || {
        Ok((published(&rig, &users).await? == ["rig-1", "rig-2"]).then_some(()))
    })
    .await
    .unwrap();
    // Newly signed tokens are taken at once by a gateway that has never seen their key.
    let bert = rig.register("bert").await.unwrap();
    assert_eq!(kid(&bert.access_token), "rig-2");
    rig.socket(0, &bert).await.unwrap();
    // Who was signed in still is, with the old token and with the next.
    open.said(ROOM, "still here").await.unwrap();
    rig.socket(0, &anna).await.unwrap();
    anna.refresh(&rig.http, &users).await.unwrap();
    assert_eq!(kid(&anna.access_token), "rig-2");
    open.ok("refresh", serde_json::json!({"token": anna.access_token})).await.unwrap();

    std::fs::remove_file(old_file).unwrap();
    wait::until(SOON, "the old key gone from the JWKS", async || {
        Ok((published(&rig, &users).await? == ["rig-2"]).then_some(()))
    })
    .await
    .unwrap();
    open.said(ROOM, "and still").await.unwrap();
    rig.socket(0, &anna).await.unwrap();
    anna.refresh(&rig.http, &users).await.unwrap();
    let answer = rig.http.get(format!("{users}/v1/me")).bearer_auth(&bert.access_token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// The `kid`s that user-service publishes, sorted.
async fn published(rig: &Rig, users: &str) -> Result<Vec<String>> {
    let answer: Value = rig.http.get(format!("{users}/.well-known/jwks.json")).send().await?.json().await?;
    let keys = answer["keys"].as_array().context("no keys")?;
    let mut kids: Vec<String> = keys.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect();
    kids.sort();
    Ok(kids)
}

/// The key that a token says it is signed by.
fn kid(token: &str) -> String {
    use base64::Engine;
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}
