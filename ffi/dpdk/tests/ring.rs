//! The ring device: what is sent comes back.

use guideway_dataplane::port::{BURST, Burst, Packet as _, PacketPool as _, RxQueue as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, EalError, Hugepages, Mbuf, Mempool, MempoolConfig, Port, PortConfig};

/// A frame of `len` bytes that follow from `seed`.
fn frame(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(7) ^ seed).collect()
}

#[test]
fn what_is_sent_comes_back_and_handles_drop_in_any_order() {
    let eal = Eal::init(&EalConfig { hugepages: Hugepages::Never, ..EalConfig::default() }).expect("EAL");
    let pool = Mempool::new(&eal, &MempoolConfig { size: 4_095, ..MempoolConfig::default() }).expect("pool");
    let config = PortConfig { name: "loop".into(), device: "net_ring0".into(), ..PortConfig::default() };
    let (port, mut rx, mut tx) = Port::attach(&eal, &config, &pool).expect("attach");

    let mut burst = Burst::new();
    for (seed, len) in [(1, 1), (2, 60), (3, 1_514), (4, 2_048)] {
        let mut packet = pool.alloc(&frame(seed, len)).expect("a packet");
        assert!(packet.prepend(40));
        packet.frame_mut()[..40].copy_from_slice(&frame(99, 40));
        burst.push(packet);
    }
    assert_eq!(tx[0].transmit(&mut burst), 4);
    assert_eq!(pool.in_use(), 4, "in the ring");
    assert_eq!(rx[0].receive(&mut burst), 4);
    for (packet, (seed, len)) in burst.iter_mut().zip([(1, 1), (2, 60), (3, 1_514), (4, 2_048)]) {
        assert_eq!(packet.frame(), [frame(99, 40), frame(seed, len)].concat());
        assert!(packet.trim_front(40));
        assert_eq!((packet.frame(), packet.total_len()), (&frame(seed, len)[..], len));
    }
    burst.clear();
    assert_eq!(pool.in_use(), 0);

    a_full_ring_frees_the_rest(&pool, &mut rx[0], &mut tx[0]);

    // A packet outlives every handle: its bytes stay, and dropping it is no fault.
    let last: Mbuf = pool.alloc(b"last").expect("a packet");
    drop(eal);
    drop(pool);
    drop(port);
    drop(tx);
    assert_eq!(rx[0].receive(&mut burst), 0, "a queue keeps its port alive");
    drop(rx);
    assert_eq!(last.frame(), b"last");
    drop(last);
    assert_eq!(Eal::init(&EalConfig::default()).expect_err("once a process"), EalError::AlreadyRunning);
}

fn a_full_ring_frees_the_rest(pool: &Mempool, rx: &mut guideway_dpdk::RxQueue, tx: &mut guideway_dpdk::TxQueue) {
    let mut taken = 0;
    let mut refused = 0;
    for _ in 0..40 {
        let mut burst: Burst<_> = (0..BURST).map_while(|_| pool.alloc(&[0; 60])).collect();
        let offered = burst.len();
        let sent = tx.transmit(&mut burst);
        assert_eq!(burst.len(), offered - sent, "what it did not take stays");
        taken += sent;
        refused += offered - sent;
    }
    assert!(taken > 0 && refused > 0, "{taken} {refused}: the ring holds fewer than {}", 40 * BURST);
    assert_eq!(pool.in_use() as usize, taken, "the refused ones are free");
    let mut burst = Burst::new();
    let mut back = 0;
    while rx.receive(&mut burst) > 0 {
        back += burst.len();
        burst.clear();
    }
    assert_eq!((back, pool.in_use()), (taken, 0));
}
