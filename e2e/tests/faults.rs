//! Four people send messages over two gateways into one room, once undisturbed and once with each part of the system killed or
//! frozen midway; then readers, history and database are compared position by position. `cargo xtask faults` plays it at length.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::load::{Outcome, Progress, Scene, World};
use e2e::person::Person;
use e2e::signal::Signal;
use e2e::stack::{Options, Stack};
use e2e::wait;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

const SENDERS: usize = 4;
/// Of a scene, unless `PARLOR_FAULTS_MESSAGES` says another number.
const MESSAGES: usize = 2_000;
/// A sender's messages a second: the fault comes among them, not after.
const PACE: u32 = 100;
/// Sent and not yet answered, by each sender: few enough that a fault finds most messages unsent.
const WINDOW: usize = 32;
/// How long a killed process stays away.
const AWAY: Duration = Duration::from_secs(1);
const FROZEN: Duration = Duration::from_secs(30);

/// What happens to which process, and whether those who talk must notice.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// `kill -9`, and `xtask restart` a moment later.
    Kill(&'static str, Felt),
    /// SIGSTOP, and SIGCONT later. No client need notice: what it sends waits in the kernel.
    Freeze(&'static str),
    /// RabbitMQ runs out of the memory that it may use, and takes nothing until it may use more.
    Alarm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Felt {
    /// Otherwise the scene shows nothing.
    Surely,
    Perhaps,
}

/// A room of each scene, and what happens in it.
const SCENES: [(&str, Fault); 9] = [
    ("undisturbed", Fault::None),
    ("gateway-killed", Fault::Kill("gateway-1", Felt::Surely)),
    ("rabbitmq-killed", Fault::Kill("rabbitmq", Felt::Surely)),
    ("rabbitmq-alarm", Fault::Alarm),
    ("postgres-killed", Fault::Kill("postgres", Felt::Perhaps)),
    ("redis-killed", Fault::Kill("redis", Felt::Perhaps)),
    ("historian-killed", Fault::Kill("historian", Felt::Perhaps)),
    ("user-service-killed", Fault::Kill("user-service", Felt::Perhaps)),
    ("gateway-frozen", Fault::Freeze("gateway-2")),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_out_of_order_whatever_is_killed_or_frozen() {
    let messages = std::env::var("PARLOR_FAULTS_MESSAGES").map_or(MESSAGES, |text| text.parse().unwrap());
    let rooms = tempfile::tempdir().unwrap();
    for (name, _) in SCENES {
        let manifest = json!({
            "apiVersion": "parlor.dev/v1alpha1",
            "kind": "ChatRoom",
            "metadata": {"name": name, "namespace": "load"},
        });
        std::fs::write(rooms.path().join(format!("{name}.yaml")), manifest.to_string()).unwrap();
    }
    let flags = &["--no-rate-limits", "--split-roles"];
    let stack = Stack::up(&Options { gateways: 2, rooms: Some(rooms.path().to_owned()), flags }).await.unwrap();
    let mut failed = Vec::new();
    for (name, fault) in SCENES {
        let start = Instant::now();
        match scene(&stack, name, fault, messages).await {
            Ok(outcome) => println!(
                "{name:<20} {:>6.1} s: {} acknowledged, {} disturbances, {} resumes",
                start.elapsed().as_secs_f64(),
                outcome.acknowledged.len(),
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

async fn scene(stack: &Stack, name: &str, fault: Fault, messages: usize) -> Result<Outcome> {
    let room = format!("load/{name}");
    let people = people(stack, name, &room).await?;
    let world = World {
        gateways: vec![stack.gateway(1), stack.gateway(2)],
        http: stack.http.clone(),
        // Made anew for each scene, and patient: PostgreSQL may just have come back.
        pool: PgPoolOptions::new().max_connections(2).connect(&stack.servers()?.database_url).await?,
    };
    let scene = Scene { room: &room, people: &people, messages, window: WINDOW, pace: PACE };
    let outcome = scene.play(&world, |progress| strike(stack, fault, messages, progress)).await?;
    ensure!(outcome.acknowledged.len() == messages, "{} were acknowledged", outcome.acknowledged.len());
    match fault {
        Fault::None => ensure!(outcome.disturbances == 0 && outcome.resumes == 0, "something was disturbed"),
        Fault::Kill(_, felt) => ensure!(
            felt == Felt::Perhaps || outcome.disturbances > 0,
            "the fault was not felt: the scene shows nothing"
        ),
        Fault::Freeze(_) | Fault::Alarm => {}
    }
    Ok(outcome)
}

/// Fresh people for each scene: their tokens hold ten minutes.
async fn people(stack: &Stack, name: &str, room: &str) -> Result<Vec<Person>> {
    let mut people = Vec::new();
    for number in 0..SENDERS {
        let person = stack.register(&format!("{name}-{number}")).await?;
        let url = format!("{}/v1/rooms/{room}/join", stack.gateway(1).http);
        // The scene before may have left connections to a server that was killed.
        wait::until(Duration::from_mins(1), "they have joined", async || {
            let answer = stack.http.post(&url).bearer_auth(&person.access_token).send().await?;
            let status = answer.status();
            ensure!(status == 204 || status == 503, "join: {status} {}", answer.text().await?);
            Ok((status == 204).then_some(()))
        })
        .await?;
        people.push(person);
    }
    Ok(people)
}

/// After a quarter of the messages and before the last quarter, which nobody begins until it is over.
async fn strike(stack: &Stack, fault: Fault, messages: usize, progress: Arc<Progress>) -> Result<()> {
    let three_quarters = messages / SENDERS * 3 / 4;
    // RabbitMQ blocks who publishes under the alarm: a quarter is kept for then, however long setting it takes.
    progress.hold_at(if matches!(fault, Fault::Alarm) { messages / SENDERS / 2 } else { three_quarters });
    progress.reaches(messages / 4).await?;
    match fault {
        Fault::None => {}
        Fault::Kill(process, _) => {
            stack.signal(process, Signal::Kill)?;
            tokio::time::sleep(AWAY).await;
            stack.restart(process).await?;
        }
        Fault::Freeze(process) => {
            stack.signal(process, Signal::Stop)?;
            tokio::time::sleep(FROZEN).await;
            ensure!(progress.acknowledged() < messages / 4 * 3, "the frozen process answered: the scene shows nothing");
            stack.signal(process, Signal::Continue)?;
        }
        Fault::Alarm => {
            stack.rabbitmqctl(&["set_vm_memory_high_watermark", "0.00001"]).await?;
            progress.hold_at(three_quarters);
            let told = wait::until(
                Duration::from_mins(1),
                "both gateways tell of the alarm, and those who talk feel it",
                async || {
                    let mut telling = 0;
                    for number in 1..=2 {
                        let answer = stack.http.get(format!("{}/readyz", stack.gateway(number).health)).send().await?;
                        telling += usize::from(answer.error_for_status()?.text().await?.contains("alarm"));
                    }
                    Ok((telling == 2 && progress.disturbances() > 0).then_some(()))
                },
            )
            .await;
            stack.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await?;
            told?;
        }
    }
    progress.release();
    progress.reaches(messages).await.context("after the fault")
}
