//! Which page is asked for.

use crate::error::Refused;
use crate::rooms::position::MOST;
use crate::store::rooms::EpochRow;
use contract::position::{Epoch, LogPosition};
use serde::Deserialize;
use utoipa::IntoParams;

const USUAL: u32 = 50;
const LONGEST: u32 = 100;

/// The question as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Messages below this position; earlier logs follow.
    pub(crate) before: Option<u64>,
    /// Messages above this position; later logs follow.
    pub(crate) after: Option<u64>,
    /// The log that `before`, `after` and `min_pos` speak of; the current one if missing.
    pub(crate) epoch: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub(crate) limit: Option<u32>,
    /// A position that the page has to reflect: waits for it up to 2 s.
    pub(crate) min_pos: Option<u64>,
}

/// The question, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) epoch: Option<Epoch>,
    pub(super) limit: usize,
    pub(super) min_pos: Option<u64>,
    before: Option<u64>,
    after: Option<u64>,
}

/// From where in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The newest below.
    Before(LogPosition),
    /// The oldest above.
    After(LogPosition),
}

impl Window {
    pub(super) fn of(asked: &Asked) -> Result<Self, Refused> {
        if asked.before.is_some() && asked.after.is_some() {
            return Err(Refused::invalid("before and after exclude each other"));
        }
        let limit = asked.limit.unwrap_or(USUAL);
        if !(1..=LONGEST).contains(&limit) {
            return Err(Refused::invalid(format!("limit is 1 to {LONGEST}, not {limit}")));
        }
        for (name, value) in [("before", asked.before), ("after", asked.after), ("min_pos", asked.min_pos)] {
            if value.is_some_and(|value| value > MOST) {
                return Err(Refused::invalid(format!("{name} is no position")));
            }
        }
        let epoch = asked
            .epoch
            .as_deref()
            .map(|epoch| epoch.parse().map_err(|error| Refused::invalid(format!("epoch: {error}"))))
            .transpose()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Self { epoch, limit, min_pos: asked.min_pos, before: asked.before, after: asked.after })
    }

    pub(super) fn bound(&self, epochs: &[EpochRow], current: &EpochRow) -> Result<Bound, Refused> {
        if let Some(epoch) = &self.epoch
            && !epochs.iter().any(|row| row.epoch == *epoch)
        {
            return Err(Refused::invalid(format!("epoch: the room has no log {epoch}")));
        }
        let ordinal = self.epoch.as_ref().map_or(current.epoch.ordinal(), Epoch::ordinal);
        Ok(match (self.before, self.after) {
            (Some(before), _) => Bound::Before(LogPosition::new(ordinal, before)),
            (None, Some(after)) => Bound::After(LogPosition::new(ordinal, after)),
            // The end of that log, or of all.
            (None, None) if self.epoch.is_some() => Bound::Before(LogPosition::new(ordinal.saturating_add(1), 0)),
            (None, None) => Bound::Before(LogPosition::new(u32::MAX, 0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Vec<EpochRow> {
        let row = |epoch: &str, pos, open| EpochRow { epoch: epoch.parse().unwrap(), pos, open };
        vec![row("1-aaaaaa", 4096, false), row("2-bbbbbb", 2048, true)]
    }

    fn bound(asked: &Asked) -> Result<Bound, Refused> {
        let epochs = epochs();
        Window::of(asked)?.bound(&epochs, &epochs[1])
    }

    #[test]
    fn what_is_out_of_range_is_refused_and_never_clamped() {
        for wrong in [
            Asked { limit: Some(0), ..Asked::default() },
            Asked { limit: Some(101), ..Asked::default() },
            Asked { before: Some(1), after: Some(1), ..Asked::default() },
            Asked { before: Some(1 << 53), ..Asked::default() },
            Asked { epoch: Some("x".into()), ..Asked::default() },
            Asked { epoch: Some("1-zzzzzz".into()), ..Asked::default() },
        ] {
            assert!(matches!(bound(&wrong), Err(Refused::Invalid { .. })), "{wrong:?}");
        }
        assert_eq!(Window::of(&Asked::default()).unwrap().limit, 50);
    }

    #[test]
    fn positions_without_an_epoch_are_of_the_current_one() {
        let before = Asked { before: Some(1024), ..Asked::default() };
        assert_eq!(bound(&before), Ok(Bound::Before(LogPosition::new(2, 1024))));
        let after = Asked { after: Some(0), epoch: Some("1-aaaaaa".into()), ..Asked::default() };
        assert_eq!(bound(&after), Ok(Bound::After(LogPosition::new(1, 0))));
        assert_eq!(bound(&Asked::default()), Ok(Bound::Before(LogPosition::new(u32::MAX, 0))));
        let end = Asked { epoch: Some("1-aaaaaa".into()), ..Asked::default() };
        assert_eq!(bound(&end), Ok(Bound::Before(LogPosition::new(2, 0))));
    }
}
