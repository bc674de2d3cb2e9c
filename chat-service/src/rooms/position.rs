//! Which log a position speaks of.

use crate::error::Refused;
use crate::state::State;
use crate::store::rooms::{self, EpochRow};
use contract::position::Epoch;
use uuid::Uuid;

/// Positions that a JavaScript number holds.
pub(crate) const MOST: u64 = (1 << 53) - 1;

/// The log that positions without an epoch speak of, as history has it.
pub(crate) async fn current(state: &State, room: Uuid) -> Result<EpochRow, Refused> {
    let epochs = all(state, room).await?;
    rooms::current(&epochs).cloned().ok_or(Refused::Unavailable("log_changing"))
}

/// Whether the room ever had a log of this name, and its current one.
pub(crate) async fn find(state: &State, room: Uuid, epoch: &Epoch) -> Result<(bool, EpochRow), Refused> {
    let epochs = all(state, room).await?;
    let current = rooms::current(&epochs).cloned().ok_or(Refused::Unavailable("log_changing"))?;
    Ok((epochs.iter().any(|row| row.epoch == *epoch), current))
}

async fn all(state: &State, room: Uuid) -> Result<Vec<EpochRow>, Refused> {
    let failed = |error: sqlx::Error| Refused::database(&error);
    let mut connection = state.pool.acquire().await.map_err(failed)?;
    rooms::epochs(&mut connection, room).await.map_err(failed)
}
