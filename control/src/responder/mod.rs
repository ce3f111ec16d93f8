//! What the control side answers itself, at once: ARP and NDP for own addresses and VIPs, echo, a reset or an
//! unreachable for what nobody serves at an own address.
//!
//! Pure code, as [`crate::neighbor`]: frames and time are handed in. Only an address that is ours is ever answered
//! for. An answer goes onto the link on which the question came in, to the Ethernet address that sent it.

mod addresses;
mod announce;
mod echo;
pub(crate) mod ip;
mod prefixes;
mod reports;
mod reset;
mod unreachable;
mod verdict;

use crate::neighbor::Link;
use crate::neighbor::bucket::Bucket;
use crate::neighbor::wire::{self, Arp, MAX_MESSAGE, MIN_FRAME, Message, Operation, Solicit, Unread};
use addresses::{Addresses, Kind};
use announce::Announcer;
use guideway_config::model::Announce;
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::port::Packet;
use guideway_dataplane::time::Nanos;
use ip::Ip;
use ipnet::IpNet;
use std::net::IpAddr;

pub use verdict::{Conflict, Counters, Reason, Verdict};

/// Resets, and separately port unreachables, sent a second at most.
const REFUSALS_PER_SECOND: u64 = 1_000;
/// Resets, and separately port unreachables, that may go out at one moment.
const REFUSAL_BURST: u64 = 100;
/// Conflicts kept until [`Responder::conflicts`] takes them; more are only counted.
const CONFLICTS_HELD: usize = 1_024;
/// The longest answer that is built anew: an Ethernet header and the smallest IPv6 MTU (RFC 4443 section 2.4 c).
const MAX_ANSWER: usize = 14 + 1_280;

/// Answers for own addresses and VIPs. A look-up is one hash, and one for each length that
/// a VIP's prefix has, however many VIPs there are.
#[derive(Debug)]
pub struct Responder {
    addresses: Addresses,
    /// Whether VIPs do not answer echo requests.
    withdrawn: bool,
    announcer: Announcer,
    conflicts: Vec<Conflict>,
    resets: Bucket,
    unreachables: Bucket,
    scratch: Box<[u8; MAX_ANSWER]>,
    counters: Counters,
}

impl Default for Responder {
    fn default() -> Self {
        Self::new()
    }
}

impl Responder {
    /// A responder that answers for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            addresses: Addresses::default(),
            withdrawn: false,
            announcer: Announcer::new(),
            conflicts: Vec::new(),
            resets: Bucket::new(REFUSALS_PER_SECOND, REFUSAL_BURST),
            unreachables: Bucket::new(REFUSALS_PER_SECOND, REFUSAL_BURST),
            scratch: Box::new([0; MAX_ANSWER]),
            counters: Counters::default(),
        }
    }

    /// Sets the links with their own addresses, and the VIPs: single addresses, with full length, and prefixes. An
    /// address may lie in several of them; the most talkative [`Announce`] counts. [`Announce::Auto`] answers for an
    /// address that also lies in a subnet of the link.
    ///
    /// What is new on a link is announced as by [`Responder::announce_all`]. Prefixes are not: they may hold millions of
    /// addresses, each of which is answered for when somebody asks.
    pub fn configure(&mut self, now: Nanos, links: &[Link], vips: &[(IpNet, Announce)]) {
        let new = self.addresses.configure(links, vips);
        let addresses = &self.addresses;
        self.announcer.retain(|link, address| addresses.answers(link, address));
        self.announcer.schedule(now, new);
    }

    /// Whether echo requests to VIPs stay without an answer, as who drains wants it. ARP and NDP follow
    /// [`Responder::configure`].
    pub fn withdraw(&mut self, withdrawn: bool) {
        self.withdrawn = withdrawn;
    }

    /// Handles a packet that arrived on `link`, without tags, and that no other service of the control side took.
    ///
    /// After [`Verdict::Reply`] it holds the answer. Otherwise its bytes are as they were.
    pub fn handle<P: Packet>(&mut self, now: Nanos, link: LinkId, packet: &mut P) -> Verdict {
        let answered = match wire::parse(packet.frame()) {
            Ok(message) => self.handle_message(now, link, &message, packet),
            Err(Unread::Malformed) => Err(Reason::Malformed),
            Err(Unread::Other) => self.handle_ip(now, packet),
        };
        match answered {
            Ok(()) => Verdict::Reply,
            Err(reason) => {
                self.counters.ignored(reason);
                Verdict::Ignored(reason)
            }
        }
    }

    fn handle_message<P: Packet>(
        &mut self,
        now: Nanos,
        link: LinkId,
        message: &Message,
        packet: &mut P,
    ) -> Result<(), Reason> {
        self.check_sender(now, link, message)?;
        let mac = self.addresses.mac(link).ok_or(Reason::NotOurs)?;
        let mut buffer = [0; MAX_MESSAGE];
        match message {
            Message::Arp(arp) if arp.operation == Operation::Request => {
                self.addresses.require(link, IpAddr::V4(arp.target))?;
                replace(packet, arp_reply(&mut buffer, mac, arp))?;
                self.counters.arp += 1;
                Ok(())
            }
            Message::Solicit(solicit) => {
                self.addresses.require(link, IpAddr::V6(solicit.target))?;
                replace(packet, advertisement(&mut buffer, mac, solicit))?;
                self.counters.ndp += 1;
                Ok(())
            }
            Message::Arp(_) | Message::Advert(_) => Err(Reason::Other),
        }
    }

    /// Fails if the message is one of ours that came back, or claims an address of ours; reports the latter.
    fn check_sender(&mut self, now: Nanos, link: LinkId, message: &Message) -> Result<(), Reason> {
        let (address, mac) = match *message {
            Message::Arp(arp) => (IpAddr::V4(arp.sender), arp.sender_mac),
            Message::Solicit(ns) => (IpAddr::V6(ns.source), ns.option.unwrap_or(ns.mac)),
            Message::Advert(na) => (IpAddr::V6(na.target), na.option.unwrap_or(na.mac)),
        };
        if self.addresses.is_own_mac(mac) {
            return Err(Reason::Other);
        }
        if !self.addresses.answers(link, address) {
            return Ok(());
        }
        if self.addresses.may_report(now, link, address) {
            self.counters.conflicts += 1;
            if self.conflicts.len() < CONFLICTS_HELD {
                self.conflicts.push(Conflict { link, address, mac });
            }
        }
        Err(Reason::Conflict)
    }

    fn handle_ip<P: Packet>(&mut self, now: Nanos, packet: &mut P) -> Result<(), Reason> {
        if packet.total_len() != packet.frame().len() {
            return Err(Reason::Refused);
        }
        let (ip, kind) = self.addressed_to_us(packet.frame())?;
        match ip.protocol {
            ip::ICMP | ip::ICMPV6 if kind == Kind::Vip && self.withdrawn => Err(Reason::NotOurs),
            ip::ICMP | ip::ICMPV6 => {
                echo::answer(packet.frame_mut(), &ip)?;
                self.counters.echo += 1;
                Ok(())
            }
            ip::TCP if kind == Kind::Own => self.answer_tcp(now, &ip, packet),
            ip::UDP if kind == Kind::Own => self.answer_udp(now, &ip, packet),
            _ => Err(Reason::Other),
        }
    }

    fn addressed_to_us(&self, frame: &[u8]) -> Result<(Ip, Kind), Reason> {
        let ip = ip::parse(frame)?;
        let kind = self.addresses.kind(ip.destination).ok_or(Reason::NotOurs)?;
        if self.addresses.kind(ip.source).is_some() || self.addresses.is_broadcast(ip.source) {
            return Err(Reason::Refused);
        }
        Ok((ip, kind))
    }

    /// Rewrites an echo request to an own address or a VIP into its reply, in place. Returns `false`, and changes
    /// nothing, if the frame is anything else or must not be answered.
    pub fn answer_echo(&mut self, frame: &mut [u8]) -> bool {
        let answered = self.addressed_to_us(frame).and_then(|(ip, _)| echo::answer(frame, &ip));
        match answered {
            Ok(()) => self.counters.echo += 1,
            Err(reason) => self.counters.ignored(reason),
        }
        answered.is_ok()
    }

    fn answer_tcp<P: Packet>(&mut self, now: Nanos, ip: &Ip, packet: &mut P) -> Result<(), Reason> {
        let reset = reset::plan(packet.frame(), ip)?;
        limit(&mut self.resets, now)?;
        let len = reset.write(&mut self.scratch, ip);
        replace(packet, &self.scratch[..len])?;
        self.counters.resets += 1;
        Ok(())
    }

    fn answer_udp<P: Packet>(&mut self, now: Nanos, ip: &Ip, packet: &mut P) -> Result<(), Reason> {
        unreachable::check(packet.frame(), ip)?;
        limit(&mut self.unreachables, now)?;
        let len = unreachable::write(&mut self.scratch, packet.frame(), ip);
        replace(packet, &self.scratch[..len])?;
        self.counters.unreachables += 1;
        Ok(())
    }

    /// Schedules the announcement of every own address and answered single VIP: now, and again after one and two seconds.
    /// They are spread, and sent by [`Responder::poll`].
    pub fn announce_all(&mut self, now: Nanos) {
        self.announcer.retain(|_, _| false);
        self.announcer.schedule(now, self.addresses.answered());
    }

    /// The same for the links that `on` names, whose port has returned.
    pub fn announce(&mut self, now: Nanos, on: impl Fn(LinkId) -> bool) {
        self.announcer.retain(|link, _| !on(link));
        self.announcer.schedule(now, self.addresses.answered().filter(|key| on(key.0)));
    }

    /// Sends the announcements that are due, at most a small burst a call.
    pub fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(LinkId, &[u8])) {
        self.counters.announcements += self.announcer.poll(now, &self.addresses, emit);
    }

    /// When [`Responder::poll`] has something to do next.
    #[must_use]
    pub fn next_due(&self, now: Nanos) -> Option<Nanos> {
        self.announcer.next_due(now)
    }

    /// Whether `address` is a VIP's, alone or in a prefix.
    #[must_use]
    pub fn is_vip(&self, address: IpAddr) -> bool {
        self.addresses.kind(address) == Some(Kind::Vip)
    }

    /// Whether TCP from `source` to `destination` is part of a probe: probes go from own addresses to VIPs.
    #[must_use]
    pub fn is_of_probe(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.is_vip(source) && self.addresses.kind(destination) == Some(Kind::Own)
    }

    /// Takes out the conflicts seen since the last call: for each address at most one in ten seconds, and for
    /// those in prefixes together at most 64 in ten seconds.
    pub fn conflicts(&mut self) -> impl Iterator<Item = Conflict> + '_ {
        self.conflicts.drain(..)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

fn limit(bucket: &mut Bucket, now: Nanos) -> Result<(), Reason> {
    if bucket.take(now) { Ok(()) } else { Err(Reason::Limited) }
}

/// Makes the packet hold `answer`, padded with zeros to the shortest frame.
fn replace<P: Packet>(packet: &mut P, answer: &[u8]) -> Result<(), Reason> {
    if !packet.resize(answer.len().max(MIN_FRAME)) {
        return Err(Reason::NoRoom);
    }
    let (head, padding) = packet.frame_mut().split_at_mut_checked(answer.len()).ok_or(Reason::NoRoom)?;
    head.copy_from_slice(answer);
    padding.fill(0);
    Ok(())
}

fn arp_reply<'a>(buffer: &'a mut [u8; MAX_MESSAGE], mac: [u8; 6], request: &Arp) -> &'a [u8] {
    let reply = Arp {
        operation: Operation::Reply,
        sender_mac: mac,
        sender: request.target,
        target_mac: request.sender_mac,
        target: request.sender,
    };
    wire::write_arp(buffer, request.sender_mac, &reply)
}

/// RFC 4861 section 7.2.4: to whoever asked; to all nodes if it has no address yet.
fn advertisement<'a>(buffer: &'a mut [u8; MAX_MESSAGE], mac: [u8; 6], request: &Solicit) -> &'a [u8] {
    let (destination, solicited) = if request.source.is_unspecified() {
        ((wire::group_mac(wire::ALL_NODES), wire::ALL_NODES), false)
    } else {
        ((request.option.unwrap_or(request.mac), request.source), true)
    };
    wire::write_advert(buffer, mac, request.target, destination, solicited)
}
