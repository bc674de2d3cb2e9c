//! Keeps this gateway's row among the living.

use crate::store::gateways;
use service::shutdown::Shutdown;
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const BEAT_EVERY: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(3);

/// Beats until shutdown begins, then takes the row away.
pub(crate) async fn keep(pool: PgPool, name: String, shutdown: Shutdown) {
    while !shutdown.is_begun() {
        match timeout(LIMIT, gateways::beat(&pool, &name)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "failed to renew this gateway's lease"),
            Err(_) => tracing::warn!("failed to renew this gateway's lease in time"),
        }
        tokio::select! {
            () = sleep(BEAT_EVERY) => {}
            () = shutdown.begun() => {}
        }
    }
    timeout(LIMIT, gateways::leave(&pool, &name)).await.ok();
}

#[cfg(test)]
mod tests {
    use super::keep;
    use crate::testing::Fixture;
    use crate::testing::rig::eventually;
    use service::shutdown::Shutdown;
    use std::time::Duration;

    #[tokio::test]
    async fn a_gateway_is_among_the_living_until_it_stops_or_its_lease_ends() {
        let fixture = Fixture::new().await;
        let live = async || -> Vec<String> {
            sqlx::query_scalar("select name from gateways where until > now()").fetch_all(&fixture.pool).await.unwrap()
        };
        let shutdown = Shutdown::new();
        let keeping = tokio::spawn(keep(fixture.pool.clone(), "gateway-1".into(), shutdown.clone()));
        let lease = "select extract(epoch from until - now())::float8 from gateways";
        let seconds: f64 = eventually("a beat", Duration::from_secs(5), async || {
            sqlx::query_scalar(lease).fetch_optional(&fixture.pool).await.unwrap()
        })
        .await;
        assert!(seconds > 8.0 && seconds <= 10.0);
        assert_eq!(live().await, ["gateway-1"]);
        sqlx::query("insert into gateways (name, until) values ('dead', now() - interval '1 second')")
            .execute(&fixture.pool)
            .await
            .unwrap();
        assert_eq!(live().await, ["gateway-1"]);
        shutdown.begin();
        keeping.await.unwrap();
        assert!(live().await.is_empty());
    }
}
