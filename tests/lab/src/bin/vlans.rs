//! A switch between VLANs of a trunk and untagged ports, for kernels without VLAN devices.

use anyhow::{Context, Result};
use clap::Parser;
use guideway_lab::vlan::{READY, Tags, switch};

/// Passes frames between a trunk and access ports, all of them TAP devices that it creates.
#[derive(Parser)]
struct Arguments {
    /// Name of the trunk's device.
    #[arg(long)]
    trunk: String,
    /// Name of an access port's device and its VLAN: `vlan0=120`, or `vlan0=100.120` inside of service VLAN 100.
    #[arg(long, value_parser = access_port)]
    access: Vec<(String, Tags)>,
}

fn access_port(text: &str) -> Result<(String, Tags)> {
    let (device, tags) = text.split_once('=').with_context(|| format!("no device and VLAN: {text:?}"))?;
    Ok((device.to_owned(), tags.parse()?))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    switch(&arguments.trunk, &arguments.access, || println!("{READY}"))
}
