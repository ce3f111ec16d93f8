//! Every sequence, step by step; and every frame of all files through one worker a topic.

use crate::outcome::{Observer, describe, grouped};
use crate::rig::{Rig, SEQUENCES, VECTORS};
use guideway_dataplane::counters::Counter;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::port::BURST;
use guideway_dataplane::time::Nanos;
use guideway_vectors::context::Context;
use guideway_vectors::{Sequence, Step};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// When a sequence begins.
const START: Nanos = Nanos(1_000_000_000);

/// What differs from what a sequence says, as text; empty if nothing.
fn run(sequence: &Sequence) -> String {
    let (mut rig, _publisher) = Rig::new(sequence.context.snapshot().expect("context"));
    let (mut observer, mut differences) = (Observer::default(), String::new());
    for (number, Step { at, ingress, frame, together, expect }) in (1..).zip(&sequence.steps) {
        if let Some(frame) = frame {
            rig.receive(ingress.0, frame);
        }
        if *together {
            continue;
        }
        rig.poll_at(START + Duration::from_millis(*at));
        let (found, wanted) = (observer.outcomes(&rig), grouped(expect.clone()));
        if found != wanted {
            let (found, wanted) = (describe(&found), describe(&wanted));
            let name = format!("{}/{}, step {number}", sequence.topic, sequence.name);
            let _ = write!(differences, "{name}\n  found\n{found}  wanted\n{wanted}");
        }
    }
    differences
}

#[test]
fn each_step_by_step() {
    let differences: String = SEQUENCES.iter().map(run).collect();
    assert!(differences.is_empty(), "{differences}");
}

/// The frames of a topic with their ports, and the context that they meet.
type Capture = (&'static Context, Vec<(PortId, &'static [u8])>);

/// The frames of each topic in the order of its file, vectors before sequences.
fn captures() -> BTreeMap<&'static str, Capture> {
    let mut captures = BTreeMap::new();
    let vectors = VECTORS.iter().map(|vector| (&vector.topic, &vector.context, vector.ingress, &vector.frame));
    let steps = SEQUENCES.iter().flat_map(|sequence| {
        let frames = sequence.steps.iter().filter_map(|step| Some((step.ingress, step.frame.as_ref()?)));
        frames.map(|(ingress, frame)| (&sequence.topic, &sequence.context, ingress, frame))
    });
    for (topic, context, ingress, frame) in vectors.chain(steps) {
        let (_, frames) = captures.entry(topic.as_str()).or_insert_with(|| (&**context, Vec::new()));
        frames.push((ingress, frame.as_slice()));
    }
    captures
}

#[test]
fn a_capture_of_all_frames_is_accounted_for() {
    for (topic, (context, frames)) in captures() {
        for (burst, gap) in [(1, 1), (7, 50), (BURST, 5_000)] {
            let (mut rig, _publisher) = Rig::new(context.snapshot().expect("context"));
            let mut now = START;
            for some in frames.chunks(burst) {
                for (ingress, frame) in some {
                    rig.receive(ingress.0, frame);
                }
                now = now + Duration::from_millis(gap);
                rig.poll_at(now);
            }
            // Whatever was still held expires.
            rig.poll_at(now + Duration::from_secs(3_600));
            check_law(&rig, frames.len() as u64, topic);
            assert_eq!(rig.counters.held.get(), rig.counters.released.get(), "{topic}: nothing is held for ever");
        }
    }
}

/// The law of conservation, with each side added up here.
fn check_law(rig: &Rig, offered: u64, topic: &str) {
    let counters = &*rig.counters;
    let sum = |counters: &[Counter]| counters.iter().map(Counter::get).sum::<u64>();
    let came =
        counters.received.packets.get() + counters.injected.get() + counters.released.get() + counters.added.get();
    let went = counters.sent.packets.get()
        + counters.handed_off.get()
        + sum(&counters.drops)
        + sum(&counters.punted)
        + counters.held.get();
    assert_eq!(came, went, "{topic}");
    assert_eq!(counters.received.packets.get(), offered, "{topic}");
    let sent: usize = (0..rig.tx.len() as u16).map(|port| rig.sent(port).len()).sum();
    assert_eq!(sent as u64, counters.sent.packets.get(), "{topic}");
}
