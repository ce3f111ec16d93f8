//! The packets on the wire, read by an independent implementation that verifies every checksum.

use crate::sim::{PORT, World, ms, target, target_v6};
use crate::wire::Segment;
use guideway_control::health::{FIRST_PROBE_PORT, Target};
use guideway_dataplane::ids::{BackendId, MAX_BACKENDS};
use smoltcp::wire::TcpControl;
use std::collections::HashSet;

/// All packets of half a second in which the backend does not answer: SYNs, and the RSTs between them.
fn unanswered(target: Target) -> Vec<Segment> {
    let mut world = World::new(&[target]);
    world.hosts.clear();
    world.run(ms(500));
    world.sent.iter().map(|sent| Segment::read(&sent.packet)).collect()
}

#[test]
fn syns_and_resets_of_both_families() {
    for (target, mss) in [(target(1), 1_460), (target_v6(1), 1_440)] {
        let segments = unanswered(target);
        for segment in &segments {
            assert_eq!((segment.source, segment.destination), (target.source, target.destination));
            assert_eq!((segment.source_port, segment.destination_port), (FIRST_PROBE_PORT + 1, PORT));
            assert_eq!(segment.acknowledged, None);
            match segment.control {
                TcpControl::Syn => assert_eq!(segment.mss, Some(mss)),
                control => assert_eq!((control, segment.mss), (TcpControl::Rst, None)),
            }
        }
        let syns: Vec<_> = segments.iter().filter(|segment| segment.control == TcpControl::Syn).collect();
        assert!(syns.len() >= 20);
        let cookies: HashSet<u32> = syns.iter().map(|syn| syn.sequence).collect();
        assert_eq!(cookies.len(), syns.len(), "each round has its own");
    }
}

#[test]
fn a_round_without_an_answer_is_reset_before_the_next() {
    // Its SYN or its answer may have been lost; in the second case the host holds a half-open connection.
    let segments = unanswered(target(1));
    for pair in segments.windows(2).filter(|pair| pair[1].control == TcpControl::Syn) {
        assert_eq!(pair[0].control, TcpControl::Rst);
    }
    for pair in segments.windows(2).filter(|pair| pair[0].control == TcpControl::Syn) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
}

#[test]
fn checksums_hold_for_many_ports_and_numbers() {
    let last = (MAX_BACKENDS - 1) as u16;
    let targets: Vec<_> = (0..=last).step_by(97).map(target).chain([target_v6(last)]).collect();
    let mut world = World::new(&targets);
    world.hosts.clear();
    world.run(ms(60));
    // World itself reads, and so verifies, every packet that goes out.
    let ports: HashSet<u16> = world.sent.iter().map(|sent| Segment::read(&sent.packet).source_port).collect();
    assert_eq!(ports, targets.iter().map(|target| FIRST_PROBE_PORT + target.backend.0).collect());
}

#[test]
fn another_key_makes_other_numbers() {
    let number = |key| {
        let mut prober = guideway_control::health::Prober::new([key; 16]);
        let now = guideway_dataplane::time::Nanos(1_000_000);
        prober.set_targets(&[target(1)], now).unwrap();
        let mut numbers = Vec::new();
        prober.poll(now, None, &mut |probe| {
            assert_eq!(probe.backend, BackendId(1));
            numbers.push(Segment::read(probe.packet).sequence);
        });
        assert_eq!(numbers.len(), 1);
        numbers[0]
    };
    assert_ne!(number(1), number(2));
}
