//! Each server of a gateway away at its start, gone later, frozen: said at `/readyz` and in metrics, and over without a restart.

use std::time::Duration;

use anyhow::Result;
use e2e::person::Person;
use e2e::proxy::{Direction, Flow, Proxy};
use e2e::rig::{Rig, Running, Wiring};
use e2e::socket::Socket;
use e2e::wait;
use serde_json::{Value, json};
use uuid::Uuid;

const ROOM: &str = "team-a/general";
/// A frozen connection is found out by what goes over it: RabbitMQ's heartbeats take longest.
const NOTICED: Duration = Duration::from_mins(3);
const BACK: Duration = Duration::from_mins(1);

/// The keys of people's tokens come from user-service too, and are kept while it is away.
const KEYS: &str = "keys";

/// A server behind a proxy.
struct Server {
    /// As `/readyz` and `parlor_part_ready` call it.
    part: &'static str,
    /// The gateway does not start without it.
    needed: bool,
    /// Messages are taken without it.
    spared: bool,
    proxies: Vec<Proxy>,
}

#[derive(Clone, Copy, Debug)]
enum Outage {
    Gone,
    Frozen,
}

impl Server {
    fn begin(&self, outage: Outage) {
        for proxy in &self.proxies {
            match outage {
                Outage::Gone => {
                    proxy.refuse(true);
                    proxy.cut_where(|_| true);
                }
                Outage::Frozen => {
                    proxy.set(Direction::ToServer, Flow::Hold);
                    proxy.set(Direction::ToClient, Flow::Hold);
                }
            }
        }
    }

    fn end(&self) {
        for proxy in &self.proxies {
            proxy.refuse(false);
            proxy.release();
        }
    }
}

/// Another gateway, and what it reaches each server by.
struct Scene {
    rig: Rig,
    person: Person,
    wiring: Wiring,
    servers: Vec<Server>,
}

async fn scene() -> Result<Scene> {
    let rig = Rig::chat(1, &[ROOM]).await?;
    let person = rig.member("anna", ROOM).await?;
    let own = rig.wiring();
    let (postgres, redis) = (Proxy::start(&own.database_url).await?, Proxy::start(&own.redis_url).await?);
    let rabbitmq = Proxy::start(&own.amqp_url).await?;
    let (users, keys) = (Proxy::start(&own.users_grpc).await?, Proxy::start(&own.users_url).await?);
    let jwks = format!("{}/.well-known/jwks.json", keys.url(&own.users_url));
    let wiring = Wiring {
        roles: "gateway",
        database_url: postgres.url(&own.database_url),
        redis_url: redis.url(&own.redis_url),
        amqp_url: rabbitmq.url(&own.amqp_url),
        users_grpc: users.url(&own.users_grpc),
        env: [own.env.clone(), vec![("JWKS_URL", jwks)]].concat(),
        ..own
    };
    let server = |part, needed, spared, proxies| Server { part, needed, spared, proxies };
    let servers = vec![
        server("postgres", true, true, vec![postgres]),
        server("rabbitmq", true, false, vec![rabbitmq]),
        server("redis", false, true, vec![redis]),
        server("user-service", false, true, vec![users, keys]),
    ];
    Ok(Scene { rig, person, wiring, servers })
}

/// Status of `/readyz`, and the names in both of its lists.
async fn readiness(rig: &Rig, running: &Running) -> Result<(u16, Vec<String>, Vec<String>)> {
    let answer = rig.http.get(format!("{}/readyz", running.address.health)).send().await?;
    let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await?);
    let names = |list: &str| {
        let all = body[list].as_array().into_iter().flatten();
        all.map(|one| {
            assert!(one["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
            one["name"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
    };
    Ok((status, names("waiting"), names("without")))
}

async fn is_taken(socket: &mut Socket) -> Result<bool> {
    let reply = socket.say(ROOM, &Uuid::now_v7().to_string(), "hello").await?;
    anyhow::ensure!(reply.get("ok").is_some() || reply["err"]["temporary"] == true, "{reply}");
    Ok(reply.get("ok").is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_at_the_start_is_waited_for_or_done_without_and_no_restart_is_needed() {
    let Scene { mut rig, person, wiring, servers } = scene().await.unwrap();
    for server in &servers {
        let part = server.part;
        server.begin(Outage::Gone);
        let running = rig.spawn_gateway(&wiring).unwrap();
        let why = format!("{part} is named, and nothing else");
        wait::until(BACK, &why, async || {
            let Ok((status, waiting, without)) = readiness(&rig, &running).await else { return Ok(None) };
            let keys = if part == "user-service" { vec![KEYS] } else { vec![] };
            let named = if server.needed {
                waiting == [part] && without.is_empty()
            } else {
                without == [part] && waiting == keys
            };
            Ok((named && (status == 200) == waiting.is_empty()).then_some(()))
        })
        .await
        .unwrap();
        if part == "redis" {
            rig.gateways.push(running);
            let mut socket = rig.socket(1, &person).await.unwrap();
            assert!(is_taken(&mut socket).await.unwrap(), "Redis is nothing that a message needs");
            server.end();
        } else {
            server.end();
            rig.gateways.push(running);
        }
        wait::until(BACK, "all are there", async || {
            let (status, waiting, without) = readiness(&rig, &rig.gateways[1]).await?;
            Ok((status == 200 && waiting.is_empty() && without.is_empty()).then_some(()))
        })
        .await
        .unwrap();
        let mut socket = rig.socket(1, &person).await.unwrap();
        assert!(is_taken(&mut socket).await.unwrap(), "{part}");
        rig.gateways.pop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_or_freezes_later_is_named_and_what_does_not_need_it_goes_on() {
    let Scene { mut rig, person, wiring, servers } = scene().await.unwrap();
    let index = rig.start_gateway(&wiring).await.unwrap();
    let mut socket = rig.socket(index, &person).await.unwrap();
    socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    for server in &servers {
        for outage in [Outage::Gone, Outage::Frozen] {
            let part = server.part;
            let gauge = format!("parlor_part_ready{{part=\"{part}\"}}");
            let settled = async |socket: &mut Socket, list: &[&str]| {
                let why = format!("{outage:?}: without {list:?}");
                wait::until(NOTICED, &why, async || {
                    // Who answers no ping for long is let go.
                    socket.poll(Duration::from_millis(50)).await?;
                    let (status, waiting, without) = readiness(&rig, &rig.gateways[index]).await?;
                    anyhow::ensure!(status == 200 && waiting.is_empty(), "{part}: {status} {waiting:?}");
                    let measured = rig.metric(index, &gauge).await?;
                    let without: Vec<&String> = without.iter().filter(|name| *name != KEYS).collect();
                    Ok((without == list && (measured > 0.5) == list.is_empty()).then_some(()))
                })
                .await
                .unwrap();
            };
            settled(&mut socket, &[]).await;
            assert!(is_taken(&mut socket).await.unwrap(), "before {part} is away");
            server.begin(outage);
            settled(&mut socket, &[part]).await;
            let taken = is_taken(&mut socket).await.unwrap();
            assert_eq!(taken, server.spared, "{part} {outage:?}");
            server.end();
            settled(&mut socket, &[]).await;
            wait::until(BACK, "a message is taken", async || Ok(is_taken(&mut socket).await?.then_some(())))
                .await
                .unwrap();
        }
    }
}
