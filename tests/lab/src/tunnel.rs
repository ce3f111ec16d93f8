//! IP-in-IP for hosts whose kernel has no such device: raw sockets on one side, a TUN device on the other.
//!
//! All four combinations: IPv4 and IPv6 packets (protocols 4 and 41) inside IPv4 and inside IPv6 (RFC 2003,
//! RFC 2473, RFC 4213). [`decapsulate`] is the backend's side, [`encapsulate`] stands in for a balancer in the
//! tests of this crate.

use crate::helpers::helper;
use crate::namespace::Namespace;
use crate::process::{Process, wait_for};
use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tun_rs::{DeviceBuilder, SyncDevice};

/// Protocol number of an encapsulated IPv4 packet.
const PROTOCOL_IPV4: i32 = 4;
/// Protocol number of an encapsulated IPv6 packet.
const PROTOCOL_IPV6: i32 = 41;
/// Room for any packet of the lab.
const LARGEST_PACKET: usize = 65536;
/// Receive buffer of a raw socket in bytes; the kernel may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// What the program `decap` prints when its sockets are open.
pub const READY: &str = "decap: ready";

/// The part of a raw socket's datagram that is the inner packet, or `None` for what is no tunnel packet.
///
/// A raw IPv4 socket delivers the outer header too, a raw IPv6 socket does not (raw(7), RFC 3542 section 3).
pub fn inner_packet(outer_is_ipv4: bool, datagram: &[u8]) -> Option<&[u8]> {
    let inner = if outer_is_ipv4 {
        let header = usize::from(datagram.first()? & 0x0f) * 4;
        if header < 20 {
            return None;
        }
        datagram.get(header..)?
    } else {
        datagram
    };
    matches!(inner.first()? >> 4, 4 | 6).then_some(inner)
}

/// Hands every tunnel packet that reaches this host to the kernel through the TUN device `device`. Calls `ready`
/// when the sockets are open; returns only on an error.
pub fn decapsulate(device: &str, ready: impl FnOnce()) -> Result<()> {
    let tun = Arc::new(open_tun(device)?);
    let mut threads = Vec::new();
    for domain in [Domain::IPV4, Domain::IPV6] {
        for protocol in [PROTOCOL_IPV4, PROTOCOL_IPV6] {
            let socket = raw_socket(domain, protocol)?;
            let tun = Arc::clone(&tun);
            threads.push(std::thread::spawn(move || unwrap_packets(socket, domain == Domain::IPV4, &tun)));
        }
    }
    ready();
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("a thread of the decapsulator panicked"),
        }
    }
    Ok(())
}

fn unwrap_packets(mut socket: Socket, outer_is_ipv4: bool, tun: &SyncDevice) -> Result<()> {
    let mut buffer = vec![0; LARGEST_PACKET];
    loop {
        let length = socket.read(&mut buffer).context("cannot read from a raw socket")?;
        if let Some(inner) = inner_packet(outer_is_ipv4, &buffer[..length]) {
            // The kernel refuses a malformed packet (EINVAL): such a packet is lost, as on any host.
            let _ = tun.send(inner);
        }
    }
}

/// Sends every packet that the kernel routes into the TUN device `device` to `remote`, encapsulated. Calls `ready`
/// when the device is up; returns only on an error.
pub fn encapsulate(device: &str, remote: IpAddr, ready: impl FnOnce()) -> Result<()> {
    let tun = open_tun(device)?;
    let domain = if remote.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let sockets = [raw_socket(domain, PROTOCOL_IPV4)?, raw_socket(domain, PROTOCOL_IPV6)?];
    let to = SockAddr::from(SocketAddr::new(remote, 0));
    ready();
    let mut buffer = vec![0; LARGEST_PACKET];
    loop {
        let length = tun.recv(&mut buffer).context("cannot read from the TUN device")?;
        let socket = match buffer[..length].first().map(|byte| byte >> 4) {
            Some(4) => &sockets[0],
            Some(6) => &sockets[1],
            _ => continue,
        };
        socket.send_to(&buffer[..length], &to).with_context(|| format!("cannot send to {remote}"))?;
    }
}

/// Starts the program `decap` in a namespace and waits until its sockets are open.
pub fn start_decap(namespace: &Namespace, log: &Path) -> Result<Process> {
    let mut process = namespace.spawn(helper("decap")?, &[], log)?;
    wait_for("decap to be ready", Duration::from_secs(10), || {
        if let Some(status) = process.try_wait()? {
            bail!("decap ended: {status}\n{}", process.log_tail(10));
        }
        Ok(process.log_tail(1).contains(READY).then_some(()))
    })?;
    Ok(process)
}

fn open_tun(device: &str) -> Result<SyncDevice> {
    DeviceBuilder::new()
        .name(device)
        .mtu(1500)
        .build_sync()
        .with_context(|| format!("cannot create the TUN device {device}"))
}

fn raw_socket(domain: Domain, protocol: i32) -> Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))
        .with_context(|| format!("cannot open a raw socket of protocol {protocol}"))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER).context("cannot size a receive buffer")?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::inner_packet;

    #[test]
    fn an_outer_ipv4_header_is_taken_off_with_its_options() {
        let mut datagram = vec![0x46; 24];
        datagram.extend([0x60, 1, 2]);
        assert_eq!(inner_packet(true, &datagram), Some(&[0x60, 1, 2][..]));
    }

    #[test]
    fn an_ipv6_socket_delivers_the_inner_packet_itself() {
        assert_eq!(inner_packet(false, &[0x45, 9]), Some(&[0x45, 9][..]));
    }

    #[test]
    fn what_is_no_tunnel_packet_is_none() {
        assert_eq!(inner_packet(true, &[]), None);
        assert_eq!(inner_packet(true, &[0x44; 30]), None, "a header of 16 bytes");
        assert_eq!(inner_packet(true, &[0x4f; 30]), None, "a header longer than the datagram");
        assert_eq!(inner_packet(true, &[0x45; 20]), None, "no inner packet");
        assert_eq!(inner_packet(false, &[0x50]), None, "no IP version");
    }
}
