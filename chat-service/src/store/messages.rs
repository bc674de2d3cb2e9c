//! Messages as they read now, and the losses between them.

use contract::fold::Reaction;
use contract::position::LogPosition;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

/// A message of the fold.
#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    /// Who wrote it.
    pub(crate) author: Uuid,
    /// Its id.
    pub(crate) id: Uuid,
    /// Number of its epoch.
    pub(crate) ordinal: i32,
    /// Where in it.
    pub(crate) pos: i64,
    /// Its epoch.
    pub(crate) epoch: String,
    /// When it was sent.
    pub(crate) time: String,
    /// As called then.
    pub(crate) author_username: String,
    /// As called then.
    pub(crate) author_display_name: String,
    /// As it reads now.
    pub(crate) text: String,
    /// What it answers.
    pub(crate) reply_to: Option<Uuid>,
    /// Author of what it answers.
    pub(crate) reply_to_author: Option<Uuid>,
    /// Ids of uploads.
    pub(crate) attachments: Vec<Uuid>,
    /// Time of the last edit.
    pub(crate) edited_at: Option<String>,
    /// Gone for good.
    pub(crate) deleted: bool,
    /// Who reacted with what.
    pub(crate) reactions: Json<Vec<Reaction>>,
}

/// The last `limit` messages below `at`, newest first.
pub(crate) async fn before(
    connection: &mut PgConnection,
    room: Uuid,
    at: LogPosition,
    limit: i64,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    let (ordinal, pos) = columns(at);
    sqlx::query_as!(
        MessageRow,
        r#"select author, id, ordinal, pos, epoch, time, author_username, author_display_name, text, reply_to, reply_to_author,
             attachments, edited_at, deleted, reactions as "reactions: Json<Vec<Reaction>>"
           from messages where room = $1 and (ordinal, pos) < ($2, $3) order by ordinal desc, pos desc limit $4"#,
        room,
        ordinal,
        pos,
        limit
    )
    .fetch_all(connection)
    .await
}

/// The first `limit` messages above `at`, oldest first.
pub(crate) async fn after(
    connection: &mut PgConnection,
    room: Uuid,
    at: LogPosition,
    limit: i64,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    let (ordinal, pos) = columns(at);
    sqlx::query_as!(
        MessageRow,
        r#"select author, id, ordinal, pos, epoch, time, author_username, author_display_name, text, reply_to, reply_to_author,
             attachments, edited_at, deleted, reactions as "reactions: Json<Vec<Reaction>>"
           from messages where room = $1 and (ordinal, pos) > ($2, $3) order by ordinal, pos limit $4"#,
        room,
        ordinal,
        pos,
        limit
    )
    .fetch_all(connection)
    .await
}

/// A loss that nobody can repair: both positions included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GapRow {
    /// Number of its epoch.
    pub(crate) ordinal: i32,
    /// Its epoch.
    pub(crate) epoch: String,
    /// First missing.
    pub(crate) from_pos: i64,
    /// Last missing.
    pub(crate) to_pos: i64,
}

/// All losses of a room, oldest first. There are few.
pub(crate) async fn gaps(connection: &mut PgConnection, room: Uuid) -> Result<Vec<GapRow>, sqlx::Error> {
    sqlx::query_as!(
        GapRow,
        "select g.ordinal, l.epoch, g.from_pos, g.to_pos from gaps g join logs l on l.room = g.room and l.ordinal = g.ordinal
         where g.room = $1 order by g.ordinal, g.from_pos",
        room
    )
    .fetch_all(connection)
    .await
}

/// As PostgreSQL holds positions; beyond its numbers there is nothing.
fn columns(at: LogPosition) -> (i32, i64) {
    (i32::try_from(at.ordinal).unwrap_or(i32::MAX), i64::try_from(at.pos).unwrap_or(i64::MAX))
}
