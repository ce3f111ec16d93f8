//! The sequence number of a probe: a keyed cookie of (backend, round).
//!
//! Whoever does not see the probes cannot guess one: for an outstanding round exactly one value of 2^32 is right.
//! The holder of the key reads the round back from it, so an answer says by itself which round it belongs to.
//! The construction is that of a synthetic initialization vector (Rogaway and Shrimpton, EUROCRYPT 2006) over AES-128
//! as the PRF: the upper half authenticates (backend, round), and the lower half is the round's low bits masked by a
//! PRF of the upper half.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

/// Domain of the upper half.
const AUTHENTICATE: u8 = 1;
/// Domain of the mask.
const MASK: u8 = 2;

/// Rounds back from the newest one that a cookie still names, 2^16: 22 minutes at 20 ms.
const HORIZON_BITS: u32 = 16;

/// Makes and reads cookies under one key.
pub(super) struct Cookies {
    cipher: Aes128,
}

impl Cookies {
    pub fn new(key: [u8; 16]) -> Self {
        Self { cipher: Aes128::new(&key.into()) }
    }

    /// The cookie of a round.
    #[inline]
    pub fn cookie(&self, backend: u16, round: u32) -> u32 {
        let upper = self.prf(AUTHENTICATE, backend, round);
        let lower = round as u16 ^ self.prf(MASK, backend, u32::from(upper));
        u32::from(upper) << HORIZON_BITS | u32::from(lower)
    }

    /// The round that `cookie` names, if it is `newest` or one of the 65,535 before it.
    #[inline]
    pub fn round(&self, backend: u16, cookie: u32, newest: u32) -> Option<u32> {
        let upper = (cookie >> HORIZON_BITS) as u16;
        let low = cookie as u16 ^ self.prf(MASK, backend, u32::from(upper));
        let age = (newest as u16).wrapping_sub(low);
        let round = newest.wrapping_sub(u32::from(age));
        (self.prf(AUTHENTICATE, backend, round) == upper).then_some(round)
    }

    #[inline]
    fn prf(&self, domain: u8, backend: u16, value: u32) -> u16 {
        let input = u128::from(domain) | u128::from(backend) << 16 | u128::from(value) << 32;
        let mut block = input.to_le_bytes().into();
        self.cipher.encrypt_block(&mut block);
        u16::from_le_bytes([block[0], block[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn a_cookie_names_its_round(backend: u16, newest: u32, age in 0u32..65_536) {
            let cookies = Cookies::new([7; 16]);
            let round = newest.wrapping_sub(age);
            prop_assert_eq!(cookies.round(backend, cookies.cookie(backend, round), newest), Some(round));
        }
    }

    #[test]
    fn of_all_values_one_names_the_newest_round() {
        let cookies = Cookies::new([3; 16]);
        let right = cookies.cookie(9, 1_000);
        let same_round = (0..=u16::MAX).map(|low| right & 0xffff_0000 | u32::from(low));
        assert_eq!(same_round.filter(|&c| cookies.round(9, c, 1_000) == Some(1_000)).collect::<Vec<_>>(), [right]);
    }

    #[test]
    fn backends_rounds_and_keys_differ() {
        let one = Cookies::new([1; 16]);
        let rounds: HashSet<u32> = (0..5_000).map(|round| one.cookie(4, round)).collect();
        assert_eq!(rounds.len(), 5_000, "the mask is a bijection for each upper half");
        let same = (0..5_000).filter(|&round| one.cookie(4, round) == one.cookie(5, round)).count();
        assert!(same < 3);
        let two = Cookies::new([2; 16]);
        assert!((0..5_000).filter(|&round| one.cookie(4, round) == two.cookie(4, round)).count() < 3);
    }

    #[test]
    fn guesses_fail() {
        let cookies = Cookies::new([5; 16]);
        let named = (0..100_000u32).filter(|n| cookies.round(1, n.wrapping_mul(0x9e37_79b9), 70_000).is_some()).count();
        assert!(named < 20, "{named} of 100,000 guesses named some round; 1.5 are expected");
    }
}
