//! Against a real PostgreSQL.

use super::{COUNT, release, renew};
use crate::testing::Fixture;
use std::collections::BTreeSet;

async fn expire(fixture: &Fixture, name: &str) {
    let past = "now() - interval '1 second'";
    for table in ["historians where name", "partitions where owner"] {
        let (table, condition) = table.split_once(" where ").unwrap();
        let sql = format!("update {table} set until = {past} where {condition} = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name).execute(&fixture.pool).await.unwrap();
    }
}

#[tokio::test]
async fn historians_share_the_partitions_fairly_and_each_has_one_owner() {
    let fixture = Fixture::new().await;
    assert_eq!(renew(&fixture.pool, "a").await.unwrap().len(), COUNT);
    assert_eq!(renew(&fixture.pool, "b").await.unwrap().len(), 0, "a has not given up anything yet");
    for names in [vec!["a", "b"], vec!["a", "b", "c"]] {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.clear();
            for name in &names {
                held.push(renew(&fixture.pool, name).await.unwrap());
            }
        }
        let all: BTreeSet<i16> = held.iter().flatten().copied().collect();
        assert_eq!(all.len(), COUNT);
        assert_eq!(held.iter().map(BTreeSet::len).sum::<usize>(), COUNT, "no partition has two owners");
        assert!(held.iter().all(|held| held.len() <= COUNT.div_ceil(names.len())));
    }
}

#[tokio::test]
async fn what_a_dead_historian_held_goes_to_the_living_and_what_one_releases_at_once() {
    let fixture = Fixture::new().await;
    renew(&fixture.pool, "a").await.unwrap();
    renew(&fixture.pool, "b").await.unwrap();
    renew(&fixture.pool, "a").await.unwrap();
    assert_eq!(renew(&fixture.pool, "b").await.unwrap().len(), 32);
    expire(&fixture, "a").await;
    assert_eq!(renew(&fixture.pool, "b").await.unwrap().len(), COUNT);
    assert_eq!(renew(&fixture.pool, "a").await.unwrap().len(), 0);
    release(&fixture.pool, "b").await.unwrap();
    assert_eq!(renew(&fixture.pool, "a").await.unwrap().len(), COUNT);
}
