//! Rooms as people see and use them.

use crate::log::RoomKey;
use contract::event::{Role, Visibility};
use contract::position::{Epoch, LogPosition};
use contract::room::RoomName;
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;
use uuid::Uuid;

/// What has to be known of a room to let somebody read or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomRow {
    /// Id and address.
    pub(crate) key: RoomKey,
    /// Who may see it.
    pub(crate) visibility: Visibility,
    /// False: closed to sending.
    pub(crate) open: bool,
    /// Longest text.
    pub(crate) message_bytes: usize,
    /// Rate per person.
    pub(crate) messages_per_second: u32,
    /// At once after a pause.
    pub(crate) burst: u32,
}

/// Columns of [`RoomRow`].
struct Raw {
    id: Uuid,
    namespace: String,
    name: String,
    visibility: String,
    open: bool,
    message_bytes: i32,
    messages_per_second: i32,
    burst: i32,
    role: Option<String>,
}

impl Raw {
    /// `None` for a row that this program cannot read: to people it is not there.
    fn read(self) -> Option<(Arc<RoomRow>, Option<Role>)> {
        let row = RoomRow {
            key: RoomKey { id: self.id, name: RoomName::new(&self.namespace, &self.name).ok()? },
            visibility: Visibility::parse(&self.visibility)?,
            open: self.open,
            message_bytes: usize::try_from(self.message_bytes).ok()?,
            messages_per_second: u32::try_from(self.messages_per_second).ok()?,
            burst: u32::try_from(self.burst).ok()?,
        };
        Some((Arc::new(row), self.role.as_deref().and_then(Role::parse)))
    }
}

/// Rooms by address, each with this person's role in it; unknown ones are absent.
pub(crate) async fn by_names(
    pool: &PgPool,
    names: &[RoomName],
    user: Uuid,
) -> Result<Vec<(Arc<RoomRow>, Option<Role>)>, sqlx::Error> {
    let (namespaces, labels): (Vec<String>, Vec<String>) =
        names.iter().map(|name| (name.namespace().to_owned(), name.name().to_owned())).unzip();
    let rows = sqlx::query_as!(
        Raw,
        r#"select r.id, r.namespace, r.name, r.visibility, r.open, r.message_bytes, r.messages_per_second, r.burst, m.role as "role?"
           from rooms r left join members m on m.room = r.id and m.user_id = $3
           where (r.namespace, r.name) in (select * from unnest($1::text[], $2::text[]))"#,
        &namespaces,
        &labels,
        user
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().filter_map(Raw::read).collect())
}

/// Rooms by id; those that are gone are absent.
pub(crate) async fn by_ids(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Arc<RoomRow>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Raw,
        r#"select id, namespace, name, visibility, open, message_bytes, messages_per_second, burst, null as "role?: String"
           from rooms where id = any($1)"#,
        ids
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().filter_map(|raw| raw.read().map(|(row, _)| row)).collect())
}

/// One log of a room: its name, and how far history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EpochRow {
    /// Its name.
    pub(crate) epoch: Epoch,
    /// Position of the last stored event.
    pub(crate) pos: u64,
    /// Whether it is in use.
    pub(crate) open: bool,
}

impl EpochRow {
    /// The stored position.
    pub(crate) fn stored(&self) -> LogPosition {
        LogPosition::new(self.epoch.ordinal(), self.pos)
    }
}

/// All logs of a room that were ever in use, oldest first.
pub(crate) async fn epochs(connection: &mut PgConnection, room: Uuid) -> Result<Vec<EpochRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "select epoch, pos, state from logs where room = $1 and state <> 'pending' order by ordinal",
        room
    )
    .fetch_all(connection)
    .await?;
    let read = |epoch: String, pos: i64, state: &str| {
        Some(EpochRow { epoch: epoch.parse().ok()?, pos: u64::try_from(pos).ok()?, open: state == "open" })
    };
    Ok(rows.into_iter().filter_map(|row| read(row.epoch, row.pos, &row.state)).collect())
}

/// The log that positions without an epoch speak of: the one in use, else the last that was.
pub(crate) fn current(epochs: &[EpochRow]) -> Option<&EpochRow> {
    epochs.iter().find(|epoch| epoch.open).or(epochs.last())
}

/// A room in a person's list.
#[derive(Debug, Clone)]
pub(crate) struct ListedRow {
    /// Its id.
    pub(crate) id: Uuid,
    /// First part of its address.
    pub(crate) namespace: String,
    /// Second part.
    pub(crate) name: String,
    /// Shown name.
    pub(crate) display_name: String,
    /// Shown topic.
    pub(crate) topic: String,
    /// Who may see it.
    pub(crate) visibility: String,
    /// False: closed to sending.
    pub(crate) open: bool,
    /// The person's role, if they are a member.
    pub(crate) role: Option<String>,
    /// Name of the current log.
    pub(crate) epoch: String,
    /// Stored position in it.
    pub(crate) pos: i64,
    /// Others' undeleted messages after the read pointer.
    pub(crate) unread: i64,
    /// Those of them that name the person.
    pub(crate) mentions: i64,
}

/// The rooms that a person may see and whose log was ever open; only the one with this address if one is given.
pub(crate) async fn list(
    pool: &PgPool,
    user: Uuid,
    username: &str,
    only: Option<&RoomName>,
) -> Result<Vec<ListedRow>, sqlx::Error> {
    sqlx::query_as!(
        ListedRow,
        r#"select r.id, r.namespace, r.name, r.display_name, r.topic, r.visibility, r.open, m.role as "role?",
             l.epoch, l.pos, u.unread as "unread!", u.mentions as "mentions!"
           from rooms r
           left join members m on m.room = r.id and m.user_id = $1
           left join read_pointers p on p.room = r.id and p.user_id = $1
           cross join lateral (select epoch, pos from logs where room = r.id and state <> 'pending'
             order by (state = 'open') desc, ordinal desc limit 1) l
           cross join lateral (select count(*) as unread, count(*) filter (where $2 = any(mentions)) as mentions
             from (select t.mentions from messages t
               where m.role is not null and t.room = r.id and t.author <> $1 and not t.deleted
               and (t.ordinal, t.pos) > (coalesce(p.ordinal, 0), coalesce(p.pos, 0))
               order by t.ordinal, t.pos limit 999) first) u
           where (r.visibility = 'Public' or m.role is not null)
           and ($3::text is null or (r.namespace = $3 and r.name = $4))
           order by r.namespace, r.name"#,
        user,
        username,
        only.map(RoomName::namespace),
        only.map(RoomName::name)
    )
    .fetch_all(pool)
    .await
}
