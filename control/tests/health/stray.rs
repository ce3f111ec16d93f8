//! Packets that must not count: old, forged, misdirected.

use crate::sim::{World, ms, target, target_v6, us};
use crate::wire::{Segment, unreachable, wrap};
use guideway_control::health::{FIRST_PROBE_PORT, Ignored, Reason, Received, State, Transition};
use guideway_dataplane::ids::BackendId;
use smoltcp::wire::{IpProtocol, TcpControl};

/// A world with a settled backend that has just been sent a SYN and does not answer it.
fn asked(backend: u16) -> (World, Segment) {
    let mut world = World::new(&[target(backend)]);
    world.settle();
    world.hosts.clear();
    let syn = world.next_syn(backend);
    (world, syn)
}

/// Hands the segment over 50 µs later and expects it to change nothing.
fn ignored(world: &mut World, packet: &[u8], why: Ignored) {
    let before = world.status(1);
    let at = world.now + us(50);
    assert_eq!(world.receive(at, packet), Received::Ignored(why));
    assert_eq!(world.status(1), before);
    assert!(world.prober.next_event().is_none());
}

#[test]
fn the_answer_of_an_old_round_does_not_keep_a_dead_backend_up() {
    let (mut world, syn) = asked(1);
    let answer = syn.syn_ack().write();
    assert!(matches!(world.receive(world.now + us(50), &answer), Received::Answered { .. }));
    world.sent.clear();
    for _ in 0..100 {
        world.run(ms(1));
        ignored(&mut world, &answer, Ignored::Stale);
    }
    assert_eq!(world.events[0].transition, Transition::Down);
    assert_eq!(world.status(1).state, State::Down);
    let resets = world
        .sent
        .iter()
        .map(|sent| Segment::read(&sent.packet))
        .filter(|segment| segment.control == TcpControl::Rst && segment.sequence == syn.sequence.wrapping_add(1));
    assert_eq!(resets.count(), 100, "whoever still holds that connection is told to free it");
    assert_eq!(world.prober.counters().stale, 100);
}

#[test]
fn the_half_open_connection_of_a_killed_process_is_freed() {
    let next = 0x1234_5678;
    let mut world = World::new(&[target(1)]);
    world.leave_half_open(1, next);
    world.run(ms(200));
    assert_eq!(world.status(1).state, State::Up, "{:?}", world.status(1));
    let resets = world.sent.iter().map(|sent| Segment::read(&sent.packet));
    let freed = resets.filter(|segment| segment.control == TcpControl::Rst && segment.sequence == next).count();
    assert_eq!(freed, 1, "its ACK, which acknowledges nothing of ours, is answered with its own number");
    assert_eq!(world.prober.counters().wrong_cookie, 1);
}

#[test]
fn an_old_refusal_counts_once() {
    let (mut world, syn) = asked(1);
    let refusal = syn.refusal().write();
    let received = world.receive(world.now + us(50), &refusal);
    assert_eq!(received, Received::Failed { backend: BackendId(1), reason: Reason::Refused });
    ignored(&mut world, &refusal, Ignored::Stale);
    ignored(&mut world, &unreachable(&syn.write()), Ignored::Stale);
}

#[test]
fn numbers_must_fit() {
    let (mut world, syn) = asked(1);
    for wrong in [0, 2, 1 << 16, 1 << 31] {
        let acknowledged = Some(syn.sequence.wrapping_add(wrong));
        let forged = syn.answer(TcpControl::Syn, 7, acknowledged).write();
        ignored(&mut world, &forged, Ignored::WrongCookie);
        let forged = syn.answer(TcpControl::Rst, 0, acknowledged).write();
        ignored(&mut world, &forged, Ignored::WrongCookie);
    }
    // A reset without an acknowledgement number proves nothing, whatever its sequence number.
    for sequence in [syn.sequence, syn.sequence.wrapping_add(1)] {
        let forged = syn.answer(TcpControl::Rst, sequence, None).write();
        ignored(&mut world, &forged, Ignored::NotAnAnswer);
    }
    assert!(matches!(world.receive(world.now + us(60), &syn.syn_ack().write()), Received::Answered { .. }));
}

#[test]
fn addresses_and_ports_must_fit() {
    let (mut world, syn) = asked(1);
    let other = "192.0.2.77".parse().unwrap();
    let right = syn.syn_ack();
    let backend_2 = FIRST_PROBE_PORT + 2;
    for wrong in [
        Segment { source: other, ..right },
        Segment { destination: other, ..right },
        Segment { source_port: 81, ..right },
        Segment { destination_port: backend_2, ..right },
        Segment { destination_port: 80, ..right },
        Segment { destination_port: u16::MAX, ..right },
    ] {
        ignored(&mut world, &wrong.write(), Ignored::NotOurs);
    }
    let right = syn;
    for wrong in [
        Segment { source: other, ..right },
        Segment { destination: other, ..right },
        Segment { source_port: backend_2, ..right },
        Segment { destination_port: 443, ..right },
    ] {
        ignored(&mut world, &unreachable(&wrong.write()), Ignored::NotOurs);
    }
    let wrong = Segment { sequence: syn.sequence ^ 1, ..syn };
    ignored(&mut world, &unreachable(&wrong.write()), Ignored::WrongCookie);
}

#[test]
fn one_backend_cannot_answer_for_another() {
    let mut world = World::new(&[target(1), target(2)]);
    world.settle();
    world.hosts.clear();
    let syn = world.next_syn(2);
    let forged = Segment { destination_port: FIRST_PROBE_PORT + 1, ..syn.syn_ack() };
    ignored(&mut world, &forged.write(), Ignored::WrongCookie);
}

#[test]
fn other_packets_are_no_answers() {
    let (mut world, syn) = asked(1);
    for control in [TcpControl::Fin, TcpControl::Psh] {
        let acknowledged = Some(syn.sequence.wrapping_add(1));
        let packet = syn.answer(control, 1, acknowledged).write();
        // PSH with ACK is what a host sends that holds a connection: reset, and no answer to the SYN.
        let why = if control == TcpControl::Fin { Ignored::NotAnAnswer } else { Ignored::Stale };
        ignored(&mut world, &packet, why);
    }
    ignored(&mut world, &syn.write(), Ignored::NotAnAnswer);
    let (source, destination) = (syn.destination, syn.source);
    let udp = wrap(source, destination, IpProtocol::Udp, 20, |body| body.fill(1));
    ignored(&mut world, &udp, Ignored::NotAnAnswer);
    ignored(&mut world, &[], Ignored::Malformed);
    let answer = syn.syn_ack().write();
    for cut in 1..answer.len() {
        ignored(&mut world, &answer[..cut], Ignored::Malformed);
    }
    let mut fragment = answer.clone();
    fragment[6] |= 0x20;
    ignored(&mut world, &fragment, Ignored::NotAnAnswer);
    let mut padded = answer;
    padded.extend_from_slice(&[0; 6]);
    let received = world.receive(world.now + us(60), &padded);
    assert!(matches!(received, Received::Answered { .. }), "Ethernet pads short frames");
}

#[test]
fn only_destination_unreachable_counts_among_icmp() {
    let (mut world, syn) = asked(1);
    let packet = unreachable(&syn.write());
    for (kind, code) in [(3, 4), (0, 0), (4, 0), (5, 1), (8, 0), (11, 0), (12, 0)] {
        let mut other = packet.clone();
        (other[20], other[21]) = (kind, code);
        ignored(&mut world, &other, Ignored::NotAnAnswer);
    }
    for cut in 1..packet.len() {
        ignored(&mut world, &packet[..cut], Ignored::Malformed);
    }
    let received = world.receive(world.now + us(60), &packet);
    assert_eq!(received, Received::Failed { backend: BackendId(1), reason: Reason::Unreachable });
}

#[test]
fn icmp_version_6_counts_only_as_unreachable() {
    let mut world = World::new(&[target_v6(1)]);
    world.settle();
    world.hosts.clear();
    let syn = world.next_syn(1);
    let packet = unreachable(&syn.write());
    for kind in [2, 3, 4, 128] {
        let mut other = packet.clone();
        other[40] = kind;
        ignored(&mut world, &other, Ignored::NotAnAnswer);
    }
    let received = world.receive(world.now + us(60), &packet);
    assert_eq!(received, Received::Failed { backend: BackendId(1), reason: Reason::Unreachable });
}

#[test]
fn an_error_about_the_tunnel_counts_if_it_quotes_the_probe() {
    let (mut world, syn) = asked(1);
    let (own, backend) = ("10.0.0.1".parse().unwrap(), "10.0.0.11".parse().unwrap());
    let inner = syn.write();
    let error = |depth: usize| {
        let mut quoted = inner.clone();
        for _ in 0..depth {
            let payload = quoted;
            quoted = wrap(own, backend, IpProtocol::Unknown(4), payload.len(), |body| body.copy_from_slice(&payload));
        }
        wrap("192.0.2.1".parse().unwrap(), own, IpProtocol::Icmp, 8 + quoted.len(), |body| {
            body[0] = 3;
            body[1] = 1;
            body[8..].copy_from_slice(&quoted);
        })
    };
    ignored(&mut world, &error(2), Ignored::NotAnAnswer);
    // RFC 792 asks for eight bytes after the quoted header; then the cookie is missing.
    let whole = error(1);
    let short = wrap("192.0.2.1".parse().unwrap(), own, IpProtocol::Icmp, 8 + 28, |body| {
        body.copy_from_slice(&whole[20..56]);
    });
    ignored(&mut world, &short, Ignored::Malformed);
    let received = world.receive(world.now + us(60), &whole);
    assert_eq!(received, Received::Failed { backend: BackendId(1), reason: Reason::Unreachable });
}

#[test]
fn an_answer_after_the_timeout_is_late_and_the_probe_fails() {
    let (mut world, syn) = asked(1);
    world.stop(ms(1));
    let sent = world.syns(1).last().unwrap().0;
    let answer = syn.syn_ack().write();
    assert_eq!(world.receive(sent + ms(20) + us(3), &answer), Received::Ignored(Ignored::Late));
    assert_eq!(world.prober.counters().late, 1);
    // At the very end of the timeout it still counts.
    let received = world.receive(sent + ms(20), &answer);
    assert!(matches!(received, Received::Answered { rtt, .. } if rtt.abs_diff(ms(20)) < us(3)));
}

#[test]
fn a_receive_time_before_the_send_counts_as_no_time_at_all() {
    // The clocks of two cores may differ by a little.
    let (mut world, syn) = asked(1);
    let early = guideway_dataplane::time::Nanos(world.now.0 - 40_000);
    let received = world.receive(early, &syn.syn_ack().write());
    assert!(matches!(received, Received::Answered { rtt, .. } if rtt.is_zero()));
}
