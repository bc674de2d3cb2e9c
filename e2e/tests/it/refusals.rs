//! Forty kinds of wrong frames, tokens and requests: each is answered as the protocol says, the programs live on, and they do not
//! grow by being wronged.

mod frames;
mod requests;
mod tokens;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::person::Person;
use e2e::rig::Rig;
use e2e::signal;
use e2e::socket::{Frame, Socket};
use futures::{StreamExt, TryStreamExt};
use reqwest::Method;
use serde_json::{Value, json};

const PUBLIC: &str = "team-a/general";
const PRIVATE: &str = "team-a/leads";
const SOON: Duration = Duration::from_secs(10);
/// What may be added by ten times as many wrong things as there were before the first look.
const MAY_GROW_BYTES: u64 = 8 << 20;
const AT_ONCE: usize = 16;

/// A wrong thing and its answer.
struct Case {
    name: &'static str,
    what: What,
    /// The error words that are right.
    codes: &'static [&'static str],
    reason: Option<&'static str>,
    /// Left out of the thousands: it makes a program wait or hash a password.
    dear: bool,
}

/// Where the wrong thing is sent.
enum What {
    /// A text on a fresh socket, before or after `connect`; and the close code if the socket does not stay.
    Text { connected: bool, text: String, close: Option<u16> },
    /// The same with a binary frame.
    Binary { connected: bool, close: u16 },
    /// A token in `connect`.
    Token { token: Value, close: &'static [u16] },
    /// An HTTP request.
    Request { users: bool, method: Method, path: String, bearer: Option<String>, body: Body, status: u16 },
    /// The socket's address with another subprotocol.
    Subprotocol(&'static str),
}

/// Body of a request.
enum Body {
    None,
    Json(Value),
    Raw(&'static str, Vec<u8>),
}

impl Case {
    fn new(name: &'static str, what: What, codes: &'static [&'static str]) -> Self {
        Self { name, what, codes, reason: None, dear: false }
    }

    fn reason(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn dear(self) -> Self {
        Self { dear: true, ..self }
    }

    async fn run(&self, rig: &Rig, outsider: &Person) -> Result<()> {
        let gateway = rig.gateway(0);
        match &self.what {
            What::Text { connected, text, close } => {
                let mut socket = open(rig, outsider, *connected).await?;
                socket.send_text(text.clone()).await?;
                self.answered(&mut socket, close.as_slice()).await
            }
            What::Binary { connected, close } => {
                let mut socket = open(rig, outsider, *connected).await?;
                socket.send_bytes(vec![1, 2, 3]).await?;
                self.answered(&mut socket, &[*close]).await
            }
            What::Token { token, close } => {
                let mut socket = open(rig, outsider, false).await?;
                socket.command("connect", json!({"token": token})).await?;
                self.answered(&mut socket, close).await
            }
            What::Request { users, method, path, bearer, body, status } => {
                let base = if *users { rig.issuer() } else { gateway.http.clone() };
                let mut request = rig.http.request(method.clone(), format!("{base}{path}"));
                if let Some(bearer) = bearer {
                    request = request.bearer_auth(bearer);
                }
                request = match body {
                    Body::None => request,
                    Body::Json(json) => request.json(json),
                    Body::Raw(media_type, bytes) => request.header("content-type", *media_type).body(bytes.clone()),
                };
                self.is_problem(request.send().await?, *status).await
            }
            What::Subprotocol(name) => {
                let mut request = rig.http.get(format!("{}/v1/ws", gateway.http));
                request = request.header("connection", "Upgrade").header("upgrade", "websocket");
                request = request.header("sec-websocket-version", "13");
                request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
                request = request.header("sec-websocket-protocol", *name);
                let answer = request.send().await?;
                ensure!(answer.status() == 400, "{}", answer.status());
                Ok(())
            }
        }
    }

    /// An `err` with the right word, then the close, or a socket that still works.
    async fn answered(&self, socket: &mut Socket, close: &[u16]) -> Result<()> {
        match socket.read(SOON).await? {
            Frame::Json(frame) => {
                let err = &frame["err"];
                let code = err["code"].as_str().with_context(|| format!("no err: {frame}"))?;
                ensure!(self.codes.contains(&code), "{frame}");
                ensure!(self.reason.is_none_or(|reason| err["reason"] == reason), "{frame}");
                ensure!(err["message"].as_str().is_some_and(|text| !text.is_empty()), "no words for people: {frame}");
                ensure!(err["temporary"].is_boolean(), "{frame}");
                ensure!(frame["id"].is_u64(), "no id: {frame}");
            }
            // A frame that is too large is not read, so nothing says what was in it.
            Frame::Closed(1009) if close == [1009] => return Ok(()),
            Frame::Closed(code) => anyhow::bail!("closed with {code} without a word"),
        }
        if close.is_empty() {
            socket.ok("history", json!({"room": PUBLIC, "limit": 1})).await.context("the socket does not stay")?;
            return Ok(());
        }
        let code = socket.closed(SOON).await?;
        ensure!(close.contains(&code), "closed with {code}");
        Ok(())
    }

    async fn is_problem(&self, answer: reqwest::Response, status: u16) -> Result<()> {
        let (found, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        ensure!(found == status, "{found} {text}");
        let media_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        ensure!(media_type.starts_with("application/problem+json"), "{media_type}: {text}");
        let problem: Value = serde_json::from_str(&text)?;
        for field in ["type", "title", "status", "code", "detail"] {
            ensure!(!problem[field].is_null(), "no {field}: {text}");
        }
        ensure!(problem["status"] == status, "{text}");
        ensure!(self.codes.contains(&problem["code"].as_str().unwrap_or_default()), "{text}");
        ensure!(self.reason.is_none_or(|reason| problem["reason"] == reason), "{text}");
        if [429, 503].contains(&status) {
            ensure!(headers.contains_key("retry-after"), "no Retry-After: {text}");
        }
        Ok(())
    }
}

async fn open(rig: &Rig, person: &Person, connected: bool) -> Result<Socket> {
    if connected { rig.socket(0, person).await } else { Socket::open(&rig.gateway(0).socket, None).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_thing_is_answered_as_the_protocol_says_and_costs_no_memory() {
    let rig = Rig::chat(1, &[PUBLIC]).await.unwrap();
    rig.write_room(PRIVATE, &json!({"visibility": "Private"})).unwrap();
    rig.rooms_ready(2, SOON).await.unwrap();
    // `taken` exists, so that its name is taken; `outsider` is signed in and has joined nothing.
    let (taken, outsider) = (rig.register("taken").await.unwrap(), rig.stranger("outsider"));
    let member = rig.member("member", PUBLIC).await.unwrap();
    let mut cases = frames::cases(&member);
    cases.extend(tokens::cases(&rig).unwrap());
    cases.extend(requests::cases(&rig, &outsider, &taken));
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    assert!(cases.len() >= 40, "{} kinds", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(error) = case.run(&rig, &outsider).await {
            wrong.push(format!("{}: {error:#}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are answered wrong:\n  {}", wrong.len(), cases.len(), wrong.join("\n  "));
    println!("{} kinds of wrong things", cases.len());

    let cheap: Vec<&Case> = cases.iter().filter(|case| !case.dear).collect();
    let repeat = async |count: usize| {
        futures::stream::iter(0..count)
            .map(|index| cheap[index % cheap.len()].run(&rig, &outsider))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|()| async { Ok(()) })
            .await
    };
    let programs = [("chat-service", &rig.gateways[0]), ("user-service", rig.users.as_ref().unwrap())];
    repeat(1_000).await.unwrap();
    let before = programs.map(|(_, running)| signal::resident_bytes(running.program.pid()).unwrap());
    repeat(10_000).await.unwrap();
    for ((name, running), before) in programs.into_iter().zip(before) {
        let after = signal::resident_bytes(running.program.pid()).unwrap();
        println!("{name}: {} KiB, then {} KiB", before >> 10, after >> 10);
        assert!(after < before + MAY_GROW_BYTES, "{name} has grown from {before} to {after} bytes");
    }
    // And the right thing still works.
    rig.socket(0, &member).await.unwrap().said(PUBLIC, "still here").await.unwrap();
}
