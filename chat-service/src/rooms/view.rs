//! Rooms as administrators see them.

use crate::store::admin;
use contract::room::RoomName;
use sqlx::PgPool;
use uuid::Uuid;

/// At most so many pending names are told of one room.
const MOST_PENDING_NAMES: i32 = 100;

/// A room with its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomView {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its address.
    pub(crate) name: RoomName,
    /// Who put it.
    pub(crate) owner_uid: String,
    /// Their generation.
    pub(crate) generation: i64,
    /// Hash of the spec.
    pub(crate) hash: String,
    /// False: closed to sending.
    pub(crate) open: bool,
    /// True: its owner let go of it.
    pub(crate) released: bool,
    /// What its deletion means.
    pub(crate) deletion_policy: String,
    /// The pending log while there is one, else the one in use.
    pub(crate) newest: LogView,
    /// The log in use.
    pub(crate) current: Option<LogView>,
    /// Names of the manifest that nobody holds yet: the first 100.
    pub(crate) members_pending: Vec<String>,
}

/// A room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogView {
    /// The stream.
    pub(crate) stream: String,
    /// Its name among the room's logs.
    pub(crate) epoch: String,
    /// Key in `parlor.rooms`.
    pub(crate) routing_key: String,
    /// Class.
    pub(crate) class: String,
    /// With which it is declared.
    pub(crate) replicas: i32,
    /// With which it is declared.
    pub(crate) segment_bytes: i64,
    /// `pending`, `open`, `closed` or `gone`.
    pub(crate) state: String,
}

/// One room by its address.
pub(crate) async fn get(pool: &PgPool, name: &RoomName) -> Result<Option<RoomView>, sqlx::Error> {
    let Some(id) = admin::id(pool, name).await? else { return Ok(None) };
    Ok(many(pool, &[id]).await?.pop())
}

/// Rooms by id, in the order of names; unknown ones are absent.
pub(crate) async fn many(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<RoomView>, sqlx::Error> {
    admin::views(pool, ids, MOST_PENDING_NAMES).await
}

/// The next `limit` rooms after `after`, in the order of names.
pub(crate) async fn page(pool: &PgPool, after: Option<&RoomName>, limit: i64) -> Result<Vec<RoomView>, sqlx::Error> {
    let ids = admin::page(pool, after, limit).await?;
    many(pool, &ids).await
}
