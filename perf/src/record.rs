//! What a benchmark leaves behind: its figures with all that a reader needs to judge them, as JSON.

use crate::machine::Machine;
use crate::peers;
use crate::present::Present;
use crate::report;
use serde::{Deserialize, Serialize};

/// The version of the JSON: a reader refuses others.
pub const SCHEMA: u32 = 1;

/// One run of one benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release that was measured.
    pub version: String,
    /// The commit that it was built from, with `-dirty` behind it if the work tree had changes; "unknown" outside of a
    /// repository.
    pub revision: String,
    /// The command and its arguments.
    pub command_line: Vec<String>,
    /// When it began, in seconds since 1970 (UTC).
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What it found.
    pub results: Results,
}

/// What a benchmark found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "benchmark", rename_all = "kebab-case")]
pub enum Results {
    /// `bench cycles`.
    Cycles(report::Report),
    /// `scripts/peers`.
    Peers(peers::report::Report),
}

impl Results {
    /// How it is shown.
    #[must_use]
    pub fn present(&self) -> &dyn Present {
        match self {
            Self::Cycles(report) => report,
            Self::Peers(report) => report,
        }
    }
}
