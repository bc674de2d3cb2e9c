//! A PostgreSQL database for one test.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::{unique_name, with_path};
use crate::cleanup;

/// Dropped, with whoever is still connected, when the value goes.
pub struct TestDatabase {
    /// Its address, for programs and pools.
    pub url: String,
    name: String,
    admin_url: String,
}

impl TestDatabase {
    pub(super) async fn create(admin_url: &str) -> Result<Self> {
        let name = unique_name();
        let mut admin = connect(admin_url).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut admin)
            .await
            .context("failed to create a database")?;
        admin.close().await.ok();
        Ok(Self { url: with_path(admin_url, &format!("/{name}")), name, admin_url: admin_url.to_owned() })
    }

    /// Applies all migrations of this checkout.
    pub async fn migrate(&self) -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let migrator = Migrator::new(folder).await.context("failed to read the migrations")?;
        let mut connection = connect(&self.url).await?;
        migrator.run(&mut connection).await.context("failed to migrate a database")?;
        connection.close().await.ok();
        Ok(())
    }

    /// A few connections to it.
    pub async fn pool(&self) -> Result<PgPool> {
        sqlx::postgres::PgPoolOptions::new()
            .max_connections(4)
            .connect(&self.url)
            .await
            .context("failed to connect to the test's database")
    }
}

async fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url).await.context("failed to connect to PostgreSQL")
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, admin_url) = (&self.name, &self.admin_url);
        cleanup::run("a database", || async move {
            let mut admin = connect(admin_url).await?;
            sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
                .execute(&mut admin)
                .await?;
            Ok(())
        });
    }
}
