//! A host on the segment that sends whatever frames a test makes up.

use crate::address::Mac;
use crate::topology::Lab;
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// A port of the bridge whose other end is this process; dropped means unplugged.
pub struct Tap {
    device: SyncDevice,
}

impl Tap {
    /// Plugs a port called `name` into the segment of a lab.
    pub fn plug_in(lab: &Lab, name: &str) -> Result<Self> {
        let open = || DeviceBuilder::new().name(name).layer(Layer::L2).build_sync();
        let device = lab.segment().enter(open)?.with_context(|| format!("cannot create the TAP device {name}"))?;
        lab.segment().ip(&format!("link set {name} master br0\nlink set {name} up"))?;
        Ok(Self { device })
    }

    /// Sends an Ethernet frame, without the frame check sequence.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = self.device.send(frame).context("cannot send from a TAP device")?;
        anyhow::ensure!(sent == frame.len(), "only {sent} bytes of a frame of {} were sent", frame.len());
        Ok(())
    }

    /// Tells everybody that `address` is at `mac` (RFC 5227 section 3: an announcement in the request form).
    pub fn announce(&self, address: Ipv4Addr, mac: Mac) -> Result<()> {
        self.send(&gratuitous_arp(address, mac))
    }
}

/// An ARP announcement (RFC 826, RFC 5227), padded to the shortest Ethernet frame.
pub fn gratuitous_arp(address: Ipv4Addr, mac: Mac) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame.resize(60, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::gratuitous_arp;
    use etherparse::{NetSlice, SlicedPacket};
    use std::net::Ipv4Addr;

    #[test]
    fn an_announcement_names_its_sender_twice() {
        let frame = gratuitous_arp(Ipv4Addr::new(10, 0, 0, 9), [2, 0, 0, 0, 0, 9]);
        let packet = SlicedPacket::from_ethernet(&frame).expect("a frame");
        let Some(NetSlice::Arp(arp)) = packet.net else { panic!("no ARP: {packet:?}") };
        assert_eq!(arp.sender_protocol_addr(), [10, 0, 0, 9]);
        assert_eq!(arp.target_protocol_addr(), [10, 0, 0, 9]);
        assert_eq!(arp.sender_hw_addr(), [2, 0, 0, 0, 0, 9]);
    }
}
