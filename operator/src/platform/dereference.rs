//! Step 1: what the servers have now, as one list of rooms and one snapshot of the broker.

use super::{Extent, Platform, apply, build};
use crate::broker::BrokerError;
use crate::context::{Closed, Context};
use crate::report::Reason;

/// Reads it into the context's world. Rows first: without them nothing of the broker means anything.
pub(super) async fn read(
    context: &Context,
    platform: &Platform,
    extent: Extent,
    confirmed_loss: bool,
) -> Result<(), Closed> {
    let rooms = context.service.list().await.map_err(|error| Closed::from(&error))?;
    {
        let mut world = context.world();
        world.platform_id = rooms.platform_id;
        world.take_rows(rooms.rooms);
    }
    if extent == Extent::All {
        look(context, confirmed_loss).await?;
        let nodes = if platform.is_replicated() { context.broker.nodes().await } else { Ok(None) };
        context.world().nodes = nodes.map_err(|error| Closed::from(&error))?;
    }
    Ok(())
}

async fn look(context: &Context, confirmed_loss: bool) -> Result<(), Closed> {
    let found = match context.broker.snapshot().await {
        Err(BrokerError::NotFound) => {
            // An empty virtual host instead of ours would look as if every log had been deleted.
            if build::has_open_logs(&context.world()) && !confirmed_loss {
                return Err(build::lost_everything("the virtual host is not there"));
            }
            apply::make_vhost(context).await?;
            context.broker.snapshot().await
        }
        other => other,
    };
    context.world().picture = found.map_err(|error| refused(&error))?;
    Ok(())
}

/// A refusal with what gives the operator its rights.
fn refused(error: &BrokerError) -> Closed {
    match error {
        BrokerError::Refused { status: 401 | 403, .. } => Closed::new(
            Reason::BrokerRefused,
            format!(
                "{error}. Give the operator's user its rights: rabbitmqctl set_user_tags USER policymaker && {}",
                apply::RIGHTS
            ),
        ),
        other => Closed::from(other),
    }
}
