//! Members that manifests name. A name is bound to the user who holds it at first sight, and never to another: when the room is put,
//! when that person comes, or when we look again.

use crate::live::Hint;
use crate::rooms::effects::{self, Effects};
use crate::rooms::membership::{self, Dropped, Step, Wanted};
use crate::rooms::spec::NamedMember;
use crate::state::State;
use crate::store::admin::{self, Patience};
use crate::store::names;
use crate::store::outbox::{self, NewRow};
use contract::event::User;
use contract::room::RoomName;
use rand::RngExt;
use service::shutdown::Shutdown;
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How often pending names are looked up.
const EVERY: Duration = Duration::from_secs(3);
/// How long a put waits for user-service before it leaves its names to the next look.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names of one call to user-service.
const CALL: usize = 500;
/// Rooms in which names are bound in one transaction.
const ROOMS: i64 = 500;

/// What a manifest says of a room's members, written in the transaction that writes the room.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// Which room.
    pub(crate) room: Uuid,
    /// [`effects::cause`] of the manifest.
    pub(crate) cause: String,
    /// Whom it names.
    pub(crate) members: &'a [NamedMember],
}

/// Writes the names, and what they mean for people who are bound already. The rooms must be locked.
pub(crate) async fn declare(connection: &mut PgConnection, manifests: &[Named<'_>]) -> Result<Effects, sqlx::Error> {
    if manifests.is_empty() {
        return Ok(Effects::default());
    }
    let rooms: Vec<Uuid> = manifests.iter().map(|manifest| manifest.room).collect();
    let members: Vec<(Uuid, &NamedMember)> =
        manifests.iter().flat_map(|manifest| manifest.members.iter().map(|member| (manifest.room, member))).collect();
    let dropped = names::replace(&mut *connection, &rooms, &members).await?;
    let wanted = names::bound(&mut *connection, &rooms).await?;
    let causes = manifests.iter().map(|manifest| (manifest.room, manifest.cause.clone())).collect();
    change(connection, &wanted, &dropped, &causes).await
}

/// Changes members to what is wanted, says so in the outbox, and answers whom to tell.
async fn change(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    dropped: &[Dropped],
    causes: &HashMap<Uuid, String>,
) -> Result<Effects, sqlx::Error> {
    if wanted.is_empty() && dropped.is_empty() {
        return Ok(Effects::default());
    }
    let whom = wanted.iter().map(|want| (want.room, want.user.id));
    let whom: Vec<(Uuid, Uuid)> = whom.chain(dropped.iter().map(|drop| (drop.room, drop.user))).collect();
    let present = names::present(&mut *connection, &whom).await?;
    let steps = membership::steps(wanted, dropped, &present);
    names::apply(&mut *connection, &steps).await?;
    let event = |step: &Step| {
        let cause = causes.get(&step.room).map_or("", String::as_str);
        let key = effects::key(step.room, &format!("member/{}/{cause}", step.user.id));
        NewRow { room: step.room, sender: None, key, body: step.body() }
    };
    outbox::put_all(&mut *connection, &steps.iter().map(event).collect::<Vec<_>>()).await?;
    let addresses = admin::addresses(connection, &steps.iter().map(|step| step.room).collect::<Vec<_>>()).await?;
    Ok(Effects { events: !steps.is_empty(), hints: hints(&steps, &addresses) })
}

fn hints(steps: &[Step], addresses: &HashMap<Uuid, RoomName>) -> Vec<Hint> {
    let rooms: BTreeSet<Uuid> = steps.iter().map(|step| step.room).collect();
    let people = steps
        .iter()
        .filter_map(|step| Some(Hint::RoomsChanged { user: step.user.id, room: addresses.get(&step.room)?.clone() }));
    rooms.into_iter().map(|room| Hint::RoomChanged { room }).chain(people).collect()
}

/// Binds these people's pending names, wherever they are pending; answers whom to tell.
pub(crate) async fn bind(pool: &PgPool, holders: &[User]) -> Result<Effects, sqlx::Error> {
    let mut effects = Effects::default();
    let usernames: Vec<String> = holders.iter().map(|user| user.username.clone()).collect();
    loop {
        let mut transaction = admin::begin(pool, Patience::Usual).await?;
        let rooms = names::lock_rooms(&mut transaction, &usernames, ROOMS).await?;
        if rooms.is_empty() {
            return Ok(effects);
        }
        let ids: Vec<Uuid> = rooms.iter().map(|room| room.id).collect();
        let bound = names::bind(&mut transaction, &ids, holders).await?;
        let causes = rooms
            .iter()
            .map(|room| (room.id, effects::cause(&room.owner_uid, room.generation, &room.hash, room.closing_key)))
            .collect();
        let told = change(&mut transaction, &bound, &[], &causes).await?;
        transaction.commit().await?;
        effects.merge(told);
        if i64::try_from(rooms.len()).is_ok_and(|count| count < ROOMS) {
            return Ok(effects);
        }
    }
}

/// Looks the pending names of these rooms up, reserving those that nobody holds. What cannot be done now is done by [`run`].
pub(crate) async fn resolve(state: &State, rooms: &[Uuid]) {
    if rooms.is_empty() {
        return;
    }
    let pending = match names::pending_of(&state.pool, rooms).await {
        Ok(pending) => pending,
        Err(error) => return tracing::warn!(%error, "failed to read pending names"),
    };
    for call in pending.chunks(CALL) {
        let holders = match timeout(PATIENCE, state.users.reserve(call)).await {
            Ok(Ok(holders)) => holders,
            Ok(Err(error)) => return tracing::debug!(%error, "names stay pending"),
            Err(_) => return tracing::debug!("names stay pending: user-service is slow"),
        };
        if let Err(error) = bind_and_tell(state, &holders).await {
            return tracing::warn!(%error, "failed to bind names");
        }
    }
}

/// Binds the pending names of somebody who has just come: to be called before their rooms are listed.
pub(crate) async fn resolve_for(state: &State, user: &User) -> Result<(), sqlx::Error> {
    if names::is_pending(&state.pool, &user.username).await? {
        bind_and_tell(state, std::slice::from_ref(user)).await?;
    }
    Ok(())
}

async fn bind_and_tell(state: &State, holders: &[User]) -> Result<(), sqlx::Error> {
    if !holders.is_empty() {
        bind(&state.pool, holders).await?.announce(state);
    }
    Ok(())
}

/// Why a look came to nothing; the next one does the same again.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("failed to read or bind pending names: {0}")]
    Database(#[source] sqlx::Error),
    #[error("failed to look pending names up: {0}")]
    Users(#[source] crate::users::UsersUnavailable),
}

/// Looks pending names up again and again until shutdown begins: one call to user-service every 3 s while there are any.
pub(crate) async fn run(state: State, shutdown: Shutdown) {
    let mut look = Look::default();
    let mut well = true;
    loop {
        // Gateways do this at different times.
        let wait = EVERY.mul_f64(rand::rng().random_range(0.8..1.2));
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.begun() => return,
        }
        match look.once(&state).await {
            Ok(()) => well = true,
            Err(error) if well => {
                tracing::warn!(%error, "pending names wait");
                well = false;
            }
            Err(_) => {}
        }
    }
}

/// Where the looks are.
#[derive(Debug, Default)]
struct Look {
    /// Names of the last page, which user-service has reserved: they need not be reserved again.
    reserved: BTreeSet<String>,
    /// The last name of the last page.
    after: String,
}

impl Look {
    async fn once(&mut self, state: &State) -> Result<(), LookError> {
        let limit = i64::try_from(CALL).unwrap_or(i64::MAX);
        let pending = names::pending(&state.pool, &self.after, limit).await.map_err(LookError::Database)?;
        self.after = if pending.len() == CALL { pending.last().cloned().unwrap_or_default() } else { String::new() };
        if pending.is_empty() {
            return Ok(());
        }
        let known = pending.iter().all(|name| self.reserved.contains(name));
        let asked = if known { state.users.by_names(&pending).await } else { state.users.reserve(&pending).await };
        let holders = asked.map_err(LookError::Users)?;
        self.reserved = pending.into_iter().collect();
        bind_and_tell(state, &holders).await.map_err(LookError::Database)
    }
}

#[cfg(test)]
mod tests;
