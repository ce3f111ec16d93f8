//! Cookies: sequence numbers that only we could have made (Bernstein, "SYN cookies", 1996; RFC 4987, section 3.6).
//!
//! | bits | |
//! | --- | --- |
//! | 31 | parity of the epoch, of 64 s |
//! | 28..31 | which segment size |
//! | 0..28 | of the MAC over addresses, ports, the client's sequence number, its options and the size |
//!
//! The MAC is the flow hash, AES-128 CBC-MAC, with a block more, under a key of the epoch that serves nothing else. A cookie is
//! good in its epoch and the next one.

use super::options::{BITS, Options};
use crate::hash::FlowHasher;
use crate::session::Tuple;
use crate::time::Nanos;

/// For how long one key makes cookies, in seconds. A client answers sooner, or asks again.
const EPOCH: u64 = 64;

const PARITY_SHIFT: u32 = 31;
const SIZE_SHIFT: u32 = 28;
const MAC: u32 = (1 << SIZE_SHIFT) - 1;

/// Makes and knows cookies.
pub struct Cookies {
    secret: [u8; 16],
    epoch: u64,
    /// Of this epoch, and of the one before.
    keys: [FlowHasher; 2],
}

/// What a client's acknowledgement of a cookie proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The client's initial sequence number.
    pub first: u32,
    /// The cookie: the initial sequence number that the client was told.
    pub cookie: u32,
    /// What its SYN offered.
    pub options: Options,
}

/// The key of an epoch. No other message begins as this one does.
fn key(secret: [u8; 16], epoch: u64) -> FlowHasher {
    FlowHasher::new(FlowHasher::new(secret).derived_key(epoch))
}

impl Cookies {
    /// `secret` is one of the process, the same at all workers: any of them knows what another one made.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self { secret, epoch: 0, keys: [0, u64::MAX].map(|epoch| key(secret, epoch)) }
    }

    fn turn(&mut self, now: Nanos) {
        let epoch = now.0 / (EPOCH * 1_000_000_000);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.keys = [epoch, epoch.wrapping_sub(1)].map(|epoch| key(self.secret, epoch));
        }
    }

    /// The cookie that answers a SYN from client to VIP, `tuple`, with this sequence number and options, and the timestamp that
    /// goes with it.
    pub fn make(&mut self, tuple: &Tuple, first: u32, options: Options, now: Nanos) -> (u32, u32) {
        self.turn(now);
        let mac = mac(&self.keys[0], tuple, first, options);
        let cookie = (self.epoch as u32 & 1) << PARITY_SHIFT | u32::from(options.size) << SIZE_SHIFT | mac as u32 & MAC;
        // Each connection has a clock of its own (RFC 7323, section 7.1): milliseconds since some moment.
        let clock = ((now.0 / 1_000_000) as u32).wrapping_add((mac >> 32) as u32);
        (cookie, clock & !BITS | options.bits())
    }

    /// What the acknowledgement of `cookie` by a segment of `tuple` proves; `None`: it is no cookie of ours. `sequence` is the
    /// segment's, `echoed` the timestamp in it that is ours, if it has timestamps. A probe of a closed window lies before the
    /// client's first byte: `is_bare` says whether it may be one.
    pub fn check(
        &mut self,
        tuple: &Tuple,
        (sequence, is_bare): (u32, bool),
        cookie: u32,
        echoed: Option<u32>,
        now: Nanos,
    ) -> Option<Proof> {
        self.turn(now);
        let options = Options::again((cookie >> SIZE_SHIFT) as u8, echoed);
        let is_older = self.epoch as u32 & 1 != cookie >> PARITY_SHIFT;
        let key = &self.keys[usize::from(is_older)];
        let is_ours = |first: &u32| mac(key, tuple, *first, options) as u32 & MAC == cookie & MAC;
        let first = Some(sequence.wrapping_sub(1)).filter(is_ours);
        let first = first.or_else(|| Some(sequence).filter(|first| is_bare && is_ours(first)))?;
        Some(Proof { first, cookie, options })
    }
}

fn mac(key: &FlowHasher, tuple: &Tuple, first: u32, options: Options) -> u128 {
    let said = u128::from(first) | u128::from(options.size) << 32 | u128::from(options.bits()) << 40;
    // A client without timestamps must not be taken for one that says the same with them.
    key.hash_with(&tuple.key(), said | u128::from(options.more.is_some()) << 48)
}

#[cfg(test)]
mod tests {
    use super::super::options::More;
    use super::*;
    use crate::session::Endpoint;
    use proptest::prelude::*;

    const TUPLE: Tuple = Tuple {
        source: Endpoint { address: 0xffff_c000_0207, port: 40_000 },
        destination: Endpoint { address: 0xffff_cb00_710a, port: 443 },
        protocol: 6,
    };

    fn options() -> impl Strategy<Value = Options> {
        let more = (proptest::option::of(0..15_u8), any::<bool>()).prop_map(|(scale, sack)| More { scale, sack });
        (0..8_u8, proptest::option::of(more)).prop_map(|(size, more)| Options { size, more })
    }

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    proptest! {
        #[test]
        fn what_was_offered_comes_back(options in options(), first: u32, made in 0..1_000_u64, later in 0..64_u64) {
            let (cookie, clock) = Cookies::new([7; 16]).make(&TUPLE, first, options, at(made));
            // Another worker gets the acknowledgement.
            let mut cookies = Cookies::new([7; 16]);
            let echoed = options.more.map(|_| clock);
            let proof = cookies.check(&TUPLE, (first.wrapping_add(1), true), cookie, echoed, at(made + later));
            prop_assert_eq!(proof, Some(Proof { first, cookie, options }));
            let probe = cookies.check(&TUPLE, (first, true), cookie, echoed, at(made + later));
            prop_assert_eq!(probe, Some(Proof { first, cookie, options }), "a probe of the closed window");
            prop_assert_eq!(cookies.check(&TUPLE, (first, false), cookie, echoed, at(made + later)), None);
            prop_assert_eq!(cookies.check(&TUPLE, (first.wrapping_add(1), true), cookie, echoed, at(made + 128)), None);
        }

        #[test]
        fn nobody_else_makes_one(options in options(), first: u32, cookie: u32, clock: u32, bit in 0..32_u32) {
            let mut cookies = Cookies::new([7; 16]);
            let guessed = cookies.check(&TUPLE, (first, true), cookie, Some(clock), at(5));
            prop_assert!(guessed.is_none() , "one guess of 2^27 is right");
            let (made, clock) = cookies.make(&TUPLE, first, options, at(5));
            let echoed = options.more.map(|_| clock);
            let next = first.wrapping_add(1);
            prop_assert_eq!(cookies.check(&TUPLE, (next, false), made ^ 1 << bit, echoed, at(5)), None);
            let elsewhere = Tuple { source: Endpoint { port: 40_001, ..TUPLE.source }, ..TUPLE };
            prop_assert_eq!(cookies.check(&elsewhere, (next, false), made, echoed, at(5)), None);
            let other = Some(clock ^ 1 << (bit % 5));
            prop_assert_eq!(cookies.check(&TUPLE, (next, false), made, other, at(5)), None, "options are not to choose");
            prop_assert_eq!(Cookies::new([8; 16]).check(&TUPLE, (next, false), made, echoed, at(5)), None);
        }
    }
}
