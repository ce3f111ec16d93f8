//! Millions of packets a second and TSC cycles a packet, from receive to transmit on DPDK's null device.
//!
//! `cargo run --release -p guideway-dpdk --example null_bursts -- [CORE]`

use guideway_dataplane::port::{Burst, RxQueue as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, Mempool, MempoolConfig, Port, PortConfig, Tsc};

const BURSTS: u64 = 500_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let core = std::env::args().nth(1).map_or(Ok(0), |core| core.parse())?;
    let eal = Eal::init(&EalConfig { main_core: core, ..EalConfig::default() })?;
    let pool = Mempool::new(&eal, &MempoolConfig::default())?;
    let config = PortConfig { device: "net_null0".into(), ..PortConfig::default() };
    let (port, mut rx, mut tx) = Port::attach(&eal, &config, &pool)?;
    let tsc = Tsc::calibrate();
    println!("{}, hugepages: {}, TSC {} MHz", eal.version(), eal.has_hugepages(), tsc.hz() / 1_000_000);
    let mut burst = Burst::new();
    for drop in [false, true] {
        let (start, moment) = (tsc.cycles(), tsc.now());
        let mut packets = 0;
        for _ in 0..BURSTS {
            packets += rx[0].receive(&mut burst) as u64;
            if drop {
                burst.clear();
            } else {
                tx[0].transmit(&mut burst);
            }
        }
        let (cycles, time) = (tsc.cycles() - start, tsc.now().since(moment));
        let what = if drop { "receive, drop one by one" } else { "receive, transmit" };
        let (mpps, each) = (packets as f64 / time.as_secs_f64() / 1e6, cycles as f64 / packets as f64);
        println!("{what}: {packets} packets, {mpps:.1} Mpps, {each:.1} cycles a packet");
    }
    port.close(rx, tx);
    println!("in use: {}", pool.in_use());
    Ok(())
}
