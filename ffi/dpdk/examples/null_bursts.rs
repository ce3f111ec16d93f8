//! Millions of packets a second and TSC cycles a packet, from receive to transmit on DPDK's null device.
//!
//! `cargo run --release -p guideway-dpdk --example null_bursts -- [CORE]`

use guideway_dataplane::port::{Burst, RxQueue as _, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, Mbuf, Mempool, MempoolConfig, Port, PortConfig, RxQueue, Tsc};

/// Bursts in a round, few enough that a round often passes without the scheduler taking the core away.
const BURSTS: u64 = 1_000;
/// Rounds; the fastest counts, since everything that disturbs a round makes it slower.
const ROUNDS: u64 = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let core = std::env::args().nth(1).map_or(Ok(0), |core| core.parse())?;
    let eal = Eal::init(&EalConfig { main_core: core, ..EalConfig::default() })?;
    let pool = Mempool::new(&eal, &MempoolConfig::default())?;
    let config = PortConfig { device: "net_null0".into(), ..PortConfig::default() };
    let (port, mut rx, mut tx) = Port::attach(&eal, &config, &pool)?;
    let tsc = Tsc::calibrate();
    println!("{}, hugepages: {}, TSC {} MHz", eal.version(), eal.has_hugepages(), tsc.hz() / 1_000_000);
    measure("receive, transmit", &tsc, &mut rx[0], |burst| {
        tx[0].transmit(burst);
    });
    measure("receive, drop one by one", &tsc, &mut rx[0], Burst::clear);
    port.close(rx, tx);
    println!("in use: {}", pool.in_use());
    Ok(())
}

/// Prints the fastest round and the median one.
fn measure(what: &str, tsc: &Tsc, rx: &mut RxQueue, mut give_back: impl FnMut(&mut Burst<Mbuf>)) {
    let mut burst = Burst::new();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = tsc.cycles();
            let mut packets = 0;
            for _ in 0..BURSTS {
                packets += rx.receive(&mut burst);
                give_back(&mut burst);
            }
            (tsc.cycles() - start) as f64 / packets as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let (best, median) = (rounds[0], rounds[rounds.len() / 2]);
    let mpps = tsc.hz() as f64 / best / 1e6;
    println!("{what}: best {best:.1} cycles a packet ({mpps:.1} Mpps), median {median:.1}");
}
