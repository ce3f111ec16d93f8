//! What `replay` says of each packet: an object with `--json`, a line with `--explain`.

use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::publish::Generation;
use serde::Serialize;
use std::fmt;

/// What became of one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// The worker that it came to; `None` if there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u16>,
    /// The snapshot that the worker used, counted from 1.
    pub generation: Generation,
    /// `forward`, `answer`, `punt`, `hold` or `drop`.
    pub verdict: &'static str,
    /// Why it was dropped, or the class of a punt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The VIP that took it: `address:port/protocol`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// The flow: `source > destination protocol`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The flow's hash, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Its slot in the pool's table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// The phase of that slot, if it is special: `armed`, `transition`, `folded`, `look` or `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'static str>,
    /// What decided who gets it: `slot`, `name`, and in a special slot `current`, `base` or `pin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
    /// The backend that got it: `pool/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Record {
    /// A packet that nothing was decided about yet.
    #[must_use]
    pub const fn undecided(number: u64) -> Self {
        Self {
            number,
            worker: None,
            generation: 0,
            verdict: "drop",
            reason: None,
            vip: None,
            flow: None,
            hash: None,
            slot: None,
            phase: None,
            by: None,
            backend: None,
            why: None,
        }
    }

    /// Makes it a packet that was dropped after all.
    pub(super) fn refuse(&mut self, reason: Option<DropReason>) {
        self.verdict = "drop";
        self.reason = reason.map(DropReason::label);
        self.why = reason.map(|reason| reason.help().to_owned());
    }
}

/// One line for people: number, verdict, then what is known.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} {:<7}", self.number, self.verdict)?;
        if let Some(reason) = self.reason {
            write!(f, " {reason}")?;
        }
        if let Some(flow) = &self.flow {
            write!(f, " {flow}")?;
        }
        if let Some(vip) = &self.vip {
            write!(f, ", vip {vip}")?;
        }
        if let Some(worker) = self.worker {
            write!(f, ", worker {worker}")?;
        }
        // The first one is what the configuration says: nothing to tell.
        if self.generation > 1 {
            write!(f, ", generation {}", self.generation)?;
        }
        if let Some(hash) = &self.hash {
            write!(f, ", hash {hash}")?;
        }
        if let Some(slot) = self.slot {
            write!(f, ", slot {slot}")?;
        }
        if let Some(backend) = &self.backend {
            write!(f, ", backend {backend}")?;
        }
        if let Some(why) = &self.why {
            write!(f, ". {why}")?;
        }
        Ok(())
    }
}
