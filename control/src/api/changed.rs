//! What a change answers: once every worker uses it, or when that takes too long.

use super::Handles;
use crate::status::model::BackendStatus;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// How often it is looked at whether workers use a change: they poll in microseconds, unless they sleep.
const LOOK: Duration = Duration::from_millis(1);

/// Which snapshot a change is in, and which one every worker uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InUse {
    /// The snapshot that the change began with.
    pub generation: u64,
    /// The latest snapshot that every worker uses. Lower than `generation`: a worker is late, and the change waits for it.
    pub acknowledged_generation: u64,
}

impl InUse {
    /// Whether a worker is late.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.acknowledged_generation < self.generation
    }
}

/// What a change of a backend answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// Whether workers use it.
    #[serde(flatten)]
    pub in_use: InUse,
    /// The backend after the change; `null`: it is gone already.
    pub backend: Option<BackendStatus>,
}

impl Handles {
    /// Waits until every worker uses what was published last, or for as long as [`Handles::patience`].
    pub(crate) async fn in_use(&self) -> InUse {
        let generation = self.control().generation();
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let acknowledged_generation = self.control().acknowledged();
            if acknowledged_generation >= generation || tokio::time::Instant::now() >= deadline {
                return InUse { generation, acknowledged_generation };
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
