//! Connection consistency without a connection table: which backend a packet gets while its slot changes.
//!
//! *Live flow*: its last client packet is at most T old. **Law**: while pins fit, no live flow whose backend stays
//! eligible changes backend. **Law**: two adjacent generations agree about every flow.
//!
//! A slot is *steady* almost always, and a packet costs one slot read. A change makes only the slots that it moves
//! *special*; a special slot has a phase and a base, the backend of flows from before, in a side array ([`Special`]).
//!
//! | phase | start of a flow without a usable pin | other packet: its pin, else |
//! | --- | --- | --- |
//! | steady | current; no pin read or written | current |
//! | armed (base = current) | base, and pin | base |
//! | transition | current, and pin | base (if not eligible: current), and pin |
//! | folded (base = current) | current, and pin | base |
//! | look (base = current) | base; an entry with its tag is removed | base; a pin equal to base is removed |
//! | always | current, and pin | current, and pin |
//!
//! `always` is that of every slot of a pool with `tracking = "always"`.
//!
//! [`Role`] says what a packet is to these rules, [`decide`] applies them. Each rule exists for a sequence of packets that
//! breaks a flow without it: [`Rule`] names both, and the simulation (`guideway bench churn --rules`) switches each one
//! off to show that.

mod decide;
mod follow;
mod role;
mod rule;
mod special;

pub use decide::{Flow, decide};
pub(crate) use follow::{follow, is_in_the_middle, key};
pub use role::Role;
pub use rule::{Rule, Rules};
pub use special::{Member, Parts, Phase, Side, SlotSet, Special};
