//! The benchmark of idle workers runs and says what can be true. No figure is judged.
#![cfg(feature = "dpdk")]

use guideway_perf::record::Results;
use guideway_perf::wake::run::run;
use guideway_perf::wake::{Mode, Options};
use std::sync::Mutex;
use std::time::Duration;

/// Over a wire in memory: DPDK's virtio driver as the guest, its vhost as the host.
#[test]
fn every_mode_over_virtio() {
    let path = std::env::temp_dir().join(format!("guideway-wake-{}", std::process::id()));
    let options = Options {
        device: format!("net_virtio_user0,path={}", path.display()),
        sender: format!("net_vhost0,iface={}", path.display()),
        worker_core: 0,
        sender_core: 0,
        packets: 20,
        shortest_gap: Duration::from_millis(1),
        longest_gap: Duration::from_millis(3),
    };
    let (entered, mut done) = (Mutex::new(Vec::new()), Vec::new());
    let enter = |core, mode| entered.lock().unwrap().push((core, mode));
    let report = run(&options, &Mode::ALL, enter, |mode| done.push(mode.mode.clone())).expect("a report");
    assert_eq!(*entered.lock().unwrap(), Mode::ALL.map(|mode| (0, mode)));
    assert_eq!(done, Mode::ALL.map(Mode::label));
    for mode in &report.modes {
        assert_eq!(mode.packets + mode.lost, 20);
        assert!(mode.packets > 0 && mode.p50_us > 0.0, "{mode:?}");
        assert!(mode.p50_us <= mode.p90_us && mode.p90_us <= mode.p99_us, "{mode:?}");
        assert!(mode.p99_us <= mode.max_us * 1.01, "{mode:?}");
        assert!(mode.processor_percent > 0.0 && mode.busy_percent < 100.0, "{mode:?}");
        assert_eq!(mode.sleeps > 0, mode.mode == "interrupt", "{mode:?}");
    }
    assert_eq!(Results::Wake(report).present().metrics().len(), 9);
}
