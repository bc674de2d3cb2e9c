//! Where manifests come from. What a source gives is always the complete list: absence says something only then.

pub(crate) mod claims;
pub(crate) mod cluster;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod withdrawal;

use std::collections::{BTreeMap, BTreeSet};
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
    /// Rooms whose object is being deleted, and its owner's name; only in a cluster.
    pub(crate) deleting: BTreeMap<RoomName, Arc<str>>,
    /// Owners that are there but not of this platform: their rooms are left alone. Only in a cluster.
    pub(crate) elsewhere: BTreeSet<Arc<str>>,
}

impl Scan {
    /// Whether nothing changed since `before`.
    pub(crate) fn same(&self, before: &Self) -> bool {
        let files = || self.files.values().zip(before.files.values()).all(|(now, before)| Arc::ptr_eq(now, before));
        self.missing == before.missing
            && self.incomplete == before.incomplete
            && self.deleting == before.deleting
            && self.elsewhere == before.elsewhere
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
    /// The object's own count of its versions; a file has none.
    pub(crate) generation: Option<i64>,
    /// The whole object, without nulls.
    pub(crate) object: Value,
}

impl Manifest {
    /// Whether both say the same about the same room for the same owner.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.room == other.room
            && self.owner == other.owner
            && self.generation == other.generation
            && self.object == other.object
    }
}

/// Where a manifest stands.
#[derive(Clone)]
pub(crate) enum Place {
    /// A document of a file.
    Document {
        /// Name inside the folder.
        file: Arc<str>,
        /// All of the file.
        text: Arc<str>,
        /// Which of its documents, from 0.
        index: usize,
    },
    /// An object of a cluster, by namespace and name.
    Object(Arc<str>),
}

impl Place {
    /// Name of the file, or of the object.
    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Self::Document { file, .. } => file,
            Self::Object(name) => name,
        }
    }

    /// `general.yaml:7: spec.members[0].role: `Boss` is no choice: …`; in a cluster without file and line.
    pub(crate) fn describe(&self, fault: &Fault) -> String {
        let what = match &fault.path {
            Path(steps) if steps.is_empty() => fault.message.clone(),
            path => format!("{path}: {}", fault.message),
        };
        match self {
            Self::Document { file, text, index } => {
                let line = folder::line(text, *index, &fault.path).unwrap_or(1);
                format!("{file}:{line}: {what}")
            }
            Self::Object(_) => what,
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { file, index, .. } => write!(f, "{file} document {index}"),
            Self::Object(name) => f.write_str(name),
        }
    }
}
