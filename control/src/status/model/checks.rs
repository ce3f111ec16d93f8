//! Checks of a backend in `status`, and their last results.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One check of a backend, or the question to its agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CheckDetail {
    /// Its kind: `tcp`, `http`, …, or `agent`.
    pub kind: String,
    /// Which way its probes take: `dataplane` or `kernel`.
    pub via: String,
    /// Destination port; absent where there is none.
    pub port: Option<u16>,
    /// `unknown`, `up`, `down` or `held down`.
    pub state: String,
    /// The result that brought the state about.
    pub reason: Option<String>,
    /// More about the last result; what an agent said.
    pub detail: Option<String>,
    /// Its counts.
    #[serde(flatten)]
    pub counts: super::CheckStatus,
}

/// What an agent set, and what is left of a slow start. The share of new flows is the product of both with the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareStatus {
    /// Percentage of the weight that the agent asks for; 100 without an agent.
    pub agent_percent: u16,
    /// Whether the agent wants no new flows.
    pub agent_drain: bool,
    /// Percentage of its share that a backend has after its return; 100 once it is whole.
    pub warm_percent: u16,
}

impl Default for ShareStatus {
    fn default() -> Self {
        Self { agent_percent: 100, agent_drain: false, warm_percent: 100 }
    }
}

/// The last results of a check of one backend, the latest one first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CheckHistory {
    /// Its kind.
    pub kind: String,
    /// Which way its probes take.
    pub via: String,
    /// Destination port; absent where there is none.
    pub port: Option<u16>,
    /// At most 50.
    pub results: Vec<ResultStatus>,
}

/// One result.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ResultStatus {
    /// When the probe ended, in seconds since 1970.
    pub at_unix: f64,
    /// How long it took.
    pub took_microseconds: f64,
    /// `passed`, `failed`, or `void`: not judged.
    pub result: String,
    /// Why; absent if it is void.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<String>,
}
