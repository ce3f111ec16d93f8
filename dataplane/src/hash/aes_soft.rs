//! AES-128 in software: bitsliced, eight blocks at a time, in constant time.
//!
//! No table is indexed and no branch is taken by key or data. The state is eight planes: bit `8p + b` of plane `j` is
//! bit `j` of byte `p` of block `b`. In this form the S-box is its definition in FIPS 197, section 5.1.1, an inversion
//! in GF(2^8) and an affine map, evaluated on 128 bytes at once; ShiftRows and MixColumns are rotations.

use super::Block;

const ROUNDS: usize = 10;
/// Blocks that are encrypted together.
const LANES: usize = 8;

/// The round keys, as they come from the key expansion.
pub(super) type RoundKeys = [Block; ROUNDS + 1];

type Planes = [u128; 8];

/// An expanded key.
#[derive(Clone)]
pub(crate) struct AesSoft {
    round_keys: RoundKeys,
    /// The round keys in planes, the same for all lanes.
    planes: [Planes; ROUNDS + 1],
}

impl AesSoft {
    pub(super) fn new(key: [u8; 16]) -> Self {
        let round_keys = expand_key(key);
        Self { round_keys, planes: round_keys.map(|key| pack(&[key; LANES])) }
    }

    pub(super) fn round_keys(&self) -> &RoundKeys {
        &self.round_keys
    }

    pub(super) fn encrypt_one(&self, block: Block) -> Block {
        let mut lanes = [0; LANES];
        lanes[0] = block;
        unpack(&self.encrypt_planes(pack(&lanes)))[0]
    }

    /// Encrypts each block by itself, in place.
    pub(super) fn encrypt(&self, blocks: &mut [Block]) {
        for blocks in blocks.chunks_mut(LANES) {
            let mut lanes = [0; LANES];
            lanes[..blocks.len()].copy_from_slice(blocks);
            let lanes = unpack(&self.encrypt_planes(pack(&lanes)));
            blocks.copy_from_slice(&lanes[..blocks.len()]);
        }
    }

    /// The cipher of FIPS 197, section 5.1.
    fn encrypt_planes(&self, mut state: Planes) -> Planes {
        add_round_key(&mut state, &self.planes[0]);
        for key in &self.planes[1..ROUNDS] {
            state = mix_columns(&shift_rows(&sub_bytes(&state)));
            add_round_key(&mut state, key);
        }
        state = shift_rows(&sub_bytes(&state));
        add_round_key(&mut state, &self.planes[ROUNDS]);
        state
    }

    pub(super) fn decrypt_one(&self, block: Block) -> Block {
        let mut lanes = [0; LANES];
        lanes[0] = block;
        unpack(&self.decrypt_planes(pack(&lanes)))[0]
    }

    /// The inverse cipher of FIPS 197, section 5.3.
    fn decrypt_planes(&self, mut state: Planes) -> Planes {
        add_round_key(&mut state, &self.planes[ROUNDS]);
        for key in self.planes[1..ROUNDS].iter().rev() {
            state = inverse_sub_bytes(&inverse_shift_rows(&state));
            add_round_key(&mut state, key);
            state = inverse_mix_columns(&state);
        }
        state = inverse_sub_bytes(&inverse_shift_rows(&state));
        add_round_key(&mut state, &self.planes[0]);
        state
    }
}

/// The key expansion of FIPS 197, section 5.2, with words in the byte order of the blocks.
fn expand_key(key: [u8; 16]) -> RoundKeys {
    let mut round_keys = [Block::from_le_bytes(key); ROUNDS + 1];
    let mut round_constant = 1_u8;
    for round in 1..=ROUNDS {
        let previous = round_keys[round - 1];
        let last_word = (previous >> 96) as u32;
        let mut word = sub_word(last_word.rotate_right(8)) ^ u32::from(round_constant);
        let mut next = 0;
        for i in 0..4 {
            word ^= (previous >> (32 * i)) as u32;
            next |= Block::from(word) << (32 * i);
        }
        round_keys[round] = next;
        round_constant = (round_constant << 1) ^ ((round_constant >> 7) * 0x1b);
    }
    round_keys
}

/// The S-box on the four bytes of a word.
fn sub_word(word: u32) -> u32 {
    let mut lanes = [0; LANES];
    lanes[0] = Block::from(word);
    unpack(&sub_bytes(&pack(&lanes)))[0] as u32
}

/// Blocks to planes.
fn pack(blocks: &[Block; LANES]) -> Planes {
    let mut planes = [0; 8];
    for p in 0..16 {
        let column = u64::from_le_bytes(blocks.map(|block| (block >> (8 * p)) as u8));
        let column = transpose(column).to_le_bytes();
        for (plane, byte) in planes.iter_mut().zip(column) {
            *plane |= u128::from(byte) << (8 * p);
        }
    }
    planes
}

/// Planes to blocks: the same transposition, its own inverse.
fn unpack(planes: &Planes) -> [Block; LANES] {
    pack(planes)
}

/// Transposes an 8 by 8 matrix of bits: bit `8i + j` goes to bit `8j + i`.
fn transpose(mut x: u64) -> u64 {
    for (shift, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let swap = (x ^ (x >> shift)) & mask;
        x ^= swap ^ (swap << shift);
    }
    x
}

fn add_round_key(state: &mut Planes, key: &Planes) {
    for (plane, key) in state.iter_mut().zip(key) {
        *plane ^= key;
    }
}

/// Inversion, then the affine map with the constant 0x63.
fn sub_bytes(state: &Planes) -> Planes {
    let a = invert(state);
    std::array::from_fn(|i| {
        let sum = a[i] ^ a[(i + 4) % 8] ^ a[(i + 5) % 8] ^ a[(i + 6) % 8] ^ a[(i + 7) % 8];
        if 0x63 >> i & 1 == 1 { !sum } else { sum }
    })
}

/// The inverse affine map with the constant 0x05, then inversion (FIPS 197, section 5.3.2).
fn inverse_sub_bytes(state: &Planes) -> Planes {
    let mapped: Planes = std::array::from_fn(|i| {
        let sum = state[(i + 2) % 8] ^ state[(i + 5) % 8] ^ state[(i + 7) % 8];
        if 0x05 >> i & 1 == 1 { !sum } else { sum }
    });
    invert(&mapped)
}

/// `x^254`: the inverse of each byte, and 0 of 0.
fn invert(x: &Planes) -> Planes {
    let x2 = square(x);
    let x3 = multiply(&x2, x);
    let x12 = square(&square(&x3));
    let x15 = multiply(&x12, &x3);
    let x240 = square(&square(&square(&square(&x15))));
    multiply(&multiply(&x240, &x12), &x2)
}

/// Products in GF(2^8).
fn multiply(a: &Planes, b: &Planes) -> Planes {
    let mut product = [0; 15];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            product[i + j] ^= a & b;
        }
    }
    reduce(product)
}

/// Squares in GF(2^8): the bits spread out.
fn square(a: &Planes) -> Planes {
    let mut product = [0; 15];
    for (i, &a) in a.iter().enumerate() {
        product[2 * i] = a;
    }
    reduce(product)
}

/// Reduces modulo x^8 + x^4 + x^3 + x + 1.
fn reduce(mut product: [u128; 15]) -> Planes {
    for k in (8..15).rev() {
        let high = product[k];
        for below in [8, 7, 5, 4] {
            product[k - below] ^= high;
        }
    }
    std::array::from_fn(|i| product[i])
}

/// The first row. A column is 32 bits of a plane, a byte of it one of the four rows.
const ROW: u128 = 0x0000_00ff_0000_00ff_0000_00ff_0000_00ff;

/// Row `r` moves `r` columns.
fn shift_rows(state: &Planes) -> Planes {
    state.map(|x| (0..4).fold(0, |rows, r| rows | (x.rotate_right(32 * r) & (ROW << (8 * r)))))
}

/// Row `r` moves `r` columns back.
fn inverse_shift_rows(state: &Planes) -> Planes {
    state.map(|x| (0..4).fold(0, |rows, r| rows | (x.rotate_left(32 * r) & (ROW << (8 * r)))))
}

/// Each byte of a column becomes `2a + 3b + c + d` of itself and the three below it.
fn mix_columns(state: &Planes) -> Planes {
    let below = state.map(|x| rotate_columns(x, 1));
    let pair: Planes = std::array::from_fn(|i| state[i] ^ below[i]);
    let doubled = double(&pair);
    std::array::from_fn(|i| doubled[i] ^ below[i] ^ rotate_columns(pair[i], 2))
}

/// The inverse of [`mix_columns`] is its third power. The second makes `5a + 4c` of each byte.
fn inverse_mix_columns(state: &Planes) -> Planes {
    let pair: Planes = std::array::from_fn(|i| state[i] ^ rotate_columns(state[i], 2));
    let fourfold = double(&double(&pair));
    mix_columns(&std::array::from_fn(|i| state[i] ^ fourfold[i]))
}

/// Twice each byte in GF(2^8).
fn double(state: &Planes) -> Planes {
    std::array::from_fn(|i| {
        let carried = if 0x1b >> i & 1 == 1 { state[7] } else { 0 };
        if i == 0 { carried } else { state[i - 1] ^ carried }
    })
}

/// Moves each byte of a column up by `rows` rows.
fn rotate_columns(x: u128, rows: u32) -> u128 {
    let keep = u128::from(u32::MAX >> (8 * rows)) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
    (x >> (8 * rows) & keep) | (x << (32 - 8 * rows) & !keep)
}
