//! With hugepages: reserved for the test, used, and given back.

mod net;
mod privilege;

use guideway_dataplane::port::{BURST, Burst, RxQueue as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, EalError, Hugepages, Mempool, MempoolConfig, Port, PortConfig};
use net::{Wire, frame, receive};
use std::fs;

const NR_HUGEPAGES: &str = "/proc/sys/vm/nr_hugepages";
/// Pages of 2 MiB on x86: enough for one pool.
const PAGES: usize = 64;

/// Pages reserved on top of what there was, given back when dropped.
struct Reserved;

fn number() -> usize {
    fs::read_to_string(NR_HUGEPAGES).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

impl Reserved {
    fn new() -> Option<Self> {
        let before = number();
        fs::write(NR_HUGEPAGES, (before + PAGES).to_string()).ok()?;
        let this = Self;
        (number() == before + PAGES).then_some(this)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let _ = fs::write(NR_HUGEPAGES, number().saturating_sub(PAGES).to_string());
    }
}

#[test]
fn memory_comes_from_hugepages() {
    let config = |memory_mb| EalConfig { hugepages: Hugepages::Require, memory_mb, ..EalConfig::default() };
    let error = Eal::init(&config(1 << 30)).expect_err("nobody has a pebibyte");
    assert!(matches!(error, EalError::NoHugepages { .. }), "{error}");
    assert!(error.to_string().contains(NR_HUGEPAGES), "{error}");

    if !privilege::is_root() {
        return privilege::skip("reserving hugepages needs root");
    }
    let Some(_reserved) = Reserved::new() else {
        return privilege::skip("the kernel has no memory for hugepages, or they are not of 2 MiB");
    };
    net::enter_new_namespace();
    net::veth("gwfh0", "gwfh1", 1);
    let eal = Eal::init(&config(64)).expect("EAL");
    assert!(eal.has_hugepages());
    let pool = Mempool::new(&eal, &MempoolConfig { size: 8_191, ..MempoolConfig::default() }).expect("pool");
    let port = |device: &str| PortConfig { device: device.into(), ..PortConfig::default() };
    let (null, mut rx, mut tx) = Port::attach(&eal, &port("net_null0"), &pool).expect("attach");
    let mut burst = Burst::new();
    assert_eq!(rx[0].receive(&mut burst), BURST);
    assert_eq!(tx[0].transmit(&mut burst), BURST);
    null.close(rx, tx);
    assert_eq!(pool.in_use(), 0);

    // AF_XDP wants the pool in one piece.
    let (_xdp, mut rx, mut tx) = Port::attach(&eal, &port("net_af_xdp0,iface=gwfh0"), &pool).expect("attach");
    let wire = Wire::open("gwfh1");
    wire.send(&frame(1, 100));
    let mut burst: Burst<_> = receive(&mut rx, 1).into_iter().collect();
    assert_eq!(tx[0].transmit(&mut burst), 1);
    assert_eq!(wire.receive(1), [frame(1, 100)]);
    let link = net::output("ip -d link show gwfh0");
    assert!(link.contains("xsk_def_prog"), "{link}");
}
