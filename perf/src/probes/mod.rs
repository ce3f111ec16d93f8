//! What health checks of many backends cost: the share of a worker and of the control core, and whether any comes late.
//!
//! The real worker and the real-time side of the process run on a thread each, over a port in memory. The worker's thread also plays
//! the network between two polls, which counts as nobody's time: it answers each SYN in a tunnel by the SYN-ACK of a backend.

pub mod network;
pub mod report;
pub mod run;

use std::fmt::Write;
use std::time::Duration;

/// Most backends: ids are told by source ports of probes.
pub const MAX_BACKENDS: u32 = 50_000;
/// Backends of a pool; each pool has a VIP of its own.
const POOL: u32 = 500;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// From probe to probe of one backend; the timeout too.
    pub interval: Duration,
    /// How long is measured, after everybody was found up.
    pub seconds: Duration,
    /// The worker's core.
    pub worker_core: usize,
    /// The control core.
    pub control_core: usize,
}

/// The configuration with so many backends behind one router.
fn config(backends: u32, interval: Duration) -> String {
    let times = interval.as_micros();
    let health = format!("{{ kind = \"tcp\", interval = \"{times}us\", timeout = \"{times}us\" }}");
    let mut text = String::from(
        "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [1]\n[[port]]\n\
         name = \"edge\"\ndevice = \"net_null0\"\n[[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[interface.neighbor]]\naddress = \"10.0.0.254\"\nmac = \"02:00:00:00:00:fe\"\n[[route]]\nto = \"10.64.0.0/10\"\n\
         via = [\"10.0.0.254\"]\n",
    );
    for pool in 0..backends.div_ceil(POOL) {
        // A string takes everything.
        let _ =
            write!(text, "[[pool]]\nname = \"p{pool}\"\nforward = \"ipip\"\ntable_size = 2039\nhealth = {health}\n");
        for backend in pool * POOL..((pool + 1) * POOL).min(backends) {
            let [_, b, c, d] = (backend + 1).to_be_bytes();
            let _ = write!(text, "[[pool.backend]]\nname = \"b{backend}\"\naddress = \"10.{}.{c}.{d}\"\n", 64 + b);
        }
        let vip = format!("address = \"203.0.113.{}\"\nprotocol = \"tcp\"\nport = 80", pool + 1);
        let _ = write!(text, "[[vip]]\n{vip}\npool = \"p{pool}\"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_a_good_one() {
        for backends in [1, 499, 1_000, MAX_BACKENDS] {
            let text = config(backends, Duration::from_millis(20));
            let config = guideway_config::parse(&text, None).expect("a valid configuration").config;
            assert_eq!(config.pools.iter().map(|pool| pool.backends.len()).sum::<usize>(), backends as usize);
        }
    }
}
