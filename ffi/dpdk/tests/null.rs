//! The null device, which gives and takes whatever it is asked to: bursts, accounting, errors, registration.

use guideway_dataplane::port::{BURST, Burst, Packet as _, PacketPool as _, RxChecksum, RxQueue as _, TxQueue as _};
use guideway_dpdk::{
    Eal, EalConfig, EalError, Hugepages, Lcore, LcoreError, Mempool, MempoolConfig, MempoolError, Port, PortConfig,
    PortError, Tsc,
};
use std::sync::LazyLock;

static EAL: LazyLock<Eal> = LazyLock::new(|| {
    Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL starts")
});

fn pool(name: &str) -> Mempool {
    Mempool::new(&EAL, &MempoolConfig { name: name.into(), size: 1_023, ..MempoolConfig::default() }).expect("pool")
}

fn config(device: &str) -> PortConfig {
    PortConfig { name: "edge".into(), device: device.into(), ..PortConfig::default() }
}

#[test]
fn bursts_fill_what_is_free_and_everything_comes_back() {
    let pool = pool("bursts");
    let (port, mut rx, mut tx) = Port::attach(&EAL, &config("net_null0"), &pool).expect("attach");
    let mut burst = Burst::new();
    assert_eq!(rx[0].receive(&mut burst), BURST);
    assert_eq!(rx[0].receive(&mut burst), 0, "a full burst takes nothing");
    assert_eq!(pool.in_use(), BURST as u32);
    assert_eq!(pool.available() + pool.in_use(), pool.size());
    burst.truncate(10);
    assert_eq!(pool.in_use(), 10, "a dropped packet is free");
    assert_eq!(rx[0].receive(&mut burst), BURST - 10);
    assert_eq!(tx[0].transmit(&mut burst), BURST);
    assert!(burst.is_empty());
    assert_eq!(tx[0].transmit(&mut burst), 0);
    assert_eq!(pool.in_use(), 0);
    let stats = port.stats().expect("counters");
    assert_eq!((stats.rx_packets, stats.tx_packets), (2 * BURST as u64 - 10, BURST as u64));
    assert_eq!(port.capabilities().driver, "net_null");
    port.close(rx, tx);
    let again = Port::attach(&EAL, &config("net_null0"), &pool);
    assert!(again.is_ok(), "a closed device may be attached again");
}

#[test]
fn queues_work_on_threads_of_their_own() {
    let pool = pool("threads");
    let config = PortConfig { rx_queues: 3, tx_queues: 3, ..config("net_null1") };
    let (_port, rx, tx) = Port::attach(&EAL, &config, &pool).expect("attach");
    std::thread::scope(|scope| {
        for (mut rx, mut tx) in rx.into_iter().zip(tx) {
            scope.spawn(move || {
                let cores = core_affinity::get_core_ids().expect("cores");
                assert!(core_affinity::set_for_current(cores[usize::from(rx.index()) % cores.len()]));
                let lcore = Lcore::register(&EAL).expect("registered");
                assert_eq!(
                    Lcore::register(&EAL).expect_err("twice"),
                    LcoreError::AlreadyRegistered(lcore.id()),
                    "one registration a thread"
                );
                let mut burst = Burst::new();
                for _ in 0..100 {
                    assert!(rx.receive(&mut burst) > 0);
                    tx.transmit(&mut burst);
                }
            });
        }
    });
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn headroom_and_tailroom_have_ends() {
    let pool = pool("room");
    let mut front = pool.alloc(&[7; 60]).expect("a packet");
    assert_eq!((front.frame(), front.total_len(), front.segments()), (&[7; 60][..], 60, 1));
    assert!(!front.prepend(129) && !front.prepend(usize::MAX) && !front.prepend(65_536));
    assert_eq!(front.frame(), [7; 60], "a refusal changes nothing");
    assert!(front.prepend(128) && !front.prepend(1));
    assert_eq!((front.total_len(), &front.frame()[128..]), (188, &[7; 60][..]));
    assert!(!front.trim_front(189) && front.trim_front(188));
    assert!(front.frame().is_empty() && front.total_len() == 0);
    assert!(front.prepend(0) && front.prepend(60));
    assert_eq!(front.frame(), [7; 60]);

    let mut packet = pool.alloc(&[1, 2, 3]).expect("a packet");
    assert!(packet.resize(2_048) && !packet.resize(2_049) && !packet.resize(usize::MAX));
    assert_eq!(packet.total_len(), 2_048);
    packet.frame_mut().fill(9);
    assert!(packet.resize(2));
    assert_eq!(packet.frame(), [9, 9]);
    assert!(packet.trim_front(1) && packet.resize(2_047) && !packet.resize(2_048));
    assert_eq!(packet.rx_checksum(), RxChecksum::Unknown);

    assert_eq!(pool.max_frame(), 2_048);
    assert!(pool.alloc(&[0; 2_049]).is_none(), "longer than a buffer");
    let all: Vec<_> = std::iter::from_fn(|| pool.alloc(&[])).collect();
    assert_eq!(all.len(), 1_021, "two are in hand");
    drop((all, packet, front));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn errors_name_the_port_and_the_device() {
    let pool = pool("errors");
    let attach = |device: &str| Port::attach(&EAL, &config(device), &pool).expect_err(device);
    let error = attach("net_nosuch0");
    assert!(matches!(error, PortError::NoDriver { .. } | PortError::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("edge") && error.to_string().contains("net_nosuch0"), "{error}");
    assert!(matches!(attach("eth0"), PortError::BadDevice { .. }));
    assert!(matches!(attach("ffff:ff:1f.7"), PortError::NoSuchPciDevice { .. }));
    let error = attach("net_pcap9,rx_pcap=/nonexistent,tx_pcap=/nonexistent");
    assert!(error.to_string().contains("/nonexistent"), "the driver's own words: {error}");
    let many = PortConfig { tx_queues: 60_000, ..config("net_null7") };
    let error = Port::attach(&EAL, &many, &pool).expect_err("too many queues");
    assert!(matches!(error, PortError::TooFewQueues { direction: "transmit", wanted: 60_000, .. }), "{error}");
    Port::attach(&EAL, &config("net_null7"), &pool).expect("the failure left nothing behind");
}

#[test]
fn pools_that_cannot_be_say_why() {
    let make = |config: MempoolConfig| Mempool::new(&EAL, &config).expect_err("impossible");
    let huge = MempoolConfig { name: "huge".into(), size: 1 << 24, ..MempoolConfig::default() };
    let error = make(huge);
    assert!(matches!(error, MempoolError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("MiB") && error.to_string().contains("hugepages"), "{error}");
    let _first = pool("twice");
    assert_eq!(
        make(MempoolConfig { name: "twice".into(), ..Default::default() }),
        MempoolError::Exists("twice".into())
    );
    for config in [
        MempoolConfig { name: String::new(), ..Default::default() },
        MempoolConfig { name: "a name of more than 25 bytes".into(), ..Default::default() },
        MempoolConfig { name: "nul\0".into(), ..Default::default() },
        MempoolConfig { name: "few".into(), size: 1, ..Default::default() },
        MempoolConfig { name: "cache".into(), size: 1_023, cache_size: 700, ..Default::default() },
        MempoolConfig { name: "room".into(), data_room: 128, ..Default::default() },
    ] {
        let error = make(config);
        assert!(matches!(error, MempoolError::Invalid { .. }), "{error}");
    }
}

#[test]
fn the_eal_starts_once() {
    let _running = &*EAL;
    assert_eq!(Eal::init(&EalConfig::default()).expect_err("twice"), EalError::AlreadyRunning);
    assert!(!EAL.has_hugepages() && EAL.version().starts_with("DPDK "));
    assert!(Tsc::calibrate().hz() > 1_000_000);
    let nowhere = EalConfig { main_core: 100_000, ..EalConfig::default() };
    assert_eq!(Eal::init(&nowhere).expect_err("no such core"), EalError::NoSuchCore { core: 100_000 });
}

/// The null device keeps a table and a key of its own, and uses neither.
#[test]
fn how_a_device_spreads_flows_is_read_back() {
    let pool = pool("rss");
    let (port, rx, tx) = Port::attach(&EAL, &config("net_null5"), &pool).expect("attach");
    assert_eq!((port.capabilities().rss, port.rss()), (false, None), "one queue spreads nothing");
    port.close(rx, tx);
    let several = PortConfig { rx_queues: 3, ..config("net_null5") };
    let (port, ..) = Port::attach(&EAL, &several, &pool).expect("attach");
    let settings = port.rss().expect("its driver tells");
    assert_eq!(settings.queues.len(), 128);
    assert_eq!(settings.key[..4], [0x6d, 0x5a, 0x56, 0xda], "{settings:?}");
    let mut groups = [dpdk_sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; 64] }; 2];
    for (entry, queue) in groups.iter_mut().flat_map(|group| &mut group.reta).zip([0, 2, 1].into_iter().cycle()) {
        *entry = queue;
    }
    // SAFETY: as many groups as 128 entries take.
    let result = unsafe { dpdk_sys::rte_eth_dev_rss_reta_update(port.id(), groups.as_mut_ptr(), 128) };
    assert_eq!(result, 0);
    let now = port.rss().expect("its driver tells");
    assert_eq!(now.queues, groups.map(|group| group.reta).concat());
    assert_eq!(now.key, settings.key);
}
