//! A page of a room's history: what PostgreSQL has stored, plus what this gateway has read beyond it. Never with a hole.

mod compose;
mod overlay;
mod window;

pub(crate) use compose::Page;
pub(crate) use window::Asked;

use crate::error::Refused;
use crate::log::{Beyond, RoomKey, Since};
use crate::rooms::access::Wish;
use crate::rooms::position;
use crate::state::State;
use crate::store::messages::{self, GapRow, MessageRow};
use crate::store::rooms::{self, EpochRow};
use contract::position::{Epoch, LogPosition};
use contract::room::RoomName;
use overlay::Overlay;
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use window::{Bound, Window};

/// How long a page waits for a position, and for a store and a reader that are about to agree.
const WAIT: Duration = Duration::from_secs(2);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(50);

/// What PostgreSQL held at one moment.
#[derive(Debug)]
struct Snapshot {
    current: EpochRow,
    bound: Bound,
    /// Oldest first; one more than the page may have, if there are so many.
    rows: Vec<MessageRow>,
    gaps: Vec<GapRow>,
}

/// Reads one page.
pub(crate) async fn page(state: &State, reader: Uuid, name: &RoomName, asked: &Asked) -> Result<Page, Refused> {
    let window = Window::of(asked)?;
    let room = state.access.ask(Wish::Read, reader, name).await?.key.clone();
    if let Some(pos) = window.min_pos {
        wait_for(state, &room, window.epoch.as_ref(), pos).await?;
    }
    let end = Instant::now() + WAIT;
    loop {
        let snapshot = snapshot(&state.pool, room.id, &window).await?;
        match beyond(state, &room, &snapshot.current, window.min_pos.is_some()).await {
            Ok(overlay) => return Ok(compose::compose(name, reader, window.limit, snapshot, overlay)),
            // The reader is ahead into a log that the row does not name yet, or has let go of what history has stored meanwhile.
            Err(refused) if Instant::now() >= end => return Err(refused),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Waits until this gateway or the store has reached a position.
async fn wait_for(state: &State, room: &RoomKey, epoch: Option<&Epoch>, pos: u64) -> Result<(), Refused> {
    let applied = state.logs.applied(room.id);
    let epoch = match (epoch, &applied) {
        (Some(epoch), _) => epoch.clone(),
        (None, Some((applied, _))) => applied.clone(),
        (None, None) => position::current(state, room.id).await?.epoch,
    };
    if applied.is_some_and(|(applied, read)| applied == epoch && read >= pos) {
        return Ok(());
    }
    let (_, current) = position::find(state, room.id, &epoch).await?;
    if current.stored() >= LogPosition::new(epoch.ordinal(), pos) {
        return Ok(());
    }
    Ok(state.logs.reach(room, &Since { epoch, pos }, WAIT).await?)
}

/// What this gateway has read that is not stored.
async fn beyond(state: &State, room: &RoomKey, current: &EpochRow, open: bool) -> Result<Overlay, Refused> {
    let stored = current.stored();
    let read = |(epoch, pos): (Epoch, u64)| LogPosition::new(epoch.ordinal(), pos);
    if state.logs.applied(room.id).map(read).is_none_or(|applied| applied <= stored) {
        return Ok(Overlay::nothing(current));
    }
    match state.logs.beyond(room, stored, open).await? {
        None => Ok(Overlay::nothing(current)),
        Some(beyond) if beyond.epoch.ordinal() > current.epoch.ordinal() => Err(Refused::Unavailable("log_changing")),
        // The reader is about to learn that this log is over; all of it is stored.
        Some(beyond) if beyond.epoch.ordinal() < current.epoch.ordinal() => Ok(Overlay::nothing(current)),
        Some(Beyond { frames, epoch, applied }) => Ok(Overlay::read(&frames, epoch, applied.max(stored.pos))),
    }
}

/// All reads of one moment: rows and position must not disagree.
async fn snapshot(pool: &PgPool, room: Uuid, window: &Window) -> Result<Snapshot, Refused> {
    let failed = |error: sqlx::Error| Refused::database(&error);
    let mut transaction = pool.begin_with("begin isolation level repeatable read read only").await.map_err(failed)?;
    let epochs = rooms::epochs(&mut transaction, room).await.map_err(failed)?;
    let current = rooms::current(&epochs).cloned().ok_or(Refused::Unavailable("log_changing"))?;
    let bound = window.bound(&epochs, &current)?;
    let limit = i64::try_from(window.limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = match bound {
        Bound::Before(at) => {
            let mut rows = messages::before(&mut transaction, room, at, limit).await.map_err(failed)?;
            rows.reverse();
            rows
        }
        Bound::After(at) => messages::after(&mut transaction, room, at, limit).await.map_err(failed)?,
    };
    let gaps = messages::gaps(&mut transaction, room).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Snapshot { current, bound, rows, gaps })
}
