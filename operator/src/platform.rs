//! The platform's pass, before any room's: what all rooms share. Like a room's it is five steps in a line.

pub(crate) mod apply;
pub(crate) mod build;
pub(crate) mod dereference;
pub(crate) mod status;
pub(crate) mod validate;

use crate::context::{Closed, Context};
use crate::report::Notice;
use std::collections::BTreeSet;

pub(crate) use validate::Platform;

/// How much is read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The rows alone: what a changed manifest is compared with.
    Rows,
    /// Rows and broker.
    All,
}

/// Reads the servers, and makes what all rooms need. An error says why no room can be worked on.
pub(crate) async fn pass(
    context: &Context,
    platform: &Platform,
    extent: Extent,
    confirmed_loss: bool,
) -> Result<BTreeSet<Notice>, Closed> {
    dereference::read(context, platform, extent, confirmed_loss).await?;
    build::check(&context.world(), confirmed_loss)?;
    let difference = build::difference(&context.world(), platform)?;
    apply::apply(context, difference).await?;
    Ok(status::notices(&context.world(), platform))
}
