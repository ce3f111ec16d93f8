//! The other ends: clients and backends that know six segments, and the queues between them and the worker.

use crate::memory::{Buffer, FreeList};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::port::{BURST, Burst, Packet, PacketPool, Port, RxQueue, TxQueue};
use guideway_dataplane::session::{Endpoint, Tuple};
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::ipv4::Ipv4Header;
use guideway_dataplane::wire::protocol;
use guideway_dataplane::wire::tcp::{ACK, FIN, PSH, SYN};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zerocopy::FromBytes;

/// Segments of a connection.
pub const SEGMENTS: usize = 6;
/// The port's hardware address.
pub(super) const OWN: Mac = [2, 0, 0, 0, 0, 1];
const ROUTER: Mac = [2, 0, 0, 0, 0, 0xfe];
const VIP: [u8; 4] = [203, 0, 113, 10];

/// Where fields lie in a frame of IPv4 without options.
const IP: usize = 14;
const ADDRESSES: usize = 26;
const PORTS: usize = 34;
const NUMBERS: usize = 38;
const FLAGS: usize = 47;

/// Who sends a segment (`true`: the client), its flags, and its sequence and acknowledgement numbers.
const SCRIPT: [(bool, u8, u32, u32); SEGMENTS] = [
    (true, SYN, 100, 0),
    (false, SYN | ACK, 900, 101),
    (true, ACK, 101, 901),
    (true, FIN | ACK, 101, 901),
    (false, FIN | ACK, 901, 102),
    (true, ACK, 102, 902),
];

/// A queue of frames in memory, both ends of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<Mutex<Vec<Buffer>>>);

impl Line {
    fn frames(&self) -> MutexGuard<'_, Vec<Buffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves backends' packets to other lines, where `to` names one.
    pub(super) fn deal<'l>(&self, to: impl Fn(&Tuple) -> Option<&'l Self>) {
        let mut kept = Vec::new();
        for packet in std::mem::take(&mut *self.frames()) {
            match answered(packet.frame()).and_then(|tuple| to(&tuple)) {
                Some(line) => line.frames().push(packet),
                None => kept.push(packet),
            }
        }
        *self.frames() = kept;
    }
}

impl RxQueue for Line {
    type Packet = Buffer;

    fn receive(&mut self, burst: &mut Burst<Buffer>) -> usize {
        let mut frames = self.frames();
        let count = frames.len().min(burst.remaining_capacity());
        burst.extend(frames.drain(..count));
        count
    }
}

impl TxQueue for Line {
    type Packet = Buffer;

    fn transmit(&mut self, burst: &mut Burst<Buffer>) -> usize {
        let count = burst.len();
        self.frames().extend(burst.drain(..));
        count
    }
}

/// Ties the types together.
#[derive(Debug)]
pub(super) struct LinePort;

impl Port for LinePort {
    type Packet = Buffer;
    type Rx = Line;
    type Tx = Line;
    type Pool = FreeList;
}

/// Addresses and ports as they stand in a frame.
type Ends = [u8; 12];

fn ends(frame: &[u8]) -> Option<Ends> {
    frame.get(ADDRESSES..)?.first_chunk().copied()
}

fn reversed(ends: Ends) -> Ends {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = ends;
    [e, f, g, h, a, b, c, d, k, l, i, j]
}

/// The addresses and ports of a backend's packet; `None`: it is a client's.
fn answered(frame: &[u8]) -> Option<Tuple> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = ends(frame).filter(|ends| ends[4..8] != VIP)?;
    let end =
        |address: [u8; 4], port| Endpoint { address: address_bits(address.into()), port: u16::from_be_bytes(port) };
    Some(Tuple { source: end([a, b, c, d], [i, j]), destination: end([e, f, g, h], [k, l]), protocol: protocol::TCP })
}

/// Makes a segment of the template.
fn write(frame: &mut [u8], ends: Ends, flags: u8, (sequence, acknowledged): (u32, u32)) {
    frame[ADDRESSES..PORTS + 4].copy_from_slice(&ends);
    frame[NUMBERS..NUMBERS + 4].copy_from_slice(&sequence.to_be_bytes());
    frame[NUMBERS + 4..NUMBERS + 8].copy_from_slice(&acknowledged.to_be_bytes());
    frame[FLAGS] = flags;
    if let Some(Ok((header, _))) = frame.get_mut(IP..).map(Ipv4Header::mut_from_prefix) {
        header.fill_checksum();
    }
}

/// Both sides of the connections of a wave.
pub(super) struct Peers {
    template: Vec<u8>,
    pool: FreeList,
    /// By connection: what its backend saw as addresses and ports of the SYN.
    inside: Vec<Ends>,
    /// The number of the wave's first connection.
    first: u32,
    lost: u64,
}

impl Peers {
    /// Of so many connections, a multiple of [`BURST`].
    pub(super) fn new(wave: u32) -> Self {
        let end = |text: &str| -> SocketAddr { text.parse().unwrap_or(([0, 0, 0, 0], 0).into()) };
        let syn = Craft::tcp(end("10.0.0.0:0"), end("203.0.113.10:80"), SYN).macs(OWN, ROUTER);
        Self {
            template: syn.padded_to(60).frame(),
            pool: FreeList::default(),
            inside: vec![[0; 12]; wave as usize],
            first: 0,
            lost: 0,
        }
    }

    /// Where its buffers come from: for a worker that makes packets of its own, so that both use the same.
    pub(super) fn pool(&self) -> FreeList {
        self.pool.clone()
    }

    /// Connections of a wave.
    pub(super) fn len(&self) -> u32 {
        self.inside.len() as u32
    }

    /// Segments that did not leave, so far.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// From now on the connections are others.
    pub(super) fn next_wave(&mut self) {
        self.first = self.first.wrapping_add(self.len());
    }

    /// What the client of a connection has in its packets: an address of 11.0.0.0/8 or above, which says who it is.
    fn outside(&self, place: usize) -> Ends {
        let number = self.first.wrapping_add(place as u32);
        let [a, b, c, d] = (0x0b00_0000 + (number >> 14)).to_be_bytes();
        let [high, low] = (1 << 14 | (number & 0x3fff) as u16).to_be_bytes();
        let [e, f, g, h] = VIP;
        [a, b, c, d, e, f, g, h, high, low, 0, 80]
    }

    /// Puts the segments of a burst of connections into the worker's queue.
    pub(super) fn send(&self, segment: usize, burst: usize, line: &Line) {
        let (is_clients, flags, sequence, acknowledged) = SCRIPT[segment];
        let mut frames = line.frames();
        for place in burst * BURST..(burst + 1) * BURST {
            let Some(mut packet) = self.pool.alloc(&self.template) else { continue };
            let ends = if is_clients { self.outside(place) } else { reversed(self.inside[place]) };
            write(packet.frame_mut(), ends, flags, (sequence, acknowledged));
            frames.push(packet);
        }
    }

    /// Puts a packet of data of each connection of a burst into the worker's queue.
    pub(super) fn send_data(&self, burst: usize, line: &Line) {
        let of_handshake = line.frames().len();
        self.send(2, burst, line);
        for packet in line.frames().iter_mut().skip(of_handshake) {
            packet.frame_mut()[FLAGS] = ACK | PSH;
        }
    }

    /// Puts a burst of SYNs from anywhere into the worker's queue. `number` is that of the first one, of all that ever were.
    pub(super) fn send_flood(&self, number: u64, line: &Line) {
        let mut frames = line.frames();
        for number in number..number + BURST as u64 {
            let Some(mut packet) = self.pool.alloc(&self.template) else { continue };
            // Addresses from 64.0.0.0 to 127.255.255.255, ports and numbers: all are others, in no order.
            let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let [a, b, c, d] = (0x4000_0000 | (random >> 34) as u32).to_be_bytes();
            let [high, low] = (random as u16 | 1 << 14).to_be_bytes();
            let [e, f, g, h] = VIP;
            let ends = [a, b, c, d, e, f, g, h, high, low, 0, 80];
            write(packet.frame_mut(), ends, SYN, (random as u32, 0));
            frames.push(packet);
        }
    }

    /// Takes what the worker sent: how many packets have these flags.
    pub(super) fn count(&self, flags: u8, line: &Line) -> u64 {
        let mut frames = line.frames();
        let count = frames.iter().filter(|frame| frame.frame().get(FLAGS) == Some(&flags)).count() as u64;
        while !frames.is_empty() {
            let count = frames.len().min(BURST);
            self.pool.give_back(&mut frames.drain(..count).collect());
        }
        count
    }

    /// A client that is none of a wave's goes through a handshake that the SYN proxy guards; `pass` lets the worker run. Whether
    /// its backend and itself were told of each other.
    pub(super) fn visit(&self, number: u32, lines: (&Line, &Line), mut pass: impl FnMut()) -> bool {
        let [a, b, c, d] = (0x0a80_0000 + (number >> 14)).to_be_bytes();
        let [high, low] = (1 << 14 | (number & 0x3fff) as u16).to_be_bytes();
        let [e, f, g, h] = VIP;
        let client = [a, b, c, d, e, f, g, h, high, low, 0, 80];
        let mut exchange = |ends: Ends, flags: u8, numbers: (u32, u32)| {
            if let Some(mut packet) = self.pool.alloc(&self.template) {
                write(packet.frame_mut(), ends, flags, numbers);
                lines.0.frames().push(packet);
            }
            pass();
            let answers: Vec<_> = lines.1.frames().iter().map(|packet| packet.frame().to_vec()).collect();
            self.count(0, lines.1);
            answers
        };
        // Others of the pool are under way too: SYNs that are tried with another backend.
        let is = |frame: &&Vec<u8>, flags: u8| frame.get(FLAGS) == Some(&flags);
        let number = |frame: &Vec<u8>| frame.get(NUMBERS..)?.first_chunk().copied().map(u32::from_be_bytes);
        let answers = exchange(client, SYN, (100, 0));
        let Some(cookie) = answers.iter().find(|frame| is(frame, SYN | ACK)).and_then(number) else { return false };
        let syns = exchange(client, ACK, (101, cookie.wrapping_add(1)));
        let syn = syns.iter().find(|frame| is(frame, SYN) && number(frame) == Some(100));
        let Some(inside) = syn.and_then(|syn| ends(syn)) else { return false };
        // The backend gets the acknowledgement, the client its window.
        let joined = exchange(reversed(inside), SYN | ACK, (900, 101));
        joined.iter().filter(|frame| is(frame, ACK)).count() == 2
    }

    /// Takes what the worker sent, in the order of the connections, and gives the buffers back.
    pub(super) fn receive(&mut self, segment: usize, burst: usize, line: &Line) {
        let mut frames = line.frames();
        if frames.len() != BURST {
            // Whose is missing is not known; none of the burst counts as through.
            self.lost += (BURST - frames.len().min(BURST)) as u64;
        }
        if segment == 0 {
            for (inside, frame) in self.inside[burst * BURST..].iter_mut().zip(frames.iter()) {
                *inside = ends(frame.frame()).unwrap_or_default();
            }
        }
        while !frames.is_empty() {
            let count = frames.len().min(BURST);
            self.pool.give_back(&mut frames.drain(..count).collect());
        }
    }
}
