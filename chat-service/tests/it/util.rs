//! What these tests share: REST calls of a person, and a socket that answers nothing by itself.

use crate::operator::{Operator, manifest};
use e2e::http::install_tls;
use e2e::person::Person;
use e2e::rig::Rig;
use e2e::socket::Socket;
use futures::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

pub(crate) const ROOM: &str = "team-a/general";
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// user-service, so many gateways, and these public rooms, all open.
pub(crate) async fn chat(gateways: usize, rooms: &[&str]) -> Rig {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    for _ in 0..gateways {
        let wiring = rig.wiring();
        rig.start_gateway(&wiring).await.unwrap();
    }
    let operator = Operator::new(&rig, 0).await.unwrap();
    operator.make(&rig, rooms.iter().map(|room| manifest(room, "1")).collect()).await.unwrap();
    rig
}

/// A REST call; status and body, null where there is none.
pub(crate) async fn rest(rig: &Rig, person: &Person, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request =
        rig.http.request(method, format!("{}{path}", rig.gateway(0).http)).bearer_auth(&person.access_token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
}

pub(crate) async fn get(rig: &Rig, person: &Person, path: &str) -> (u16, Value) {
    rest(rig, person, Method::GET, path, None).await
}

pub(crate) async fn post(rig: &Rig, person: &Person, path: &str, body: Value) -> (u16, Value) {
    rest(rig, person, Method::POST, path, Some(body)).await
}

/// A message to be sent.
pub(crate) fn message(text: &str) -> Value {
    json!({"id": Uuid::now_v7(), "text": text})
}

/// A room in the person's list, once `which` accepts it.
pub(crate) async fn listed(rig: &Rig, person: &Person, room: &str, which: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..100 {
        last = get(rig, person, &format!("/v1/rooms/{room}")).await.1;
        if which(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{room} never came to be as it should: {last}");
}

/// The next event that is a message; others are passed by.
pub(crate) async fn heard(socket: &mut Socket) -> Value {
    loop {
        let event = pushed(socket, "ev").await;
        if event["type"] == "message" {
            return event;
        }
    }
}

/// Waits until a program has ended, and gives how.
pub(crate) async fn ended(program: &mut e2e::program::Program) -> std::process::ExitStatus {
    for _ in 0..150 {
        if let Some(status) = program.ended().unwrap() {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not end in time");
}

/// The next push with this name; others are passed by.
pub(crate) async fn pushed(socket: &mut Socket, name: &str) -> Value {
    timeout(SOON, async {
        loop {
            let mut push = socket.push(SOON).await.unwrap();
            match push[name].take() {
                Value::Null => {}
                body => return body,
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("no `{name}` came"))
}

/// A socket that answers no ping and reads only when it is told to.
pub(crate) struct Bare {
    pub(crate) stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Bare {
    pub(crate) async fn open(url: &str, subprotocol: Option<&'static str>) -> Self {
        install_tls();
        let mut request = url.into_client_request().unwrap();
        if let Some(name) = subprotocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(name));
        }
        let (stream, _) = connect_async(request).await.unwrap();
        Self { stream }
    }

    pub(crate) async fn say(&mut self, body: Value) {
        self.stream.send(Message::text(body.to_string())).await.unwrap();
    }

    /// The text of the next frame, or the code of the end.
    pub(crate) async fn next(&mut self, limit: Duration) -> Result<String, u16> {
        loop {
            match timeout(limit, self.stream.next()).await.expect_frame() {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }
}

trait ExpectFrame<T> {
    fn expect_frame(self) -> T;
}

impl<T> ExpectFrame<T> for Result<T, tokio::time::error::Elapsed> {
    fn expect_frame(self) -> T {
        self.unwrap_or_else(|_| panic!("nothing came in time"))
    }
}
