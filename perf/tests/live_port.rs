//! Whatever arrives at a port. No figure is judged.
#![cfg(feature = "dpdk")]

mod live;

use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::port::Packet as _;
use guideway_perf::cycles::Error;
use guideway_perf::device::Device as _;
use guideway_perf::live::LiveDevice;
use guideway_perf::scenario::{Case, Load, Treatment};
use guideway_perf::traffic::{Frames, Traffic};
use guideway_perf::window::Feed;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// The address that `net_pcap` has.
const PCAP_MAC: [u8; 6] = [2, b'p', b'c', b'a', b'p', 0];

/// Writes frames of a case, and as many for nobody, as they come to a port with this address.
fn capture(file: &Path, case: &Case) {
    let mut out = PcapWriter::new(File::create(file).expect("a file")).expect("a header");
    for load in [case.load, Load::NoVip] {
        let frames = Frames { destination: PCAP_MAC, ..Case { load, ..*case }.frames() };
        let mut traffic = Traffic::new(&frames);
        for _ in 0..case.flows {
            let mut packet = MemoryPacket::new(&[]);
            assert!(traffic.write(&mut packet));
            let frame = packet.frame();
            out.write_packet(&PcapPacket::new(Duration::ZERO, frame.len() as u32, frame)).expect("a packet");
        }
    }
}

#[test]
fn what_is_for_us_is_forwarded_and_what_is_not_is_told() {
    let core = core_affinity::get_core_ids().expect("cores")[0].id;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("half.pcap");
    let half = live::case(Treatment::Ipip, Load::Tcp);
    capture(&file, &half);
    let device = format!("net_pcap0,rx_pcap={},infinite_rx=1", file.display());
    let mut device = LiveDevice::port(core, &device, 1_518).expect("a port");
    assert_eq!(device.feed(), Feed::Network);

    let swap = live::case(Treatment::MacSwap, Load::Tcp);
    let report = live::measured(&mut device, core, &[swap, half]).expect("a report");
    live::assert_sane(&report, &[swap, half], 1.0);
    // The capture goes round, and the baseline takes bursts out of it.
    let share = report.cases[1].expected_percent;
    assert!((40.0..60.0).contains(&share), "{share}");

    // The same packets, of which none is UDP.
    let udp = live::case(Treatment::L2dsr, Load::Udp);
    let refused = live::measured(&mut device, core, &[udp]).expect_err("nothing of it");
    assert!(matches!(refused, Error::NotOurs { received, .. } if received > 0), "{refused}");
    assert!(refused.to_string().contains("198.18.0.0:80, protocol 17"), "{refused}");
}
