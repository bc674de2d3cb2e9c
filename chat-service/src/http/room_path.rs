//! The room in a path. An address that no room can have is that of no room.

use crate::error::Refused;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use contract::room::RoomName;
use service::extract::Path;
use service::problem::Problem;
use std::collections::HashMap;

/// `{namespace}/{name}`.
#[derive(Debug, Clone)]
pub(crate) struct RoomPath(pub(crate) RoomName);

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(path) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await?;
        let part = |name: &str| path.get(name).map_or("", String::as_str);
        let room = RoomName::new(part("namespace"), part("name"));
        room.map(Self).map_err(|_| Refused::NotFound("room").into())
    }
}
