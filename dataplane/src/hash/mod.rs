//! The keyed flow hash: AES-128 CBC-MAC over a fixed layout, with the fleet's key.
//!
//! CBC-MAC with a full AES (FIPS 197, all ten rounds) is a pseudorandom function as long as no message is a prefix of
//! another (Bellare, Kilian, Rogaway, "The Security of the Cipher Block Chaining Message Authentication Code", JCSS
//! 2000). The first block names the kind of the message and fixes its length, so that none is. Who does not know the
//! key cannot choose tuples that land on one backend. Every machine and every release computes the same values.
//!
//! # Byte layout, version 1
//!
//! Messages are whole 16-byte blocks; the result is the last cipher block of CBC encryption with a zero IV.
//!
//! | bytes of block 0 | flow, IPv4 | flow, IPv6 | digest of bytes |
//! | --- | --- | --- | --- |
//! | 0 | 1, the format version | 1 | 1 |
//! | 1 | 4, the address family | 6 | 0 |
//! | 2 | protocol number | protocol number | 0 |
//! | 3 | [`Domain`] | [`Domain`] | [`Domain`] |
//! | 4..8 | source address | 4..6 source port, 6..8 destination port | 4..12 length in bytes, little endian |
//! | 8..12 | destination address | zero | |
//! | 12..14 | source port | zero | 12..16 zero |
//! | 14..16 | destination port | zero | |
//!
//! Addresses and ports are in network order. An IPv4 flow is that one block. An IPv6 flow has two more: block 1 is the
//! source address, block 2 the destination address. The key of a client (affinity) is that of a flow with its domain, and
//! with zeros for protocol, destination and ports. A number that chooses source ports is block 0 of a digest with the number in
//! place of the length, the worker in bytes 12..14, and nothing behind it. A digest is followed by its bytes, padded with zeros to a whole
//! block. The 16 bytes of the result, read in little endian, are the number that [`FlowHash`] and
//! [`FlowHasher::digest`] hold.

mod aes_soft;
#[cfg(target_arch = "x86_64")]
mod aes_x86;
mod flow;
#[cfg(test)]
mod tests;
mod toeplitz;

pub use flow::{FlowHash, FlowKey};
pub use toeplitz::{INPUT_BYTES, KEY_BYTES, Toeplitz, USUAL_KEY};

use crate::port::BURST;
use aes_soft::AesSoft;
#[cfg(target_arch = "x86_64")]
use aes_x86::AesX86;
use std::fmt;

/// The format version in byte 0 of every message.
pub const FORMAT_VERSION: u8 = 1;

/// A cipher block. Its first byte is the least significant one.
pub(crate) type Block = u128;

/// A block for each packet of a burst, as the cipher likes to read them.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct BurstBlocks(pub [Block; BURST]);

// A burst of blocks is read in registers of 64 bytes, none of which lies in two cache lines.
const _: () = assert!(align_of::<BurstBlocks>() == 64 && size_of::<BurstBlocks>() == 16 * BURST);

/// What a message is about: byte 3 of its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Domain {
    /// A flow's addresses, protocol and ports.
    Flow = 0,
    /// A client's address, for affinity.
    ClientAffinity = 1,
    /// The name of a backend.
    BackendName = 2,
    /// The number of a slot in a table, 4 bytes in little endian.
    Slot = 3,
    /// What names a fragmented datagram; under a secret of the process, never under the fleet's key.
    Datagram = 4,
    /// A number of a worker's sequence that chooses source ports; under a secret of the process.
    SourcePort = 5,
}

/// The flow hash with its expanded key. Immutable; each worker keeps a clone.
#[derive(Clone)]
pub struct FlowHasher {
    cipher: Cipher,
}

/// AES-128 with an expanded key.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a cipher is built once and used in place; a box costs a load per burst")]
pub(crate) enum Cipher {
    #[cfg(target_arch = "x86_64")]
    X86(AesX86),
    Software(AesSoft),
}

impl Cipher {
    /// Expands the key, and picks the processor's AES instructions where it has them.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let software = AesSoft::new(key);
        #[cfg(target_arch = "x86_64")]
        if let Some(aes) = AesX86::detect(software.round_keys()) {
            return Self::X86(aes);
        }
        Self::Software(software)
    }

    /// Encrypts each block by itself, in place.
    #[inline]
    fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86(aes) => aes.encrypt(blocks),
            Self::Software(aes) => aes.encrypt(blocks),
        }
    }

    /// Encrypts the first `count` blocks each by itself, in place; of those beyond it some or none.
    #[inline]
    fn encrypt_burst(&self, blocks: &mut BurstBlocks, count: usize) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86(aes) => aes.encrypt_burst(blocks, count),
            Self::Software(aes) => aes.encrypt(&mut blocks.0[..count.min(BURST)]),
        }
    }

    #[inline]
    pub(crate) fn encrypt_one(&self, block: Block) -> Block {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86(aes) => aes.encrypt_one(block),
            Self::Software(aes) => aes.encrypt_one(block),
        }
    }

    #[inline]
    pub(crate) fn decrypt_one(&self, block: Block) -> Block {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::X86(aes) => aes.decrypt_one(block),
            Self::Software(aes) => aes.decrypt_one(block),
        }
    }
}

impl FlowHasher {
    /// Expands the fleet's key, and picks the processor's AES instructions where it has them.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { cipher: Cipher::new(key) }
    }

    /// The same function computed without AES instructions: bitsliced, in constant time, slow.
    #[must_use]
    pub fn software(key: [u8; 16]) -> Self {
        Self { cipher: Cipher::Software(AesSoft::new(key)) }
    }

    /// Whether AES instructions of the processor are in use.
    #[must_use]
    pub fn is_accelerated(&self) -> bool {
        !matches!(self.cipher, Cipher::Software(_))
    }

    /// The hash of one flow. IPv6 is cheaper by [`hash_burst`](Self::hash_burst), and so is everything in software.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> FlowHash {
        let [first, source, destination] = key.blocks();
        let state = self.cipher.encrypt_one(*first);
        if !key.is_ipv6() {
            return FlowHash(state);
        }
        let state = self.cipher.encrypt_one(state ^ source);
        FlowHash(self.cipher.encrypt_one(state ^ destination))
    }

    /// The hashes of as many flows as the shorter slice holds, each equal to [`hash`](Self::hash). Flows interleave in
    /// the cipher, so one costs a fraction of its latency; a mix of IPv4 and IPv6 costs no more than its parts.
    pub fn hash_burst(&self, keys: &[FlowKey], hashes: &mut [FlowHash]) {
        for (keys, hashes) in keys.chunks(BURST).zip(hashes.chunks_mut(BURST)) {
            let [mut first, mut source, mut destination] = [const { BurstBlocks([0; BURST]) }; 3];
            let places = first.0.iter_mut().zip(&mut source.0).zip(&mut destination.0);
            let mut ipv6 = 0;
            for (place, (key, ((first, source), destination))) in keys.iter().zip(places).enumerate() {
                [*first, *source, *destination] = *key.blocks();
                ipv6 |= u64::from(key.is_ipv6()) << place;
            }
            self.hash_blocks(&mut first, &[source, destination], keys.len(), ipv6);
            for (hash, block) in hashes.iter_mut().zip(&first.0).take(keys.len()) {
                *hash = FlowHash(*block);
            }
        }
    }

    /// Takes the first blocks of as many flows as `count` says to their hashes, in place; those beyond it get values that mean
    /// nothing. `ipv6` has bit `i` set if flow `i` is one of IPv6, whose other two blocks are in `rest`. The fast path keeps
    /// its blocks where the cipher wants them.
    #[inline]
    pub(crate) fn hash_blocks(&self, first: &mut BurstBlocks, rest: &[BurstBlocks; 2], count: usize, ipv6: u64) {
        self.cipher.encrypt_burst(first, count);
        if ipv6 != 0 {
            self.hash_other_blocks(first, rest, count, ipv6);
        }
    }

    /// What IPv6 flows need beyond the first block.
    #[inline(never)]
    fn hash_other_blocks(&self, first: &mut BurstBlocks, rest: &[BurstBlocks; 2], count: usize, ipv6: u64) {
        let mut state = BurstBlocks([0; BURST]);
        for (place, (state, first)) in state.0.iter_mut().zip(&first.0).enumerate() {
            *state = if place < count { *first } else { 0 };
        }
        for blocks in rest {
            for (state, block) in state.0.iter_mut().zip(&blocks.0).take(count) {
                *state ^= block;
            }
            self.cipher.encrypt_burst(&mut state, count);
        }
        for (place, (first, state)) in first.0.iter_mut().zip(&state.0).enumerate().take(count) {
            if ipv6 >> place & 1 != 0 {
                *first = *state;
            }
        }
    }

    /// The MAC of a flow and 16 bytes more. Under a key that hashes nothing else: [`hash`](Self::hash) is that of a prefix.
    #[inline]
    pub(crate) fn hash_with(&self, key: &FlowKey, more: Block) -> u128 {
        self.cipher.encrypt_one(self.hash(key).0 ^ more)
    }

    /// A key of its own for each number, for another hasher.
    pub(crate) fn derived_key(&self, number: u64) -> [u8; 16] {
        // No message begins with a format version of 0.
        self.cipher.encrypt_one(u128::from(number) << 64).to_le_bytes()
    }

    /// The keyed digest of `bytes` of any length in a domain of its own.
    #[must_use]
    pub fn digest(&self, domain: Domain, bytes: &[u8]) -> u128 {
        let first = digest_header(domain, bytes.len());
        bytes.chunks(16).fold(self.cipher.encrypt_one(first), |state, chunk| {
            let mut padded = [0; 16];
            padded[..chunk.len()].copy_from_slice(chunk);
            self.cipher.encrypt_one(state ^ Block::from_le_bytes(padded))
        })
    }

    /// Numbers `first` and following of the sequence of a worker, in [`Domain::SourcePort`]: unpredictable for who does not know
    /// the key, and computed together.
    #[inline]
    pub(crate) fn sequence<const COUNT: usize>(&self, worker: u16, first: u64) -> [u128; COUNT] {
        let header = digest_header(Domain::SourcePort, 0) | Block::from(worker) << 96;
        let mut blocks: [Block; COUNT] =
            std::array::from_fn(|place| header | Block::from(first.wrapping_add(place as u64)) << 32);
        self.cipher.encrypt(&mut blocks);
        blocks
    }

    /// Calls `each` with every slot number of `slots` and its digest: [`digest`](Self::digest) of the number's 4 bytes
    /// in [`Domain::Slot`].
    pub(crate) fn slot_digests(&self, slots: &[u32], mut each: impl FnMut(u32, u128)) {
        let header = self.cipher.encrypt_one(digest_header(Domain::Slot, 4));
        for slots in slots.chunks(BURST) {
            let mut state = [header; BURST];
            for (state, &slot) in state.iter_mut().zip(slots) {
                *state ^= Block::from(slot);
            }
            self.cipher.encrypt(&mut state[..slots.len()]);
            for (&slot, &digest) in slots.iter().zip(&state) {
                each(slot, digest);
            }
        }
    }
}

/// Block 0 of a digest.
fn digest_header(domain: Domain, len: usize) -> Block {
    let mut header = [0; 16];
    header[0] = FORMAT_VERSION;
    header[3] = domain as u8;
    header[4..12].copy_from_slice(&(len as u64).to_le_bytes());
    Block::from_le_bytes(header)
}

/// Says which implementation is in use; never shows the key.
impl fmt::Debug for FlowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowHasher").field("accelerated", &self.is_accelerated()).finish_non_exhaustive()
    }
}
