//! A generator on another core, by a ring of DPDK. No figure is judged.
#![cfg(feature = "dpdk")]

mod live;

use guideway_perf::device::Device as _;
use guideway_perf::live::LiveDevice;
use guideway_perf::window::Feed;

#[test]
fn bursts_are_full_and_every_packet_is_what_its_case_says() {
    // A generator that shares the worker's core never fills a burst.
    let Some((worker, generator)) = live::cores() else { return };
    let mut device = LiveDevice::ring(worker, generator, 9_000).expect("a ring");
    assert_eq!(device.feed(), Feed::Generator);
    let report = live::measured(&mut device, worker, &live::cases()).expect("a report");
    live::assert_sane(&report, &live::cases(), 64.0);
    assert!(report.cases.iter().all(|case| (case.expected_percent - 100.0).abs() < 1e-9), "{report:?}");
}
