//! What is wrong in a manifest: at which field, and what to write instead. The line is looked up where a person reads it.

use std::fmt;

/// One step from a node of a document to the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Into a mapping.
    Field(String),
    /// Into a list.
    Item(usize),
}

/// Where in a document, as `spec.members[0].role`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(pub(crate) Vec<Step>);

impl Path {
    /// The path with these names of fields, as `["spec", "className"]`.
    pub(crate) fn of(fields: &[&str]) -> Self {
        Self(fields.iter().map(|field| Step::Field((*field).to_owned())).collect())
    }

    /// One field further.
    pub(crate) fn field(&self, name: &str) -> Self {
        self.join(Step::Field(name.to_owned()))
    }

    /// One item further.
    pub(crate) fn item(&self, index: usize) -> Self {
        self.join(Step::Item(index))
    }

    fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if index == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(at) => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// At which field; empty: of the whole document.
    pub(crate) path: Path,
    /// What is wrong, and the cure.
    pub(crate) message: String,
}

impl Fault {
    /// `message` is about `path`.
    pub(crate) fn new(path: Path, message: impl Into<String>) -> Self {
        Self { path, message: message.into() }
    }
}
