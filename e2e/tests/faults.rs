//! Four people send 5,000 messages over two gateways into one room, once undisturbed and once with a gateway and with RabbitMQ
//! killed midway; then readers, history and database are compared position by position.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::{Outcome, Progress, Scene, World};
use e2e::person::Person;
use e2e::signal::Signal;
use e2e::stack::{Options, Stack};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

const SENDERS: usize = 4;
const MESSAGES: u16 = 5_000;
/// A sender's messages a second: a socket may send 50 commands a second, and nothing but the fault shall disturb.
const PACE: u32 = 45;
/// Sent and not yet answered, by each sender: few enough that a fault finds most messages unsent.
const WINDOW: usize = 32;
/// A fault comes after so many acknowledged messages, and is over before as many again.
const FAULT_AT: usize = 1_250;
/// How long a killed process stays away.
const AWAY: Duration = Duration::from_secs(1);

/// A room of each scene, and the process that is killed in it.
const SCENES: [(&str, Option<&str>); 3] =
    [("undisturbed", None), ("gateway-killed", Some("gateway-1")), ("rabbitmq-killed", Some("rabbitmq"))];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_out_of_order_whatever_is_killed() {
    let rooms = tempfile::tempdir().unwrap();
    for (name, _) in SCENES {
        let manifest = json!({
            "apiVersion": "parlor.dev/v1alpha1",
            "kind": "ChatRoom",
            "metadata": {"name": name, "namespace": "load"},
            "spec": {"limits": {"messagesPerSecond": 1000, "burst": 10000}},
        });
        std::fs::write(rooms.path().join(format!("{name}.yaml")), manifest.to_string()).unwrap();
    }
    let stack = Stack::up(&Options { gateways: 2, rooms: Some(rooms.path().to_owned()) }).await.unwrap();
    let mut failed = Vec::new();
    for (name, victim) in SCENES {
        let start = std::time::Instant::now();
        match scene(&stack, name, victim).await {
            Ok(outcome) => println!(
                "{name:<20} {:>6.1} s  {:>6.0} messages/s, {} disturbances, {} resumes",
                start.elapsed().as_secs_f64(),
                f64::from(MESSAGES) / outcome.took.as_secs_f64(),
                outcome.disturbances,
                outcome.resumes
            ),
            Err(error) => {
                println!("{name:<20} FAILED after {:.1} s: {error:#}", start.elapsed().as_secs_f64());
                failed.push(name);
                // What is broken must not spoil the scenes that follow.
                stack.heal().await.unwrap();
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

async fn scene(stack: &Stack, name: &str, victim: Option<&str>) -> Result<Outcome> {
    let room = format!("load/{name}");
    let people = people(stack, name, &room).await?;
    let world = World {
        gateways: vec![stack.gateway(1), stack.gateway(2)],
        http: stack.http.clone(),
        // Made anew for each scene, and patient: PostgreSQL may just have come back.
        pool: PgPoolOptions::new().max_connections(2).connect(&stack.servers()?.database_url).await?,
    };
    let scene = Scene { room: &room, people: &people, messages: usize::from(MESSAGES), window: WINDOW, pace: PACE };
    let outcome = scene.play(&world, |progress| strike(stack, victim, progress)).await?;
    ensure!(outcome.acknowledged.len() == usize::from(MESSAGES), "{} were acknowledged", outcome.acknowledged.len());
    match victim {
        None => ensure!(outcome.disturbances == 0 && outcome.resumes == 0, "something was disturbed"),
        Some(_) => ensure!(outcome.disturbances > 0, "the fault was not felt: the scene shows nothing"),
    }
    Ok(outcome)
}

/// Fresh people for each scene: their tokens hold ten minutes.
async fn people(stack: &Stack, name: &str, room: &str) -> Result<Vec<Person>> {
    let mut people = Vec::new();
    for number in 0..SENDERS {
        let person = stack.register(&format!("{name}-{number}")).await?;
        let url = format!("{}/v1/rooms/{room}/join", stack.gateway(1).http);
        let answer = stack.http.post(url).bearer_auth(&person.access_token).send().await?;
        ensure!(answer.status() == 204, "join: {} {}", answer.status(), answer.text().await?);
        people.push(person);
    }
    Ok(people)
}

async fn strike(stack: &Stack, victim: Option<&str>, progress: Arc<Progress>) -> Result<()> {
    let Some(victim) = victim else { return Ok(()) };
    progress.reaches(FAULT_AT).await?;
    stack.signal(victim, Signal::Kill)?;
    tokio::time::sleep(AWAY).await;
    stack.restart(victim).await?;
    let now = progress.acknowledged();
    ensure!(
        now + FAULT_AT <= usize::from(MESSAGES),
        "{now} were acknowledged when the fault was over: too late to show anything"
    );
    progress.reaches(now + FAULT_AT).await.context("after the fault")
}
