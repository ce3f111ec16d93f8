//! Tunnels for hosts whose kernel has no such devices: raw sockets on one side, a TUN device on the other.
//!
//! IPv4 and IPv6 packets inside IPv4 and inside IPv6, in all forms of [`crate::unwrap`]. [`decapsulate`] is the
//! backend's side, [`encapsulate`] (IP-in-IP only) stands in for a balancer in the tests of this crate.

use crate::helpers::helper;
use crate::namespace::Namespace;
use crate::process::{Process, wait_for};
use crate::unwrap::{self, Checksum, GUE_PORT};
use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;
use tun_rs::{DeviceBuilder, SyncDevice};

/// Protocol number of an encapsulated IPv4 packet.
const PROTOCOL_IPV4: i32 = 4;
/// Protocol number of UDP.
const PROTOCOL_UDP: i32 = 17;
/// Protocol number of an encapsulated IPv6 packet.
const PROTOCOL_IPV6: i32 = 41;
/// Protocol number of GRE.
const PROTOCOL_GRE: i32 = 47;
/// Room for any packet of the lab.
const LARGEST_PACKET: usize = 65536;
/// Receive buffer of a raw socket in bytes; the kernel may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How often changed counts are printed.
const REPORT: Duration = Duration::from_millis(50);
/// What the program `decap` prints when its sockets are open.
pub const READY: &str = "decap: ready";
/// What the program `decap` prints before the counts of outer UDP checksums.
const COUNTS: &str = "decap: checksums ";

/// Outer UDP checksums that a decapsulator saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// Right ones.
    pub good: u64,
    /// Datagrams without.
    pub zero: u64,
    /// Wrong ones.
    pub bad: u64,
}

impl Checksums {
    /// What the program `decap` has printed so far: everything but what came in the last tenth of a second or so.
    pub fn of(decap: &Process) -> Result<Self> {
        let log = decap.log_tail(usize::MAX);
        let Some(line) = log.lines().rev().find_map(|line| line.strip_prefix(COUNTS)) else {
            return Ok(Self::default());
        };
        let counts: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().context(line.to_owned())?;
        match counts[..] {
            [good, zero, bad] => Ok(Self { good, zero, bad }),
            _ => bail!("no counts: {line:?}"),
        }
    }
}

/// What the threads of a decapsulator share.
struct Decapsulator {
    tun: SyncDevice,
    own_v6: Ipv6Addr,
    counts: [AtomicU64; 3],
}

/// Hands every tunnel packet that reaches this host to the kernel through the TUN device `device`. Calls `ready`
/// when the sockets are open; returns only on an error. IPv6 sockets do not tell where a packet was sent: `own_v6` is what
/// UDP checksums over IPv6 are computed with.
///
/// The kernel verifies outer IPv4 headers before any raw socket gets them; a packet with a wrong checksum is lost here.
pub fn decapsulate(device: &str, own_v6: Ipv6Addr, ready: impl FnOnce()) -> Result<()> {
    let shared = Arc::new(Decapsulator { tun: open_tun(device)?, own_v6, counts: Default::default() });
    // Nothing is read from these, but where nobody listens the kernel would answer with ICMP errors.
    let bind = |address: IpAddr| UdpSocket::bind((address, GUE_PORT)).context("cannot bind the port of GUE");
    let _listeners = [bind(Ipv4Addr::UNSPECIFIED.into())?, bind(own_v6.into())?];
    let mut threads = Vec::new();
    for domain in [Domain::IPV4, Domain::IPV6] {
        for protocol in [PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_GRE, PROTOCOL_UDP] {
            let socket = raw_socket(domain, protocol)?;
            let shared = Arc::clone(&shared);
            threads.push(std::thread::spawn(move || shared.unwrap_packets(&socket, domain == Domain::IPV4, protocol)));
        }
    }
    ready();
    std::thread::spawn(move || shared.report());
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("a thread of the decapsulator panicked"),
        }
    }
    Ok(())
}

impl Decapsulator {
    fn unwrap_packets(&self, socket: &UdpSocket, outer_is_ipv4: bool, protocol: i32) -> Result<()> {
        let mut buffer = vec![0; LARGEST_PACKET];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).context("cannot read from a raw socket")?;
            let packet = &buffer[..length];
            let (payload, to) = if outer_is_ipv4 {
                let Some(payload) = unwrap::ipv4_payload(packet) else { continue };
                let Some(to) = packet.get(16..20).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) else { continue };
                (payload, IpAddr::from(to))
            } else {
                (packet, self.own_v6.into())
            };
            let inner = match protocol {
                PROTOCOL_GRE => unwrap::gre_inner(payload),
                PROTOCOL_UDP => unwrap::gue_inner(payload).filter(|_| self.accept(from.ip(), to, payload)),
                _ => unwrap::ip_inner(payload),
            };
            if let Some(inner) = inner {
                // The kernel refuses a malformed packet (EINVAL): such a packet is lost, as on any host.
                let _ = self.tun.send(inner);
            }
        }
    }

    /// Judges and counts an outer UDP checksum.
    fn accept(&self, from: IpAddr, to: IpAddr, datagram: &[u8]) -> bool {
        let checksum = unwrap::udp_checksum(from, to, datagram);
        let [good, zero, bad] = &self.counts;
        let count = match checksum {
            Checksum::Good => good,
            Checksum::Zero => zero,
            Checksum::Bad => bad,
        };
        count.fetch_add(1, Relaxed);
        checksum != Checksum::Bad
    }

    fn report(&self) {
        let mut last = [0; 3];
        loop {
            let counts = self.counts.each_ref().map(|count| count.load(Relaxed));
            if counts != last {
                println!("{COUNTS}{} {} {}", counts[0], counts[1], counts[2]);
                last = counts;
            }
            sleep(REPORT);
        }
    }
}

/// Sends every packet that the kernel routes into the TUN device `device` to `remote`, in IP-in-IP. Calls `ready`
/// when the device is up; returns only on an error.
pub fn encapsulate(device: &str, remote: IpAddr, ready: impl FnOnce()) -> Result<()> {
    let tun = open_tun(device)?;
    let domain = if remote.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let sockets = [raw_socket(domain, PROTOCOL_IPV4)?, raw_socket(domain, PROTOCOL_IPV6)?];
    let to = SocketAddr::new(remote, 0);
    ready();
    let mut buffer = vec![0; LARGEST_PACKET];
    loop {
        let length = tun.recv(&mut buffer).context("cannot read from the TUN device")?;
        let socket = match buffer[..length].first().map(|byte| byte >> 4) {
            Some(4) => &sockets[0],
            Some(6) => &sockets[1],
            _ => continue,
        };
        socket.send_to(&buffer[..length], to).with_context(|| format!("cannot send to {remote}"))?;
    }
}

/// Starts the program `decap` in a namespace and waits until its sockets are open.
pub fn start_decap(namespace: &Namespace, own_v6: Ipv6Addr, log: &Path) -> Result<Process> {
    let mut process = namespace.spawn(helper("decap")?, &["--own-v6", &own_v6.to_string()], log)?;
    wait_for("decap to be ready", Duration::from_secs(10), || {
        if let Some(status) = process.try_wait()? {
            bail!("decap ended: {status}\n{}", process.log_tail(10));
        }
        Ok(process.log_tail(usize::MAX).contains(READY).then_some(()))
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

/// A raw socket. As [`UdpSocket`], which reads and writes datagrams of any kind, with addresses whose port is 0.
fn raw_socket(domain: Domain, protocol: i32) -> Result<UdpSocket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))
        .with_context(|| format!("cannot open a raw socket of protocol {protocol}"))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER).context("cannot size a receive buffer")?;
    Ok(socket.into())
}
