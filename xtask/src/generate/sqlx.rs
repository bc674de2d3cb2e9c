//! `.sqlx/`: PostgreSQL's answers about every query, which let the programs be built without a database. The compiler asks them
//! while it checks the code against a fresh database with all migrations.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use super::Files;
use crate::guard::{AtTheEnd, Guard};
use crate::layout::Layout;
use crate::process::{self, Children};
use crate::scratch::Scratch;
use crate::secrets::{DATABASE, Secrets};
use crate::servers::postgres;
use crate::{cargo, tools};

/// PostgreSQL alone is quick.
const SERVER_LIMIT: Duration = Duration::from_mins(1);

/// Starts a PostgreSQL of its own, migrates it, lets the compiler ask, and removes it again.
pub(crate) fn generate(layout: &Layout) -> Result<Files> {
    let tools = tools::postgres(&mut |line| println!("{line}"))?;
    let scratch = Scratch::new("gen")?;
    let stack = &scratch.layout;
    let mut children = Children::default();
    let guard = Guard::over(stack, AtTheEnd::Remove)?;
    let secrets = Secrets::load_or_make(stack)?;
    children.start(stack, "postgres", &postgres::prepare(stack, &tools, &secrets)?)?;
    process::wait_ready(stack, "postgres", SERVER_LIMIT, |line| println!("{line}"))?;
    postgres::create_database(stack, &tools, &secrets)?;
    migrate(layout, stack, &tools, &secrets)?;
    let files = ask(layout, stack, &secrets)?;
    guard.end()?;
    Ok(files)
}

fn migrate(layout: &Layout, stack: &Layout, tools: &tools::Postgres, secrets: &Secrets) -> Result<()> {
    for file in migrations(&layout.root.join("migrations"))? {
        let path = file.display().to_string();
        postgres::psql(stack, tools, secrets, DATABASE, &["--single-transaction", "--file", &path])
            .with_context(|| format!("failed to apply {path}"))?;
    }
    Ok(())
}

/// `0001_….sql` and so on, by number.
fn migrations(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn ask(layout: &Layout, stack: &Layout, secrets: &Secrets) -> Result<Files> {
    let answers = stack.data().join("sqlx");
    fs::create_dir_all(&answers)?;
    let packages = packages_with_sql(layout)?;
    ensure!(!packages.is_empty(), "no package depends on sqlx");
    for package in &packages {
        touch(package)?;
    }
    let mut command = cargo::command(layout, &["check", "--workspace", "--all-targets", "--quiet"]);
    command
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &answers)
        .env("DATABASE_URL", secrets.database_url(stack));
    cargo::run(command)?;
    let files = super::read(&answers, "json")?;
    ensure!(!files.is_empty(), "the compiler asked no question about SQL");
    Ok(files)
}

/// Folders of the workspace whose manifest names sqlx.
fn packages_with_sql(layout: &Layout) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&layout.root)? {
        let folder = entry?.path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.lines().any(|line| line.starts_with("sqlx")) {
            found.push(folder);
        }
    }
    Ok(found)
}

/// The compiler checks a package again only if a file of it is newer; each of its targets has its own root.
fn touch(package: &Path) -> Result<()> {
    let mut roots: Vec<PathBuf> = ["src/main.rs", "src/lib.rs"].iter().map(|name| package.join(name)).collect();
    if let Ok(entries) = fs::read_dir(package.join("tests")) {
        for entry in entries.flatten() {
            let path = entry.path();
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    roots.retain(|root| root.extension().is_some_and(|extension| extension == "rs") && root.is_file());
    if roots.is_empty() {
        bail!("{} has no main.rs or lib.rs", package.display());
    }
    for root in roots {
        let file = fs::File::options().append(true).open(&root)?;
        file.set_modified(SystemTime::now()).with_context(|| format!("failed to touch {}", root.display()))?;
    }
    Ok(())
}
