//! What the tests of administration share: a database of their own, manifests, and a look at what was written.

use crate::rooms::put::{self, Committed};
use crate::rooms::refusal::Refusal;
use crate::rooms::spec::{Claim, DeletionPolicy, Limits, NamedMember, Put, Spec, Uploads};
use contract::event::{Role, User, Visibility};
use e2e::servers::{Servers, TestDatabase};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

/// A database that goes with this value.
pub(crate) struct Fixture {
    pub(crate) pool: PgPool,
    /// Goes with the fixture.
    _database: TestDatabase,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let database = Servers::from_env().unwrap().database().await.unwrap();
        Self { pool: database.pool().await.unwrap(), _database: database }
    }

    pub(crate) async fn put(&self, one: &Put) -> Result<Uuid, Refusal> {
        self.put_all(std::slice::from_ref(one)).await.outcomes.remove(0)
    }

    pub(crate) async fn put_all(&self, puts: &[Put]) -> Committed {
        put::commit(&self.pool, puts).await.unwrap()
    }

    /// A room whose first log is open.
    pub(crate) async fn open_room(&self, one: &Put) -> Uuid {
        let room = self.put(one).await.unwrap();
        sqlx::query("update logs set state = 'open' where room = $1").bind(room).execute(&self.pool).await.unwrap();
        room
    }

    /// The logs of a room in order: epoch and state.
    pub(crate) async fn logs(&self, room: Uuid) -> Vec<(String, String)> {
        sqlx::query_as("select epoch, state from logs where room = $1 order by ordinal")
            .bind(room)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The bodies in the outbox of a room, in order.
    pub(crate) async fn outbox(&self, room: Uuid) -> Vec<Value> {
        sqlx::query_scalar("select event->'body' from outbox where room = $1 order by id")
            .bind(room)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The members of a room, by name: username, role, source.
    pub(crate) async fn members(&self, room: Uuid) -> Vec<(String, String, String)> {
        sqlx::query_as("select username, role, source from members where room = $1 order by username")
            .bind(room)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn execute(&self, sql: &'static str, room: Uuid) {
        sqlx::query(sql).bind(room).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }
}

/// A public room of the file `<name>.yaml`, in its first version.
pub(crate) fn manifest(room: &str) -> Put {
    Put {
        room: room.parse().unwrap(),
        claim: Claim { owner_uid: format!("{room}.yaml"), generation: 0, hash: "1".into(), takes_over_from: None },
        spec: Spec {
            display_name: "General".into(),
            topic: "Everything".into(),
            visibility: Visibility::Public,
            class: "standard".into(),
            members: Vec::new(),
            limits: Limits { message_bytes: 8192, messages_per_second: 10, burst: 20, max_members: 5000 },
            retention_seconds: 0,
            deletion_policy: DeletionPolicy::Retain,
            replicas: 1,
            segment_bytes: 16 << 20,
            uploads: Uploads { max_bytes: 25 << 20, media_types: vec!["image/*".into()] },
            log_bytes: 0,
            log_seconds: 0,
        },
    }
}

/// The same with another hash and these members.
pub(crate) fn naming(put: &Put, hash: &str, members: &[(&str, Role)]) -> Put {
    let mut put = put.clone();
    put.claim.hash = hash.into();
    put.spec.members =
        members.iter().map(|(name, role)| NamedMember { username: (*name).into(), role: *role }).collect();
    put
}

pub(crate) fn person(name: &str) -> User {
    User { id: Uuid::new_v5(&Uuid::nil(), name.as_bytes()), username: name.into(), display_name: name.to_uppercase() }
}
