//! `gen`: writes what is made from the sources and checked in. With `--check` it writes elsewhere and compares.

mod chart;
mod crds;
mod sqlx;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::scaling_sim;

/// Files by name.
type Files = BTreeMap<String, String>;

/// A folder, the extension of its generated files, and what makes them.
type Kind = (&'static str, &'static str, fn(&Layout) -> Result<Files>);
/// SQL first: with a new query the programs, which print the rest, can be built only after it.
const KINDS: [Kind; 6] = [
    (".sqlx", "json", sqlx::generate),
    ("crds", "yaml", crds::generate),
    ("charts/parlor-crds/templates", "yaml", crds::templates),
    ("charts/parlor/ci/renders", "yaml", chart::renders),
    ("docs/chart", "md", chart::values),
    ("docs/scaling", "svg", |_| Ok(scaling_sim::files())),
];

/// Writes all generated files, or compares them with what is checked in.
pub(crate) fn run(check: bool) -> Result<()> {
    let layout = Layout::new(None, 0)?;
    let mut wrong = Vec::new();
    for (folder, extension, generate) in KINDS {
        let fresh = generate(&layout).with_context(|| format!("failed to generate {folder}/"))?;
        let old = read(&layout.root.join(folder), extension)?;
        let differing = differing(&old, &fresh);
        if check {
            wrong.extend(differing.iter().map(|name| format!("{folder}/{name}")));
        } else {
            write(&layout.root.join(folder), &old, &fresh)?;
        }
        println!(
            "{folder}/: {} files, {} {}",
            fresh.len(),
            differing.len(),
            if check { "out of date" } else { "changed" }
        );
    }
    if !wrong.is_empty() {
        bail!("out of date: {}. Run `cargo xtask gen` and commit what it writes.", wrong.join(", "));
    }
    Ok(())
}

/// Names that are missing, too many or different.
fn differing(old: &Files, fresh: &Files) -> Vec<String> {
    let changed = fresh.iter().filter(|(name, text)| old.get(*name) != Some(*text)).map(|(name, _)| name);
    let gone = old.keys().filter(|name| !fresh.contains_key(*name));
    changed.chain(gone).cloned().collect()
}

/// The files of a folder with this extension; a folder that is not there has none.
fn read(folder: &Path, extension: &str) -> Result<Files> {
    let mut files = Files::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files
                .insert(name, fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?);
        }
    }
    Ok(files)
}

/// Leaves unchanged files alone, so that their times do not rebuild anything.
fn write(folder: &Path, old: &Files, fresh: &Files) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    for name in differing(old, fresh) {
        let path = folder.join(&name);
        match fresh.get(&name) {
            Some(text) => fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?,
            None => fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_too_many_and_one_too_few_are_differences() {
        let files =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect::<Files>();
        assert_eq!(differing(&files(&["a", "b"]), &files(&["b", "c"])), ["c", "a"]);
        assert!(differing(&files(&["a"]), &files(&["a"])).is_empty());
    }
}
