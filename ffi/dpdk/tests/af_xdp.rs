//! AF_XDP over a veth pair: frames in and out, byte for byte.

mod common;

use common::{Wire, frame, receive};
use guideway_dataplane::port::{Burst, Packet as _, PacketPool as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, Hugepages, Mempool, MempoolConfig, Port, PortConfig, PortError};

#[test]
fn frames_pass_both_ways() {
    if !common::is_root() {
        return common::skip("interfaces need root");
    }
    common::enter_new_namespace();
    common::veth("gwfx0", "gwfx1", 1);
    let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL");
    let pool = Mempool::new(&eal, &MempoolConfig::default()).expect("pool");
    let config = |device: &str| PortConfig { name: "edge".into(), device: device.into(), ..PortConfig::default() };
    let few = PortConfig { rx_queues: 2, ..config("net_af_xdp9,iface=gwfx0") };
    let error = Port::attach(&eal, &few, &pool).expect_err("one channel");
    assert!(matches!(&error, PortError::TooFewQueues { wanted: 2, has: 1, .. }), "{error}");
    // Twice: the first leaves nothing behind that the second minds.
    for device in ["net_af_xdp0,iface=gwfx0", "net_af_xdp1,iface=gwfx0"] {
        both_ways(&eal, &pool, &config(device));
        let link = common::output("ip -d link show gwfx0");
        assert!(!link.contains("xdp"), "the program is taken back: {link}");
    }
}

fn both_ways(eal: &Eal, pool: &Mempool, config: &PortConfig) {
    let (port, mut rx, mut tx) = Port::attach(eal, config, pool).expect("attach");
    let wire = Wire::open("gwfx1");
    assert_eq!(port.capabilities().driver, "net_af_xdp");
    let lengths = [60_usize, 61, 64, 1_499, 1_514];
    for (number, len) in (0..).zip(lengths) {
        wire.send(&frame(number, len));
    }
    let mut packets = receive(&mut rx, lengths.len());
    let seen: Vec<Vec<u8>> = packets.iter().map(|packet| packet.frame().to_vec()).collect();
    let sent: Vec<Vec<u8>> = (0..).zip(lengths).map(|(number, len)| frame(number, len)).collect();
    assert_eq!(seen, sent);

    packets.truncate(2);
    let mut burst = Burst::new();
    for mut packet in packets {
        assert!(packet.prepend(20));
        packet.frame_mut()[..20].copy_from_slice(&frame(9, 20));
        burst.push(packet);
    }
    burst.push(pool.alloc(&frame(7, 100)).expect("a packet"));
    assert_eq!(tx[0].transmit(&mut burst), 3);
    let out = wire.receive(3);
    assert_eq!(out, [[frame(9, 20), frame(0, 60)].concat(), [frame(9, 20), frame(1, 61)].concat(), frame(7, 100)]);
    port.close(rx, tx);
}
