//! AES-128 with the AES instructions of x86-64.
#![allow(unsafe_code)]

use super::Block;
use super::aes_soft::RoundKeys;
use std::arch::x86_64::{
    __m128i, _mm_aesdec_si128, _mm_aesdeclast_si128, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aesimc_si128,
    _mm_cvtsi128_si64, _mm_load_si128, _mm_set_epi64x, _mm_store_si128, _mm_unpackhi_epi64, _mm_xor_si128,
};
use std::mem::transmute;

/// An expanded key, on a processor that has the instructions: `detect` is the only way to get one.
#[derive(Clone)]
pub(crate) struct AesX86 {
    round_keys: [__m128i; 11],
}

impl AesX86 {
    /// `None` if the processor has no AES instructions.
    pub(super) fn detect(round_keys: &RoundKeys) -> Option<Self> {
        if !std::arch::is_x86_feature_detected!("aes") {
            return None;
        }
        // SAFETY: both are 16 bytes of plain data, and on x86 the first byte of a block is its least significant one.
        Some(Self { round_keys: round_keys.map(|key| unsafe { transmute::<Block, __m128i>(key) }) })
    }

    /// Encrypts each block by itself, in place.
    #[inline]
    pub(super) fn encrypt(&self, blocks: &mut [Block]) {
        // SAFETY: a value of this type exists only where `detect` found the instructions.
        unsafe { encrypt(&self.round_keys, blocks) }
    }

    /// Encrypts one block.
    #[inline]
    pub(super) fn encrypt_one(&self, block: Block) -> Block {
        // SAFETY: a value of this type exists only where `detect` found the instructions.
        unsafe { encrypt_one(&self.round_keys, block) }
    }

    /// Decrypts one block.
    #[inline]
    pub(super) fn decrypt_one(&self, block: Block) -> Block {
        // SAFETY: a value of this type exists only where `detect` found the instructions.
        unsafe { decrypt_one(&self.round_keys, block) }
    }
}

#[inline]
#[target_feature(enable = "aes")]
fn load(block: Block) -> __m128i {
    _mm_set_epi64x((block >> 64) as i64, block as i64)
}

#[inline]
#[target_feature(enable = "aes")]
fn store(state: __m128i) -> Block {
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(state, state));
    Block::from(high as u64) << 64 | Block::from(_mm_cvtsi128_si64(state) as u64)
}

/// One block, in registers all the way.
#[target_feature(enable = "aes")]
fn encrypt_one(round_keys: &[__m128i; 11], block: Block) -> Block {
    let mut state = _mm_xor_si128(round_keys[0], load(block));
    for key in &round_keys[1..10] {
        state = _mm_aesenc_si128(state, *key);
    }
    store(_mm_aesenclast_si128(state, round_keys[10]))
}

/// The equivalent inverse cipher of FIPS 197, section 5.3.5. Its round keys are made on the way: they wait for nothing,
/// while each round waits for the one before.
#[target_feature(enable = "aes")]
fn decrypt_one(round_keys: &[__m128i; 11], block: Block) -> Block {
    let mut state = _mm_xor_si128(round_keys[10], load(block));
    for key in round_keys[1..10].iter().rev() {
        state = _mm_aesdec_si128(state, _mm_aesimc_si128(*key));
    }
    store(_mm_aesdeclast_si128(state, round_keys[0]))
}

/// Eight blocks at a time hide the latency of the instructions; what remains goes by four, two and one.
#[target_feature(enable = "aes")]
fn encrypt(round_keys: &[__m128i; 11], blocks: &mut [Block]) {
    let (eights, rest) = blocks.as_chunks_mut::<8>();
    for lanes in eights {
        encrypt_lanes(round_keys, lanes);
    }
    let (fours, rest) = rest.as_chunks_mut::<4>();
    for lanes in fours {
        encrypt_lanes(round_keys, lanes);
    }
    let (twos, rest) = rest.as_chunks_mut::<2>();
    for lanes in twos {
        encrypt_lanes(round_keys, lanes);
    }
    let (ones, _) = rest.as_chunks_mut::<1>();
    for lanes in ones {
        encrypt_lanes(round_keys, lanes);
    }
}

#[inline]
#[target_feature(enable = "aes")]
fn encrypt_lanes<const N: usize>(round_keys: &[__m128i; 11], blocks: &mut [Block; N]) {
    let mut state = [round_keys[0]; N];
    for (state, block) in state.iter_mut().zip(blocks.iter()) {
        // SAFETY: the reference is valid for 16 bytes, and a `u128` is aligned to 16 bytes.
        let block = unsafe { _mm_load_si128((&raw const *block).cast()) };
        *state = _mm_xor_si128(*state, block);
    }
    for key in &round_keys[1..10] {
        for state in &mut state {
            *state = _mm_aesenc_si128(*state, *key);
        }
    }
    for (state, block) in state.iter().zip(blocks.iter_mut()) {
        let cipher = _mm_aesenclast_si128(*state, round_keys[10]);
        // SAFETY: as for the load; the reference is exclusive.
        unsafe { _mm_store_si128((&raw mut *block).cast(), cipher) };
    }
}
