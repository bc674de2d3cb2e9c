//! Where manifests come from. What a source gives is always the complete list: absence says something only then.

pub(crate) mod claims;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod withdrawal;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use contract::room::RoomName;
use serde_json::Value;

use crate::fault::{Fault, Path};

/// One look at everything that the source has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    /// The folder is not there.
    pub(crate) missing: bool,
    /// Why the list is not complete; absence then says nothing.
    pub(crate) incomplete: Option<String>,
    /// Every manifest file by its name, in order.
    pub(crate) files: BTreeMap<Arc<str>, Arc<File>>,
}

impl Scan {
    /// Whether nothing changed since `before`.
    pub(crate) fn same(&self, before: &Self) -> bool {
        let files = || self.files.values().zip(before.files.values()).all(|(now, before)| Arc::ptr_eq(now, before));
        self.missing == before.missing
            && self.incomplete == before.incomplete
            && self.files.len() == before.files.len()
            && files()
    }
}

/// One file of manifests.
#[derive(Debug)]
pub(crate) struct File {
    /// Name inside the folder.
    pub(crate) name: Arc<str>,
    /// What it held; `None` if it could not be read.
    pub(crate) text: Option<Arc<str>>,
    /// Rooms that it declares, valid or not.
    pub(crate) rooms: Vec<Arc<Manifest>>,
    /// Platforms that it declares.
    pub(crate) platforms: Vec<Arc<Manifest>>,
    /// What is wrong with it beyond the specs of its rooms, each with its line.
    pub(crate) faults: Vec<String>,
    /// False: a part of it could not be understood, so it may declare more than is known.
    pub(crate) whole: bool,
}

/// One object of a file.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Its address; for a platform, namespace and name likewise.
    pub(crate) room: RoomName,
    /// Who declares it, as it stands in the room's row.
    pub(crate) owner: Arc<str>,
    /// Where it stands.
    pub(crate) place: Place,
    /// The whole object, without nulls.
    pub(crate) object: Value,
}

impl Manifest {
    /// Whether both say the same about the same room for the same owner.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.room == other.room && self.owner == other.owner && self.object == other.object
    }
}

/// A document of a file.
#[derive(Clone)]
pub(crate) struct Place {
    /// Name inside the folder.
    pub(crate) file: Arc<str>,
    text: Arc<str>,
    document: usize,
}

impl Place {
    /// `general.yaml:7: spec.members[0].role: `Boss` is no choice: …`
    pub(crate) fn describe(&self, fault: &Fault) -> String {
        let line = folder::line(&self.text, self.document, &fault.path).unwrap_or(1);
        match fault.path {
            Path(ref steps) if steps.is_empty() => format!("{}:{line}: {}", self.file, fault.message),
            ref path => format!("{}:{line}: {path}: {}", self.file, fault.message),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} document {}", self.file, self.document)
    }
}
