//! Wires between hosts, and hosts beyond those of the usual layout.

use crate::address::{Mac, mac_text};
use crate::namespace::Namespace;
use crate::topology::{Lab, quiet};
use anyhow::Result;

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The host that it is in.
    pub host: &'a Namespace,
    /// The name of the interface.
    pub device: &'a str,
    /// Its Ethernet address; `None`: the kernel makes one up.
    pub mac: Option<Mac>,
}

impl<'a> End<'a> {
    /// An end with an Ethernet address that the kernel makes up.
    pub fn new(host: &'a Namespace, device: &'a str) -> Self {
        Self { host, device, mac: None }
    }

    /// The same end with this Ethernet address.
    #[must_use]
    pub fn mac(self, mac: Mac) -> Self {
        Self { mac: Some(mac), ..self }
    }
}

/// A veth pair between two hosts, without offloads: the dataplane must see what a wire would carry. Both ends are down.
pub fn connect(near: End<'_>, far: End<'_>, queues: u32, mtu: u32) -> Result<()> {
    let mac = |end: End<'_>| end.mac.map(|mac| format!("address {}", mac_text(mac))).unwrap_or_default();
    let queues = format!("numtxqueues {queues} numrxqueues {queues}");
    near.host.ip(&format!(
        "link add {} {} mtu {mtu} {queues} type veth peer name {} {} mtu {mtu} {queues} netns {}",
        near.device,
        mac(near),
        far.device,
        mac(far),
        far.host.name()
    ))?;
    for end in [near, far] {
        let arguments = ["-K", end.device, "tx", "off", "rx", "off", "gso", "off", "gro", "off", "tso", "off"];
        end.host.exec("ethtool", &arguments)?;
    }
    Ok(())
}

impl Lab {
    /// Another host, connected to nothing yet. Dropped means removed, with the lab at the latest.
    pub fn add_host(&self, role: &str) -> Result<Namespace> {
        let host = Namespace::create(&format!("{}.{role}", self.name()))?;
        quiet(&host)?;
        Ok(host)
    }

    /// Adds a bridge beside that of the segment.
    pub fn add_bridge(&self, bridge: &str, mtu: u32) -> Result<()> {
        self.segment().ip(&format!(
            "link add {bridge} mtu {mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set {bridge} up\n"
        ))
    }

    /// Connects a host's new interface `device` with the bridge's new port `port` and sets both up.
    pub fn plug_in(&self, bridge: &str, port: &str, end: End<'_>, mtu: u32) -> Result<()> {
        connect(End::new(self.segment(), port), end, 1, mtu)?;
        self.segment().ip(&format!("link set {port} master {bridge}\nlink set {port} up\n"))?;
        end.host.ip(&format!("link set {} up", end.device))
    }
}
