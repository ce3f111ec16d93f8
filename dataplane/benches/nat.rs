//! Frames translated to another tuple: what it costs must not depend on how long they are.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::nat::{Settings, translate};
use guideway_dataplane::parse::{Outcome, Parsed, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::session::{Endpoint, Tuple};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::{protocol, tcp};
use std::hint::black_box;
use std::net::SocketAddr;

const PORT: Mac = [2, 0, 0, 0, 0, 1];
const V4: [&str; 2] = ["192.0.2.7:40000", "203.0.113.10:80"];
const V6: [&str; 2] = ["[2001:db8::7]:40000", "[2001:db8:10::10]:80"];

fn ends(ends: [&str; 2]) -> [SocketAddr; 2] {
    ends.map(|end| end.parse().expect("an address"))
}

/// A frame of `len` bytes and what parsing makes of it.
fn frame(from: [&str; 2], len: usize) -> (Vec<u8>, Parsed) {
    let [source, destination] = ends(from);
    let craft = Craft::tcp(source, destination, tcp::ACK).macs(PORT, [2; 6]);
    let headers = craft.frame().len();
    let frame = craft.payload(&vec![0x61; len.saturating_sub(headers)]).frame();
    match parse(&frame, frame.len(), &PortState::new(PORT)) {
        Outcome::Packet(parsed) => (frame, parsed),
        other => panic!("{other:?}"),
    }
}

fn tuple(to: [&str; 2]) -> Tuple {
    let [source, destination] = ends(to).map(|end| Endpoint { address: address_bits(end.ip()), port: end.port() + 1 });
    Tuple { source, destination, protocol: protocol::TCP }
}

fn translated(c: &mut Criterion) {
    let mut group = c.benchmark_group("translate");
    for (name, from, to) in [("v4 to v4", V4, V4), ("v6 to v6", V6, V6), ("v4 to v6", V4, V6), ("v6 to v4", V6, V4)] {
        let to = tuple(to);
        for len in [64, 1_500] {
            let (frame, parsed) = frame(from, len);
            let mut packet = MemoryPacket::new(&frame);
            let headers = usize::from(parsed.transport_offset) + tcp::HEADER_LEN;
            let settings = Settings::default();
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| {
                    black_box(translate(&mut packet, black_box(&parsed), &to, &settings)).expect("translated");
                    // The headers as they were, for the next turn: part of what is measured.
                    restore(&mut packet, &frame, headers);
                });
            });
        }
    }
    group.finish();
}

/// Puts the first bytes of a frame back in front of the rest.
fn restore(packet: &mut MemoryPacket, frame: &[u8], headers: usize) {
    let (now, before) = (packet.total_len(), frame.len());
    let moved = if now > before { packet.trim_front(now - before) } else { packet.prepend(before - now) };
    assert!(moved);
    packet.frame_mut()[..headers].copy_from_slice(&frame[..headers]);
}

criterion_group!(benches, translated);
criterion_main!(benches);
