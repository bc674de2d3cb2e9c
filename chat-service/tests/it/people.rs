//! gRPC for people: the same verbs, limits and ends as on the socket.

use crate::util::{ROOM, SOON, chat, ended, heard};
use e2e::rig::Rig;
use e2e::signal::Signal;
use proto::chat::v1::messages_client::MessagesClient;
use proto::chat::v1::subscribe_response::Body;
use proto::chat::v1::{HistoryRequest, SendRequest, SubscribeRequest, SubscribeResponse};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use tonic_types::StatusExt;
use uuid::Uuid;

fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

async fn client(rig: &Rig) -> MessagesClient<Channel> {
    MessagesClient::connect(rig.gateway(0).grpc.clone()).await.unwrap()
}

async fn next(stream: &mut Streaming<SubscribeResponse>) -> Body {
    timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap().body.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_over_grpc_is_read_on_the_socket_and_the_other_way_round() {
    let mut rig = chat(1, &[ROOM]).await;
    let anna = rig.register("anna").await.unwrap();
    rig.join(0, &anna, ROOM).await.unwrap();
    let mut client = client(&rig).await;
    let mut socket = rig.socket(0, &anna).await.unwrap();
    socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    let subscribe = SubscribeRequest { room: ROOM.to_owned(), ..Default::default() };
    let mut stream = client.subscribe(with(subscribe, &anna.access_token)).await.unwrap().into_inner();
    let Body::Subscribed(start) = next(&mut stream).await else { panic!("first comes `subscribed`") };
    assert!(!start.recovered);

    let send = SendRequest {
        room: ROOM.to_owned(),
        id: Uuid::now_v7().to_string(),
        text: "over gRPC".into(),
        ..Default::default()
    };
    let sent = client.send(with(send.clone(), &anna.access_token)).await.unwrap().into_inner();
    let again = client.send(with(send, &anna.access_token)).await.unwrap().into_inner();
    assert_eq!((sent.pos, sent.duplicate, again.pos, again.duplicate), (again.pos, false, sent.pos, true));
    let seen = heard(&mut socket).await;
    assert_eq!(seen["pos"], sent.pos);
    let event = loop {
        let Body::Event(event) = next(&mut stream).await else { panic!("no event") };
        if event.r#type == "message" {
            break event;
        }
    };
    assert_eq!((event.pos, serde_json::from_str::<Value>(&event.json).unwrap()), (sent.pos, seen));
    let (_, said) = socket.said(ROOM, "over the socket").await.unwrap();
    let Body::Event(event) = next(&mut stream).await else { panic!("no event") };
    assert_eq!(event.pos, said["pos"].as_u64().unwrap());
    let history = HistoryRequest { room: ROOM.to_owned(), limit: 1, min_pos: Some(event.pos), ..Default::default() };
    let page = client.history(with(history, &anna.access_token)).await.unwrap().into_inner();
    assert!(page.messages.len() == 1 && page.has_more && page.messages[0].contains("over the socket"), "{page:?}");

    // A resume, and its end by the session's.
    let at = SubscribeRequest { room: ROOM.to_owned(), epoch: start.epoch.clone(), pos: Some(sent.pos) };
    let mut resumed = client.subscribe(with(at, &anna.access_token)).await.unwrap().into_inner();
    let Body::Subscribed(answer) = next(&mut resumed).await else { panic!("first comes `subscribed`") };
    assert!(answer.recovered && answer.pos == sent.pos);
    let Body::Event(missed) = next(&mut resumed).await else { panic!("no event") };
    assert_eq!(missed.pos, event.pos);
    let logout = rig.http.post(format!("{}/v1/logout", rig.issuer())).bearer_auth(&anna.access_token);
    assert_eq!(logout.send().await.unwrap().status(), 204);
    for stream in [&mut stream, &mut resumed] {
        let end = timeout(SOON, stream.message()).await.unwrap().unwrap_err();
        assert_eq!(
            (end.code(), end.get_details_error_info().unwrap().reason.as_str()),
            (Code::Unauthenticated, "unauthenticated")
        );
    }

    // And by the gateway's.
    let reader = rig.stranger("reader");
    let subscribe = SubscribeRequest { room: ROOM.to_owned(), ..Default::default() };
    let mut stream = client.subscribe(with(subscribe, &reader.access_token)).await.unwrap().into_inner();
    next(&mut stream).await;
    rig.gateways[0].program.signal(Signal::Terminate).unwrap();
    let end = timeout(SOON, stream.message()).await.unwrap().unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert!(ended(&mut rig.gateways[0].program).await.success());
}
