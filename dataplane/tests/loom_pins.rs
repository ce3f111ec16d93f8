//! Pins under every interleaving that matters, and phases that advance while two workers decide.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p guideway-dataplane --test loom_pins --release
//! ```
//!
//! A model that cannot fail shows nothing. Each of these, put into the code for a moment, fails the models behind it (`words`
//! unless said otherwise):
//!
//! | breakage | fails |
//! | --- | --- |
//! | `replace` stores | `a_refresh_and_an_eviction`, `a_removal_and_a_refresh`, `a_close_is_not_lost`, `a_promotion_is_not_lost`, both `a_sweep_and_a_..` |
//! | `replace` is true though it failed | the same but `a_removal_and_a_refresh` |
//! | `remove` stores 0 | `a_removal_and_..`, `a_sweep_and_a_refresh`, `a_sweep_and_an_eviction` |
//! | `insert` claims by a store | all insertions and evictions |
//! | `insert` does not look after its claim, looks at lower ways only, or takes others' claims away by a store | `two_workers_insert_one_flow`, `.._while_a_way_is_freed`, `nobody_follows_..` |
//! | `insert` looks without the fence | `.._while_a_way_is_freed`, `nobody_follows_..` |
//! | `insert` writes the pin at once instead of a claim | `.._while_a_way_is_freed`, `nobody_follows_..` |
//! | `insert` stores its pin over its claim | `two_workers_insert_one_flow`, `.._while_a_way_is_freed`, `nobody_follows_..` |
//! | a claim is not taken away, but waited for | the same |
//! | a claim is followed | `nobody_follows_..` |
//! | a claim counts as free | `two_flows_do_not_take_each_others_place` |
//! | a sweep frees without asking whether it did | `a_sweep_and_a_refresh` |
//! | a sweep stores aged pins | `a_sweep_and_a_promotion` |
//! | folded pins no datagrams | `phases::folded_without_starts` |
//! | look removes every pin | `phases::steady_again` |
//! | transition pins no starts | `phases::transition`, `folded`, `a_retransmitted_syn_in_transition` |
//! | the publisher does not wait, folded pins nothing, nobody sweeps | `phases::without_..`, always |
#![cfg(loom)]

#[path = "loom_pins/phases.rs"]
mod phases;
#[path = "loom_pins/words.rs"]
mod words;

use guideway_dataplane::consistency::Rules;
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::pin::{Pin, PinClock, PinKey, PinOwner, PinTable, Sweep, Tenure, Tick, WAYS};
use loom::model::Builder;
use std::time::Duration;

const IDLE: u16 = 10;
const OLD: BackendId = BackendId(1);
const NEW: BackendId = BackendId(2);

/// Runs every interleaving, or those with at most this many preemptions of a thread where there are too many.
fn model(preemptions: Option<usize>, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    builder.check(body);
}

/// One bucket.
fn table() -> PinTable {
    PinTable::new(WAYS, PinClock::new(Duration::from_secs(900), Duration::from_secs(3)))
}

fn key(table: &PinTable, tag: u32) -> PinKey {
    table.key(FlowHash(tag.into()), 0, Rules::ALL)
}

fn tenure() -> Tenure {
    Tenure { idle: IDLE, longest_idle: IDLE, rules: Rules::ALL }
}

fn everyone(_: BackendId) -> bool {
    true
}

fn find(table: &PinTable, tag: u32) -> Option<Pin> {
    table.find(key(table, tag), everyone).map(|found| found.pin)
}

/// Reads the whole table as a sweep does.
#[derive(Default)]
struct Reader {
    /// The backend whose pins its slot does not need.
    redundant: Option<BackendId>,
    pins: Vec<Pin>,
}

impl PinOwner for Reader {
    fn idle(&self, _: BackendId) -> Option<u16> {
        Some(IDLE)
    }

    fn is_redundant(&self, pin: Pin) -> bool {
        Some(pin.backend()) == self.redundant
    }

    fn live(&mut self, pin: Pin) {
        self.pins.push(pin);
    }
}

/// A whole sweep: what it freed, and the pins that it saw stay.
fn sweep(table: &PinTable, now: Tick, redundant: Option<BackendId>) -> (usize, Vec<Pin>) {
    let (mut sweep, mut owner) = (Sweep::default(), Reader { redundant, pins: Vec::new() });
    assert!(sweep.step(table, 1, now, &mut owner));
    (sweep.freed, owner.pins)
}
