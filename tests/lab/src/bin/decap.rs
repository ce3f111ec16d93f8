//! The decapsulator of a backend in a pool with tunnels, for kernels without tunnel devices.

use anyhow::Result;
use clap::Parser;
use guideway_lab::tunnel::{READY, decapsulate};
use std::net::Ipv6Addr;

/// Takes IP-in-IP, GRE and GUE packets, over IPv4 and IPv6, and hands the inner ones to the kernel. Counts outer UDP
/// checksums.
#[derive(Parser)]
struct Arguments {
    /// Name of the TUN device to create.
    #[arg(long, default_value = "tun0")]
    device: String,
    /// The address that tunnel packets over IPv6 are sent to.
    #[arg(long)]
    own_v6: Ipv6Addr,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    decapsulate(&arguments.device, arguments.own_v6, || println!("{READY}"))
}
