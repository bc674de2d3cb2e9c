//! Step 4: makes exchanges and sets policies that are missing or different.

use futures::future::try_join_all;
use tokio::time::Instant;

use crate::broker::diff::PlatformDifference;
use crate::broker::{Broker, BrokerError};
use crate::context::{Closed, Context};
use crate::report::Reason;

/// What gives the operator's user its rights in the virtual host.
pub(super) const RIGHTS: &str =
    r"rabbitmqctl set_permissions -p VHOST USER '^parlor\.' '^parlor\.' '^(parlor\.|amq\.rabbitmq\.event$)'";

/// Applies the difference; the world then shows it.
pub(super) async fn apply(context: &Context, difference: PlatformDifference) -> Result<(), Closed> {
    let failed = |error: BrokerError| Closed::from(&error);
    try_join_all(difference.declare.iter().map(|exchange| context.broker.declare_exchange(exchange)))
        .await
        .map_err(failed)?;
    for policy in &difference.set {
        context.world().set_policies.insert(policy.name.clone(), Instant::now());
    }
    try_join_all(difference.set.iter().map(|policy| context.broker.set_policy(policy))).await.map_err(failed)?;
    let mut world = context.world();
    for exchange in difference.declare {
        tracing::info!(exchange = exchange.name, "declared");
        world.picture.exchanges.insert(exchange.name.clone(), exchange);
    }
    for policy in difference.set {
        tracing::info!(policy = policy.name, definition = %serde_json::Value::from(policy.definition.clone()), "set");
        world.picture.policies.insert(policy.name.clone(), policy);
    }
    Ok(())
}

/// Makes the virtual host, or says who has to.
pub(super) async fn make_vhost(context: &Context) -> Result<(), Closed> {
    let broker: &Broker = &context.broker;
    match broker.make_vhost().await {
        Ok(()) => {
            tracing::info!("made the virtual host");
            Ok(())
        }
        Err(error @ BrokerError::Unreachable(_)) => Err(Closed::from(&error)),
        Err(error) => Err(Closed::new(
            Reason::BrokerRefused,
            format!(
                "the virtual host is not there and the operator may not make it ({error}): rabbitmqctl add_vhost VHOST && {RIGHTS}"
            ),
        )),
    }
}
