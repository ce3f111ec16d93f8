//! A network that only further routers reach, with every backend in it.
//!
//! | part | IPv4 | IPv6 |
//! | --- | --- | --- |
//! | far network | 10.9.0.0/24 | fd09::/64 |
//! | backend n (from 1) there | 10.9.0.(10+n) | fd09::(10+n) |
//! | hop n (from 1) there | 10.9.0.(200+n) | fd09::(200+n) |
//! | hop n on the segment | 10.0.0.(200+n) | fd00::(200+n) |
//!
//! The backends' default gateway stays the router of the segment: answers do not pass the hops.

use crate::backend::Backend;
use crate::link::End;
use crate::namespace::Namespace;
use crate::topology::{Lab, make_router};
use anyhow::{Context, Result};
use std::net::IpAddr;

/// The far network in IPv4.
pub const FAR_V4: &str = "10.9.0.0/24";
/// The far network in IPv6.
pub const FAR_V6: &str = "fd09::/64";

/// The routers between the segment and the far network; dropped means removed.
#[derive(Debug)]
pub struct Far {
    hops: Vec<Namespace>,
}

impl Far {
    /// Builds the far network of a lab, with this many routers side by side and this MTU in bytes.
    pub fn build(lab: &Lab, hops: u8, mtu: u32) -> Result<Self> {
        lab.add_bridge("far", mtu)?;
        for backend in lab.backends() {
            let host = backend.namespace();
            lab.plug_in("far", &format!("f{}", backend.number()), End::new(host, "far0"), mtu)?;
            let [v4, v6] = backend_addresses(backend);
            host.ip(&format!("addr add {v4}/24 dev far0\naddr add {v6}/64 dev far0 nodad\n"))?;
        }
        let hops = (1..=hops).map(|number| add_hop(lab, number, mtu)).collect::<Result<_>>()?;
        Ok(Self { hops })
    }

    /// Packets that hop `number`, from 1, has received from the segment.
    pub fn received(&self, number: usize) -> Result<u64> {
        let hop = self.hops.get(number - 1).context("no such hop")?;
        let count = hop.exec("cat", &["/sys/class/net/seg/statistics/rx_packets"])?;
        count.trim().parse().with_context(|| format!("no count: {count:?}"))
    }

    /// Takes hop `number`, from 1, off the segment, as when it loses power.
    pub fn cut(&self, lab: &Lab, number: usize) -> Result<()> {
        lab.segment().ip(&format!("link set {} down", port(number)))
    }

    /// Brings it back.
    pub fn restore(&self, lab: &Lab, number: usize) -> Result<()> {
        lab.segment().ip(&format!("link set {} up", port(number)))
    }
}

/// The addresses of a backend in the far network.
pub fn backend_addresses(backend: &Backend) -> [IpAddr; 2] {
    let number = u16::from(backend.number()) + 10;
    [IpAddr::from([10, 9, 0, number as u8]), IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, number])]
}

/// The addresses of hop `number`, from 1, on the segment.
pub fn hop_addresses(number: u8) -> [IpAddr; 2] {
    [IpAddr::from([10, 0, 0, 200 + number]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 200 + u16::from(number)])]
}

fn port(hop: usize) -> String {
    format!("h{hop}")
}

fn add_hop(lab: &Lab, number: u8, mtu: u32) -> Result<Namespace> {
    let hop = lab.add_host(&format!("hop{number}"))?;
    make_router(&hop)?;
    lab.plug_in("br0", &port(number.into()), End::new(&hop, "seg"), lab.segment_mtu())?;
    lab.plug_in("far", &format!("fh{number}"), End::new(&hop, "far"), mtu)?;
    let [v4, v6] = hop_addresses(number);
    let last = 200 + u16::from(number);
    hop.ip(&format!(
        "addr add {v4}/24 dev seg\naddr add {v6}/64 dev seg nodad\n\
         addr add 10.9.0.{last}/24 dev far\naddr add fd09::{last:x}/64 dev far nodad\n"
    ))?;
    Ok(hop)
}
