//! Frames wake a thread that sleeps, over each device that can; the others are refused by name.

mod net;
mod privilege;

use guideway_dataplane::idle::Sleeper as _;
use guideway_dataplane::port::{Burst, Packet as _, PacketPool as _, RxQueue as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, EventBell, Hugepages, Mempool, MempoolConfig, Port, PortConfig, PortError};
use guideway_dpdk::{RxQueue, Sleeper};
use net::{PATIENCE, Wire, frame, is_ours};
use std::time::{Duration, Instant};

/// A sleep that nothing but a frame ends before.
const LONG: Duration = Duration::from_secs(30);
/// A sleep that nothing ends.
const SHORT: Duration = Duration::from_millis(40);

#[test]
fn frames_wake_who_sleeps() {
    if !privilege::is_root() {
        return privilege::skip("interfaces need root");
    }
    net::enter_new_namespace();
    net::veth("gwfi0", "gwfi1", 1);
    let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL");
    let pool = MempoolConfig { size: 32_767, ..MempoolConfig::default() };
    let pool = Mempool::new(&eal, &pool).expect("pool");
    for (device, queues, peer) in [
        ("net_af_packet0,iface=gwfi0", 1, "gwfi1"),
        ("net_af_packet1,iface=gwfi0", 2, "gwfi1"),
        ("net_af_xdp0,iface=gwfi0", 1, "gwfi1"),
        ("net_tap0,iface=gwfitap", 1, "gwfitap"),
    ] {
        wakes(&eal, &pool, &config(device, queues), peer);
    }
    for device in ["net_null0", "net_ring0", "net_memif0,role=server,socket=gwf-memif"] {
        refused(&eal, &pool, &config(device, 1));
    }
    virtio(&eal, &pool);
}

/// A guest's device over shared memory: DPDK's virtio driver, with DPDK's vhost as the host, both in this process.
fn virtio(eal: &Eal, pool: &Mempool) {
    let path = std::env::temp_dir().join(format!("gwf-vhost-{}", std::process::id()));
    let host = config(&format!("net_vhost0,iface={}", path.display()), 1);
    let host = PortConfig { interrupts: false, ..host };
    let (host, host_rx, mut host_tx) = Port::attach(eal, &host, pool).expect("attach");
    let guest = config(&format!("net_virtio_user0,path={}", path.display()), 1);
    let (port, mut rx, tx) = Port::attach(eal, &guest, pool).expect("attach");
    let start = Instant::now();
    while !host.link().up {
        assert!(start.elapsed() < PATIENCE, "host and guest do not meet");
        std::thread::sleep(Duration::from_millis(1));
    }
    let queues = vec![rx[0].interrupt().expect("asked for")];
    let mut sleeper = Sleeper::new(EventBell::new().expect("a descriptor"), queues).expect("a descriptor");
    quiet(&mut sleeper, &mut rx, &guest);
    for round in 0..10 {
        let delay = Duration::from_millis(if round % 2 == 0 { 20 } else { 0 });
        let mut burst: Burst<_> = pool.alloc(&frame(round, 100)).into_iter().collect();
        let (sender, start) = (&mut host_tx[0], Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(delay);
                assert_eq!(sender.transmit(&mut burst), 1);
            });
            sleep_until_frame(&mut sleeper, &mut rx, &guest);
        });
        assert!(start.elapsed() < PATIENCE);
    }
    quiet(&mut sleeper, &mut rx, &guest);
    drop(sleeper);
    port.close(rx, tx);
    host.close(host_rx, host_tx);
}

fn config(device: &str, queues: u16) -> PortConfig {
    let (name, device) = ("edge".into(), device.into());
    PortConfig { name, device, rx_queues: queues, tx_queues: queues, interrupts: true, ..PortConfig::default() }
}

/// Frames of the test that are there now.
fn take(queues: &mut [RxQueue]) -> usize {
    let mut burst = Burst::new();
    let mut count = 0;
    for queue in queues {
        while queue.receive(&mut burst) > 0 {
            count += burst.drain(..).filter(|packet| is_ours(packet.frame())).count();
        }
    }
    count
}

fn wakes(eal: &Eal, pool: &Mempool, config: &PortConfig, peer: &str) {
    let (port, mut rx, tx) = Port::attach(eal, config, pool).expect("attach");
    if peer == "gwfitap" {
        net::run("sysctl -qw net.ipv6.conf.gwfitap.disable_ipv6=1");
        net::run("ip link set gwfitap up");
    }
    let queues: Vec<_> = rx.iter().map(|queue| queue.interrupt().expect("asked for")).collect();
    assert_eq!(queues.len(), usize::from(config.rx_queues));
    let mut sleeper = Sleeper::new(EventBell::new().expect("a descriptor"), queues).expect("a descriptor");
    let wire = Wire::open(peer);
    quiet(&mut sleeper, &mut rx, config);
    for round in 0..10 {
        // Half of the frames come while the thread sleeps, half before it is armed.
        let delay = Duration::from_millis(if round % 2 == 0 { 20 } else { 0 });
        let start = Instant::now();
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                std::thread::sleep(delay);
                wire.send(&frame(round, 100));
            });
            if delay.is_zero() {
                sender.join().expect("it sends");
            }
            sleep_until_frame(&mut sleeper, &mut rx, config);
        });
        assert!(start.elapsed() < PATIENCE, "{}: {:?}", config.device, start.elapsed());
    }
    quiet(&mut sleeper, &mut rx, config);
    drop(sleeper);
    port.close(rx, tx);
}

/// As a worker does it: arm, look once more, sleep.
fn sleep_until_frame(sleeper: &mut Sleeper, rx: &mut [RxQueue], config: &PortConfig) {
    let start = Instant::now();
    loop {
        sleeper.arm();
        if take(rx) > 0 {
            return sleeper.disarm();
        }
        sleeper.sleep(LONG);
        sleeper.disarm();
        assert!(start.elapsed() < PATIENCE, "{}: nothing woke it", config.device);
    }
}

/// No frame, no wake-up: else a worker would spin.
fn quiet(sleeper: &mut Sleeper, rx: &mut [RxQueue], config: &PortConfig) {
    let start = Instant::now();
    loop {
        take(rx);
        sleeper.arm();
        take(rx);
        let before = Instant::now();
        sleeper.sleep(SHORT);
        sleeper.disarm();
        if before.elapsed() >= SHORT - Duration::from_millis(1) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{}: it is woken all the time", config.device);
    }
}

fn refused(eal: &Eal, pool: &Mempool, config: &PortConfig) {
    let error = Port::attach(eal, config, pool).expect_err("nothing wakes a thread there");
    assert!(matches!(error, PortError::NoInterrupts { .. }), "{error}");
    let text = error.to_string();
    let driver = config.device.split('0').next().unwrap_or_default();
    assert!(text.contains("port edge") && text.contains(driver) && text.contains("idle = \"adaptive\""), "{text}");
    let (port, rx, tx) = Port::attach(eal, &PortConfig { interrupts: false, ..config.clone() }, pool).expect("attach");
    assert!(rx[0].interrupt().is_none(), "nobody asked");
    port.close(rx, tx);
}
