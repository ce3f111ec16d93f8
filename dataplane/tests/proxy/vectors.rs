//! The sequences of packets that the rules exist for.

use crate::middle::Middle;
use crate::segment::Segment;
use guideway_dataplane::proxy::{Phase, Style};

use guideway_dataplane::wire::tcp::{ACK, FIN, PSH, RST, SYN};
use std::time::Duration;

/// The client's initial sequence number, and the backend's.
const C: u32 = 5_000_000;
const S: u32 = 900;
/// Window scale 2; NOP is 1.
const SCALE: [u8; 3] = [3, 3, 2];

/// A client and a backend, and what stands between.
struct Wire(Middle);

impl Wire {
    fn new() -> Self {
        Self(Middle::new(Some(Style::V1)))
    }

    /// After SYN and SYN-ACK.
    fn with_syn_ack() -> Self {
        let mut wire = Self::new();
        wire.client(&Segment::new(SYN, C, 0).options(&SCALE));
        wire.backend(&Segment::new(SYN | ACK, S, C.wrapping_sub(wire.len()).wrapping_add(1)).options(&SCALE));
        wire
    }

    /// After the client's ACK, which became the header.
    fn with_header_sent() -> Self {
        let mut wire = Self::with_syn_ack();
        let sent = wire.client(&Segment::new(ACK, C + 1, S + 1));
        assert_eq!(sent, [wire.header_segment()]);
        wire
    }

    fn len(&self) -> u32 {
        self.0.header.len() as u32
    }

    /// C - P + 1.
    fn begin(&self) -> u32 {
        (C + 1).wrapping_sub(self.len())
    }

    fn header_segment(&self) -> Segment {
        Segment::new(ACK | PSH, self.begin(), S + 1).payload(&self.0.header)
    }

    /// What the backend gets for a segment of the client.
    fn client(&mut self, segment: &Segment) -> Vec<Segment> {
        self.0.pass_client(&segment.frame(true)).iter().map(|frame| Segment::of(frame)).collect()
    }

    /// What the client gets for a segment of the backend, and what the backend gets.
    fn backend(&mut self, segment: &Segment) -> (Vec<Segment>, Vec<Segment>) {
        let (client, backend) = self.0.pass_backend(&segment.frame(false));
        let read = |frames: Vec<Vec<u8>>| frames.iter().map(|frame| Segment::of(frame)).collect();
        (read(client), read(backend))
    }

    fn wait(&mut self, time: Duration) -> Vec<Segment> {
        self.0.now = self.0.now + time;
        self.0.due().iter().map(|frame| Segment::of(frame)).collect()
    }
}

/// R1: the backend's connection begins P bytes earlier; what a SYN may carry of data and other paths goes (T10).
#[test]
fn a_syn_begins_earlier_and_carries_nothing() {
    let mut wire = Wire::new();
    let fast_open = [34, 6, 1, 2, 3, 4];
    let experiment = [254, 4, 0xf9, 0x89];
    let multipath = [30, 4, 0, 0x81];
    let options = [&[2, 4, 5, 0xb4][..], &fast_open, &experiment, &multipath, &SCALE].concat();
    let sent = wire.client(&Segment::new(SYN, C, 0).options(&options).payload(b"early data"));
    let expected = [&[2, 4, 5, 0xb4][..], &[1; 14], &SCALE].concat();
    assert_eq!(sent, [Segment::new(SYN, C - wire.len(), 0).options(&expected)]);
    // The same again for the same SYN.
    assert_eq!(wire.client(&Segment::new(SYN, C, 0)), [Segment::new(SYN, C - wire.len(), 0)]);
}

/// R4 and T7: the client sees its SYN acknowledged, and a window that ends where the backend's does.
#[test]
fn a_syn_ack_is_raised_and_its_window_shrinks() {
    let mut wire = Wire::new();
    wire.client(&Segment::new(SYN, C, 0));
    let (client, backend) = wire.backend(&Segment::new(SYN | ACK, S, wire.begin()).window(1_000));
    assert_eq!(client, [Segment::new(SYN | ACK, S, C + 1).window(1_000 - wire.len() as u16)]);
    assert_eq!(backend, []);
}

/// T1: the handshake's last segment is the header; a bare ACK never is.
#[test]
fn the_last_ack_of_the_handshake_is_the_header() {
    let mut wire = Wire::with_header_sent();
    // Lost: the client says nothing more, and the timer does.
    assert_eq!(wire.wait(Duration::from_millis(199)), []);
    assert_eq!(wire.wait(Duration::from_millis(1)), [wire.header_segment()]);
    assert_eq!(wire.client(&Segment::new(ACK, C + 1, S + 1)), [wire.header_segment()]);
}

/// R3 c: doubled, six times, and then never again.
#[test]
fn the_timer_doubles_six_times() {
    let mut wire = Wire::with_header_sent();
    for step in 0..6 {
        let pause = Duration::from_millis(200 << step);
        assert_eq!(wire.wait(pause - Duration::from_millis(1)), [], "step {step}");
        assert_eq!(wire.wait(Duration::from_millis(1)), [wire.header_segment()], "step {step}");
    }
    assert_eq!(wire.wait(Duration::from_secs(100)), []);
}

/// T2: data at C + 1 is preceded by the header, each time; behind it, once the header was sent, it is not.
#[test]
fn the_first_data_follows_the_header() {
    let mut wire = Wire::with_syn_ack();
    let data = Segment::new(ACK | PSH, C + 1, S + 1).payload(b"GET");
    assert_eq!(wire.client(&data), [wire.header_segment(), data.clone()]);
    assert_eq!(wire.client(&data), [wire.header_segment(), data.clone()]);
    let more = Segment::new(ACK | PSH, C + 4, S + 1).payload(b" /");
    assert_eq!(wire.client(&more), std::slice::from_ref(&more));
}

/// T2: a backend with SYN cookies resets what it does not know, and gets the header again; not for ever.
#[test]
fn a_reset_for_a_lost_header_is_swallowed() {
    let mut wire = Wire::with_header_sent();
    let reset = Segment::new(RST, S + 1, 0);
    for round in 0..8 {
        assert_eq!(wire.backend(&reset), (vec![], vec![wire.header_segment()]), "round {round}");
    }
    let (client, backend) = wire.backend(&reset);
    assert_eq!((client.len(), backend.len()), (1, 0), "it means it");
}

/// T3: a server that speaks first and whose SYN-ACK comes again lost the header.
#[test]
fn a_repeated_syn_ack_asks_for_the_header() {
    let mut wire = Wire::with_header_sent();
    let (client, backend) = wire.backend(&Segment::new(SYN | ACK, S, wire.begin()));
    assert_eq!(backend, [wire.header_segment()]);
    assert_eq!(client.len(), 1);
}

/// T4: after 4 GiB the acknowledgements pass where the header was.
#[test]
fn nothing_is_looked_at_after_64_kib() {
    let mut wire = Wire::with_header_sent();
    for (ahead, phase) in [(0_u32, Phase::Clamp), (65_536, Phase::Clamp), (65_537, Phase::Clear)] {
        let data = Segment::new(ACK, C + 1 + ahead, S + 1).payload(b"x");
        wire.client(&data);
        let acknowledged = Segment::new(ACK, S + 1, C + 1 + ahead);
        assert_eq!(wire.backend(&acknowledged), (vec![acknowledged.clone()], vec![]));
        assert_eq!(wire.0.proxy.phase, phase, "{ahead}");
    }
    let wrapped = Segment::new(ACK, S + 1, wire.begin() + 3);
    assert_eq!(wire.backend(&wrapped), (vec![wrapped.clone()], vec![]));
    let bare = Segment::new(ACK, C + 1, S + 1);
    assert_eq!(wire.client(&bare), std::slice::from_ref(&bare));
}

/// T5: a raised acknowledgement says nothing of what lies behind it.
#[test]
fn selective_acknowledgements_of_raised_segments_go() {
    let mut wire = Wire::with_header_sent();
    let sack = [&[5, 10][..], &(C + 1).to_be_bytes(), &(C + 4).to_be_bytes()].concat();
    let data = Segment::new(ACK, S + 1, wire.begin()).options(&sack).payload(b"220 ready");
    let (client, _) = wire.backend(&data);
    assert_eq!(client[0].acknowledgement, C + 1);
    assert_eq!(client[0].options, [1; 12]);
    // Behind the header: of two blocks the one that begins in it goes.
    wire.client(&Segment::new(ACK, C + 1, S + 1).payload(&[7; 100]));
    let blocks = [C - 3, C + 1, C + 50, C + 60].map(u32::to_be_bytes).concat();
    let both = [&[5, 18][..], &blocks].concat();
    let (client, _) = wire.backend(&Segment::new(ACK, S + 1, C + 1).options(&both));
    let left = [&[1, 1, 5, 10][..], &(C + 50).to_be_bytes(), &(C + 60).to_be_bytes(), &[1; 8]].concat();
    assert_eq!(client[0].options, left);
}

/// T6: a refusal acknowledges the client's SYN.
#[test]
fn a_refusal_reaches_the_client() {
    let mut wire = Wire::new();
    wire.client(&Segment::new(SYN, C, 0));
    let (client, _) = wire.backend(&Segment::new(RST | ACK, 0, wire.begin()).window(0));
    assert_eq!(client, [Segment::new(RST | ACK, 0, C + 1).window(0)]);
}

/// T7, with the window's shift: rounded down, and not below zero.
#[test]
fn a_scaled_window_shrinks() {
    let mut wire = Wire::with_header_sent();
    let data = |window| Segment::new(ACK, S + 1, wire_begin(&wire)).window(window).payload(b"x");
    fn wire_begin(wire: &Wire) -> u32 {
        wire.begin()
    }
    let (some, none) = (data(100), data(2));
    let (client, _) = wire.backend(&some);
    assert_eq!(u32::from(client[0].window), (400 - wire.len()) / 4);
    let (client, _) = wire.backend(&none);
    assert_eq!(client[0].window, 0);
}

/// T8: a keep-alive with a byte of garbage does not overwrite the header's last.
#[test]
fn a_byte_below_the_first_is_cut() {
    let mut wire = Wire::with_header_sent();
    let keep_alive = Segment::new(ACK, C, S + 1).payload(&[0xee]);
    assert_eq!(wire.client(&keep_alive), [wire.header_segment()]);
    assert_eq!(wire.client(&Segment::new(ACK, C, S + 1)), [wire.header_segment()], "without the byte");
}

/// T9: a reset takes the place of the header that may be lost; others pass.
#[test]
fn a_reset_is_where_the_backend_is() {
    let mut wire = Wire::with_header_sent();
    assert_eq!(wire.client(&Segment::new(RST, C + 1, 0)), [Segment::new(RST, wire.begin(), 0)]);
    wire.backend(&Segment::new(ACK, S + 1, wire.begin() + 5));
    assert_eq!(wire.client(&Segment::new(RST, C + 1, 0)), [Segment::new(RST, wire.begin() + 5, 0)]);
    assert_eq!(wire.client(&Segment::new(RST, C + 9, 0)), [Segment::new(RST, C + 9, 0)]);
}

/// R2: nobody who did not see the backend's SYN makes it accept a connection.
#[test]
fn a_spoofed_client_gets_no_header_sent() {
    let mut wire = Wire::with_syn_ack();
    assert_eq!(wire.client(&Segment::new(ACK, C + 1, S + 2)), []);
    assert_eq!(wire.client(&Segment::new(ACK, C + 7, S + 1).payload(b"late")), [], "the first byte comes first");
    assert_eq!(wire.wait(Duration::from_secs(1)), []);
    assert_eq!(wire.client(&Segment::new(ACK, C + 1, S + 1)), [wire.header_segment()]);
    let mut silent = Wire::new();
    silent.client(&Segment::new(SYN, C, 0));
    assert_eq!(silent.client(&Segment::new(ACK, C + 1, S + 1)), [], "the backend has not answered");
}

/// R1: another SYN waits until the backend takes it.
#[test]
fn another_syn_is_taken_only_with_its_answer() {
    let mut wire = Wire::with_header_sent();
    let other = C + 77_777;
    let len = wire.len();
    assert_eq!(wire.client(&Segment::new(SYN, other, 0)), [Segment::new(SYN, other - len, 0)]);
    // The backend holds on to the first one.
    assert_eq!(wire.client(&Segment::new(ACK, C + 1, S + 1)), [wire.header_segment()]);
    let (client, _) = wire.backend(&Segment::new(SYN | ACK, 55, other - len + 1));
    assert_eq!(client[0].acknowledgement, other + 1);
    let header = Segment::new(ACK | PSH, other - len + 1, 56).payload(&wire.0.header.clone());
    assert_eq!(wire.client(&Segment::new(ACK, other + 1, 56)), [header]);
}

/// Late copies of SYN and SYN-ACK, after the header was acknowledged, begin nothing anew.
#[test]
fn late_copies_of_the_handshake_change_nothing() {
    let mut wire = Wire::with_header_sent();
    wire.backend(&Segment::new(ACK, S + 1, C + 1));
    let len = wire.len();
    assert_eq!(wire.client(&Segment::new(SYN, C, 0)), [Segment::new(SYN, C - len, 0)]);
    let (client, backend) = wire.backend(&Segment::new(SYN | ACK, S, wire.begin()));
    assert_eq!((client[0].acknowledgement, backend.len()), (C + 1, 0));
    assert_eq!(wire.0.proxy.phase, Phase::Clamp);
    let data = Segment::new(ACK, C + 1, S + 1).payload(b"more");
    assert_eq!(wire.client(&data), std::slice::from_ref(&data));
}

/// An acknowledgement of an older connection passes, and ends nothing.
#[test]
fn an_acknowledgement_from_elsewhere_passes() {
    let mut wire = Wire::with_header_sent();
    let challenge = Segment::new(ACK, 3, C + 5_000_000);
    assert_eq!(wire.backend(&challenge), (vec![challenge.clone()], vec![]));
    assert_eq!(wire.0.proxy.phase, Phase::Pending);
    assert_eq!(wire.client(&Segment::new(ACK, C + 1, S + 1)), [wire.header_segment()]);
}

/// R4: what speaks of the header alone ends here, once the client is there.
#[test]
fn bare_acknowledgements_of_the_header_are_consumed() {
    let mut wire = Wire::with_header_sent();
    let part = Segment::new(ACK, S + 1, wire.begin() + 4);
    let (client, backend) = wire.backend(&part);
    assert_eq!((client, backend), (vec![], vec![wire.header_segment()]));
    let fin = Segment::new(FIN | ACK, S + 1, wire.begin() + 4);
    assert_eq!(wire.backend(&fin).0[0].acknowledgement, C + 1, "an end is the client's to know");
}

/// R7: what an ICMP error quotes is what the client sent.
#[test]
fn quoted_numbers() {
    let wire = Wire::with_header_sent();
    let (proxy, begin) = (wire.0.proxy, wire.begin());
    assert_eq!(proxy.quoted(begin.wrapping_sub(1)), C);
    assert_eq!([begin, begin + 7, C].map(|sequence| proxy.quoted(sequence)), [C + 1; 3]);
    assert_eq!([C + 1, C + 500, begin - 2].map(|sequence| proxy.quoted(sequence)), [C + 1, C + 500, begin - 2]);
}

/// A header needs a place of its own until it is acknowledged.
#[test]
fn who_finds_no_room_for_a_header_is_refused() {
    use guideway_dataplane::drop_reason::DropReason;
    use guideway_dataplane::memory::MemoryPacket;
    use guideway_dataplane::proxy::{Proxy, Proxying};
    let session = crate::middle::some_session();
    let frame = Segment::new(SYN, C, 0).frame(true);
    let mut parsed = crate::middle::parsed(&frame);
    let (mut proxy, mut packet) = (Proxy::NONE, MemoryPacket::new(&frame));
    let header = || {
        guideway_dataplane::proxy::header(
            Style::V1,
            &guideway_dataplane::session::Tuple::of(&crate::middle::parsed(&frame)),
            0,
        )
    };
    let done = Proxying::new(0).syn((&mut proxy, session), &mut packet, &mut parsed, header);
    assert_eq!(done, Err(DropReason::ProxyFull));
    // One that is refused for want of a header keeps no place from the next.
    let mut proxying = Proxying::new(1);
    for _ in 0..3 {
        let done = proxying.syn((&mut proxy, session), &mut packet, &mut parsed, || None);
        assert_eq!(done, Err(DropReason::ProxySegment));
    }
    assert_eq!(proxying.syn((&mut proxy, session), &mut packet, &mut parsed, header), Ok(()));
}

/// What cannot be cut is not let through: its bytes would lie over the header.
#[test]
fn a_segment_in_several_buffers_is_refused() {
    use guideway_dataplane::drop_reason::DropReason;
    use guideway_dataplane::port::Packet;
    use guideway_dataplane::proxy::FromClient;
    let mut wire = Wire::with_header_sent();
    let frame = Segment::new(ACK, C, S + 1).payload(&[0xee; 40]).frame(true);
    let mut parsed = crate::middle::parsed(&frame);
    let mut packet = crate::middle::Split::new(&frame, frame.len() - 10);
    assert!(packet.frame().len() < packet.total_len());
    let (proxying, proxy) = wire.0.parts();
    let passed = proxying.pass_client(
        proxy,
        &mut packet,
        &mut parsed,
        &crate::middle::NoPool,
        guideway_dataplane::time::Nanos(0),
    );
    assert!(matches!(passed, FromClient::Drop(DropReason::ProxySegment)), "{passed:?}");
}

/// A header by the timer is not sent for a connection that has it.
#[test]
fn the_timer_ends_with_the_header() {
    let mut wire = Wire::with_header_sent();
    wire.backend(&Segment::new(ACK, S + 1, C + 1));
    assert_eq!(wire.wait(Duration::from_secs(60)), []);
    assert_eq!(wire.0.proxy.pending, 0);
}
