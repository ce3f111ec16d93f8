//! What `replay` says at the end: counters, and how far changes got.

use super::record::Record;
use crate::control::Control;
use crate::state::{Admin, BackendHealth, BackendState, Stage};
use crate::status::drops;
use guideway_dataplane::counters::{Counter, PinCounters, WorkerCounters};
use guideway_dataplane::drop_reason::DropReason;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
    /// What became of `--at`, in the order of time.
    pub actions: Vec<Applied>,
    /// The latest snapshot.
    pub generation: u64,
    /// Pins, at the end.
    pub pins: Pins,
    /// Pools by name, at the end.
    pub pools: BTreeMap<String, PoolEnd>,
}

/// An action that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// When, from the first frame on.
    pub at: String,
    /// What.
    pub action: String,
}

/// Pins at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pins {
    /// Places that are taken.
    pub in_use: u64,
    /// Pins that were put in.
    pub inserted: u64,
    /// Pins that found no room.
    pub failed: u64,
}

/// A pool at the end: its slots that are not steady, and its backends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolEnd {
    /// Slots that are armed.
    pub armed: u32,
    /// Slots in transition.
    pub transition: u32,
    /// Slots that are folded.
    pub folded: u32,
    /// Slots that are looked at.
    pub look: u32,
    /// Backends that it has.
    pub backends: usize,
    /// Those of them that do not simply serve: `joining`, `draining`, `disabled`, `leaving` or `down`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub states: BTreeMap<String, &'static str>,
}

impl Summary {
    /// Counts one packet.
    pub fn count(&mut self, record: &Record) {
        self.packets += 1;
        match record.verdict {
            "forward" => self.count_forwarded(record.backend.as_ref()),
            "answer" => self.answered += 1,
            "punt" => self.punted += 1,
            // What is dropped or held the workers count.
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

    /// A reason that workers counted since [`Summary::take_over`].
    pub(super) fn newly_dropped(&self, counters: &[Arc<WorkerCounters>]) -> Option<DropReason> {
        let before = |reason: &DropReason| self.drops.get(reason.label()).copied().unwrap_or(0);
        let now = |reason: &DropReason| counters.iter().map(|of| of.drops[*reason as usize].get()).sum::<u64>();
        DropReason::ALL.iter().copied().find(|reason| now(reason) > before(reason))
    }

    /// Takes over what workers counted: drops, and fragments that are held. A fragment may be dropped long after it came.
    pub fn take_over(&mut self, counters: &[Arc<WorkerCounters>]) {
        let sum = |count: fn(&WorkerCounters) -> u64| counters.iter().map(|counters| count(counters)).sum::<u64>();
        let dropped = sum(WorkerCounters::dropped);
        if dropped != self.dropped {
            self.dropped = dropped;
            self.drops = drops(counters);
        }
        self.held = sum(|counters| counters.held.get() - counters.released.get());
    }

    /// Takes over how things are at the end.
    pub(super) fn close(&mut self, control: &Control) {
        let state = control.state();
        let pins = |of: fn(&PinCounters) -> &Counter| control.counters().iter().map(|c| of(&c.pins).get()).sum();
        self.generation = control.generation();
        self.pins = Pins {
            in_use: state.pins.count() as u64,
            inserted: pins(|pins| &pins.inserted),
            failed: pins(|pins| &pins.failed),
        };
        let pools = state.config.pools.iter().zip(&state.pools).map(|(of_config, pool)| {
            let counts = pool.plan.phases().counts();
            let backends = of_config.backends.iter().zip(&pool.backends);
            let end = PoolEnd {
                armed: counts.armed,
                transition: counts.transition,
                folded: counts.folded,
                look: counts.look,
                backends: pool.backends.len(),
                states: backends.filter_map(|(of, backend)| Some((of.name.clone(), unusual(backend)?))).collect(),
            };
            (of_config.name.clone(), end)
        });
        self.pools = pools.collect();
    }
}

/// The state of a backend; `None`: it serves.
fn unusual(backend: &BackendState) -> Option<&'static str> {
    match (backend.stage, backend.admin) {
        (Stage::Joining, _) => Some("joining"),
        (Stage::Leaving | Stage::Left, _) => Some("leaving"),
        (Stage::Serving, Admin::Drained) => Some("draining"),
        (Stage::Serving, Admin::Disabled) => Some("disabled"),
        (Stage::Serving, Admin::Enabled) => (backend.health == BackendHealth::Down).then_some("down"),
    }
}

/// A few lines for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, forwarded, answered, punted, dropped, pins, .. } = self;
        writeln!(
            f,
            "{packets} packets: {forwarded} forwarded, {answered} answered, {punted} punted, {dropped} dropped"
        )?;
        for (backend, count) in &self.backends {
            writeln!(f, "  to {backend}: {count}")?;
        }
        for (reason, count) in &self.drops {
            writeln!(f, "  dropped as {reason}: {count}")?;
        }
        if self.cut > 0 {
            let cut = self.cut;
            writeln!(f, "  {cut} frames were captured only in part: capture again with a larger snap length")?;
        }
        if pins.inserted + pins.failed > 0 {
            let Pins { in_use, inserted, failed } = pins;
            writeln!(f, "  pins: {inserted} inserted, {failed} found no room, {in_use} in use at the end")?;
        }
        for (name, pool) in &self.pools {
            let phases = [
                ("armed", pool.armed),
                ("in transition", pool.transition),
                ("folded", pool.folded),
                ("looked at", pool.look),
            ];
            let slots: Vec<String> = phases
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(phase, count)| format!("{count} {phase}"))
                .collect();
            if !slots.is_empty() {
                writeln!(f, "  pool {name}: slots {}", slots.join(", "))?;
            }
            for (backend, state) in &pool.states {
                writeln!(f, "  {name}/{backend}: {state}")?;
            }
        }
        Ok(())
    }
}
