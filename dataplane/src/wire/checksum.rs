//! The Internet checksum (RFC 1071).

/// One's-complement sum of `bytes` as big-endian 16-bit words, folded once; an odd last byte counts as the high half.
///
/// Eight bytes at a time in the machine's order, in two sums of halves: the sum of swapped words is the swapped sum (RFC 1071,
/// section 2).
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut total = words.iter().map(halves).sum::<u64>();
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        total += halves(&last);
    }
    u32::from(u16::from_be(fold_wide((total & 0xffff_ffff) + (total >> 32))))
}

/// [`sum`] of several addresses together.
#[inline(always)]
#[must_use]
pub fn sum_of<const N: usize>(addresses: [&[u8; 16]; N]) -> u32 {
    let words = addresses.into_iter().flat_map(|address| address.as_chunks::<8>().0);
    u32::from(u16::from_be(fold_wide(words.map(halves).sum())))
}

/// Both halves of a word together.
#[inline(always)]
const fn halves(word: &[u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(*word);
    (word & 0xffff_ffff) + (word >> 32)
}

/// Folds a sum to 16 bits.
#[inline]
#[must_use]
pub const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

/// Folds a sum below 2^48 to 16 bits.
#[inline]
#[must_use]
pub const fn fold_wide(sum: u64) -> u16 {
    fold(((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32)) as u32)
}

/// The checksum of `bytes`, whose checksum field must be zero. Over bytes with a valid checksum in place the result is zero.
#[inline]
#[must_use]
pub fn of(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// A checksum after some of the bytes that it covers were replaced: `removed` and `added` are their [`sum`]s before and after
/// (RFC 1624, equation 3). An even number of bytes, at an even distance from the first one that is covered.
#[inline]
#[must_use]
pub const fn updated(checksum: u16, removed: u32, added: u32) -> u16 {
    // 32 bits of ones are a zero of one's complement too, so a sum is taken away before it is folded.
    let sum = (!checksum) as u64 + (!removed) as u64 + added as u64;
    !fold_wide(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_1071_section_3() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        assert_eq!(of(&bytes), !0xddf2);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_definition(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
            let total: u64 = words.sum();
            // One's complement has two zeros; a sum of anything but zeros is the other one.
            let expected = if total > 0 && total.is_multiple_of(0xffff) { 0xffff } else { total % 0xffff };
            proptest::prop_assert_eq!(u64::from(fold(sum(&bytes))), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn an_update_is_as_if_computed_anew(
            before in proptest::collection::vec(proptest::prelude::any::<u8>(), 8..64),
            replacement in proptest::prelude::any::<[u8; 6]>(),
        ) {
            let mut after = before.clone();
            after[2..8].copy_from_slice(&replacement);
            let updated = updated(of(&before), sum(&before[2..8]), sum(&replacement));
            // One's complement has two zeros: both say the same to who verifies.
            let verified = fold(sum(&after) + u32::from(updated));
            proptest::prop_assert!(verified == 0xffff || sum(&after) == 0, "{verified:#x}");
        }
    }

    #[test]
    fn odd_length_pads_with_zero() {
        assert_eq!(sum(&[0x12, 0x34, 0x56]), sum(&[0x12, 0x34, 0x56, 0x00]));
    }

    #[test]
    fn bytes_with_their_checksum_sum_to_zero() {
        let mut header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        let checksum = of(&header);
        assert_eq!(checksum, 0xb861);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(of(&header), 0);
    }

    #[test]
    fn fold_needs_both_steps() {
        assert_eq!(fold(0x1_ffff), 1);
        assert_eq!(fold(0xffff_ffff), 0xffff);
    }
}
