//! What `replay --json` prints: an object a packet, and a closing object of counters.

use crate::status::drops;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::drop_reason::DropReason;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What became of one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number in the capture, from 1.
    pub number: u64,
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
            verdict: "drop",
            reason: None,
            vip: None,
            flow: None,
            hash: None,
            slot: None,
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

/// The closing object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Frames read.
    pub packets: u64,
    /// Frames sent to backends.
    pub forwarded: u64,
    /// Frames answered by the control side.
    pub answered: u64,
    /// Frames for the control side that got no answer.
    pub punted: u64,
    /// Fragments that wait for the first one of their datagram: none at the end.
    pub held: u64,
    /// Frames dropped.
    pub dropped: u64,
    /// Drops by reason.
    pub drops: BTreeMap<String, u64>,
    /// Frames sent to each backend: `pool/name`.
    pub backends: BTreeMap<String, u64>,
    /// Frames that the capture holds only the beginning of.
    pub cut: u64,
}

impl Summary {
    /// Counts one packet.
    pub fn count(&mut self, record: &Record) {
        self.packets += 1;
        match record.verdict {
            "forward" => self.count_forwarded(record.backend.as_ref()),
            "answer" => self.answered += 1,
            "punt" => self.punted += 1,
            // What is dropped or held the worker counts.
            _ => {}
        }
    }

    fn count_forwarded(&mut self, backend: Option<&String>) {
        self.forwarded += 1;
        if let Some(backend) = backend {
            *self.backends.entry(backend.clone()).or_default() += 1;
        }
    }

    /// Counts fragments that are no longer held: those of them that went to a backend.
    pub fn count_released(&mut self, backends: impl Iterator<Item = String>) {
        for backend in backends {
            self.count_forwarded(Some(&backend));
        }
    }

    /// A reason that the worker counted since [`Summary::take_over`].
    pub(super) fn newly_dropped(&self, counters: &WorkerCounters) -> Option<DropReason> {
        let before = |reason: &DropReason| self.drops.get(reason.label()).copied().unwrap_or(0);
        DropReason::ALL.iter().copied().find(|reason| counters.drops[*reason as usize].get() > before(reason))
    }

    /// Takes over what the worker counted: drops, and fragments that are held. A fragment may be dropped long after it came.
    pub fn take_over(&mut self, counters: &Arc<WorkerCounters>) {
        self.drops = drops(std::slice::from_ref(counters));
        self.dropped = counters.dropped();
        self.held = counters.held.get() - counters.released.get();
    }
}

/// A few lines for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, forwarded, answered, punted, dropped, drops, backends, cut, held: _ } = self;
        writeln!(
            f,
            "{packets} packets: {forwarded} forwarded, {answered} answered, {punted} punted, {dropped} dropped"
        )?;
        for (backend, count) in backends {
            writeln!(f, "  to {backend}: {count}")?;
        }
        for (reason, count) in drops {
            writeln!(f, "  dropped as {reason}: {count}")?;
        }
        if *cut > 0 {
            writeln!(f, "  {cut} frames were captured only in part: capture again with a larger snap length")?;
        }
        Ok(())
    }
}
