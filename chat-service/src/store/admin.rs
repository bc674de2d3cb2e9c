//! Rows of rooms as the operator puts and lists them: always for a whole set at once.

use crate::rooms::fence::Held;
use crate::rooms::spec::{Put, Spec};
use crate::rooms::view::{LogView, RoomView};
use contract::event::Visibility;
use contract::room::RoomName;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use uuid::Uuid;

/// How long a transaction waits for somebody else's lock on one of its rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Others finish within this.
    Usual,
    /// Somebody was found to hold a lock for long: find out quickly on which room.
    Little,
}

/// Begins a transaction that does not wait long for the locks of others.
pub(crate) async fn begin(
    pool: &PgPool,
    patience: Patience,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let limit = match patience {
        Patience::Usual => "set local lock_timeout = '2s'",
        Patience::Little => "set local lock_timeout = '100ms'",
    };
    sqlx::query(limit).execute(&mut *transaction).await?;
    Ok(transaction)
}

/// A room's row as a put writes it.
#[derive(Debug, Serialize)]
pub(crate) struct RoomRow<'a> {
    id: Uuid,
    namespace: &'a str,
    name: &'a str,
    owner_uid: &'a str,
    generation: i64,
    hash: &'a str,
    spec: &'a Spec,
    display_name: &'a str,
    topic: &'a str,
    visibility: &'static str,
    class: &'a str,
    message_bytes: i32,
    messages_per_second: i32,
    burst: i32,
    max_members: i32,
    retention_seconds: i64,
    deletion_policy: &'static str,
}

impl<'a> RoomRow<'a> {
    /// The row of `put` under this id and generation.
    pub(crate) fn new(id: Uuid, generation: i64, put: &'a Put) -> Self {
        let spec = &put.spec;
        Self {
            id,
            namespace: put.room.namespace(),
            name: put.room.name(),
            owner_uid: &put.claim.owner_uid,
            generation,
            hash: &put.claim.hash,
            spec,
            display_name: &spec.display_name,
            topic: &spec.topic,
            visibility: spec.visibility.as_str(),
            class: &spec.class,
            message_bytes: spec.limits.message_bytes,
            messages_per_second: spec.limits.messages_per_second,
            burst: spec.limits.burst,
            max_members: spec.limits.max_members,
            retention_seconds: spec.retention_seconds,
            deletion_policy: spec.deletion_policy.as_str(),
        }
    }

    /// The room's id.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }
}

/// Inserts the rooms that do not exist yet, in the order given; answers the ids of those.
pub(crate) async fn insert(connection: &mut PgConnection, rows: &[RoomRow<'_>]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into rooms (id, namespace, name, owner_uid, owner_generation, spec_hash, spec, display_name, topic, visibility, class,
           message_bytes, messages_per_second, burst, max_members, retention_seconds, deletion_policy)
         select id, namespace, name, owner_uid, generation, hash, spec, display_name, topic, visibility, class,
           message_bytes, messages_per_second, burst, max_members, retention_seconds, deletion_policy
         from jsonb_to_recordset($1) as put (id uuid, namespace text, name text, owner_uid text, generation bigint, hash text, spec jsonb,
           display_name text, topic text, visibility text, class text, message_bytes integer, messages_per_second integer, burst integer,
           max_members integer, retention_seconds bigint, deletion_policy text)
         on conflict (namespace, name) do nothing returning id",
        Json(rows) as _
    )
    .fetch_all(connection)
    .await
}

/// Writes another put over rooms that exist, and opens those that were closed.
pub(crate) async fn update(connection: &mut PgConnection, rows: &[RoomRow<'_>]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rooms set owner_uid = put.owner_uid, owner_generation = put.generation, spec_hash = put.hash, spec = put.spec,
           display_name = put.display_name, topic = put.topic, visibility = put.visibility, message_bytes = put.message_bytes,
           messages_per_second = put.messages_per_second, burst = put.burst, max_members = put.max_members,
           retention_seconds = put.retention_seconds, deletion_policy = put.deletion_policy,
           open = true, released = false, closing_key = null
         from jsonb_to_recordset($1) as put (id uuid, owner_uid text, generation bigint, hash text, spec jsonb, display_name text, topic text,
           visibility text, message_bytes integer, messages_per_second integer, burst integer, max_members integer, retention_seconds bigint,
           deletion_policy text)
         where rooms.id = put.id",
        Json(rows) as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A room whose row is locked until the transaction ends.
#[derive(Debug, Clone)]
pub(crate) struct LockedRoom {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its address.
    pub(crate) name: RoomName,
    /// Who put what.
    pub(crate) held: Held,
    /// Shown name.
    pub(crate) display_name: String,
    /// Shown topic.
    pub(crate) topic: String,
    /// Who may see it.
    pub(crate) visibility: Visibility,
    /// Key of the event that closed it, while it is closed.
    pub(crate) closing_key: Option<Uuid>,
    /// What its deletion means.
    pub(crate) deletion_policy: String,
}

/// Locks these rooms, always in one order, against everybody who administers them; writers of history and members are not held up.
pub(crate) async fn lock(connection: &mut PgConnection, names: &[RoomName]) -> Result<Vec<LockedRoom>, sqlx::Error> {
    let namespaces: Vec<String> = names.iter().map(|name| name.namespace().to_owned()).collect();
    let labels: Vec<String> = names.iter().map(|name| name.name().to_owned()).collect();
    let rows = sqlx::query!(
        "select id, namespace, name, owner_uid, owner_generation, spec_hash, class, open, released, display_name, topic, visibility,
           closing_key, deletion_policy
         from rooms where (namespace, name) in (select * from unnest($1::text[], $2::text[]))
         order by namespace, name for no key update",
        &namespaces,
        &labels
    )
    .fetch_all(connection)
    .await?;
    let locked = rows.into_iter().map(|row| {
        Some(LockedRoom {
            id: row.id,
            name: RoomName::new(&row.namespace, &row.name).ok()?,
            held: Held {
                owner_uid: row.owner_uid,
                generation: row.owner_generation,
                hash: row.spec_hash,
                class: row.class,
                open: row.open,
                released: row.released,
            },
            display_name: row.display_name,
            topic: row.topic,
            visibility: Visibility::parse(&row.visibility)?,
            closing_key: row.closing_key,
            deletion_policy: row.deletion_policy,
        })
    });
    Ok(locked.flatten().collect())
}

/// The platform's id.
pub(crate) async fn platform(pool: &PgPool) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!("select id from platform").fetch_one(pool).await
}

/// Ids of the next rooms after this one, in the order of names.
pub(crate) async fn page(pool: &PgPool, after: Option<&RoomName>, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    let (namespace, name) = after.map_or(("", ""), |room| (room.namespace(), room.name()));
    sqlx::query_scalar!(
        "select id from rooms where (namespace, name) > ($1, $2) order by namespace, name limit $3",
        namespace,
        name,
        limit
    )
    .fetch_all(pool)
    .await
}

/// A room's id by its address.
pub(crate) async fn id(pool: &PgPool, name: &RoomName) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select id from rooms where namespace = $1 and name = $2", name.namespace(), name.name())
        .fetch_optional(pool)
        .await
}

/// These rooms as administrators see them, in the order of names; those that are gone meanwhile are absent.
pub(crate) async fn views(pool: &PgPool, ids: &[Uuid], pending_names: i32) -> Result<Vec<RoomView>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select r.id, r.namespace, r.name, r.owner_uid, r.owner_generation, r.spec_hash, r.open, r.released, r.deletion_policy,
           array(select username from room_member_names n where n.room = r.id and n.user_id is null order by username limit $2) as "pending!",
           newest.stream, newest.epoch, newest.routing_key, newest.class, newest.replicas, newest.segment_bytes, newest.state,
           current.stream as "current_stream?", current.epoch as "current_epoch?", current.routing_key as "current_routing_key?",
           current.class as "current_class?", current.replicas as "current_replicas?", current.segment_bytes as "current_segment_bytes?"
         from rooms r
         join lateral (select * from logs l where l.room = r.id order by ordinal desc limit 1) newest on true
         left join logs current on current.room = r.id and current.state = 'open'
         where r.id = any($1) order by r.namespace, r.name"#,
        ids,
        i64::from(pending_names)
    )
    .fetch_all(pool)
    .await?;
    let views = rows.into_iter().map(|row| {
        let current = row.current_stream.map(|stream| LogView {
            stream,
            epoch: row.current_epoch.unwrap_or_default(),
            routing_key: row.current_routing_key.unwrap_or_default(),
            class: row.current_class.unwrap_or_default(),
            replicas: row.current_replicas.unwrap_or_default(),
            segment_bytes: row.current_segment_bytes.unwrap_or_default(),
            state: "open".to_owned(),
        });
        Some(RoomView {
            id: row.id,
            name: RoomName::new(&row.namespace, &row.name).ok()?,
            owner_uid: row.owner_uid,
            generation: row.owner_generation,
            hash: row.spec_hash,
            open: row.open,
            released: row.released,
            deletion_policy: row.deletion_policy,
            newest: LogView {
                stream: row.stream,
                epoch: row.epoch,
                routing_key: row.routing_key,
                class: row.class,
                replicas: row.replicas,
                segment_bytes: row.segment_bytes,
                state: row.state,
            },
            current,
            members_pending: row.pending,
        })
    });
    Ok(views.flatten().collect())
}

/// Addresses of these rooms.
pub(crate) async fn addresses(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, RoomName>, sqlx::Error> {
    let rows =
        sqlx::query!("select id, namespace, name from rooms where id = any($1)", ids).fetch_all(connection).await?;
    let named = rows.into_iter().filter_map(|row| Some((row.id, RoomName::new(&row.namespace, &row.name).ok()?)));
    Ok(named.collect())
}

/// Locks one room against everybody who administers it; answers its address and class.
pub(crate) async fn lock_one(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<(RoomName, String)>, sqlx::Error> {
    let row = sqlx::query!("select namespace, name, class from rooms where id = $1 for no key update", id)
        .fetch_optional(connection)
        .await?;
    Ok(row.and_then(|row| Some((RoomName::new(&row.namespace, &row.name).ok()?, row.class))))
}
