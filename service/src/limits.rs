//! How often something may be done, over all programs together: GCRA in Redis, by Redis' own clock.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::Script;

use crate::cache::Cache;

/// Names of the keys begin so.
const PREFIX: &str = "parlor:limit:";

/// One key holds the time at which all that was allowed so far will have been paid for, in microseconds. It may lie at most
/// `(burst - 1) * interval` ahead. Answers 0 if allowed, else the microseconds to wait. Numbers go as text: Lua would round them.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local burst = tonumber(ARGV[2])
local paid = tonumber(redis.call('GET', KEYS[1]) or '0')
if paid < now then paid = now end
local wait = paid - (burst - 1) * interval - now
if wait > 0 then return string.format('%.0f', wait) end
paid = paid + interval
redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', string.format('%.0f', math.ceil((paid - now) / 1000) + 1000))
return '0'
";

static SCRIPT: LazyLock<Arc<Script>> = LazyLock::new(|| Arc::new(Script::new(GCRA)));

/// A rate: one each `per`, and up to `burst` at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time that each one costs.
    pub per: Duration,
    /// How many may come at once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// So many a second, and `burst` at once.
    pub fn per_second(count: u32, burst: u32) -> Self {
        Self { per: Duration::from_secs(1) / count.max(1), burst }
    }

    /// So many a minute, all of which may come at once.
    pub fn per_minute(count: u32) -> Self {
        Self { per: Duration::from_mins(1) / count.max(1), burst: count }
    }
}

/// Counts in Redis. Clones count together, as do other processes on the same Redis.
#[derive(Clone)]
pub struct Limiter {
    redis: Cache,
    enabled: bool,
}

impl Limiter {
    /// `enabled: false` allows everything.
    pub fn new(redis: Cache, enabled: bool) -> Self {
        Self { redis, enabled }
    }

    /// Counts one of `key`, or says how long to wait. Without Redis everything is allowed: a chat that runs without limits for a
    /// while is better than none.
    pub async fn check(&self, key: &str, rate: Rate) -> Result<(), Duration> {
        if !self.enabled {
            return Ok(());
        }
        let interval = u64::try_from(rate.per.as_micros()).unwrap_or(u64::MAX);
        let args = [interval, u64::from(rate.burst.max(1))];
        let answer: Result<String, _> = self.redis.script(&SCRIPT, format!("{PREFIX}{key}"), &args).await;
        match answer.as_deref().map(str::parse::<u64>) {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(wait)) => {
                metrics::counter!("rate_limited_total").increment(1);
                Err(Duration::from_micros(wait))
            }
            Ok(Err(_)) | Err(_) => {
                metrics::counter!("rate_limits_not_checked_total").increment(1);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Check;
    use e2e::servers::{Servers, TestRedis};
    use std::time::Instant;

    async fn setup(enabled: bool) -> (TestRedis, Limiter) {
        let redis = Servers::from_env().unwrap().redis().await.unwrap();
        let cache = Cache::connect(&redis.url, Check::detached("redis")).unwrap();
        (redis, Limiter::new(cache, enabled))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_burst_passes_then_one_at_a_time() {
        let (_redis, limiter) = setup(true).await;
        // Long enough that a slow machine does not earn the fourth while it spends three.
        let rate = Rate { per: Duration::from_secs(2), burst: 3 };
        for _ in 0..3 {
            limiter.check("a", rate).await.unwrap();
        }
        let wait = limiter.check("a", rate).await.unwrap_err();
        assert!(wait > Duration::from_millis(500) && wait <= rate.per, "{wait:?}");
        limiter.check("b", rate).await.unwrap();
        let start = Instant::now();
        tokio::time::sleep(wait).await;
        limiter.check("a", rate).await.unwrap();
        let again = limiter.check("a", rate).await.unwrap_err();
        // What was refused cost nothing.
        assert!(again <= rate.per && start.elapsed() < rate.per * 2, "{again:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_goes_when_it_no_longer_limits_anything() {
        let (redis, limiter) = setup(true).await;
        limiter.check("a", Rate { per: Duration::from_secs(5), burst: 2 }).await.unwrap();
        let mut connection = redis.connect().await.unwrap();
        let life: i64 = redis::cmd("PTTL").arg("parlor:limit:a").query_async(&mut connection).await.unwrap();
        assert!((1..=7_000).contains(&life), "{life}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_redis_and_without_limits_everything_is_allowed() {
        let cache = Cache::connect("redis://127.0.0.1:1", Check::detached("redis")).unwrap();
        let rate = Rate { per: Duration::from_mins(1), burst: 1 };
        let without_redis = Limiter::new(cache, true);
        let (_redis, off) = setup(false).await;
        for _ in 0..3 {
            without_redis.check("a", rate).await.unwrap();
            off.check("a", rate).await.unwrap();
        }
    }

    #[test]
    fn rates_are_written_as_people_say_them() {
        let rate = Rate::per_second(10, 20);
        assert_eq!((rate.per, rate.burst), (Duration::from_millis(100), 20));
        let rate = Rate::per_minute(30);
        assert_eq!((rate.per, rate.burst), (Duration::from_secs(2), 30));
    }
}
