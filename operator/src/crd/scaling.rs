//! How many pods of each program: bounds and the signals that move the number between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::law;

/// Who decides how many pods there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Mode {
    /// The operator, from the pods' own metrics.
    #[default]
    Auto,
    /// A HorizontalPodAutoscaler that the operator makes.
    #[serde(rename = "HPA")]
    Hpa,
    /// Somebody else, over `/scale`.
    External,
    /// Nobody: always `min`.
    Fixed,
}

/// Bounds and signals of the gateways.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [law::SCALING.rule()]))]
pub(crate) struct GatewayScaling {
    /// Who decides.
    pub(crate) mode: Mode,
    /// Fewest pods.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) min: u32,
    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: u32,
    /// Sockets that one pod is to hold.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) sockets_per_replica: u32,
    /// Processor use to aim at, in percent of the request.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) cpu_percent: u32,
}

impl Default for GatewayScaling {
    fn default() -> Self {
        Self { mode: Mode::Auto, min: 2, max: 20, sockets_per_replica: 5000, cpu_percent: 70 }
    }
}

/// Bounds and signal of the historians.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [law::SCALING.rule()]))]
pub(crate) struct HistorianScaling {
    /// Who decides.
    pub(crate) mode: Mode,
    /// Fewest pods.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) min: u32,
    /// Most pods; more than the 64 shares of the logs would be idle.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) max: u32,
    /// How far history may be behind the logs.
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) lag_seconds: u32,
}

impl Default for HistorianScaling {
    fn default() -> Self {
        Self { mode: Mode::Auto, min: 1, max: 4, lag_seconds: 5 }
    }
}

/// Bounds and signal of the workers.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [law::SCALING.rule()]))]
pub(crate) struct WorkerScaling {
    /// Who decides.
    pub(crate) mode: Mode,
    /// Fewest pods.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) min: u32,
    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: u32,
    /// Work that may wait for each pod.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) queue_depth: u32,
}

impl Default for WorkerScaling {
    fn default() -> Self {
        Self { mode: Mode::Auto, min: 1, max: 8, queue_depth: 100 }
    }
}

/// Bounds and signal of user-service.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [law::SCALING.rule()]))]
pub(crate) struct UsersScaling {
    /// Who decides.
    pub(crate) mode: Mode,
    /// Fewest pods.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) min: u32,
    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: u32,
    /// Requests a second that one pod is to answer.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests_per_second: u32,
}

impl Default for UsersScaling {
    fn default() -> Self {
        Self { mode: Mode::Auto, min: 2, max: 10, requests_per_second: 200 }
    }
}
