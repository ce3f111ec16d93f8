//! The block ciphers against the vectors of FIPS 197, and against each other.

use super::aes_soft::AesSoft;
use super::{Block, BurstBlocks, Cipher, FlowHasher, FlowKey};
use crate::port::BURST;
use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, KeyInit};
use proptest::prelude::*;

/// Key, plaintext and ciphertext of FIPS 197: appendix B, and appendix C.1.
const FIPS_197: [(u128, u128, u128); 2] = [
    (
        0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c,
        0x3243_f6a8_885a_308d_3131_98a2_e037_0734,
        0x3925_841d_02dc_09fb_dc11_8597_196a_0b32,
    ),
    (
        0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
        0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a,
    ),
];

/// The software path, what `new` picks, and that with instructions for one block at a time.
fn ciphers(key: u128) -> [Cipher; 3] {
    let picked = || FlowHasher::new(key.to_be_bytes()).cipher;
    let narrow = match picked() {
        #[cfg(target_arch = "x86_64")]
        Cipher::X86(aes) => Cipher::X86(aes.narrow()),
        software => software,
    };
    [FlowHasher::software(key.to_be_bytes()).cipher, picked(), narrow]
}

#[test]
fn both_paths_compute_the_vectors_of_fips_197() {
    for (key, plain, cipher) in FIPS_197 {
        for path in ciphers(key) {
            assert_eq!(path.encrypt_one(plain.swap_bytes()), cipher.swap_bytes());
            assert_eq!(path.decrypt_one(cipher.swap_bytes()), plain.swap_bytes());
        }
    }
}

#[test]
fn the_last_round_key_is_that_of_appendix_a() {
    let aes = AesSoft::new(FIPS_197[0].0.to_be_bytes());
    assert_eq!(aes.round_keys()[10].swap_bytes(), 0xd014_f9a8_c9ee_2589_e13f_0cc8_b663_0ca6);
}

#[test]
fn each_block_of_a_batch_is_encrypted_by_itself() {
    let plain: Vec<Block> = (0..70_u128).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
    for path in ciphers(FIPS_197[1].0) {
        for count in 0..plain.len() {
            let mut blocks = plain[..count].to_vec();
            path.encrypt(&mut blocks);
            let single: Vec<_> = plain[..count].iter().map(|&block| path.encrypt_one(block)).collect();
            assert_eq!(blocks, single);
        }
    }
}

proptest! {
    #[test]
    fn both_paths_decrypt_as_another_aes_does(key: [u8; 16], block: [u8; 16]) {
        let mut plain = block.into();
        Aes128::new(&key.into()).decrypt_block(&mut plain);
        for path in ciphers(u128::from_be_bytes(key)) {
            let decrypted = path.decrypt_one(Block::from_le_bytes(block));
            prop_assert_eq!(decrypted.to_le_bytes(), <[u8; 16]>::from(plain));
            prop_assert_eq!(path.encrypt_one(decrypted).to_le_bytes(), block);
        }
    }
}

proptest! {
    #[test]
    fn blocks_of_a_burst_are_hashed_like_each_flow_alone(
        key in any::<u128>(),
        flows in proptest::collection::vec((any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>(), any::<bool>()), 0..=BURST),
    ) {
        let keys: Vec<FlowKey> = flows.iter().map(|(source, destination, ports, ipv6)| {
            let (source_port, destination_port) = ((ports >> 16) as u16, *ports as u16);
            if *ipv6 {
                FlowKey::v6(6, *source, *destination, source_port, destination_port)
            } else {
                let first = |address: &[u8; 16]| [address[0], address[1], address[2], address[3]];
                FlowKey::v4(17, first(source), first(destination), source_port, destination_port)
            }
        }).collect();
        let mut blocks = [const { BurstBlocks([0; BURST]) }; 3];
        let mut ipv6 = 0;
        for (place, key) in keys.iter().enumerate() {
            for (blocks, block) in blocks.iter_mut().zip(key.blocks()) {
                blocks.0[place] = *block;
            }
            ipv6 |= u64::from(key.is_ipv6()) << place;
        }
        let [first, source, destination] = blocks;
        for cipher in ciphers(key) {
            let hasher = FlowHasher { cipher };
            let mut hashes = first.clone();
            hasher.hash_blocks(&mut hashes, &[source.clone(), destination.clone()], keys.len(), ipv6);
            for (hash, key) in hashes.0.iter().zip(&keys) {
                prop_assert_eq!(*hash, hasher.hash(key).0);
            }
        }
    }
}
