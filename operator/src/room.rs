//! A pass over a set of rooms, however it came about: a changed file, a hint, or a look at everything. Five steps in a line.

mod apply;
mod build;
mod dereference;
mod gone;
mod status;
pub(crate) mod validate;
pub(crate) mod withdraw;

use std::sync::Arc;

use contract::room::RoomName;

use crate::context::{Closed, Context};
use crate::crd::Schemas;
use crate::platform::Platform;
use crate::source::Manifest;

pub(crate) use status::{Outcome, Verdict};

/// A room of a set.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Its address.
    pub(crate) room: RoomName,
    /// Who declares it; `None`: nobody, but its logs are to stay as they are.
    pub(crate) claim: Option<Claim>,
}

/// What a manifest says of a room.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The manifest.
    pub(crate) manifest: Arc<Manifest>,
    /// The owner in the row was seen to be gone.
    pub(crate) takes_over_from: Option<String>,
    /// The namespace has no place for it.
    pub(crate) over_quota: bool,
}

/// What is the same for all rooms of a pass.
#[derive(Clone)]
pub(crate) struct Ground {
    /// Of manifests.
    pub(crate) schemas: Arc<Schemas>,
    /// Classes and limits.
    pub(crate) platform: Arc<Platform>,
    /// Why no room can be worked on now.
    pub(crate) closed: Option<Closed>,
}

/// Makes these rooms as they are to be, and says how they are.
pub(crate) async fn pass(context: &Context, ground: &Ground, set: Vec<Subject>) -> Vec<Outcome> {
    let found = dereference::read(context, set);
    let rooms = validate::all(ground, found);
    let plans = build::plans(ground, &context.world(), rooms);
    let applied = apply::apply(context, plans).await;
    status::outcomes(context, applied)
}
