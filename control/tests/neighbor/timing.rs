//! When requests go out, and what their bytes are.

use crate::segment::{GATEWAY, LINK, Segment, Sent, v4, v6};
use guideway_control::neighbor::{Change, State};
use guideway_dataplane::time::Nanos;
use std::time::Duration;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn gaps(sent: &[Sent]) -> Vec<Duration> {
    sent.windows(2).map(|pair| pair[1].at.since(pair[0].at)).collect()
}

/// Within a quarter of `middle`: the jitter.
fn about(gap: Duration, middle: Duration) -> bool {
    (middle * 3 / 4..=middle * 5 / 4).contains(&gap)
}

// The expected bytes in this file were made with another packet library.

#[test]
fn an_arp_request_byte_for_byte() {
    let mut segment = Segment::new(&[v4()]);
    segment.run(Duration::ZERO);
    let expected = "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a0000fe\
                    000000000000000000000000000000000000";
    assert_eq!(segment.sent[0].frame, hex(expected));
}

#[test]
fn a_neighbor_solicitation_byte_for_byte() {
    let mut segment = Segment::new(&[v6()]);
    segment.run(Duration::ZERO);
    let expected = "3333ff0000fe02000000000186dd6000000000203afffd000000000000000000000000000001\
                    ff0200000000000000000001ff0000fe87007b9f00000000fd0000000000000000000000000000fe0101020000000001";
    assert_eq!(segment.sent[0].frame, hex(expected));
}

#[test]
fn the_probes_of_a_known_neighbor_go_to_its_mac_byte_for_byte() {
    let arp = "0200000000fe020000000001080600010800060400010200000000010a0000010000000000000a0000fe\
               000000000000000000000000000000000000";
    let ndp = "0200000000fe02000000000186dd6000000000203afffd000000000000000000000000000001\
               fd0000000000000000000000000000fe87007ca300000000fd0000000000000000000000000000fe0101020000000001";
    for (address, expected) in [(v4(), arp), (v6(), ndp)] {
        let mut segment = Segment::resolved(address);
        segment.run(Duration::from_secs(40));
        assert_eq!(segment.sent[0].frame, hex(expected));
    }
}

#[test]
fn a_silent_host_is_asked_at_once_then_quickly_then_every_second() {
    for address in [v4(), v6()] {
        let mut segment = Segment::new(&[address]);
        let start = segment.now;
        segment.run(Duration::from_secs(20));
        assert_eq!(segment.sent[0].at, start);
        assert!(segment.sent.iter().all(Sent::is_group));
        let gaps = gaps(&segment.sent);
        let quick = [100, 200, 400].map(Duration::from_millis);
        assert!(gaps.len() > 12);
        for (i, gap) in gaps.iter().enumerate() {
            assert!(about(*gap, quick.get(i).copied().unwrap_or(Duration::from_secs(1))), "{i}: {gap:?}");
        }
        let mut slow = gaps[3..].to_vec();
        slow.dedup();
        assert!(slow.len() > 3, "no jitter");
        assert_eq!(segment.table.lookup(LINK, address), None);
        assert_eq!(segment.state(address), State::Unresolved);
    }
}

#[test]
fn a_host_that_starts_later_is_found_within_a_retry() {
    let mut segment = Segment::new(&[v4()]);
    segment.run(Duration::from_secs(10));
    segment.hosts.insert(v4(), GATEWAY);
    segment.run(Duration::from_millis(1_250));
    assert_eq!(segment.changes(), [Change { link: LINK, address: v4(), mac: Some(GATEWAY) }]);
}

#[test]
fn a_live_neighbor_is_refreshed_by_unicast_and_never_leaves_the_table() {
    for address in [v4(), v6()] {
        let mut segment = Segment::resolved(address);
        let begin = segment.now;
        segment.run(Duration::from_secs(600));
        assert!(segment.sent.iter().all(|sent| sent.to == GATEWAY), "a live neighbour needs no broadcast");
        assert!(about(segment.sent[0].at.since(begin), Duration::from_secs(30)));
        assert!(gaps(&segment.sent).iter().all(|gap| about(*gap, Duration::from_secs(30))));
        assert_eq!(segment.changes(), []);
    }
}

#[test]
fn a_dead_neighbor_stays_in_use_for_three_probes() {
    for address in [v4(), v6()] {
        let mut segment = Segment::resolved(address);
        segment.hosts.clear();
        let mut probes: Vec<Nanos> = Vec::new();
        while segment.table.lookup(LINK, address).is_some() {
            segment.run(Duration::from_millis(50));
            probes = segment.sent.iter().map(|sent| sent.at).collect();
            assert!(probes.len() <= 4, "still in use after {probes:?}");
        }
        let kinds: Vec<bool> = segment.sent.iter().map(Sent::is_group).collect();
        // The fourth request already belongs to the search that follows.
        assert_eq!(kinds, [false, true, true, true]);
        assert!(about(probes[1].since(probes[0]), Duration::from_secs(1)));
        assert_eq!(segment.changes(), [Change { link: LINK, address, mac: None }]);
        assert_eq!(segment.state(address), State::Unresolved);
        assert_eq!(segment.table.counters().lost, 1);
        segment.hosts.insert(address, GATEWAY);
        segment.run(Duration::from_millis(1_250));
        assert_eq!(segment.table.lookup(LINK, address), Some(GATEWAY));
    }
}

#[test]
fn one_lost_answer_changes_nothing() {
    let mut segment = Segment::resolved(v4());
    segment.hosts.clear();
    while segment.sent.is_empty() {
        segment.run(Duration::from_millis(100));
    }
    assert_eq!(segment.state(v4()), State::Probing);
    segment.hosts.insert(v4(), GATEWAY);
    segment.run(Duration::from_secs(2));
    assert_eq!(segment.state(v4()), State::Reachable);
    assert_eq!(segment.changes(), []);
}

#[test]
fn a_neighbor_that_is_watched_closely_is_asked_every_second() {
    let mut segment = Segment::new(&[v4(), v6()]);
    segment.hosts.extend([(v4(), GATEWAY), (v6(), GATEWAY)]);
    segment.run(Duration::from_secs(1));
    segment.table.watch(segment.now, &[(LINK, v4())].into());
    segment.sent.clear();
    segment.run(Duration::from_secs(20));
    let (close, other): (Vec<_>, Vec<_>) = segment.sent.drain(..).partition(|sent| sent.target == v4());
    assert!((15..=27).contains(&close.len()), "{} requests", close.len());
    assert!(close.iter().all(|sent| !sent.is_group()), "one that answers is asked itself");
    assert!(gaps(&close).iter().all(|gap| about(*gap, Duration::from_secs(1))));
    assert!(other.is_empty(), "the other one answered seconds ago: {other:?}");

    // No longer: the usual pauses, from the next answer on.
    segment.table.watch(segment.now, &[].into());
    segment.run(Duration::from_secs(2));
    segment.sent.clear();
    segment.run(Duration::from_secs(15));
    assert!(segment.sent.iter().all(|sent| sent.target != v4()), "{:?}", segment.sent);
}

#[test]
fn a_neighbor_that_is_watched_closely_is_soon_found_gone() {
    for address in [v4(), v6()] {
        let mut segment = Segment::resolved(address);
        segment.table.watch(segment.now, &[(LINK, address)].into());
        segment.run(Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(segment.state(address), State::Reachable);
            assert_eq!(segment.changes(), []);
            segment.hosts.clear();
            segment.run(Duration::from_secs(3));
            assert_eq!(segment.state(address), State::Unresolved);
            assert_eq!(segment.changes(), [Change { link: LINK, address, mac: None }]);
            // It comes back, and is watched as before.
            segment.hosts.insert(address, GATEWAY);
            segment.run(Duration::from_secs(2));
            assert_eq!(segment.changes(), [Change { link: LINK, address, mac: Some(GATEWAY) }]);
        }
    }
}
