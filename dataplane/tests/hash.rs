//! The flow hash against an independent AES, and against fixed vectors.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use guideway_dataplane::hash::{Domain, FlowHash, FlowHasher, FlowKey};
use proptest::prelude::*;
use std::net::IpAddr;

const KEY: [u8; 16] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";

/// CBC-MAC as the textbook has it, over whole blocks.
fn cbc_mac(key: [u8; 16], message: &[u8]) -> u128 {
    assert_eq!(message.len() % 16, 0);
    let aes = Aes128::new(&key.into());
    let mut state = [0; 16];
    for block in message.chunks(16) {
        state.iter_mut().zip(block).for_each(|(s, b)| *s ^= b);
        let mut cipher = state.into();
        aes.encrypt_block(&mut cipher);
        state = cipher.into();
    }
    u128::from_le_bytes(state)
}

#[derive(Clone, Copy, Debug)]
enum Tuple {
    V4(u8, [u8; 4], [u8; 4], u16, u16),
    V6(u8, [u8; 16], [u8; 16], u16, u16),
}

impl Tuple {
    fn key(self) -> FlowKey {
        match self {
            Self::V4(protocol, source, destination, sport, dport) => {
                FlowKey::v4(protocol, source, destination, sport, dport)
            }
            Self::V6(protocol, source, destination, sport, dport) => {
                FlowKey::v6(protocol, source, destination, sport, dport)
            }
        }
    }

    /// The message of the layout in the module's documentation.
    fn message(self) -> Vec<u8> {
        match self {
            Self::V4(protocol, source, destination, sport, dport) => {
                [&[1, 4, protocol, 0][..], &source, &destination, &sport.to_be_bytes(), &dport.to_be_bytes()].concat()
            }
            Self::V6(protocol, source, destination, sport, dport) => {
                [&[1, 6, protocol, 0][..], &sport.to_be_bytes(), &dport.to_be_bytes(), &[0; 8], &source, &destination]
                    .concat()
            }
        }
    }
}

impl Tuple {
    /// The message of a client: [`Tuple::message`] in its domain, with zeros for all but the source address.
    fn client_message(self) -> Vec<u8> {
        let mut message = match self {
            Self::V4(_, source, ..) => Self::V4(0, source, [0; 4], 0, 0),
            Self::V6(_, source, ..) => Self::V6(0, source, [0; 16], 0, 0),
        }
        .message();
        message[3] = Domain::ClientAffinity as u8;
        message
    }
}

fn tuples() -> impl Strategy<Value = Tuple> {
    prop_oneof![
        any::<(u8, [u8; 4], [u8; 4], u16, u16)>().prop_map(|(p, s, d, x, y)| Tuple::V4(p, s, d, x, y)),
        any::<(u8, [u8; 16], [u8; 16], u16, u16)>().prop_map(|(p, s, d, x, y)| Tuple::V6(p, s, d, x, y)),
    ]
}

/// The layout of names and slot numbers in the module's documentation.
fn digest_message(domain: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = [&[1, 0, 0, domain][..], &(bytes.len() as u64).to_le_bytes(), &[0; 4], bytes].concat();
    message.resize(message.len().next_multiple_of(16), 0);
    message
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_client_is_its_address_alone(key: [u8; 16], tuple in tuples()) {
        let client = tuple.key().client();
        prop_assert_eq!(FlowHasher::new(key).hash(&client), FlowHash(cbc_mac(key, &tuple.client_message())));
        prop_assert_eq!((client.source(), client.source_port()), (tuple.key().source(), 0));
    }

    #[test]
    fn another_transport_keeps_the_addresses(tuple in tuples(), protocol: u8, ports: (u16, u16)) {
        let key = tuple.key().with_transport(protocol, ports.0, ports.1);
        let changed = match tuple {
            Tuple::V4(_, source, destination, ..) => Tuple::V4(protocol, source, destination, ports.0, ports.1),
            Tuple::V6(_, source, destination, ..) => Tuple::V6(protocol, source, destination, ports.0, ports.1),
        };
        prop_assert_eq!(key, changed.key());
    }

    #[test]
    fn every_path_is_the_textbook_mac(key: [u8; 16], tuples in prop::collection::vec(tuples(), 0..150)) {
        let expected: Vec<_> = tuples.iter().map(|tuple| FlowHash(cbc_mac(key, &tuple.message()))).collect();
        let keys: Vec<_> = tuples.iter().map(|tuple| tuple.key()).collect();
        for hasher in [FlowHasher::new(key), FlowHasher::software(key)] {
            let mut burst = vec![FlowHash::default(); keys.len()];
            hasher.hash_burst(&keys, &mut burst);
            prop_assert_eq!(&burst, &expected);
            // Software is slow one at a time, without optimization most of all.
            for (key, expected) in keys.iter().zip(&expected).take(8) {
                prop_assert_eq!(hasher.hash(key), *expected);
            }
        }
    }

    #[test]
    fn digests_are_the_textbook_mac(key: [u8; 16], bytes in prop::collection::vec(any::<u8>(), 0..70)) {
        for hasher in [FlowHasher::new(key), FlowHasher::software(key)] {
            prop_assert_eq!(hasher.digest(Domain::BackendName, &bytes), cbc_mac(key, &digest_message(2, &bytes)));
            prop_assert_eq!(hasher.digest(Domain::Slot, &bytes), cbc_mac(key, &digest_message(3, &bytes)));
        }
    }

    #[test]
    fn a_key_gives_back_what_it_was_made_of(tuple in tuples(), other in tuples()) {
        let key = tuple.key();
        let (protocol, source, destination, sport, dport) = match tuple {
            Tuple::V4(p, s, d, x, y) => (p, IpAddr::from(s), IpAddr::from(d), x, y),
            Tuple::V6(p, s, d, x, y) => (p, IpAddr::from(s), IpAddr::from(d), x, y),
        };
        prop_assert_eq!(key.protocol(), protocol);
        prop_assert_eq!(key.is_ipv6(), source.is_ipv6());
        prop_assert_eq!((key.source(), key.destination()), (source, destination));
        prop_assert_eq!((key.source_port(), key.destination_port()), (sport, dport));
        prop_assert_eq!(key == other.key(), tuple.message() == other.message());
    }

    #[test]
    fn the_parts_of_a_hash_are_its_bits(bits: u128, size: u32) {
        let hash = FlowHash(bits);
        prop_assert_eq!(u128::from(hash.tag()), bits % (1 << 32));
        prop_assert_eq!(u128::from(hash.bucket()), (bits >> 32) % (1 << 32));
        prop_assert_eq!(u128::from(hash.entropy()), (bits >> 64) % (1 << 16));
        let slot = (u128::from(hash.tag()) * u128::from(size)) >> 32;
        prop_assert_eq!(u128::from(hash.slot(size)), slot);
        prop_assert!(size == 0 || hash.slot(size) < size);
    }
}

#[test]
fn a_burst_fills_no_more_than_the_shorter_slice() {
    let hasher = FlowHasher::new(KEY);
    let keys = [FlowKey::v4(6, [10, 0, 0, 1], [10, 0, 0, 2], 1, 2); 100];
    for (count, capacity) in [(0, 5), (5, 0), (3, 70), (70, 3), (100, 65), (65, 100)] {
        let mut hashes = vec![FlowHash::default(); capacity];
        hasher.hash_burst(&keys[..count], &mut hashes);
        let filled = count.min(capacity);
        assert!(hashes[..filled].iter().all(|hash| *hash == hasher.hash(&keys[0])));
        assert!(hashes[filled..].iter().all(|hash| *hash == FlowHash::default()));
    }
}

/// Fixed for good: other values than these are another format, and a fleet of two releases would disagree.
#[test]
fn golden_vectors() {
    let v4 = |protocol, source, destination, sport, dport| FlowKey::v4(protocol, source, destination, sport, dport);
    let v6 = |protocol: u8, source: &str, destination: &str, sport, dport| {
        let octets = |address: &str| address.parse::<std::net::Ipv6Addr>().expect("an address").octets();
        FlowKey::v6(protocol, octets(source), octets(destination), sport, dport)
    };
    let flows = [
        (v4(6, [192, 0, 2, 7], [203, 0, 113, 10], 40_000, 80), "28a781355094038f7fc004f33522d7f8"),
        (v4(17, [198, 51, 100, 1], [203, 0, 113, 10], 53, 4_433), "ae7267d356cceecad56cad9e3576e628"),
        (v4(0, [0; 4], [0; 4], 0, 0), "c53cb6fba86779f06d45c43a42338ec1"),
        (v6(6, "2001:db8::7", "2001:db8:113::10", 40_000, 80), "0a0c526335e8ad58d84a6afe63a62780"),
        (v6(17, "2001:db8:1:2:3:4:5:6", "2001:db8:113::10", 53, 4_433), "82c27cfa172aeee7d548c37b10b9d385"),
        (v6(0, "::", "::", 0, 0), "cb8abe10d8318dcd3294e6615fb9f1df"),
    ];
    for hasher in [FlowHasher::new(KEY), FlowHasher::software(KEY)] {
        for (flow, expected) in flows {
            assert_eq!(hex(hasher.hash(&flow).0), expected, "{flow}");
        }
        for (name, expected) in [
            ("", "ec103544309ee1c77258bdd2d9cf2517"),
            ("web1", "12176077c4cfa084cffba994aa58188f"),
            ("sixteen-bytes-xx", "e4e9dc19aa59e43fe6132a2d0ba7610a"),
            ("10.0.0.11/seventeen", "b9f89e589d653ab36462e95f194e70d4"),
        ] {
            assert_eq!(hex(hasher.digest(Domain::BackendName, name.as_bytes())), expected, "{name}");
        }
        assert_eq!(hex(hasher.digest(Domain::Slot, &65_536_u32.to_le_bytes())), "543d9a66c790e6edf005df9138fe47ad");
    }
}

/// The bytes in order.
fn hex(value: u128) -> String {
    value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_key_stays_out_of_logs() {
    let shown = format!("{:?}", FlowHasher::new(*b"kkkkkkkkkkkkkkkk"));
    assert!(shown.contains("accelerated") && !shown.contains("107") && !shown.contains("6b6b"), "{shown}");
}

#[test]
fn a_flow_reads_well_in_a_log() {
    let v4 = FlowKey::v4(6, [192, 0, 2, 7], [203, 0, 113, 10], 40_000, 80);
    assert_eq!(v4.to_string(), "6 192.0.2.7:40000 > 203.0.113.10:80");
    let mut loopback = [0; 16];
    loopback[15] = 1;
    let v6 = FlowKey::v6(17, loopback, [0xff; 16], 1, 2);
    assert_eq!(v6.to_string(), "17 [::1]:1 > [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:2");
}
