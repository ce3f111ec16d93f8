//! Phases: two workers adopt the snapshots of one slot whenever they please, the publisher goes on only when both have.
//!
//! Backend 0 was the slot's from before, backend 1 comes after it. Each model takes three adjacent generations, published
//! one after the other; the first is acknowledged before it begins. What takes time (`arm_time`, T) is not modelled: the
//! flows begin in the model, and need none of it.

use super::{IDLE, NEW, OLD, model, sweep, table};
use guideway_dataplane::consistency::{Flow, Member, Parts, Phase, Role, Rule, Rules, Side, Special, decide};
use guideway_dataplane::counters::PinCounters;
use guideway_dataplane::hash::FlowHash;
use guideway_dataplane::pin::{PinTable, Tick};
use guideway_dataplane::publish::{Publisher, Reader, channel};
use guideway_dataplane::table::Slot;
use guideway_dataplane::time::Nanos;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

const FLOW: FlowHash = FlowHash(7);
const SYN: Role = Role::Syn { sequence: 1_000 };
const ACK: Role = Role::Segment { sequence: 1_001, closes: false };
/// What the first worker has told the second: nothing yet.
const NOTHING: usize = usize::MAX;

/// What a generation says of the slot: its phase, base and current.
type State = (Phase, u16, u16);
const STEADY_OLD: State = (Phase::Steady, 0, 0);
const ARMED: State = (Phase::Armed, 0, 0);
const TRANSITION: State = (Phase::Transition, 0, 1);
const FOLDED: State = (Phase::Folded, 1, 1);
const LOOK: State = (Phase::Look, 1, 1);
const STEADY_NEW: State = (Phase::Steady, 1, 1);

struct Snapshot {
    special: Special,
    current: Slot,
}

impl Snapshot {
    fn new((phase, base, current): State, rules: Rules) -> Self {
        let members = [OLD, NEW].map(|id| Member { id, eligible: true, as_base: true }).into();
        let sides = [Side { base, phase }].into();
        let parts = Parts { size: 1, sides, members, idle: IDLE, longest_idle: IDLE, rules, ..Parts::default() };
        Self { special: parts.into(), current: Slot::new(current).with_special(phase != Phase::Steady) }
    }

    /// The backend of the flow's packet.
    fn backend(&self, role: Role, pins: &PinTable) -> usize {
        if !self.current.is_special() {
            return self.current.index();
        }
        let flow = Flow { hash: FLOW, slot: 0, current: self.current, role };
        decide(&self.special, &flow, pins, Nanos(0), &PinCounters::default()).unwrap().into()
    }
}

/// What a model leaves out, to show that it fails then.
#[derive(Clone, Copy)]
struct Setting {
    rules: Rules,
    /// Whether the publisher waits until both workers use a generation.
    waits: bool,
}

const COMPLETE: Setting = Setting { rules: Rules::ALL, waits: true };

fn start(first: State, setting: Setting) -> (Arc<PinTable>, Publisher<Snapshot>, [Reader<Snapshot>; 2]) {
    let (publisher, mut readers) = channel(Snapshot::new(first, setting.rules), 2);
    readers.iter_mut().for_each(|reader| {
        reader.load();
    });
    (Arc::new(table()), publisher, readers.try_into().ok().unwrap())
}

/// Publishes both states, the second one if both workers acknowledged the first and `may` says so.
fn advance(publisher: &mut Publisher<Snapshot>, states: [State; 2], setting: Setting, may: impl FnOnce() -> bool) {
    let [second, third] = states.map(|state| Snapshot::new(state, setting.rules));
    let generation = publisher.publish(second);
    if (publisher.acknowledged() == generation || !setting.waits) && may() {
        publisher.publish(third);
    }
}

/// The flow's first packet reaches one worker, the second one the other, the third one the first again. Each worker may be
/// in the midst of a burst, with a snapshot that it loaded long before.
fn one_flow(states: [State; 3], roles: [Role; 3], setting: Setting) {
    model(Some(4), move || {
        let (pins, mut publisher, [mut one, mut two]) = start(states[0], setting);
        let told = Arc::new(AtomicUsize::new(NOTHING));
        let first = thread::spawn({
            let (pins, told) = (Arc::clone(&pins), Arc::clone(&told));
            move || {
                let backend = one.load().backend(roles[0], &pins);
                told.store(backend, Ordering::Release);
                (backend, one)
            }
        });
        let second = thread::spawn({
            let (pins, told) = (Arc::clone(&pins), told);
            move || {
                let snapshot = two.load();
                let before = told.load(Ordering::Acquire);
                if before != NOTHING {
                    assert_eq!(snapshot.backend(roles[1], &pins), before, "second packet");
                }
                two
            }
        });
        advance(&mut publisher, [states[1], states[2]], setting, || true);
        let (backend, mut one) = first.join().unwrap();
        let mut two = second.join().unwrap();
        assert_eq!(one.load().backend(roles[2], &pins), backend, "third packet");
        assert_eq!(two.load().backend(roles[2], &pins), backend, "fourth packet");
    });
}

#[test]
fn armed() {
    one_flow([STEADY_OLD, ARMED, TRANSITION], [SYN, ACK, ACK], COMPLETE);
}

#[test]
fn transition() {
    one_flow([ARMED, TRANSITION, FOLDED], [SYN, ACK, ACK], COMPLETE);
}

#[test]
fn a_retransmitted_syn_in_transition() {
    one_flow([ARMED, TRANSITION, FOLDED], [SYN, SYN, ACK], COMPLETE);
}

#[test]
fn folded() {
    one_flow([TRANSITION, FOLDED, LOOK], [SYN, ACK, ACK], COMPLETE);
}

/// A flow of UDP, or a client with affinity: it has no start that would be pinned.
#[test]
fn folded_without_starts() {
    one_flow([TRANSITION, FOLDED, LOOK], [Role::Datagram; 3], COMPLETE);
}

#[test]
fn look() {
    one_flow([FOLDED, LOOK, STEADY_NEW], [SYN, ACK, ACK], COMPLETE);
}

#[test]
#[should_panic(expected = "second packet")]
fn without_acknowledgements() {
    one_flow([STEADY_OLD, ARMED, TRANSITION], [SYN, ACK, ACK], Setting { waits: false, ..COMPLETE });
}

#[test]
#[should_panic(expected = "second packet")]
fn without_folded_pins() {
    let rules = Rules::ALL.without(Rule::FoldedPins);
    one_flow([TRANSITION, FOLDED, LOOK], [SYN, ACK, ACK], Setting { rules, ..COMPLETE });
}

/// A flow from before, pinned to the old backend, uses its pin while the slot is looked at: it becomes steady only if a
/// sweep that began after both workers knew found no pin.
fn flow_from_before(waits_for_sweep: bool) {
    model(Some(4), move || {
        let (pins, mut publisher, [mut one, mut two]) = start(FOLDED, COMPLETE);
        // Pinned in the transition, which both left.
        assert_eq!(Snapshot::new(TRANSITION, Rules::ALL).backend(ACK, &pins), 0);
        assert_eq!([&mut one, &mut two].map(|worker| worker.load().backend(ACK, &pins)), [0, 0]);
        let threads = [one, two].map(|mut worker| {
            let pins = Arc::clone(&pins);
            thread::spawn(move || {
                assert_eq!(worker.load().backend(ACK, &pins), 0);
                worker
            })
        });
        let no_pin = || !waits_for_sweep || sweep(&pins, Tick(0), Some(NEW)).1.is_empty();
        advance(&mut publisher, [LOOK, STEADY_NEW], COMPLETE, no_pin);
        for thread in threads {
            assert_eq!(thread.join().unwrap().load().backend(ACK, &pins), 0, "after the sweep");
        }
    });
}

#[test]
fn steady_again() {
    flow_from_before(true);
}

#[test]
#[should_panic(expected = "after the sweep")]
fn without_a_sweep() {
    flow_from_before(false);
}
