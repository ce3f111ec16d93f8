//! The lookup against a list of all VIPs.

use super::*;
use proptest::prelude::*;

fn service(address: &str, protocol: u8, port: ServicePort, vip: u16) -> VipService {
    let entry = VipEntry { vip: VipId(vip), pool: PoolId(vip), steering: Steering::Flow };
    let (address, prefix_len) = match address.split_once('/') {
        Some((address, len)) => (address.parse().unwrap(), len.parse().unwrap()),
        None => {
            let address: IpAddr = address.parse().unwrap();
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    VipService { address, prefix_len, protocol, port, entry }
}

fn found(table: &VipTable, address: &str, protocol: u8, port: u16) -> Option<u16> {
    let key = VipKey::new(address_bits(address.parse().unwrap()), protocol, port);
    table.lookup(key).map(|entry| entry.vip.0)
}

#[test]
fn exact_before_range_before_any() {
    use ServicePort::{Any, Exact, Range};
    let table = VipTable::new(&[
        service("203.0.113.1", 6, Any, 0),
        service("203.0.113.1", 6, Exact(80), 1),
        service("203.0.113.1", 6, Range(70..=90), 2),
        service("203.0.113.1", 6, Range(65_000..=65_535), 3),
    ]);
    let tcp = |port| found(&table, "203.0.113.1", 6, port);
    assert_eq!([tcp(80), tcp(70), tcp(90), tcp(79)], [Some(1), Some(2), Some(2), Some(2)]);
    assert_eq!(
        [tcp(69), tcp(91), tcp(64_999), tcp(65_000), tcp(65_535)],
        [Some(0), Some(0), Some(0), Some(3), Some(3)]
    );
    assert_eq!(found(&table, "203.0.113.1", 17, 80), None);
    assert_eq!(found(&table, "203.0.113.2", 6, 80), None);
    assert!(table.has_address(address_bits("203.0.113.1".parse().unwrap())));
    assert!(!table.has_address(address_bits("203.0.113.2".parse().unwrap())));
}

#[test]
fn the_address_goes_before_the_longest_prefix_before_shorter_ones() {
    use ServicePort::{Any, Exact};
    let table = VipTable::new(&[
        service("203.0.113.0/24", 6, Any, 0),
        service("203.0.113.64/26", 6, Exact(80), 1),
        service("203.0.113.70", 6, Exact(443), 2),
        service("2001:db8::/64", 6, Exact(80), 3),
    ]);
    assert_eq!(found(&table, "203.0.113.70", 6, 443), Some(2));
    assert_eq!(found(&table, "203.0.113.70", 6, 80), Some(1), "no exact VIP takes port 80 there");
    assert_eq!(found(&table, "203.0.113.70", 6, 81), Some(0));
    assert_eq!(found(&table, "203.0.113.1", 6, 80), Some(0));
    assert_eq!(found(&table, "203.0.114.1", 6, 80), None);
    assert_eq!(found(&table, "2001:db8::ffff:1:2:3", 6, 80), Some(3));
    assert_eq!(found(&table, "2001:db8:0:1::1", 6, 80), None);
    let has = |address: &str| table.has_address(address_bits(address.parse().unwrap()));
    assert!(has("203.0.113.255") && has("2001:db8::9") && !has("203.0.112.255") && !has("2001:db9::"));
}

#[test]
fn a_short_prefix_of_one_family_takes_nothing_of_the_other() {
    let table =
        VipTable::new(&[service("::/16", 6, ServicePort::Any, 0), service("0.0.0.0/8", 6, ServicePort::Any, 1)]);
    assert_eq!(found(&table, "203.0.113.1", 6, 80), None);
    assert_eq!(found(&table, "0.1.2.3", 6, 80), Some(1));
    assert_eq!(found(&table, "0:1::1", 6, 80), Some(0));
}

#[test]
fn an_empty_table_finds_nothing() {
    assert_eq!(found(&VipTable::new(&[]), "2001:db8::1", 6, 80), None);
}

fn address(n: u8) -> IpAddr {
    if n.is_multiple_of(2) {
        IpAddr::from([203, 0, 113, n])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)])
    }
}

fn any_service() -> impl Strategy<Value = (u8, u8, bool, ServicePort)> {
    let port = prop_oneof![
        (1_u16..12).prop_map(ServicePort::Exact),
        (1_u16..12, 0_u16..5).prop_map(|(low, more)| ServicePort::Range(low..=low + more)),
        Just(ServicePort::Any),
    ];
    (0_u8..40, 0_u8..=6, any::<bool>(), port)
}

proptest! {
    #[test]
    fn agrees_with_a_list(
        services in proptest::collection::vec(any_service(), 0..200),
        asked in proptest::collection::vec((0_u8..50, any::<bool>(), 1_u16..20), 100),
    ) {
        let protocol = |tcp: bool| if tcp { 6 } else { 17 };
        let bits_of = |service: &VipService| service.prefix_len + if service.address.is_ipv4() { 96 } else { 0 };
        let list: Vec<_> = services
            .into_iter()
            .enumerate()
            .map(|(index, (a, free, tcp, port))| {
                let full = if address(a).is_ipv4() { 32 } else { 128 };
                let entry = VipEntry { vip: VipId(index as u16), pool: PoolId(0), steering: Steering::Flow };
                VipService { address: address(a), prefix_len: full - free, protocol: protocol(tcp), port, entry }
            })
            .collect();
        let table = VipTable::new(&list);
        for (a, tcp, port) in asked {
            let bits = address_bits(address(a));
            let around = |service: &&VipService| {
                let length = bits_of(service);
                masked(address_bits(service.address), length) == masked(bits, length)
            };
            let rank = |service: &VipService| match &service.port {
                ServicePort::Exact(own) => (*own == port).then_some(2),
                ServicePort::Range(range) => range.contains(&port).then_some(1),
                ServicePort::Any => Some(0),
            };
            let candidates = list.iter().filter(around).filter(|service| service.protocol == protocol(tcp));
            let ranked = candidates.filter_map(|service| Some(((bits_of(service), rank(service)?), service)));
            let best = ranked.rev().max_by_key(|(rank, _)| *rank).map(|(_, service)| service.entry);
            prop_assert_eq!(table.lookup(VipKey::new(bits, protocol(tcp), port)), best);
            prop_assert_eq!(table.has_address(bits), list.iter().any(|service| around(&service)));
        }
    }
}
