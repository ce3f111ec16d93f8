//! The hash by which cards spread flows over their queues (Microsoft, "RSS Hashing Functions"; Krawczyk, "LFSR-based Hashing and
//! Authentication", CRYPTO 1994).
//!
//! Each bit of the input that is set takes the 32 bits of the key that begin where it stands, and all of these are added without
//! carry. So the hash of the whole is that of its parts, each in its place, added: who has the hash of all but a port needs
//! four reads for each port that may follow.

/// Bytes of the key: enough for the longest input.
pub const KEY_BYTES: usize = 40;
/// Bytes of the longest input: two IPv6 addresses and two ports.
pub const INPUT_BYTES: usize = 36;

/// The key that the specification's examples are made with (Microsoft, "Verifying the RSS Hash Calculation"), and the one that many
/// drivers begin with.
pub const USUAL_KEY: [u8; KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

/// The hash under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toeplitz {
    /// What half a byte adds, by its place and its value: one cache line for each place.
    shares: Box<[Shares; 2 * INPUT_BYTES]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct Shares([u32; 16]);

impl Toeplitz {
    /// The hash under a key.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let mut shares = Box::new([Shares([0; 16]); 2 * INPUT_BYTES]);
        for (place, shares) in shares.iter_mut().enumerate() {
            for (value, share) in shares.0.iter_mut().enumerate() {
                let set = (0..4).filter(|bit| value & (8 >> bit) != 0);
                *share = set.fold(0, |sum, bit| sum ^ window(key, 4 * place + bit));
            }
        }
        Self { shares }
    }

    /// The hash of an input, of which the first [`INPUT_BYTES`] bytes count.
    #[must_use]
    pub fn hash(&self, input: &[u8]) -> u32 {
        self.part(0, input)
    }

    /// What bytes add to the hash that stand in the input from `at` on.
    #[inline]
    #[must_use]
    pub fn part(&self, at: usize, bytes: &[u8]) -> u32 {
        let places = self.shares.as_chunks::<2>().0.get(at..).unwrap_or(&[]);
        places
            .iter()
            .zip(bytes)
            .fold(0, |sum, ([high, low], byte)| sum ^ high.0[usize::from(byte >> 4)] ^ low.0[usize::from(byte & 0x0f)])
    }
}

/// The 32 bits of the key from a bit on.
fn window(key: &[u8; KEY_BYTES], bit: usize) -> u32 {
    let bytes = key.iter().skip(bit / 8).chain(std::iter::repeat(&0)).take(5);
    let bits = bytes.fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    (bits >> (8 - bit % 8)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Word by word as the specification has it.
    fn naive(key: &[u8; KEY_BYTES], input: &[u8]) -> u32 {
        let bit_of = |bytes: &[u8], bit: usize| bytes[bit / 8] >> (7 - bit % 8) & 1;
        let mut hash = 0;
        for bit in (0..8 * input.len()).filter(|bit| bit_of(input, *bit) == 1) {
            for place in 0..32 {
                hash ^= u32::from(bit_of(key, bit + place)) << (31 - place);
            }
        }
        hash
    }

    proptest! {
        #[test]
        fn it_is_the_specifications(key: [u8; KEY_BYTES], input in prop::collection::vec(any::<u8>(), 0..=INPUT_BYTES),
            cut in 0..=INPUT_BYTES) {
            let toeplitz = Toeplitz::new(&key);
            let hash = naive(&key, &input);
            prop_assert_eq!(toeplitz.hash(&input), hash);
            let (head, tail) = input.split_at(cut.min(input.len()));
            prop_assert_eq!(toeplitz.part(0, head) ^ toeplitz.part(head.len(), tail), hash);
        }
    }

    #[test]
    fn what_is_too_long_counts_as_far_as_the_key_goes() {
        let toeplitz = Toeplitz::new(&[0xa5; KEY_BYTES]);
        assert_eq!(toeplitz.hash(&[0xff; 50]), toeplitz.hash(&[0xff; INPUT_BYTES]));
        assert_eq!(toeplitz.part(INPUT_BYTES, &[0xff]), 0);
    }
}
