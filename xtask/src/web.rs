//! The web client: npm's packages, and the build that chat-service holds inside. Both only where something changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ring::digest::{Context as Digest, SHA256};

use crate::layout::Layout;
use crate::secrets::hex;
use crate::{tools, wait};

/// A first installation on a slow line.
const NPM_LIMIT: Duration = Duration::from_mins(15);
/// What the web client is made of, below `web/`.
const SOURCES: [&str; 8] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
];

/// Builds the web client if one of its files changed since the last build. Tells whether it did.
pub(crate) fn build(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<bool> {
    let web = layout.root.join("web");
    let _lock = lock(layout)?;
    let sources = fingerprint(&SOURCES.map(|name| web.join(name)))?;
    let stamp = cache(layout).join("web.sha256");
    if web.join("dist/index.html").is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == sources) {
        return Ok(false);
    }
    packages(layout, say)?;
    npm(layout, &["run", "--silent", "build"])?;
    fs::write(&stamp, sources).context("failed to remember the build of the web client")?;
    Ok(true)
}

/// Installs the web client's packages if their lock file changed since the last time.
pub(crate) fn packages(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<()> {
    tools::node(say)?;
    let web = layout.root.join("web");
    let wanted = fingerprint(&[web.join("package-lock.json")])?;
    // In the folder itself: who removes that, removes the stamp.
    let stamp = web.join("node_modules/.parlor-lock.sha256");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == wanted) {
        return Ok(());
    }
    say("npm ci");
    npm(layout, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
    fs::write(&stamp, wanted).context("failed to remember the installed packages")
}

/// Checks types and rules, and runs the unit tests.
pub(crate) fn check(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<()> {
    let _lock = lock(layout)?;
    packages(layout, say)?;
    npm(layout, &["run", "--silent", "check"])?;
    npm(layout, &["run", "--silent", "test"])
}

/// Runs npm in `web/`.
fn npm(layout: &Layout, args: &[&str]) -> Result<()> {
    let what = format!("npm {}", args.join(" "));
    let mut command = Command::new("npm");
    command.args(args).current_dir(layout.root.join("web"));
    let mut child = command.spawn().with_context(|| format!("failed to run {what}"))?;
    let status = wait::child(&mut child, &what, NPM_LIMIT)?;
    ensure!(status.success(), "{what} failed ({status}): see its message above");
    Ok(())
}

/// What is remembered between builds; it goes with them.
fn cache(layout: &Layout) -> PathBuf {
    layout.root.join("target/xtask")
}

/// One build of the web client at a time, also of several `cargo xtask`.
fn lock(layout: &Layout) -> Result<File> {
    fs::create_dir_all(cache(layout)).context("failed to make the folder of xtask's own files")?;
    wait::lock(&cache(layout).join("web.lock"), NPM_LIMIT, "another `cargo xtask` builds the web client")
}

/// SHA-256 over names and contents. Times do not count: a checkout sets them anew.
fn fingerprint(paths: &[PathBuf]) -> Result<String> {
    let mut digest = Digest::new(&SHA256);
    for path in paths {
        feed(&mut digest, path)?;
    }
    Ok(hex(digest.finish().as_ref()))
}

fn feed(digest: &mut Digest, path: &Path) -> Result<()> {
    digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    if path.is_dir() {
        let mut inside: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
        inside.sort();
        return inside.iter().try_for_each(|path| feed(digest, path));
    }
    if path.is_file() {
        let bytes = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        digest.update(&bytes.len().to_le_bytes());
        digest.update(&bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_names_and_contents_but_not_on_times() {
        let folder = std::env::temp_dir().join(format!("parlor-xtask-print-{}", std::process::id()));
        let print = |name: &str, text: &str| {
            fs::create_dir_all(folder.join("src")).unwrap();
            fs::write(folder.join("src").join(name), text).unwrap();
            let print = fingerprint(&[folder.join("src")]).unwrap();
            fs::remove_dir_all(&folder).unwrap();
            print
        };
        assert_eq!(print("a", "1"), print("a", "1"));
        assert_ne!(print("a", "1"), print("a", "2"));
        assert_ne!(print("a", "1"), print("b", "1"));
    }
}
