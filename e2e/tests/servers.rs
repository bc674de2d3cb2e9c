//! The private servers: each speaks, nothing of them outlives whoever started them, and what a test takes of them is its own.

#![expect(clippy::unwrap_used, reason = "a failure of a helper is the failure of its test")]

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use e2e::servers::{Servers, TestVhost};
use e2e::signal;
use e2e::stack::Stack;
use e2e::wait;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use redis::AsyncCommands;
use sqlx::{Connection as _, PgConnection};

/// Stopping a broker takes seconds on a quiet machine.
const GONE_LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn three_servers_start_on_free_ports_speak_and_leave_nothing_behind() {
    let mut stack = Stack::servers_only().await.unwrap();
    let servers = stack.servers().unwrap();
    let mut postgres = PgConnection::connect(&servers.database_url).await.unwrap();
    let (one,): (i32,) = sqlx::query_as("SELECT 1").fetch_one(&mut postgres).await.unwrap();
    assert_eq!(one, 1);
    let client = redis::Client::open(servers.redis_url.as_str()).unwrap();
    let pong: String =
        redis::cmd("PING").query_async(&mut client.get_multiplexed_async_connection().await.unwrap()).await.unwrap();
    assert_eq!(pong, "PONG");
    let (connection, channel) = amqp(&servers.amqp_url).await.unwrap();
    round_trip(&channel).await;
    connection.close(200, "done".into()).await.unwrap();
    drop(postgres);

    let mut names = stack.processes();
    names.sort();
    assert_eq!(names, ["epmd", "postgres", "rabbitmq", "redis"]);
    let pids = pids(&stack);
    assert!(pids.iter().all(|pid| signal::lives(*pid)), "{pids:?}");
    let outside = stack.state.join("data/postgres").read_link().ok();
    assert!(stack.end().unwrap().success());
    assert!(!pids.iter().any(|pid| signal::lives(*pid)), "{pids:?}");
    assert!(!stack.state.exists() && outside.is_none_or(|folder| !folder.exists()));
    assert_eq!(with_folder_in_their_words(&stack.state), Vec::<String>::new());
}

#[tokio::test]
async fn servers_end_and_their_folder_goes_when_their_starter_is_killed() {
    let mut stack = Stack::servers_only().await.unwrap();
    let pids = pids(&stack);
    stack.kill_starter().unwrap();
    wait::until(GONE_LIMIT, "the end of the servers", async || {
        let left = with_folder_in_their_words(&stack.state);
        let gone = left.is_empty() && !stack.state.exists() && !pids.iter().any(|pid| signal::lives(*pid));
        anyhow::ensure!(gone, "{left:?}, {pids:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_database_of_a_test_is_gone_afterwards_even_with_an_open_connection() {
    let servers = Servers::from_env().unwrap();
    let database = servers.database().await.unwrap();
    let url = database.url.clone();
    let pool = database.pool().await.unwrap();
    sqlx::query("CREATE TABLE a (b int)").execute(&pool).await.unwrap();
    drop(database);
    let error = PgConnection::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("does not exist"), "{error}");
}

#[tokio::test]
async fn a_virtual_host_of_a_test_gives_the_services_no_right_to_declare() {
    let servers = Servers::from_env().unwrap();
    let vhost = servers.vhost().await.unwrap();
    let (_services, channel) = amqp(&vhost.services_url).await.unwrap();
    let error = declare(&channel, "parlor.log.x").await.unwrap_err().to_string();
    assert!(error.contains("ACCESS_REFUSED") || error.contains("access"), "{error}");
    let (_admin, channel) = amqp(&vhost.admin_url).await.unwrap();
    declare(&channel, "parlor.log.x").await.unwrap();
    assert_eq!(vhost.queues("parlor.log.").await.unwrap(), ["parlor.log.x"]);
    assert_gone(&servers, vhost).await;
}

#[tokio::test]
async fn two_tests_never_share_a_redis_database() {
    let servers = Servers::from_env().unwrap();
    let (one, other) = (servers.redis().await.unwrap(), servers.redis().await.unwrap());
    assert_ne!(one.url, other.url);
    let _: () = one.connect().await.unwrap().set("a", 1).await.unwrap();
    let found: Option<i32> = other.connect().await.unwrap().get("a").await.unwrap();
    assert_eq!(found, None);
}

async fn amqp(url: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

async fn declare(channel: &Channel, name: &str) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), options, FieldTable::default()).await.map(drop)
}

/// A confirmed message comes back with its body.
async fn round_trip(channel: &Channel) {
    declare(channel, "q").await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let sent = channel
        .basic_publish("".into(), "q".into(), BasicPublishOptions::default(), b"hello", BasicProperties::default())
        .await
        .unwrap();
    assert!(sent.await.unwrap().is_ack());
    let got = channel.basic_get("q".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!(got.delivery.data, b"hello");
}

async fn assert_gone(servers: &Servers, vhost: TestVhost) {
    let url = format!("{}/api/vhosts/{}", servers.management_url, vhost.name);
    drop(vhost);
    assert_eq!(e2e::http::client().unwrap().get(url).send().await.unwrap().status(), 404);
}

fn pids(stack: &Stack) -> Vec<u32> {
    stack.processes().iter().map(|name| stack.pid(name).unwrap()).collect()
}

/// Processes whose command line or environment names `folder`.
fn with_folder_in_their_words(folder: &Path) -> Vec<String> {
    let wanted = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let words = [read("cmdline"), read("environ")].concat();
        if String::from_utf8_lossy(&words).contains(&wanted) {
            found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    found
}
