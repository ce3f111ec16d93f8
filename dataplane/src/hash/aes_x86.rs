//! AES-128 with the AES instructions of x86-64.
#![allow(unsafe_code)]

use super::aes_soft::RoundKeys;
use super::{Block, BurstBlocks};
use crate::port::BURST;
use std::arch::x86_64::{
    __m128i, __m512i, _mm_aesdec_si128, _mm_aesdeclast_si128, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aesimc_si128,
    _mm_cvtsi128_si64, _mm_load_si128, _mm_set_epi64x, _mm_store_si128, _mm_unpackhi_epi64, _mm_xor_si128,
    _mm512_aesenc_epi128, _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_loadu_si512, _mm512_storeu_si512,
    _mm512_xor_si512,
};
use std::mem::transmute;

/// An expanded key, on a processor that has the instructions: `detect` is the only way to get one.
#[derive(Clone)]
pub(crate) struct AesX86 {
    round_keys: [__m128i; 11],
    /// Whether it has them for four blocks at once (VAES with AVX-512).
    wide: bool,
}

impl AesX86 {
    /// `None` if the processor has no AES instructions.
    pub(super) fn detect(round_keys: &RoundKeys) -> Option<Self> {
        if !std::arch::is_x86_feature_detected!("aes") {
            return None;
        }
        let wide = std::arch::is_x86_feature_detected!("vaes") && std::arch::is_x86_feature_detected!("avx512f");
        // SAFETY: both are 16 bytes of plain data, and on x86 the first byte of a block is its least significant one.
        Some(Self { round_keys: round_keys.map(|key| unsafe { transmute::<Block, __m128i>(key) }), wide })
    }

    /// Encrypts each block by itself, in place.
    #[inline]
    pub(super) fn encrypt(&self, blocks: &mut [Block]) {
        // SAFETY: a value of this type exists only where `detect` found the instructions.
        unsafe { encrypt(&self.round_keys, blocks) }
    }

    /// Encrypts the first `count` blocks each by itself, in place, and perhaps some beyond them.
    #[inline]
    pub(super) fn encrypt_burst(&self, blocks: &mut BurstBlocks, count: usize) {
        if self.wide {
            // SAFETY: `wide` is set only where `detect` found the instructions.
            unsafe { encrypt_wide(&self.round_keys, blocks, count) }
        } else {
            self.encrypt(&mut blocks.0[..count.min(BURST)]);
        }
    }

    /// The same with instructions for one block at a time, where there are wider ones.
    #[cfg(test)]
    pub(super) fn narrow(self) -> Self {
        Self { wide: false, ..self }
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

/// Four blocks in a register, and as many registers at a time as hide the latency of the instructions.
#[target_feature(enable = "vaes,avx512f")]
fn encrypt_wide(round_keys: &[__m128i; 11], blocks: &mut BurstBlocks, count: usize) {
    let (mut done, quads) = (0, blocks.0.as_chunks_mut::<4>().0);
    while done < count.div_ceil(4) {
        let rest = quads.get_mut(done..).unwrap_or(&mut []);
        done += if let Some(lanes) = rest.first_chunk_mut::<8>().filter(|_| count - 4 * done > 8) {
            encrypt_quads(round_keys, lanes);
            8
        } else if let Some(lanes) = rest.first_chunk_mut::<2>() {
            encrypt_quads(round_keys, lanes);
            2
        } else {
            break;
        };
    }
}

#[inline]
#[target_feature(enable = "vaes,avx512f")]
fn encrypt_quads<const N: usize>(round_keys: &[__m128i; 11], quads: &mut [[Block; 4]; N]) {
    let mut state = [_mm512_broadcast_i32x4(round_keys[0]); N];
    for (state, quad) in state.iter_mut().zip(quads.iter()) {
        // SAFETY: the reference is valid for 64 bytes; the load needs no alignment.
        let quad = unsafe { _mm512_loadu_si512((&raw const *quad).cast::<__m512i>()) };
        *state = _mm512_xor_si512(*state, quad);
    }
    for key in &round_keys[1..10] {
        let key = _mm512_broadcast_i32x4(*key);
        for state in &mut state {
            *state = _mm512_aesenc_epi128(*state, key);
        }
    }
    let last = _mm512_broadcast_i32x4(round_keys[10]);
    for (state, quad) in state.iter().zip(quads.iter_mut()) {
        let cipher = _mm512_aesenclast_epi128(*state, last);
        // SAFETY: as for the load; the reference is exclusive.
        unsafe { _mm512_storeu_si512((&raw mut *quad).cast::<__m512i>(), cipher) };
    }
}
