//! A capture over the control socket.

use crate::balancer::{Balancer, PACKETS, PATIENCE, packet};
use guideway_control::capture::{CaptureAsk, Direction};
use guideway_dataplane::port::Packet;
use guideway_dataplane::wire::tcp;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A frame of a file.
#[derive(Debug)]
struct Told {
    interface: String,
    bytes: Vec<u8>,
    len: u32,
    comment: String,
}

/// All frames of a file, and how many it says that it lacks.
fn read(file: &[u8]) -> (Vec<Told>, Option<u64>) {
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption::IfName;
    use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption::IsbIfDrop;
    let mut reader = PcapNgReader::new(file).expect("a pcapng file");
    let (mut told, mut names, mut lost) = (Vec::new(), Vec::new(), None);
    while let Some(block) = reader.next_block() {
        match block.expect("a whole block") {
            Block::InterfaceDescription(interface) => {
                let name = interface.options.iter().find_map(|option| match option {
                    IfName(name) => Some(name.to_string()),
                    _ => None,
                });
                names.push(name.expect("a name"));
            }
            Block::EnhancedPacket(packet) => {
                let comment = packet.options.iter().find_map(|option| match option {
                    EnhancedPacketOption::Comment(comment) => Some(comment.to_string()),
                    _ => None,
                });
                told.push(Told {
                    interface: names[packet.interface_id as usize].clone(),
                    bytes: packet.data.to_vec(),
                    len: packet.original_len,
                    comment: comment.expect("a comment"),
                });
            }
            Block::InterfaceStatistics(statistics) => {
                lost = statistics.options.iter().find_map(|option| match option {
                    IsbIfDrop(lost) => Some(*lost),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (told, lost)
}

#[test]
fn packets_are_told_with_what_became_of_them() {
    let balancer = Balancer::start();
    // Of this client: the balancer's own frames, such as ARP, are none of its.
    let client = Some("192.0.2.7".to_owned());
    let ask = CaptureAsk { count: Some(3), client, ..CaptureAsk::default() };
    let came = [packet(40_000, "203.0.113.10:80", tcp::SYN), packet(40_001, "203.0.113.10:81", tcp::SYN)];
    let file = balancer.capture(&ask, |balancer| came.iter().for_each(|frame| balancer.offer(frame)));
    let (told, lost) = read(&file.expect("a capture"));
    assert_eq!(lost, Some(0));
    let interfaces: Vec<_> = told.iter().map(|told| told.interface.as_str()).collect();
    assert_eq!(interfaces, ["edge-in", "edge-out", "edge-in"]);
    assert_eq!((&told[0].bytes, &told[2].bytes), (&came[0], &came[1]));
    let sent: Vec<_> = std::iter::from_fn(|| balancer.output.pop()).map(|packet| packet.frame().to_vec()).collect();
    assert!(sent.contains(&told[1].bytes), "{told:?}");
    for told in &told[..2] {
        assert!(
            told.comment.starts_with("verdict=forward vip=203.0.113.10:80/tcp pool=web backend=web/web"),
            "{told:?}"
        );
        assert!(told.comment.contains(" by=slot generation=2 worker=0"), "{told:?}");
    }
    let dropped = &told[2].comment;
    assert!(dropped.starts_with("verdict=drop reason=vip_no_service generation=2 worker=0. "), "{dropped}");
}

#[test]
fn it_tells_what_is_asked_for_and_as_much_of_it() {
    let balancer = Balancer::start();
    let offer = |balancer: &Balancer| {
        for port in 0..50 {
            balancer.offer(&packet(40_000 + port, "203.0.113.10:80", tcp::ACK));
            balancer.offer(&packet(50_000 + port, "203.0.113.10:81", tcp::ACK));
        }
    };
    let ask = |change: fn(&mut CaptureAsk)| {
        let client = Some("192.0.2.7".to_owned());
        let mut ask = CaptureAsk { seconds: Some(1), snaplen: Some(64), client, ..CaptureAsk::default() };
        change(&mut ask);
        let (told, _) = read(&balancer.capture(&ask, offer).expect("a capture"));
        assert!(told.iter().all(|told| told.bytes.len() == 64 && told.len == 154), "{ask:?}");
        told
    };
    let dropped = ask(|ask| ask.drop = Some("vip_no_service".to_owned()));
    assert_eq!(dropped.len(), 50);
    let of_vip = ask(|ask| ask.vip = Some("203.0.113.10:80/tcp".to_owned()));
    assert_eq!(of_vip.len(), 100);
    let leaving = ask(|ask| (ask.direction, ask.backend) = (Direction::Out, Some("web/web2".to_owned())));
    assert!(!leaving.is_empty());
    assert!(leaving.iter().all(|told| told.interface == "edge-out" && told.comment.contains(" backend=web/web2 ")));
    let bounded = ask(|ask| ask.bytes = Some(2_000));
    assert!((2..20).contains(&bounded.len()), "{}", bounded.len());
    assert!(ask(|ask| ask.client = Some("198.51.100.0/24".to_owned())).is_empty());
}

#[test]
fn one_at_a_time_and_it_ends_when_nobody_reads_it() {
    let balancer = Balancer::start();
    let mut looks = 0;
    let outcome = balancer.client().capture(&CaptureAsk::default(), |_| {
        looks += 1;
        if looks == 1 {
            // A thread of its own: this one runs the client that waits.
            let refused = std::thread::scope(|scope| scope.spawn(|| balancer.refusal(&CaptureAsk::default())).join());
            let (status, message) = refused.expect("no panic");
            assert_eq!(status, 409, "{message}");
        }
        if looks < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    outcome.expect("a capture");
    let begun = Instant::now();
    let ask = CaptureAsk { seconds: Some(1), ..CaptureAsk::default() };
    while let Err(error) = balancer.capture(&ask, |_| ()) {
        assert!(begun.elapsed() < PATIENCE, "the capture of before goes on: {error}");
    }
}

#[test]
fn who_reads_slowly_loses_frames_and_the_worker_forwards_all() {
    let balancer = Balancer::start();
    let client = Some("192.0.2.7".to_owned());
    let ask = CaptureAsk { seconds: Some(3), client, ..CaptureAsk::default() };
    let mut slow = 0;
    let mut file = Vec::new();
    let outcome = balancer.client().capture(&ask, |piece| {
        file.extend_from_slice(piece);
        slow += 1;
        if slow == 1 {
            std::thread::sleep(Duration::from_millis(100));
            let frame = packet(40_000, "203.0.113.10:80", tcp::ACK);
            (0..PACKETS).for_each(|_| balancer.offer(&frame));
            let begun = Instant::now();
            while balancer.output.len() < PACKETS {
                assert!(begun.elapsed() < PATIENCE, "the worker waits for the reader");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        ControlFlow::Continue(())
    });
    outcome.expect("a capture");
    let (told, lost) = read(&file);
    let lost = lost.expect("the end of the file");
    assert_eq!(told.len() as u64 + lost, 2 * PACKETS as u64, "each frame is told or counted");
    assert!(lost > 0, "20,000 packets are more than sockets and rings hold");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let balancer = Balancer::start();
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (404, "203.0.113.10:80/tcp", CaptureAsk { vip: text("203.0.113.9:80/tcp"), ..CaptureAsk::default() }),
        (404, "web1, web2, web3", CaptureAsk { backend: text("web/web9"), ..CaptureAsk::default() }),
        (404, "web", CaptureAsk { backend: text("wed/web1"), ..CaptureAsk::default() }),
        (422, "POOL/NAME", CaptureAsk { backend: text("web1"), ..CaptureAsk::default() }),
        (422, "192.0.2.0/24", CaptureAsk { client: text("192.0.2"), ..CaptureAsk::default() }),
        (404, "docs/drops.md", CaptureAsk { drop: text("bad_luck"), ..CaptureAsk::default() }),
        (422, "counted only", CaptureAsk { drop: text("tx_full"), ..CaptureAsk::default() }),
        (422, "does not leave", CaptureAsk { drop: text("any"), direction: Direction::Out, ..CaptureAsk::default() }),
        (404, "edge", CaptureAsk { port: text("core"), ..CaptureAsk::default() }),
        (422, "sample", CaptureAsk { sample: Some(0), ..CaptureAsk::default() }),
        (422, "count", CaptureAsk { count: Some(0), ..CaptureAsk::default() }),
        (422, "seconds", CaptureAsk { seconds: Some(0), ..CaptureAsk::default() }),
        (422, "bytes", CaptureAsk { bytes: Some(0), ..CaptureAsk::default() }),
        (422, "snaplen", CaptureAsk { snaplen: Some(10), ..CaptureAsk::default() }),
    ];
    for (status, part, ask) in cases {
        let (found, message) = balancer.refusal(&ask);
        assert!(found == status && message.contains(part), "{ask:?}: {found} {message}");
    }
    let ask = CaptureAsk { seconds: Some(1), ..CaptureAsk::default() };
    assert!(balancer.capture(&ask, |_| ()).is_ok(), "what was refused left nothing behind");
}
