//! Lists a folder and reads its manifests. A folder inside that cannot be listed makes the list incomplete; a file that cannot be
//! read is one that exists.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use super::parse;
use crate::source::{File, Scan};

/// Largest file that is read: a thousand rooms fit several times.
const FILE_BYTES_MOST: u64 = 4 << 20;
/// Most files of one folder.
const FILES_MOST: usize = 20_000;
/// Deepest folder inside the folder.
const DEPTH_MOST: usize = 8;

/// The folder as it is now. What did not change since `before` is not parsed again. Blocks.
pub(super) fn scan(folder: &Path, owner: &str, before: &Scan) -> Scan {
    let mut scan = Scan::default();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => scan.missing = true,
        Err(error) if error.kind() == ErrorKind::NotFound => scan.missing = true,
        Err(error) => scan.incomplete = Some(format!("the folder cannot be read: {error}")),
    }
    if !scan.missing && scan.incomplete.is_none() {
        let mut names = BTreeMap::new();
        scan.incomplete = list(folder, "", DEPTH_MOST, &mut names).err();
        for (name, path) in names {
            let name: Arc<str> = name.into();
            let file = read(&name, &path, owner, before.files.get(&name));
            scan.files.insert(name, file);
        }
    }
    if scan.incomplete.is_some() {
        // What was not listed this time may still be there.
        for (name, file) in &before.files {
            scan.files.entry(name.clone()).or_insert_with(|| file.clone());
        }
    }
    scan
}

/// One file as if it were alone in a folder, whatever its name ends in.
pub(super) fn one(path: &Path) -> Scan {
    let name: Arc<str> = path.display().to_string().into();
    let file = read(&name, path, "", None);
    Scan { files: BTreeMap::from([(name, file)]), ..Scan::default() }
}

/// Names of files inside the folder, with slashes, and where they are.
fn list(
    folder: &Path,
    prefix: &str,
    depth: usize,
    into: &mut BTreeMap<String, std::path::PathBuf>,
) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("{prefix}: the folder cannot be listed: {error}");
    let depth = depth.checked_sub(1).ok_or_else(|| format!("{prefix}: folders are nested too deep"))?;
    for entry in fs::read_dir(folder).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        // Hidden ones are an editor's, or the other side of a mounted ConfigMap.
        if name.starts_with('.') {
            continue;
        }
        let (path, inner) = (entry.path(), format!("{prefix}{name}"));
        // Follows links. One that leads nowhere is a file that cannot be read.
        let is_folder = fs::metadata(&path).is_ok_and(|found| found.is_dir());
        if is_folder {
            list(&path, &format!("{inner}/"), depth, into)?;
        } else if [".yaml", ".yml"].iter().any(|ending| name.ends_with(ending)) {
            into.insert(inner, path);
        }
        if into.len() > FILES_MOST {
            return Err(format!("{prefix}: there are more than {FILES_MOST} manifests"));
        }
    }
    Ok(())
}

fn read(name: &Arc<str>, path: &Path, folder_owner: &str, before: Option<&Arc<File>>) -> Arc<File> {
    match text(path) {
        Ok(text) => match before {
            Some(before) if before.text.as_deref() == Some(&text) => before.clone(),
            _ => Arc::new(parse::file(name, &format!("{folder_owner}/{name}").into(), &text)),
        },
        Err(reason) => match before {
            Some(before) if before.text.is_none() && before.faults == [format!("{name}: {reason}")] => before.clone(),
            _ => Arc::new(parse::unreadable(name, &reason)),
        },
    }
}

fn text(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err("is no plain file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MOST + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MOST {
        return Err(format!("has more than {} MiB: split it", FILE_BYTES_MOST >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is no text in UTF-8: save it as that".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "{apiVersion: parlor.dev/v1alpha1, kind: ChatRoom, metadata: {name: NAME}}\n";

    fn write(folder: &Path, file: &str, room: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, ROOM.replace("NAME", room)).unwrap();
    }

    fn names(scan: &Scan) -> Vec<&str> {
        scan.files.keys().map(|name| &**name).collect()
    }

    #[test]
    fn manifests_are_found_at_any_depth_and_hidden_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (file, room) in
            [("a.yaml", "a"), ("team/b.yml", "b"), (".hidden.yaml", "c"), ("..data/d.yaml", "d"), ("e.txt", "e")]
        {
            write(folder.path(), file, room);
        }
        let scan = scan(folder.path(), "file:x", &Scan::default());
        assert_eq!(names(&scan), ["a.yaml", "team/b.yml"]);
        assert_eq!(&*scan.files["team/b.yml"].rooms[0].owner, "file:x/team/b.yml");
        assert!(!scan.missing && scan.incomplete.is_none());
    }

    #[test]
    fn a_file_that_did_not_change_is_not_parsed_again() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.yaml", "a");
        write(folder.path(), "b.yaml", "b");
        let first = scan(folder.path(), "x", &Scan::default());
        write(folder.path(), "b.yaml", "other");
        let second = scan(folder.path(), "x", &first);
        assert!(Arc::ptr_eq(&first.files["a.yaml"], &second.files["a.yaml"]));
        assert_eq!(second.files["b.yaml"].rooms[0].room.as_str(), "default/other");
    }

    #[test]
    fn a_folder_that_is_not_there_is_missing_and_a_file_without_an_end_is_one_that_exists() {
        let folder = tempfile::tempdir().unwrap();
        assert!(scan(&folder.path().join("none"), "x", &Scan::default()).missing);
        std::os::unix::fs::symlink("/nowhere", folder.path().join("dangling.yaml")).unwrap();
        fs::write(folder.path().join("binary.yaml"), [0xff, 0xfe]).unwrap();
        let scan = scan(folder.path(), "x", &Scan::default());
        assert_eq!(names(&scan), ["binary.yaml", "dangling.yaml"]);
        assert_eq!(scan.files["binary.yaml"].faults, ["binary.yaml: is no text in UTF-8: save it as that"]);
        assert!(scan.files.values().all(|file| !file.whole && file.faults.len() == 1));
    }
}
