//! Every vector, one by one and in full bursts.

use crate::reader;
use crate::rig::{Rig, VECTORS};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::port::{BURST, Packet};
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::time::Nanos;
use guideway_vectors::{Expect, Vector};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Reasons that take more than a frame; their tests stand beside each.
const NOT_BY_ONE_FRAME: [(DropReason, &str); 6] = [
    (DropReason::NoHeadroom, "properties::a_buffer_without_headroom_is_a_named_drop"),
    (DropReason::TxFull, "worker::a_full_transmit_queue_drops_what_it_does_not_take"),
    (DropReason::HandoffFull, "worker::a_full_ring_to_another_worker_drops"),
    (DropReason::PuntRate, "punts::a_class_is_limited_to_its_rate"),
    (DropReason::PuntFull, "punts::a_full_ring_drops_and_says_so"),
    (DropReason::StaleInjection, "injections::a_backend_that_is_gone_is_a_named_drop"),
];

/// What became of a frame, in the words of [`Expect`].
fn run(vector: &Vector) -> Result<Expect, String> {
    let (mut rig, _publisher) = Rig::new(vector.context.snapshot().expect("context"));
    rig.receive(vector.ingress.0, &vector.frame);
    rig.poll();
    let mut seen = Vec::new();
    for port in 0..rig.tx.len() as u16 {
        seen.extend(rig.sent(port).into_iter().map(|frame| Expect::Forward { egress: PortId(port), frame }));
    }
    for class in PuntClass::ALL {
        while let Some(punt) = rig.rings.punts.ring(class).pop() {
            if punt.port != vector.ingress || punt.packet.frame() != vector.frame {
                return Err(format!("a {} punt of another frame or port", class.label()));
            }
            seen.push(Expect::Punt(class));
        }
    }
    seen.extend(rig.all_drops().into_iter().map(|(reason, _)| Expect::Drop(reason)));
    match <[Expect; 1]>::try_from(seen) {
        Ok([one]) => Ok(one),
        Err(several) => Err(format!("{} outcomes of one frame", several.len())),
    }
}

fn describe(expect: &Expect) -> String {
    match expect {
        Expect::Forward { egress, frame } => {
            let mut text = format!("by port {}:", egress.0);
            for (index, byte) in frame.iter().enumerate() {
                let separator = if index % 16 == 0 { "\n    " } else { " " };
                let _ = write!(text, "{separator}{byte:02x}");
            }
            text
        }
        Expect::Punt(class) => format!("punt {}", class.label()),
        Expect::Drop(reason) => format!("drop {}", reason.label()),
    }
}

#[test]
fn each_alone() {
    let mut failures = String::new();
    for vector in VECTORS.iter() {
        let outcome = run(vector);
        if outcome.as_ref() != Ok(&vector.expect) {
            let found = outcome.map_or_else(|error| error, |outcome| describe(&outcome));
            let wanted = describe(&vector.expect);
            let _ = writeln!(failures, "{}/{}\n  found {found}\n  wanted {wanted}", vector.topic, vector.name);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn all_of_a_topic_in_full_bursts() {
    for topic in VECTORS.chunk_by(|a, b| Arc::ptr_eq(&a.context, &b.context)) {
        let (mut rig, _publisher) = Rig::new(topic[0].context.snapshot().expect("context"));
        // Every stretch of a burst's length, so that each vector has stood at each place of a burst.
        for start in 0..topic.len() {
            let burst: Vec<&Vector> = topic.iter().cycle().skip(start).take(BURST).collect();
            for vector in &burst {
                rig.receive(vector.ingress.0, &vector.frame);
            }
            // A second later each, for the rate limits' sake.
            rig.poll_at(Nanos(0) + Duration::from_secs(start as u64 + 1));
            check_burst(&rig, &burst);
        }
    }
}

/// Compares what left with what should have, for each way in by itself: ports are polled in their order.
fn check_burst(rig: &Rig, burst: &[&Vector]) {
    let mut in_order = burst.to_vec();
    in_order.sort_by_key(|vector| vector.ingress);
    for port in 0..rig.tx.len() as u16 {
        let wanted = in_order.iter().filter_map(|vector| match &vector.expect {
            Expect::Forward { egress, frame } if *egress == PortId(port) => Some(frame),
            _ => None,
        });
        assert!(rig.sent(port).iter().eq(wanted), "{} by port {port}", burst[0].topic);
    }
    for class in PuntClass::ALL {
        let wanted = in_order.iter().filter(|vector| vector.expect == Expect::Punt(class)).map(|vector| &vector.frame);
        assert!(rig.punted(class).iter().eq(wanted), "{} punts of {}", class.label(), burst[0].topic);
    }
}

#[test]
fn every_reason_to_drop_is_covered() {
    let covered = |reason: DropReason| VECTORS.iter().any(|vector| vector.expect == Expect::Drop(reason));
    for &reason in DropReason::ALL {
        let elsewhere = NOT_BY_ONE_FRAME.iter().any(|(other, _)| *other == reason);
        assert!(covered(reason) != elsewhere, "{}: a vector, or a test of its own", reason.label());
    }
}

#[test]
fn every_class_of_punts_is_covered() {
    let classes: HashSet<PuntClass> = VECTORS
        .iter()
        .filter_map(|vector| match vector.expect {
            Expect::Punt(class) => Some(class),
            _ => None,
        })
        .collect();
    assert_eq!(classes.len(), PuntClass::COUNT);
}

#[test]
fn an_independent_reader_finds_nothing_new_wrong_with_what_leaves() {
    let mut tunnelled = 0;
    for vector in VECTORS.iter() {
        let Expect::Forward { frame, .. } = &vector.expect else { continue };
        // What was wrong inside before is the backend's to judge, and must not be mended either.
        let before = reader::complaints(&vector.frame);
        let tunnel = frame.len() != vector.frame.len() || frame[12..] != vector.frame[12..];
        let expected: Vec<String> = before
            .into_iter()
            .map(|complaint| if tunnel { format!("inner: {complaint}") } else { complaint })
            .collect();
        assert_eq!(reader::complaints(frame), expected, "{}/{}", vector.topic, vector.name);
        tunnelled += usize::from(tunnel);
    }
    assert!(tunnelled > 20, "{tunnelled} vectors with a tunnel");
}
