//! How long a flow of a pool may be silent and still keep its backend.

use super::{Config, Pool, Protocol, Vip};
use std::time::Duration;

impl Config {
    /// T of a pool (CONSISTENCY, Slots): what is silent for longer is no live flow. The largest of the idle timeouts of
    /// the protocols of its VIPs and of their affinity windows; of a pool without VIPs the largest of its idle timeouts.
    ///
    /// # Panics
    ///
    /// If there is no pool of that index.
    #[must_use]
    pub fn idle_time(&self, pool: usize) -> Duration {
        let of = &self.pools[pool];
        let vips = self.vips.iter().filter(|vip| vip.pool == pool);
        vips.map(|vip| of_vip(of, vip)).max().unwrap_or_else(|| {
            let all = of.idle_timeout;
            all.tcp.max(all.udp).max(all.quic)
        })
    }
}

/// With affinity a pin serves all flows of a client, so it outlives the longer of the two.
fn of_vip(pool: &Pool, vip: &Vip) -> Duration {
    let protocol = match vip.protocol {
        Protocol::Tcp => pool.idle_timeout.tcp,
        Protocol::Udp => pool.idle_timeout.udp,
        Protocol::Quic => pool.idle_timeout.quic,
    };
    protocol.max(vip.affinity_window.unwrap_or_default())
}
