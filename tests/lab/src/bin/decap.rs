//! The decapsulator of a backend in an `ipip` pool, for kernels without tunnel devices.

use anyhow::Result;
use clap::Parser;
use guideway_lab::tunnel::{READY, decapsulate};

/// Takes IP-in-IP packets (protocols 4 and 41, over IPv4 and IPv6) and hands the inner ones to the kernel.
#[derive(Parser)]
struct Arguments {
    /// Name of the TUN device to create.
    #[arg(long, default_value = "tun0")]
    device: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    decapsulate(&arguments.device, || println!("{READY}"))
}
