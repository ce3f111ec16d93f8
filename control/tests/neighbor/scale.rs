//! Many neighbours, and floods from hosts that nobody asked for.

use crate::segment::{GATEWAY, LINK, OTHER, Segment, gratuitous, unsolicited, v4};
use guideway_control::neighbor::Received;
use guideway_control::neighbor::wire::Operation;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const MANY: u32 = 10_000;

fn many() -> Vec<IpAddr> {
    (0..MANY).map(|i| IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + i))).collect()
}

fn mac_of(i: usize) -> [u8; 6] {
    let [.., a, b] = i.to_be_bytes();
    [2, 1, 0, 0, a, b]
}

#[test]
fn ten_thousand_next_hops_are_resolved_within_three_seconds_without_a_burst() {
    let addresses = many();
    let mut segment = Segment::new(&addresses);
    segment.hosts = addresses.iter().enumerate().map(|(i, address)| (*address, mac_of(i))).collect();
    segment.run(Duration::from_secs(3));
    assert_eq!(segment.sent.len(), addresses.len(), "each is asked once");
    assert!(segment.largest_burst <= 32, "{}", segment.largest_burst);
    for (i, address) in addresses.iter().enumerate() {
        assert_eq!(segment.table.lookup(LINK, *address), Some(mac_of(i)));
    }
    assert_eq!(segment.changes().len(), addresses.len());

    segment.sent.clear();
    segment.run(Duration::from_secs(120));
    let mut seconds = HashMap::<u64, usize>::new();
    for sent in &segment.sent {
        *seconds.entry(sent.at.0 / 1_000_000_000).or_default() += 1;
    }
    let peak = seconds.values().max().unwrap();
    assert!(*peak < 1_500, "refreshes are spread, {peak} in one second");
    assert_eq!(segment.changes(), []);
}

#[test]
fn dead_next_hops_do_not_starve_the_rest() {
    let addresses = many();
    let mut segment = Segment::new(&addresses);
    let alive = addresses[4_242];
    segment.hosts.insert(alive, GATEWAY);
    segment.run(Duration::from_secs(120));
    assert_eq!(segment.changes().len(), 1);
    assert_eq!(segment.table.lookup(LINK, alive), Some(GATEWAY));
    let rate = segment.sent.len() / 120;
    assert!(rate <= 4_000, "{rate} requests a second");
}

#[test]
fn a_flood_from_made_up_hosts_creates_no_state() {
    let mut segment = Segment::resolved(v4());
    for i in 0..20_000_u32 {
        let address = IpAddr::V4(Ipv4Addr::from(0x0a02_0000 + i));
        let operation = if i % 2 == 0 { Operation::Request } else { Operation::Reply };
        let received = segment.table.receive(segment.now, LINK, &gratuitous(operation, address, OTHER));
        assert_eq!(received, Received::Nothing);
        let address = IpAddr::V6(Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(i) << 8));
        assert_eq!(segment.table.receive(segment.now, LINK, &unsolicited(address, OTHER)), Received::Nothing);
    }
    assert_eq!(segment.table.status(segment.now).count(), 1);
    assert_eq!(segment.changes(), []);
    assert_eq!(segment.table.lookup(LINK, v4()), Some(GATEWAY));
}
