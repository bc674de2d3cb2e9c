//! Tidiness as a test: every file says its job, every file is reached, nothing is left for later.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::layout::Layout;

/// Longer files are looked at again; this is where even those that were end.
const MAX_LINES: usize = 600;
/// What git holds that is no text of ours.
const BINARY: [&str; 6] = ["png", "ico", "woff2", "lock", "svg", "pb"];

/// Runs all checks over the files that git knows or would take.
pub(crate) fn check(layout: &Layout) -> Result<()> {
    let files = files(&layout.root)?;
    let mut wrong = Vec::new();
    for path in &files {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if BINARY.contains(&extension) {
            continue;
        }
        let Ok(text) = fs::read_to_string(layout.root.join(path)) else { continue };
        let name = path.display().to_string();
        if extension == "rs" {
            wrong.extend(in_rust(&name, &text));
        }
        wrong.extend(own_path(&name, &text, &layout.root));
    }
    wrong.extend(unreachable(layout, &files));
    wrong.extend(missing_folders(layout));
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n"))
}

/// Tracked files, and new ones that are not ignored.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("failed to run git: apt-get install git")?;
    ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let names = String::from_utf8(output.stdout).context("a file's name is no text")?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect())
}

fn in_rust(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//! ") {
        wrong.push(format!("{name}:1: begin with one to three `//!` lines: its job and its place"));
    }
    if name.ends_with("/mod.rs") {
        wrong.push(format!("{name}: use `foo.rs` beside `foo/` instead of `mod.rs`"));
    }
    let count = text.lines().count();
    if count > MAX_LINES {
        wrong.push(format!("{name}: {count} lines; split it where pure code meets I/O"));
    }
    // Written in two parts, so that this file passes its own check.
    let left_for_later = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat()];
    let left_out = ["#[", "ignore"].concat();
    let silenced = ["#[", "allow("].concat();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if left_for_later.iter().any(|word| line.contains(word.as_str())) {
            wrong.push(format!("{place}: nothing is left for later in the code; open an issue"));
        }
        if line.trim_start().starts_with(&left_out) {
            wrong.push(format!("{place}: no test is ignored; fix or remove it"));
        }
        if line.trim_start().starts_with(&silenced) {
            wrong.push(format!("{place}: use #[expect(…, reason = \"…\")] instead"));
        }
    }
    wrong
}

/// A path of the machine that the text was written on helps nobody else.
fn own_path(name: &str, text: &str, root: &Path) -> Vec<String> {
    let mut paths = vec![root.display().to_string()];
    paths.extend(std::env::var("HOME").ok().filter(|home| home.matches('/').count() >= 2));
    let line = text.lines().position(|line| paths.iter().any(|path| line.contains(path.as_str())));
    line.map(|index| format!("{name}:{}: a path of this machine", index + 1)).into_iter().collect()
}

/// Files that no `mod` names are never compiled, so nothing checks them.
fn unreachable(layout: &Layout, files: &BTreeSet<PathBuf>) -> Vec<String> {
    let mut reached = BTreeSet::new();
    for root in files.iter().filter(|path| is_crate_root(path)) {
        follow(&layout.root, root, true, &mut reached);
    }
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs") && !reached.contains(*path))
        .map(|path| format!("{}: no `mod` names it, so it is never compiled", path.display()))
        .collect()
}

/// `<package>/src/{main,lib}.rs`, `<package>/build.rs`, `<package>/{tests,benches,examples}/<name>.rs` or `…/<name>/main.rs`, `<package>/src/bin/<name>.rs`.
fn is_crate_root(path: &Path) -> bool {
    let words: Vec<&str> = path.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        [_, "build.rs"] | [_, "src", "main.rs" | "lib.rs"] | [_, "tests" | "benches" | "examples", _, "main.rs"] => {
            true
        }
        [_, "tests" | "benches" | "examples", file] | [_, "src", "bin", file] => {
            Path::new(file).extension().is_some_and(|extension| extension == "rs")
        }
        _ => false,
    }
}

fn follow(base: &Path, file: &Path, is_root: bool, reached: &mut BTreeSet<PathBuf>) {
    if !reached.insert(file.to_path_buf()) {
        return;
    }
    let text = fs::read_to_string(base.join(file)).unwrap_or_default();
    let parent = file.parent().unwrap_or(Path::new(""));
    let folder = if is_root { parent.to_path_buf() } else { file.with_extension("") };
    for module in modules(&text) {
        let found = match module {
            Module::Named(name) => [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")]
                .into_iter()
                .find(|path| base.join(path).is_file()),
            Module::At(path) => Some(parent.join(path)),
        };
        if let Some(path) = found {
            follow(base, &path, false, reached);
        }
    }
}

/// How a file names another.
#[derive(Debug, PartialEq, Eq)]
enum Module {
    Named(String),
    At(String),
}

fn modules(text: &str) -> Vec<Module> {
    let mut all = Vec::new();
    let mut at = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            at = Some(path.to_owned());
            continue;
        }
        let words = line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches(|letter| letter != 'm'));
        if let Some(name) = words.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            all.push(at.take().map_or_else(|| Module::Named(name.to_owned()), Module::At));
        }
    }
    all
}

/// Every folder that ARCHITECTURE.md names, written as `name/` in code quotes, is there.
fn missing_folders(layout: &Layout) -> Vec<String> {
    let Ok(text) = fs::read_to_string(layout.root.join("ARCHITECTURE.md")) else {
        return vec!["ARCHITECTURE.md is not there".to_owned()];
    };
    folders_named(&text)
        .into_iter()
        .filter(|folder| !layout.root.join(folder).is_dir())
        .map(|folder| format!("ARCHITECTURE.md names {folder}, which is not there"))
        .collect()
}

fn folders_named(text: &str) -> BTreeSet<String> {
    let plain = |word: &str| word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/-_.".contains(letter));
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.len() > 1 && word.ends_with('/') && !word.starts_with('/') && plain(word))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_job_and_with_something_left_for_later_is_told_twice() {
        let text = format!("fn main() {{}} // {}\n", ["TO", "DO"].concat());
        assert_eq!(in_rust("a/src/x.rs", &text).len(), 2);
        assert!(in_rust("a/src/x.rs", "//! Job.\n").is_empty());
    }

    #[test]
    fn modules_are_found_with_any_visibility_and_by_path() {
        let text = "mod a;\npub(crate) mod b;\n#[path = \"other/c.rs\"]\nmod c;\nmod inline {\n}\npub mod d;\n";
        let named = |name: &str| Module::Named(name.to_owned());
        assert_eq!(modules(text), [named("a"), named("b"), Module::At("other/c.rs".into()), named("d")]);
    }

    #[test]
    fn roots_of_crates_need_nobody_to_name_them() {
        for root in ["a/src/main.rs", "a/tests/it/main.rs", "a/tests/one.rs", "a/build.rs", "a/src/bin/x.rs"] {
            assert!(is_crate_root(Path::new(root)), "{root}");
        }
        assert!(!is_crate_root(Path::new("a/tests/it/util.rs")) && !is_crate_root(Path::new("a/src/util.rs")));
    }

    #[test]
    fn only_folders_in_code_quotes_are_promises() {
        let folders = folders_named("The `contract/` crate, `src/{a,b}/`, and/or `operator/src/source/`; `x`.");
        assert_eq!(folders.into_iter().collect::<Vec<_>>(), ["contract/", "operator/src/source/"]);
    }

    #[test]
    fn this_checkout_must_not_name_its_own_place() {
        let root = Path::new("/some/where");
        assert_eq!(own_path("a.md", "x\nsee /some/where/b\n", root), ["a.md:2: a path of this machine"]);
        assert!(own_path("a.md", "x\n", root).is_empty());
    }
}
