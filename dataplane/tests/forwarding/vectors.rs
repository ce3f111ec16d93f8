//! Every vector, one by one and in full bursts.

use crate::outcome::{Observer, describe, grouped};
use crate::reader;
use crate::rig::{Rig, SEQUENCES, VECTORS};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::port::BURST;
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::time::Nanos;
use guideway_vectors::{Expect, Vector};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Reasons that take more than a few frames; their tests stand beside each.
const NOT_BY_FRAMES: [(DropReason, &str); 23] = [
    (DropReason::TransportChecksum, "device::the_word_of_the_device_about_checksums_counts_where_it_looks_at_them"),
    (DropReason::FragmentFull, "fragments::a_full_hold_is_a_named_drop_and_costs_nobody_else"),
    (DropReason::NoHeadroom, "properties::a_buffer_without_headroom_is_a_named_drop"),
    (DropReason::NoBuffer, "device::a_packet_whose_fragments_get_no_buffers_is_a_named_drop"),
    (DropReason::TxFull, "worker::a_full_transmit_queue_drops_what_it_does_not_take"),
    (DropReason::HandoffFull, "worker::a_full_ring_to_another_worker_drops"),
    (DropReason::PuntRate, "punts::a_class_is_limited_to_its_rate"),
    (DropReason::PuntFull, "punts::a_full_ring_drops_and_says_so"),
    (DropReason::StaleInjection, "injections::a_backend_that_is_gone_is_a_named_drop"),
    (DropReason::SessionNone, "control: sessions::what_begins_nothing_is_dropped"),
    (DropReason::SessionsFull, "control: sessions::room_is_for_those_who_are_there"),
    (DropReason::SessionTaken, "control: sessions::a_tuple_is_one_sessions"),
    (DropReason::SessionBackend, "control: sessions::a_backend_that_is_gone_serves_no_session"),
    (DropReason::SourcePorts, "control: sessions::source_ports_run_out"),
    (DropReason::ConnectRetried, "control: sessions::retry::a_refusal_goes_to_another_backend"),
    (DropReason::ConnectLate, "control: sessions::retry::silence_goes_to_another_backend_whose_predecessor_is_told"),
    (DropReason::SynProxyJoining, "control: sessions::syn_proxy::a_backend_hears_of_those_only_who_are_there"),
    (DropReason::ProxyEarly, "proxy: vectors::a_spoofed_client_gets_no_header_sent"),
    (DropReason::ProxyConsumed, "proxy: vectors::bare_acknowledgements_of_the_header_are_consumed"),
    (DropReason::ProxySegment, "proxy: vectors::a_segment_in_several_buffers_is_refused"),
    (DropReason::ProxyFull, "proxy: vectors::who_finds_no_room_for_a_header_is_refused"),
    (DropReason::NatUdpChecksum, "nat: refusals::segments_change_nothing_but_where_all_bytes_are_needed"),
    (DropReason::NatUntranslatable, "nat: refusals::ends_of_two_versions_and_other_protocols_are_refused"),
];

/// All outcomes that the files expect.
pub fn expectations() -> impl Iterator<Item = &'static Expect> {
    let steps = SEQUENCES.iter().flat_map(|sequence| &sequence.steps);
    VECTORS.iter().map(|vector| &vector.expect).chain(steps.flat_map(|step| &step.expect))
}

#[test]
fn each_alone() {
    let mut failures = String::new();
    for vector in VECTORS.iter() {
        let (mut rig, _publisher) = Rig::new(vector.context.snapshot().expect("context"));
        rig.receive(vector.ingress.0, &vector.frame);
        rig.poll();
        let (found, wanted) = (Observer::default().outcomes(&rig), [vector.expect.clone()]);
        if found != wanted {
            let (found, wanted) = (describe(&found), describe(&wanted));
            let _ = write!(failures, "{}/{}\n  found\n{found}  wanted\n{wanted}", vector.topic, vector.name);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn all_of_a_topic_in_full_bursts() {
    for topic in VECTORS.chunk_by(|a, b| Arc::ptr_eq(&a.context, &b.context)) {
        let (mut rig, _publisher) = Rig::new(topic[0].context.snapshot().expect("context"));
        let mut observer = Observer::default();
        // Every stretch of a burst's length, so that each vector has stood at each place of a burst.
        for start in 0..topic.len() {
            let mut burst: Vec<&Vector> = topic.iter().cycle().skip(start).take(BURST).collect();
            for vector in &burst {
                rig.receive(vector.ingress.0, &vector.frame);
            }
            // A second later each, for the rate limits' sake.
            rig.poll_at(Nanos(0) + Duration::from_secs(start as u64 + 1));
            // Ports are polled in their order.
            burst.sort_by_key(|vector| vector.ingress);
            let wanted = grouped(burst.iter().map(|vector| vector.expect.clone()).collect());
            let found = observer.outcomes(&rig);
            let first = topic[start].name.as_str();
            assert!(
                found == wanted,
                "{} from {first} on:\n{}wanted\n{}",
                topic[0].topic,
                describe(&found),
                describe(&wanted)
            );
        }
    }
}

#[test]
fn every_reason_to_drop_is_covered() {
    let covered = |reason: DropReason| expectations().any(|expect| *expect == Expect::Drop(reason));
    let wrong: Vec<&str> = DropReason::ALL
        .iter()
        .filter(|reason| covered(**reason) == NOT_BY_FRAMES.iter().any(|(other, _)| other == *reason))
        .map(|reason| reason.label())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}: each has a vector, or a test of its own");
}

#[test]
fn every_class_of_punts_is_covered() {
    for class in PuntClass::ALL {
        let is_of_class = |expect: &Expect| matches!(expect, Expect::Punt { class: other, .. } if *other == class);
        assert!(expectations().any(is_of_class), "{}", class.label());
    }
}

/// What stands behind the Ethernet header and its tags, from the type on.
fn behind_tags(frame: &[u8]) -> &[u8] {
    let mut rest = frame.get(12..).unwrap_or(&[]);
    while let [0x81, 0x00, _, _, behind @ ..] | [0x88, 0xa8, _, _, behind @ ..] = rest {
        rest = behind;
    }
    rest
}

#[test]
fn an_independent_reader_finds_nothing_new_wrong_with_what_leaves() {
    let (mut tunnelled, mut answered) = (0, 0);
    for vector in VECTORS.iter() {
        let Expect::Forward { frame, .. } = &vector.expect else { continue };
        let is_answer = frame[..6] == vector.frame[6..12];
        let is_tunnel = !behind_tags(frame).starts_with(&behind_tags(&vector.frame)[..22]);
        // What was wrong inside before is the backend's to judge, and must not be mended either.
        let before = reader::complaints(&vector.frame);
        let expected: Vec<String> = match (is_answer, is_tunnel) {
            (true, _) => Vec::new(),
            (_, true) => before.into_iter().map(|complaint| format!("inner: {complaint}")).collect(),
            _ => before,
        };
        assert_eq!(reader::complaints(frame), expected, "{}/{}", vector.topic, vector.name);
        tunnelled += usize::from(is_tunnel && !is_answer);
        answered += usize::from(is_answer);
    }
    assert!(tunnelled > 20 && answered > 4, "{tunnelled} vectors with a tunnel, {answered} with an answer");
}
