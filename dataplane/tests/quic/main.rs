//! Connection IDs: the draft's vectors, every shape against a naive reading of the draft, and any bytes at all.

mod naive;

use guideway_dataplane::quic::{EncodeError, LbConfig, ServerIds, encode, encode_with_bits};
use proptest::prelude::*;

const KEY: [u8; 16] = 0x8f95_f092_4576_5f80_2569_34e5_0c66_207f_u128.to_be_bytes();
const KEY_OF_EXAMPLE: [u8; 16] = 0xfdf7_26a9_893e_c05c_0632_d395_6680_baf0_u128.to_be_bytes();

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A packet with a long header of version 1 whose fixed bit is clear (RFC 9287), to and from the same connection ID.
fn long(id: &[u8]) -> Vec<u8> {
    let len = [id.len() as u8];
    [&[0x80, 0, 0, 0, 1], &len[..], id, &len, id, &[0xa5; 30]].concat()
}

fn short(id: &[u8]) -> Vec<u8> {
    [&[0x41], id, &[0xa5; 30]].concat()
}

/// Every shape that the draft allows: bytes of the server ID, and of the nonce.
fn shapes() -> impl Iterator<Item = (u8, u8)> {
    (1..=15).flat_map(|server_id_len| (4..=19 - server_id_len).map(move |nonce_len| (server_id_len, nonce_len)))
}

/// Appendix B, and the example of section 5.4.2. Two rows of the appendix are misprinted: of the second one the nibbles of the
/// first byte stand apart and the nonce lacks its first zero; the last one says configuration 3, and its first byte 0.
#[test]
fn the_vectors_of_the_draft() {
    for (config_id, key, server_id, nonce, id) in [
        (0, None, "c4605e", "4504cc4f", "07c4605e4504cc4f"),
        (1, None, "350d28b420", "03487d970b", "2a350d28b42003487d970b"),
        (0, Some(KEY), "ed793a", "ee080dbf", "0720b1d07b359d3c"),
        (1, Some(KEY), "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2"),
        (2, Some(KEY), "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3"),
        (0, Some(KEY), "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"),
        (0, Some(KEY_OF_EXAMPLE), "31441a", "9c69c275", "0767947d29be054a"),
    ] {
        let (server_id, nonce, id) = (bytes(server_id), bytes(nonce), bytes(id));
        let config = LbConfig { config_id, server_id_len: server_id.len() as u8, nonce_len: nonce.len() as u8, key };
        assert_eq!(encode(&config, &server_id, &nonce), Ok(id.clone()));
        let ids = ServerIds::new(&[config], &[(&[0; 3], 1), (&server_id, 7)]);
        assert_eq!(ids.lookup(&id), Some(7));
        assert_eq!(ids.lookup_packet(&long(&id)), Some(7));
        assert_eq!(ids.lookup_packet(&short(&id)), Some(7));
    }
}

#[test]
fn a_connection_id_may_be_longer_and_not_shorter() {
    for (server_id_len, nonce_len) in shapes() {
        for key in [None, Some(KEY)] {
            let config = LbConfig { config_id: 3, server_id_len, nonce_len, key };
            let (server_id, nonce) = (vec![0x5a; server_id_len.into()], vec![0xc3; nonce_len.into()]);
            let id = encode(&config, &server_id, &nonce).unwrap();
            let ids = ServerIds::new(&[config], &[(&server_id, 3)]);
            // Servers may have bytes of their own behind it, to the limit of the version.
            let longer = [&id[..], &[0xee; 20]].concat();
            assert_eq!(ids.lookup_packet(&long(&longer[..20])), Some(3));
            assert_eq!(ids.lookup_packet(&long(&longer[..21])), None);
            // Of a long header the bytes behind the connection ID are not its own, even if they would fit.
            let mut packet = long(&id);
            packet[5] -= 1;
            assert_eq!(ids.lookup_packet(&packet), None);
            for cut in 0..=id.len() + 30 {
                let found = |header: usize| (cut >= header + id.len()).then_some(3);
                assert_eq!(ids.lookup_packet(&long(&id)[..cut]), found(6), "{config:?}, {cut}");
                assert_eq!(ids.lookup_packet(&short(&id)[..cut]), found(1), "{config:?}, {cut}");
            }
        }
    }
}

#[test]
fn configurations_rotate() {
    let config = |config_id, key| LbConfig { config_id, server_id_len: 2, nonce_len: 6, key };
    let configs = [config(0, None), config(6, Some(KEY))];
    let ids = ServerIds::new(&configs, &[(&[0, 1], 10), (&[0, 2], 20)]);
    for config in &configs {
        for (server_id, index) in [([0, 1], Some(10)), ([0, 2], Some(20)), ([0, 3], None)] {
            let id = encode(config, &server_id, &[9; 6]).unwrap();
            assert_eq!(ids.lookup_packet(&long(&id)), index);
            assert_eq!(ids.lookup_packet(&short(&id)), index);
        }
    }
    // Configurations that are not there, and the bits that say "not routable".
    for bits in [1_u8, 2, 3, 4, 5, 7] {
        assert_eq!(ids.lookup(&[bits << 5, 0, 1, 9, 9, 9, 9, 9, 9]), None);
    }
}

#[test]
fn server_ids_of_different_length_differ() {
    let config = |config_id, server_id_len| LbConfig { config_id, server_id_len, nonce_len: 4, key: None };
    let ids = ServerIds::new(&[config(0, 1), config(1, 2)], &[(&[7], 1), (&[7, 0], 2)]);
    assert_eq!(ids.lookup(&[0x00, 7, 0, 0, 0, 0]), Some(1));
    assert_eq!(ids.lookup(&[0x20, 7, 0, 0, 0, 0, 0]), Some(2));
}

#[test]
fn of_two_the_same_the_first_counts() {
    let config = |server_id_len| LbConfig { config_id: 4, server_id_len, nonce_len: 4, key: None };
    let ids = ServerIds::new(&[config(16), config(1), config(2)], &[(&[7], 1), (&[7], 2), (&[7, 0], 3)]);
    assert_eq!(ids.lookup(&[0x80, 7, 0, 0, 0, 0, 0]), Some(1));
}

#[test]
fn parts_that_do_not_fit_together_are_errors() {
    let config = LbConfig { config_id: 0, server_id_len: 3, nonce_len: 4, key: None };
    assert_eq!(encode(&config, &[0; 2], &[0; 4]), Err(EncodeError::ServerId));
    assert_eq!(encode(&config, &[0; 3], &[0; 5]), Err(EncodeError::Nonce));
    for config in [
        LbConfig { config_id: 7, ..config },
        LbConfig { server_id_len: 0, nonce_len: 16, ..config },
        LbConfig { server_id_len: 16, nonce_len: 3, ..config },
        LbConfig { nonce_len: 3, ..config },
        LbConfig { nonce_len: 17, ..config },
        LbConfig { server_id_len: 255, nonce_len: 255, ..config },
    ] {
        let (server_id, nonce) = (vec![0; config.server_id_len.into()], vec![0; config.nonce_len.into()]);
        assert_eq!(encode(&config, &server_id, &nonce), Err(EncodeError::Config), "{config:?}");
        assert_eq!(ServerIds::new(&[config], &[(&server_id, 1)]).lookup(&[0; 600]), None);
    }
}

#[test]
fn keys_are_not_shown() {
    let config = LbConfig { config_id: 0, server_id_len: 3, nonce_len: 4, key: Some([0xab; 16]) };
    let shown = format!("{config:?} {:?}", ServerIds::new(&[config], &[])).to_lowercase();
    assert!(!shown.contains("171") && !shown.contains("ab, ab") && !shown.contains("abab"), "{shown}");
}

fn key() -> impl Strategy<Value = Option<[u8; 16]>> {
    prop::option::of(any::<[u8; 16]>())
}

/// A configuration that is mostly allowed and of short server IDs, so that random bytes often name somebody.
fn config(config_id: u8) -> impl Strategy<Value = LbConfig> {
    let lens = prop_oneof![
        9 => prop::sample::select(shapes().filter(|(server_id_len, _)| *server_id_len <= 3).collect::<Vec<_>>()),
        1 => any::<(u8, u8)>(),
    ];
    (lens, key()).prop_map(move |((server_id_len, nonce_len), key)| LbConfig {
        config_id,
        server_id_len,
        nonce_len,
        key,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both directions: what the encoder makes, and what any bytes decrypt to.
    #[test]
    fn every_shape_is_as_the_naive_reading_has_it(
        config_id in 0_u8..=6,
        bits: u8,
        key: [u8; 16],
        random: [u8; 19],
    ) {
        for (server_id_len, nonce_len) in shapes() {
            for key in [None, Some(key)] {
                let config = LbConfig { config_id, server_id_len, nonce_len, key };
                let text = &random[..usize::from(server_id_len + nonce_len)];
                let (server_id, nonce) = text.split_at(server_id_len.into());
                let id = encode(&config, server_id, nonce).unwrap();
                prop_assert_eq!(id[0], config_id << 5 | text.len() as u8);
                prop_assert_eq!(&id[1..], naive::encrypt(key, text));
                let with_bits = encode_with_bits(&config, bits, server_id, nonce).unwrap();
                prop_assert_eq!(with_bits[0], config_id << 5 | bits & 0x1f);
                prop_assert_eq!(&with_bits[1..], &id[1..]);

                let decrypted = naive::decrypt(key, text);
                let other = &decrypted[..server_id.len()];
                let mut nobody = server_id.to_vec();
                *nobody.last_mut().unwrap() ^= 1;
                let ids = ServerIds::new(&[config], &[(&nobody, 1), (server_id, 2), (other, 3)]);
                prop_assert_eq!(ids.lookup(&id), Some(2));
                prop_assert_eq!(ids.lookup(&with_bits), Some(2));
                let any = [&[config_id << 5], text].concat();
                let of_any = if other == nobody {
                    1
                } else if other == server_id {
                    2
                } else {
                    3
                };
                prop_assert_eq!(ids.lookup(&any), Some(of_any), "{:?}", config);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_name_whom_the_naive_reading_says(
        configs in (config(0), config(1), config(6), config(7)),
        servers in prop::collection::btree_map(prop::collection::vec(0_u8..4, 0..5), any::<u16>(), 0..40),
        start in prop_oneof![Just(vec![0x40]), Just(vec![0xc0, 0, 0, 0, 1]), Just(vec![])],
        mut rest in prop::collection::vec(prop_oneof![0_u8..4, 16_u8..24, any::<u8>()], 0..60),
        written in prop::option::of((0_usize..3, any::<prop::sample::Index>())),
    ) {
        let configs = [configs.0, configs.1, configs.2, configs.3];
        let servers: Vec<(&[u8], u16)> = servers.iter().map(|(id, index)| (&id[..], *index)).collect();
        // Mostly a connection ID that is right stands at the beginning.
        if let Some((config, server)) = written
            && !servers.is_empty()
            && let (server_id, _) = servers[server.index(servers.len())]
            && let Ok(id) = encode(&configs[config], server_id, &vec![7; configs[config].nonce_len.into()])
        {
            let len = (start.len() == 5).then_some(id.len() as u8);
            rest.splice(0..0, len.into_iter().chain(id));
        }
        let datagram = [start, rest].concat();
        let found = ServerIds::new(&configs, &servers).lookup_packet(&datagram);
        prop_assert_eq!(found, naive::lookup(&configs, &servers, &datagram));
    }
}
