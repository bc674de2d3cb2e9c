//! Against a real PostgreSQL, databases of the tests' own.

use e2e::proxy::Proxy;
use e2e::servers::{Servers, TestDatabase};
use e2e::wait;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
const VERSION: u32 = 1;

fn args(url: &str, migrate: bool) -> DatabaseArgs {
    DatabaseArgs { database_url: url.to_owned(), migrate, database_connections: 4 }
}

async fn empty() -> TestDatabase {
    Servers::from_env().unwrap().empty_database().await.unwrap()
}

async fn suitable(database: &Database) {
    timeout(LIMIT, database.suitable()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_migrate_at_once_and_both_find_the_tables() {
    let (test, shutdown) = (empty().await, Shutdown::new());
    let checks = [Check::detached("one"), Check::detached("two")];
    let databases = checks.clone().map(|check| open(&args(&test.url, true), VERSION, check, &shutdown).unwrap());
    for (database, check) in databases.iter().zip(&checks) {
        suitable(database).await;
        assert!(check.is_ready());
        let rows: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(database.pool()).await.unwrap();
        assert_eq!(rows, 0);
    }
    let limit: String = sqlx::query_scalar("show statement_timeout").fetch_one(databases[0].pool()).await.unwrap();
    assert_eq!(limit, STATEMENT_LIMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migrations_alone_wait_for_the_database_and_end_when_told_to_stop() {
    let test = empty().await;
    let proxy = Proxy::start(&test.url).await.unwrap();
    proxy.refuse(true);
    let args = args(&proxy.url(&test.url), false);
    let stopped = Shutdown::new();
    stopped.begin();
    migrate(&args, &stopped).await.unwrap_err();
    let before = proxy.accepted();
    let open = async {
        while proxy.accepted() == before {
            sleep(Duration::from_millis(5)).await;
        }
        proxy.refuse(false);
    };
    let shutdown = Shutdown::new();
    let migrated = timeout(LIMIT, migrate(&args, &shutdown));
    let (migrated, refused) = tokio::join!(migrated, timeout(LIMIT, open));
    refused.unwrap();
    migrated.unwrap().unwrap();
    suitable(&super::open(&args, VERSION, Check::detached("database"), &shutdown).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_migrated_otherwise_is_an_error_at_once() {
    let test = empty().await;
    test.migrate().await.unwrap();
    let changed = "update _sqlx_migrations set checksum = ''::bytea where version = 1";
    sqlx::query(changed).execute(&test.pool().await.unwrap()).await.unwrap();
    let (args, shutdown) = (args(&test.url, false), Shutdown::new());
    let migrated = timeout(LIMIT, migrate(&args, &shutdown));
    let error = migrated.await.unwrap().unwrap_err();
    assert!(format!("{error:#}").starts_with("failed to migrate"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_open_before_anybody_asks_for_one() {
    let (test, shutdown) = (empty().await, Shutdown::new());
    let args = args(&test.url, true);
    let database = open(&args, VERSION, Check::detached("database"), &shutdown).unwrap();
    suitable(&database).await;
    // Two rounds, should the first be late.
    let all = wait::until(2 * OPEN_AGAIN, "every connection", async || {
        Ok((database.pool().size() == args.database_connections).then_some(()))
    });
    all.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_may_not_migrate_waits_for_somebody_who_does() {
    let (test, shutdown) = (empty().await, Shutdown::new());
    let check = Check::detached("database");
    let database = open(&args(&test.url, false), VERSION, check.clone(), &shutdown).unwrap();
    let waits = wait::until(LIMIT, "the reason", async || Ok(check.reason().filter(|reason| reason.contains("waits"))));
    waits.await.unwrap();
    timeout(Duration::from_millis(100), database.suitable()).await.unwrap_err();
    test.migrate().await.unwrap();
    suitable(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_needs_later_programs_is_refused_and_a_later_migration_is_not() {
    let (test, shutdown) = (empty().await, Shutdown::new());
    test.migrate().await.unwrap();
    let pool = test.pool().await.unwrap();
    // As after a roll-back: a migration that this program does not know.
    let unknown = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                   values (9999, 'later', true, ''::bytea, 0)";
    sqlx::query(unknown).execute(&pool).await.unwrap();
    let older = open(&args(&test.url, true), VERSION, Check::detached("older"), &shutdown).unwrap();
    suitable(&older).await;

    sqlx::query("update schema_version set min_program = 2").execute(&pool).await.unwrap();
    let check = Check::detached("database");
    let refused = open(&args(&test.url, true), VERSION, check.clone(), &shutdown).unwrap();
    let reason =
        wait::until(LIMIT, "the reason", async || Ok(check.reason().filter(|reason| reason.contains("version 2"))));
    reason.await.unwrap();
    timeout(Duration::from_millis(100), refused.suitable()).await.unwrap_err();
    let newer = open(&args(&test.url, true), 2, Check::detached("newer"), &shutdown).unwrap();
    suitable(&newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_follows_the_database_and_the_start_does_not_wait_for_it() {
    let (test, shutdown) = (empty().await, Shutdown::new());
    let proxy = Proxy::start(&test.url).await.unwrap();
    proxy.refuse(true);
    let check = Check::detached("database");
    let database = open(&args(&proxy.url(&test.url), true), VERSION, check.clone(), &shutdown).unwrap();
    let ready = async |wanted: bool| {
        wait::until(LIMIT, "the check", async || Ok((check.is_ready() == wanted).then_some(()))).await.unwrap();
    };
    sleep(Duration::from_millis(300)).await;
    assert!(!check.is_ready());
    proxy.refuse(false);
    suitable(&database).await;
    ready(true).await;
    proxy.refuse(true);
    proxy.cut_where(|_| true);
    ready(false).await;
    proxy.refuse(false);
    ready(true).await;
}

#[tokio::test]
async fn a_wrong_address_is_said_without_its_password() {
    let error = open(&args("secret", false), VERSION, Check::detached("database"), &Shutdown::new()).err().unwrap();
    assert!(!format!("{error:#}").contains("secret"));
}
