//! AF_PACKET over a veth pair: frames in and out, byte for byte.

mod net;
mod privilege;

use guideway_dataplane::port::{Burst, Packet as _, PacketPool as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, Hugepages, Mempool, MempoolConfig, Port, PortConfig, PortError};
use net::{Wire, frame, receive};

#[test]
fn frames_pass_both_ways() {
    if !privilege::is_root() {
        return privilege::skip("interfaces need root");
    }
    net::enter_new_namespace();
    net::veth("gwfp0", "gwfp1", 1);
    let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL");
    let pool = Mempool::new(&eal, &MempoolConfig::default()).expect("pool");
    let config = |device: &str| PortConfig { name: "edge".into(), device: device.into(), ..PortConfig::default() };
    both_ways(&eal, &pool, &config("net_af_packet0,iface=gwfp0"));
    assert_eq!(pool.in_use(), 0, "all packets are back");
    two_queues(&eal, &pool, &config("net_af_packet1,iface=gwfp0"));
    errors(&eal, &pool, &config("net_af_packet2,iface=gwfp0"));
    jumbo(&eal, &config("net_af_packet3,iface=gwfp0"));
    assert!(!net::output("ip link show gwfp0").contains("PROMISC"), "the flag is taken back");
}

fn both_ways(eal: &Eal, pool: &Mempool, config: &PortConfig) {
    let (port, mut rx, mut tx) = Port::attach(eal, config, pool).expect("attach");
    let wire = Wire::open("gwfp1");
    assert_eq!(port.capabilities().driver, "net_af_packet");
    assert!(port.link().up);
    let address = port.mac().map(|byte| format!("{byte:02x}")).join(":");
    assert!(net::output("ip link show gwfp0").contains(&address), "{address}");

    let lengths = [15_usize, 60, 61, 64, 1_499, 1_514];
    for (number, len) in (0..).zip(lengths) {
        wire.send(&frame(number, len));
    }
    let packets = receive(&mut rx, lengths.len());
    let seen: Vec<Vec<u8>> = packets.iter().map(|packet| packet.frame().to_vec()).collect();
    let sent: Vec<Vec<u8>> = (0..).zip(lengths).map(|(number, len)| frame(number, len)).collect();
    assert_eq!(seen, sent);
    assert!(packets.iter().all(|packet| packet.total_len() == packet.frame().len() && packet.segments() == 1));

    // Back out with a header put in front, and one that the pool made.
    let mut burst = Burst::new();
    for mut packet in packets.into_iter().take(3) {
        let payload = packet.frame().to_vec();
        assert!(packet.prepend(20));
        packet.frame_mut()[..20].copy_from_slice(&frame(9, 20));
        assert_eq!(&packet.frame()[20..], payload);
        burst.push(packet);
    }
    burst.push(pool.alloc(&frame(7, 100)).expect("a packet"));
    assert_eq!(tx[0].transmit(&mut burst), 4);
    assert!(burst.is_empty());
    let out = wire.receive(4);
    for (number, len) in (0..).zip([15_usize, 60, 61]) {
        assert_eq!(out[usize::from(number)], [frame(9, 20), frame(number, len)].concat());
    }
    assert_eq!(out[3], frame(7, 100));
    let stats = port.stats().expect("counters");
    assert!(stats.rx_packets >= 6 && stats.tx_packets == 4, "{stats:?}");
    port.close(rx, tx);
}

fn two_queues(eal: &Eal, pool: &Mempool, config: &PortConfig) {
    let config = PortConfig { rx_queues: 2, tx_queues: 2, ..config.clone() };
    let (port, mut rx, mut tx) = Port::attach(eal, &config, pool).expect("attach");
    assert_eq!((rx.len(), tx.len(), port.capabilities().max_rx_queues), (2, 2, 2));
    let wire = Wire::open("gwfp1");
    wire.send(&frame(1, 200));
    assert_eq!(receive(&mut rx, 1).len(), 1, "arrives on one of the two");
    for (number, queue) in (0..).zip(&mut tx) {
        let mut burst = Burst::new();
        burst.push(pool.alloc(&frame(number, 80)).expect("a packet"));
        assert_eq!(queue.transmit(&mut burst), 1);
    }
    assert_eq!(wire.receive(2).len(), 2);
}

fn errors(eal: &Eal, pool: &Mempool, config: &PortConfig) {
    let missing = PortConfig { device: "net_af_packet9,iface=gwfno".into(), ..config.clone() };
    let error = Port::attach(eal, &missing, pool).expect_err("no such interface");
    assert!(matches!(error, PortError::NoSuchInterface { .. }));
    let text = error.to_string();
    assert!(text.contains("edge") && text.contains("gwfno") && text.contains("ip link"), "{text}");

    let few = PortConfig { device: "net_af_packet8,iface=gwfp0,qpairs=1".into(), rx_queues: 3, ..config.clone() };
    let error = Port::attach(eal, &few, pool).expect_err("too few queues");
    assert!(matches!(&error, PortError::TooFewQueues { direction: "receive", wanted: 3, has: 1, .. }), "{error}");

    let jumbo = PortConfig { mtu: 9_000, ..config.clone() };
    let error = Port::attach(eal, &jumbo, pool).expect_err("buffers of 2048 bytes");
    assert!(matches!(error, PortError::PoolTooSmall { .. }), "{error}");

    let (port, rx, tx) = Port::attach(eal, config, pool).expect("the failures left nothing behind");
    let error = Port::attach(eal, config, pool).expect_err("attached already");
    assert!(matches!(error, PortError::Busy { .. }), "{error}");
    port.close(rx, tx);

    net::run("ip link set gwfp0 promisc on");
    net::run("ip link set gwfp0 down");
    let (port, _rx, _tx) = Port::attach(eal, config, pool).expect("down is no error");
    let notices: Vec<String> = port.notices().iter().map(ToString::to_string).collect();
    assert!(notices.iter().any(|n| n.contains("ip link set gwfp0 up")), "{notices:?}");
    assert!(notices.iter().any(|n| n.contains("promiscuous")), "{notices:?}");
    assert!(!port.link().up);
    net::run("ip link set gwfp0 promisc off");
    net::run("ip link set gwfp0 up");
}

fn jumbo(eal: &Eal, config: &PortConfig) {
    let config = PortConfig { mtu: 9_000, ..config.clone() };
    let large = MempoolConfig { name: "jumbo".into(), size: 2_047, data_room: 16_384 + 128, ..Default::default() };
    let pool = Mempool::new(eal, &large).expect("pool");
    let error = Port::attach(eal, &config, &pool).expect_err("the interface has MTU 1500");
    assert!(error.to_string().contains("ip link set gwfp0 mtu 9000"), "{error}");
    for end in ["gwfp0", "gwfp1"] {
        net::run(&format!("ip link set {end} mtu 9000"));
    }
    let (_port, mut rx, mut tx) = Port::attach(eal, &config, &pool).expect("attach");
    let wire = Wire::open("gwfp1");
    wire.send(&frame(3, 9_014));
    let packets = receive(&mut rx, 1);
    assert_eq!(packets[0].frame(), frame(3, 9_014));
    let mut burst: Burst<_> = packets.into_iter().collect();
    tx[0].transmit(&mut burst);
    assert_eq!(wire.receive(1), [frame(3, 9_014)]);
}
