//! Against a real PostgreSQL and a real RabbitMQ, through the room log.

use super::{Outbox, start};
use crate::historian;
use crate::live::Live;
use crate::log::{Logs, RoomKey};
use crate::store::outbox::{NewRow, put};
use crate::testing::person;
use crate::testing::rig::{Rig, eventually};
use contract::event::{Body, MemberChange, Role};
use service::health::Health;
use service::shutdown::Shutdown;
use std::time::Duration;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);

struct Gateway {
    outbox: Outbox,
    shutdown: Shutdown,
}

impl Gateway {
    fn start(rig: &Rig, name: &str) -> Self {
        let shutdown = Shutdown::new();
        let broker = Rig::broker(&rig.vhost.services_url);
        let live = Live::start(&broker, name);
        let pool = rig.fixture.pool.clone();
        let logs = Logs::start(pool.clone(), broker, live, name, &shutdown);
        Self { outbox: start(pool, logs, &shutdown), shutdown }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn remember(rig: &Rig) -> Shutdown {
    let shutdown = Shutdown::new();
    let check = Health::new().check("historian");
    let broker = Rig::broker(&rig.vhost.services_url);
    tokio::spawn(historian::run(rig.fixture.pool.clone(), broker, "historian".into(), check, shutdown.clone()));
    shutdown
}

async fn write(rig: &Rig, room: &RoomKey, number: u8) -> Uuid {
    let key = Uuid::now_v7();
    let body = Body::Member { user: person(number), change: MemberChange::Joined, role: Role::Member };
    let mut connection = rig.fixture.pool.acquire().await.unwrap();
    put(&mut connection, &NewRow { room: room.id, sender: None, key, body }).await.unwrap();
    key
}

async fn one<T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>>(
    rig: &Rig,
    sql: &'static str,
) -> T {
    sqlx::query_scalar(sql).fetch_one(&rig.fixture.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_published_at_once_and_stays_until_history_has_it() {
    let rig = Rig::new().await;
    let (room, _) = rig.room("room").await;
    let gateway = Gateway::start(&rig, "gateway-1");
    write(&rig, &room, 1).await;
    gateway.outbox.wake();
    eventually("the read-back", LIMIT, async || one::<bool>(&rig, "select appended from outbox").await.then_some(()))
        .await;
    eventually("another attempt while nobody stores it", LIMIT, async || {
        (one::<i32>(&rig, "select attempts from outbox").await >= 2).then_some(())
    })
    .await;
    let historian = remember(&rig);
    eventually("the row's end", LIMIT, async || {
        (one::<i64>(&rig, "select count(*) from outbox").await == 0).then_some(())
    })
    .await;
    assert_eq!(one::<i64>(&rig, "select count(*) from events").await, 1, "said twice, it counts once");
    historian.begin();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rooms_rows_stand_in_the_log_in_the_order_in_which_they_were_written_whichever_gateway_publishes_them() {
    let rig = Rig::new().await;
    let (room, _) = rig.room("room").await;
    let gateways = [Gateway::start(&rig, "gateway-1"), Gateway::start(&rig, "gateway-2")];
    let historian = remember(&rig);
    let mut keys = Vec::new();
    for number in 0..60 {
        keys.push(write(&rig, &room, number).await);
        gateways[usize::from(number % 2)].outbox.wake();
    }
    let stored = eventually("all events", LIMIT, async || {
        let stored: Vec<Uuid> = sqlx::query_scalar("select key from message_keys order by ordinal, pos")
            .fetch_all(&rig.fixture.pool)
            .await
            .unwrap();
        (stored.len() == keys.len()).then_some(stored)
    })
    .await;
    assert_eq!(stored, keys);
    historian.begin();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_with_a_deleted_log_is_published_again_in_the_next() {
    let rig = Rig::new().await;
    let (room, log) = rig.room("room").await;
    let gateway = Gateway::start(&rig, "gateway-1");
    write(&rig, &room, 1).await;
    gateway.outbox.wake();
    eventually("the read-back", LIMIT, async || one::<bool>(&rig, "select appended from outbox").await.then_some(()))
        .await;
    // The stream is deleted before anybody stored it, and the next log opens.
    let stream: String = one(&rig, "select stream from logs").await;
    rig.channel.queue_delete(stream.as_str().into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();
    sqlx::query("update logs set state = 'gone', gone_at = now() where id = $1")
        .bind(log)
        .execute(&rig.fixture.pool)
        .await
        .unwrap();
    rig.log(&room, "2-bbbbbb", "open", &[]).await;
    let historian = remember(&rig);
    eventually("the event in the next log", LIMIT, async || {
        (one::<i64>(&rig, "select count(*) from events where ordinal = 2").await == 1).then_some(())
    })
    .await;
    assert_eq!(one::<i64>(&rig, "select count(*) from outbox").await, 0);
    historian.begin();
}
