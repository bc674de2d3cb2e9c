//! Calls that the protocol has and that are not built: each says so by its name.

use super::caller::Caller;
use crate::error::Refused;
use service::problem::Problem;

/// Uploads.
pub(crate) async fn uploads(_: Caller) -> Problem {
    Refused::Unimplemented("uploading files").into()
}

/// Levels of notifications.
pub(crate) async fn notifications(_: Caller) -> Problem {
    Refused::Unimplemented("choosing notifications").into()
}
