//! Against a real Redis, through a proxy that takes it away.

use std::time::Instant;

use e2e::proxy::{Direction, Flow, Proxy};
use e2e::servers::{Servers, TestRedis};
use e2e::wait;

use super::*;

const LIMIT: Duration = Duration::from_secs(15);

struct Setup {
    redis: TestRedis,
    proxy: Proxy,
    check: Check,
    cache: Cache,
}

async fn setup() -> Setup {
    let redis = Servers::from_env().unwrap().redis().await.unwrap();
    let proxy = Proxy::start(&redis.url).await.unwrap();
    let check = Check::detached("redis");
    let cache = Cache::connect(&proxy.url(&redis.url), check.clone()).unwrap();
    Setup { redis, proxy, check, cache }
}

async fn wait_ready(check: &Check, ready: bool) {
    wait::until(LIMIT, "the check", async || Ok((check.is_ready() == ready).then_some(()))).await.unwrap();
}

async fn get(cache: &Cache) -> Result<Option<String>, RedisError> {
    cache.run(redis::cmd("GET").arg("key")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_scripts_run_and_come_back_after_the_connection_was_cut() {
    let Setup { redis: _redis, proxy, check, cache } = setup().await;
    let () = cache.run(redis::cmd("SET").arg("key").arg("value")).await.unwrap();
    assert_eq!(get(&cache).await.unwrap().as_deref(), Some("value"));
    let script = Script::new("return {KEYS[1], KEYS[2], ARGV[1]}");
    let echoed: Vec<String> = cache.script(&script, &["a", "b"], &["c"]).await.unwrap();
    assert_eq!(echoed, ["a", "b", "c"]);
    wait_ready(&check, true).await;

    proxy.cut_where(|_| true);
    wait::until(LIMIT, "an answer", async || Ok(get(&cache).await.ok().flatten())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_commands_fail_at_once() {
    let Setup { redis: _redis, proxy, check, cache } = setup().await;
    wait_ready(&check, true).await;
    // Gone, then frozen: of a frozen one each command would wait for its limit.
    for frozen in [false, true] {
        if frozen {
            proxy.set(Direction::ToClient, Flow::Hold);
        } else {
            proxy.refuse(true);
            proxy.cut_where(|_| true);
        }
        wait_ready(&check, false).await;
        let start = Instant::now();
        for _ in 0..20 {
            get(&cache).await.unwrap_err();
        }
        assert!(start.elapsed() < Duration::from_secs(5), "frozen {frozen}: {:?}", start.elapsed());

        proxy.refuse(false);
        proxy.release();
        wait_ready(&check, true).await;
        get(&cache).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_takes_a_second_and_a_dead_connection_is_given_up() {
    let Setup { redis: _redis, proxy, check, cache } = setup().await;
    wait_ready(&check, true).await;
    // This connection never says anything again; new ones work.
    assert_eq!(proxy.set_where(Direction::ToClient, Flow::Hold, |_| true), 1);
    let start = Instant::now();
    get(&cache).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    wait_ready(&check, false).await;
    wait_ready(&check, true).await;
    get(&cache).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_redis_does_not_wait_and_an_error_tells_no_password() {
    let check = Check::detached("redis");
    // Nobody listens on port 1.
    let cache = Cache::connect("redis://default:secret@127.0.0.1:1", check.clone()).unwrap();
    assert!(!check.is_ready());
    let start = Instant::now();
    get(&cache).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    let error = Cache::connect("redis//secret", check).err().unwrap();
    assert!(!format!("{error:#}").contains("secret"));
}
