//! What is decided about almost every packet of a special slot: its flow's pin is followed and stays as it is.

use super::special::{Phase, Special};
use crate::hash::FlowHash;
use crate::pin::{PinKey, PinTable, Tick};
use crate::wire::{protocol, tcp};

/// A packet in the middle of its flow: another TCP segment than SYN, FIN and RST, or a datagram.
#[inline(always)]
pub(crate) const fn is_in_the_middle(number: u8, flags: u8) -> bool {
    number != protocol::TCP || flags & (tcp::SYN | tcp::FIN | tcp::RST) == 0
}

/// The pool-local index of the backend of a packet in the middle of its flow, if that has a pin which the packet neither
/// changes nor removes: it was used in this tick already, names a backend that is eligible, and the slot's phase lets it be.
///
/// `None` says nothing; [`super::decide`] does, which says the same where this says something.
#[inline(always)]
pub(crate) fn follow(special: &Special, key: PinKey, slot: u32, pins: &PinTable, now: Tick) -> Option<u16> {
    let pin = pins.used_at(key, now)?;
    let index = special.eligible(pin.backend())?;
    let looks = special.looks() && special.side(slot).phase == Phase::Look;
    (!looks).then_some(index)
}

/// Where a flow's pin is.
#[inline(always)]
pub(crate) fn key(special: &Special, hash: FlowHash, pins: &PinTable) -> PinKey {
    pins.key(hash, special.salt(), special.rules())
}
