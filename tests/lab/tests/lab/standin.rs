//! The kernel in the balancer's place: what the tests of this crate use instead of Guideway.

use anyhow::Result;
use guideway_lab::{Lab, address};

/// Gives the balancer's interface kernel addresses and lets its kernel route.
pub fn give_addresses(lab: &Lab) -> Result<()> {
    let device = lab.segment_device();
    lab.balancer().sysctl(&[
        ("net.ipv6.conf.all.disable_ipv6", "0"),
        (&format!("net.ipv6.conf.{device}.disable_ipv6"), "0"),
        ("net.ipv6.conf.all.forwarding", "1"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.conf.all.send_redirects", "0"),
        (&format!("net.ipv4.conf.{device}.send_redirects"), "0"),
        ("net.ipv4.fib_multipath_hash_policy", "1"),
        ("net.ipv6.fib_multipath_hash_policy", "1"),
    ])?;
    lab.balancer().ip(&format!(
        "addr add {}/24 dev {device}\naddr add {}/64 dev {device} nodad\n\
         route add default via {}\nroute add default via {}\n",
        address::BALANCER_V4,
        address::BALANCER_V6,
        address::ROUTER_V4,
        address::ROUTER_V6
    ))
}

/// Spreads the VIPs over these backends (numbers from 1) by routes with several next hops: like `l2dsr`, it changes
/// the destination MAC and leaves the addresses.
pub fn spread(lab: &Lab, backends: &[usize]) -> Result<()> {
    let (mut v4, mut v6) = (String::new(), String::new());
    for number in backends {
        let backend = lab.backend(*number);
        v4 += &format!(" nexthop via {}", backend.v4());
        v6 += &format!(" nexthop via {}", backend.v6());
    }
    let (to_v4, to_v6) = (address::VIPS_V4, address::VIPS_V6);
    lab.balancer().ip(&format!("route replace {to_v4}{v4}\nroute replace {to_v6}{v6}\n"))
}
