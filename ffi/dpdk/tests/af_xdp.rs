//! AF_XDP over a veth pair: frames in and out, byte for byte.

mod net;
mod privilege;

use guideway_dataplane::port::{Burst, Packet as _, PacketPool as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, Hugepages, Mempool, MempoolConfig, Port, PortConfig, PortError, TxQueue};
use net::{Wire, frame, receive};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

#[test]
fn frames_pass_both_ways() {
    if !privilege::is_root() {
        return privilege::skip("interfaces need root");
    }
    net::enter_new_namespace();
    net::veth("gwfx0", "gwfx1", 1);
    let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL");
    // Without caches of threads, so that all buffers are handed out in turn.
    let pool = Mempool::new(&eal, &MempoolConfig { cache_size: 0, ..MempoolConfig::default() }).expect("pool");
    let config = |device: &str| PortConfig { name: "edge".into(), device: device.into(), ..PortConfig::default() };
    let few = PortConfig { rx_queues: 2, ..config("net_af_xdp9,iface=gwfx0") };
    let error = Port::attach(&eal, &few, &pool).expect_err("one channel");
    assert!(matches!(&error, PortError::TooFewQueues { wanted: 2, has: 1, .. }), "{error}");
    let small = MempoolConfig { name: "small".into(), size: 1_023, ..MempoolConfig::default() };
    let small = Mempool::new(&eal, &small).expect("pool");
    let error = Port::attach(&eal, &config("net_af_xdp7,iface=gwfx0"), &small).expect_err("the queue needs 2048");
    assert!(matches!(error, PortError::PoolTooFew { needed: 2_048, available: 1_023, .. }), "{error}");
    a_foreign_program_is_named(&eal, &pool, &config("net_af_xdp8,iface=gwfx0"));
    // Twice: the first leaves nothing behind that the second minds.
    for device in ["net_af_xdp0,iface=gwfx0", "net_af_xdp1,iface=gwfx0"] {
        let before = pool.in_use();
        both_ways(&eal, &pool, &config(device));
        assert_eq!(pool.in_use(), before + 2_048, "all came back but what the driver keeps");
        let link = net::output("ip -d link show gwfx0");
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
    every_buffer_can_be_sent(pool, &mut tx[0], &wire);
    assert_eq!(port.buffers_kept(), 2_048);
    port.close(rx, tx);
}

/// After so many frames each buffer was used, and the kernel knows all of them.
fn every_buffer_can_be_sent(pool: &Mempool, tx: &mut TxQueue, wire: &Wire) {
    let rounds = u16::try_from(MempoolConfig::default().size).expect("fewer than 2^16").div_ceil(4);
    for round in 0..rounds {
        let sent: Vec<_> = (0..4).map(|number| [frame(number, 60), round.to_be_bytes().to_vec()].concat()).collect();
        let mut burst: Burst<_> = sent.iter().map(|bytes| pool.alloc(bytes).expect("a packet")).collect();
        assert_eq!(tx.transmit(&mut burst), sent.len());
        assert_eq!(wire.receive(sent.len()), sent, "round {round}");
    }
}

/// Somebody else's XDP program is neither removed nor fought.
fn a_foreign_program_is_named(eal: &Eal, pool: &Mempool, config: &PortConfig) {
    let program = pass_everything("gwfx0");
    let error = Port::attach(eal, config, pool).expect_err("the interface is taken");
    assert!(matches!(error, PortError::Busy { .. }));
    let text = error.to_string();
    assert!(text.contains("gwf_pass") && text.contains("ip link set dev gwfx0 xdp off"), "{text}");
    assert!(net::output("ip -d link show gwfx0").contains("gwf_pass"), "it stays");
    drop(program);
}

/// Loads the program `return XDP_PASS` and links it to the interface until the result is dropped (bpf(2)).
fn pass_everything(interface: &str) -> [OwnedFd; 2] {
    const PROG_LOAD: i32 = 5;
    const LINK_CREATE: i32 = 28;
    const TYPE_XDP: u32 = 6;
    const ATTACH_XDP: u32 = 37;
    // r0 = 2; exit
    let instructions = [0x0000_0002_0000_00b7_u64, 0x95];
    let name = std::ffi::CString::new(interface).expect("no NUL");
    let mut load = [0_u32; 18];
    load[..2].copy_from_slice(&[TYPE_XDP, instructions.len() as u32]);
    let pointers = [instructions.as_ptr() as u64, c"GPL".as_ptr() as u64];
    for (at, pointer) in [2, 4].into_iter().zip(pointers) {
        load[at] = pointer as u32;
        load[at + 1] = (pointer >> 32) as u32;
    }
    // prog_name lies behind log and version fields, prog_ifindex and the attach type behind that.
    for (word, bytes) in load[12..].iter_mut().zip(b"gwf_pass".chunks_exact(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    }
    load[17] = ATTACH_XDP;
    // SAFETY: both attributes are arrays of the size given; the pointers in them are valid during the calls.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, PROG_LOAD, load.as_mut_ptr(), size_of_val(&load));
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        let program = OwnedFd::from_raw_fd(fd as i32);
        let mut link = [program.as_raw_fd() as u32, libc::if_nametoindex(name.as_ptr()), ATTACH_XDP, 0];
        let fd = libc::syscall(libc::SYS_bpf, LINK_CREATE, link.as_mut_ptr(), size_of_val(&link));
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        [OwnedFd::from_raw_fd(fd as i32), program]
    }
}
