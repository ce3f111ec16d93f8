//! Pins: 8 bytes that keep one flow on its backend while its slot changes.
//!
//! In the steady state there are none. A flow gets one when it starts, or sends, while its slot is *special*
//! ([`crate::consistency`]). One table serves all workers, since a flow's fragments, the ICMP errors that quote it and
//! moves of RSS arrive elsewhere. It is fixed in size, eight words to a cache line; every change of a word is a
//! compare-exchange of the whole of it, so a word is always one worker's whole decision. (A plain store of a refresh over
//! another worker's eviction would lose the new pin.) Model-checked with loom (`tests/loom_pins.rs`).
//!
//! # A word
//!
//! | bits | field |
//! | --- | --- |
//! | 0..32 | tag: bits 0..32 of the flow's hash, which also choose its slot, so that a sweep knows the slot |
//! | 32..48 | backend: its id |
//! | 48..51 | state ([`PinState`]) |
//! | 51..64 | tick of the last use; embryonic: 51..59 bits 17..25 of the initial sequence number, 59..64 five bits of the tick |
//!
//! A word of zero is empty; one whose state is 7 is claimed by an insertion that is not sure yet to be the only one of its
//! flow. The bucket comes from bits 32..64 of the hash: disjoint from the tag, else flows of one bucket would share their
//! tags too and false matches would rise a hundred-thousandfold.

mod clock;
mod sweep;
mod table;
mod word;

pub use clock::{LONGEST_ARM_TICKS, LONGEST_IDLE_TICKS, PinClock, Tick};
pub use sweep::{PinOwner, Sweep};
pub use table::{Found, Inserted, PinKey, PinTable, Tenure, WAYS};
pub use word::{Pin, PinState};
