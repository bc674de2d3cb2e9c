//! PostgreSQL: a pool that is there at once, migrations under a lock, and the question whether this program and this database
//! suit each other.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clap::builder::FalseyValueParser;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::health::Check;
use crate::retry::Backoff;
use crate::shutdown::Shutdown;

/// How long a request waits for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
/// The longest that a statement of a request may run.
const STATEMENT_LIMIT: &str = "10s";
/// A transaction whose program has stopped talking must not hold its locks for ever.
const IDLE_TRANSACTION_LIMIT: &str = "30s";
/// How long all connections may be held to open those that lack; less than `ACQUIRE_LIMIT`.
const OPEN_LIMIT: Duration = Duration::from_secs(2);
/// After that was not enough: a server with fewer places than we want must not hold up requests all the time.
const OPEN_AGAIN: Duration = Duration::from_mins(1);
/// How often the database is asked whether it is there.
const EVERY: Duration = Duration::from_secs(2);
/// The longest that any one question of the watch may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// Address of PostgreSQL, as `postgres://user:password@host:port/name`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
    /// Run the migrations at the start
    #[arg(long, env = "MIGRATE", value_parser = FalseyValueParser::new())]
    pub migrate: bool,
    /// Connections to PostgreSQL, opened at once and kept
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 16, value_name = "COUNT")]
    pub database_connections: u32,
}

/// A pool, and whether its database suits this program. Clones share both.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    suitable: watch::Receiver<bool>,
}

/// The migrations of this build.
pub fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations");
    // After a roll-back the database knows migrations that this program does not: `min_program` says whether that is well.
    migrator.set_ignore_missing(true);
    migrator
}

/// Opens the pool and returns at once. A task then migrates if it is to, waits until the database suits a program of
/// `program_version`, and says in `check` whether it is there. Call it inside the runtime.
pub fn open(args: &DatabaseArgs, program_version: u32, check: Check, shutdown: &Shutdown) -> Result<Database> {
    let plain = options(args)?;
    let limited = plain.clone().options([
        ("statement_timeout", STATEMENT_LIMIT),
        ("idle_in_transaction_session_timeout", IDLE_TRANSACTION_LIMIT),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(args.database_connections)
        // For the ones whose life has ended; the keeper opens all others.
        .min_connections(args.database_connections)
        .idle_timeout(None)
        .acquire_timeout(ACQUIRE_LIMIT)
        .connect_lazy_with(limited);
    let (sender, suitable) = watch::channel(false);
    let keeper = Keeper { pool: pool.clone(), plain, migrate: args.migrate, program_version, check, suitable: sender };
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = keeper.run() => {}
            () = shutdown.begun() => {}
        }
    });
    Ok(Database { pool, suitable })
}

/// Runs the migrations and returns; tried again until the database is there. An error: told to stop before, the address is none, or
/// the database refuses a migration, which asking again does not change.
pub async fn migrate(args: &DatabaseArgs, shutdown: &Shutdown) -> Result<()> {
    let options = options(args)?;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let error = tokio::select! {
            outcome = run_migrations(&options) => match outcome {
                Ok(()) => return Ok(()),
                Err(error) if error.is_lasting() => return Err(error.into()),
                Err(error) => error,
            },
            () = shutdown.begun() => anyhow::bail!("told to stop before the database was migrated"),
        };
        let error = anyhow::Error::new(error);
        tracing::warn!("{error:#}; tried again");
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = shutdown.begun() => anyhow::bail!("told to stop before the database was migrated: {error:#}"),
        }
    }
}

/// The address holds a password: an error must not repeat it.
fn options(args: &DatabaseArgs) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(&args.database_url).map_err(|_| {
        anyhow::anyhow!("DATABASE_URL is no address of PostgreSQL (postgres://user:password@host:port/name)")
    })?;
    Ok(options.log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1)))
}

/// sqlx holds an advisory lock meanwhile: whoever comes second finds nothing left to do.
async fn run_migrations(options: &PgConnectOptions) -> Result<(), Unsuitable> {
    let opening = timeout(ASK_LIMIT, options.connect());
    let mut connection = opening.await.map_err(|_| late())?.map_err(|error| unreachable(&error))?;
    let outcome = migrator().run_direct(None, &mut connection, false).await;
    connection.close().await.ok();
    outcome.map_err(Unsuitable::Migration)
}

impl Database {
    /// The pool. Before `suitable` its tables may be missing.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Resolves once the database is migrated and suits this program; never, if the program is told to stop before.
    pub async fn suitable(&self) {
        let mut suitable = self.suitable.clone();
        if suitable.wait_for(|suitable| *suitable).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Why the database cannot be used yet.
#[derive(Debug, thiserror::Error)]
enum Unsuitable {
    #[error("PostgreSQL is not reachable: {0}")]
    Unreachable(String),
    #[error("failed to migrate: {0}")]
    Migration(#[source] MigrateError),
    #[error("the database waits for its migrations: it is at {found}, this program needs {needed}")]
    Behind { found: i64, needed: i64 },
    #[error("the database needs programs of version {needed} or later, this is version {version}: update it")]
    TooNew { needed: i64, version: u32 },
}

impl Unsuitable {
    /// Whether only a person can change it: the database answered, and what it holds and the migrations do not go together.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Migration(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                error.as_database_error().is_some()
            }
            Self::Migration(_) => true,
            _ => false,
        }
    }
}

struct Keeper {
    pool: PgPool,
    /// Without the limits of requests: a migration may take long.
    plain: PgConnectOptions,
    migrate: bool,
    program_version: u32,
    check: Check,
    suitable: watch::Sender<bool>,
}

impl Keeper {
    async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), EVERY);
        while let Err(error) = self.prepare().await {
            self.check.not_ready(error.to_string());
            sleep(backoff.next()).await;
        }
        let mut open_again = self.open_all().await;
        self.check.ready();
        self.suitable.send_replace(true);
        backoff.reset();
        loop {
            match self.ask().await {
                Ok(()) => {
                    if open_again <= Instant::now() {
                        open_again = self.open_all().await;
                    }
                    self.check.ready();
                    backoff.reset();
                    sleep(EVERY).await;
                }
                Err(error) => {
                    self.check.not_ready(error.to_string());
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn prepare(&self) -> Result<(), Unsuitable> {
        if self.migrate {
            run_migrations(&self.plain).await?;
        }
        timeout(ASK_LIMIT, self.compare()).await.unwrap_or_else(|_| Err(late()))
    }

    /// Asked of a database that may have no tables at all, so these statements cannot be checked at compile time.
    async fn compare(&self) -> Result<(), Unsuitable> {
        let needed = migrator().iter().map(|migration| migration.version).max().unwrap_or(0);
        let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| unreachable(&error))?;
        if !known {
            return Err(Unsuitable::Behind { found: 0, needed });
        }
        let found: i64 = sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations where success")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| unreachable(&error))?;
        if found < needed {
            return Err(Unsuitable::Behind { found, needed });
        }
        let min_program: i64 = sqlx::query_scalar("select min_program::bigint from schema_version")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| unreachable(&error))?;
        if min_program > i64::from(self.program_version) {
            return Err(Unsuitable::TooNew { needed: min_program, version: self.program_version });
        }
        Ok(())
    }

    /// Opens the connections that the pool lacks: all of them at the start, later those that were lost; gives the time to look again.
    /// Opening one takes about 800 turns of the runtime (PBKDF2 in slices): in a burst longer than a request may wait. sqlx itself
    /// fills a pool up to `min_connections` only when it ends an old connection.
    async fn open_all(&self) -> Instant {
        let wanted = self.pool.options().get_max_connections();
        // A new one is opened only while all others are taken: they are held, for less than a request would wait for them.
        let opening = async {
            let mut held = Vec::new();
            while self.pool.size() < wanted {
                held.push(self.pool.acquire().await?);
            }
            Ok::<_, sqlx::Error>(())
        };
        let error = match timeout(OPEN_LIMIT, opening).await {
            Ok(Ok(())) => return Instant::now(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "PostgreSQL gives no more, or not in time".to_owned(),
        };
        let open = self.pool.size();
        tracing::warn!(wanted, open, error, "not every connection to PostgreSQL is open; those that are serve");
        Instant::now() + OPEN_AGAIN
    }

    async fn ask(&self) -> Result<(), Unsuitable> {
        let asking = sqlx::query("select 1").execute(&self.pool);
        timeout(ASK_LIMIT, asking).await.map_err(|_| late())?.map(|_| ()).map_err(|error| unreachable(&error))
    }
}

fn late() -> Unsuitable {
    Unsuitable::Unreachable("it does not answer in time".to_owned())
}

/// Errors of sqlx name hosts and users, never passwords.
fn unreachable(error: &sqlx::Error) -> Unsuitable {
    Unsuitable::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests;
