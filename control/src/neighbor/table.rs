//! The table of wanted neighbours.

use super::bucket::Bucket;
use super::entry::{Claim, Entry, Heard, State};
use super::random::Random;
use super::request::request;
use super::wire::{self, Message, Operation, Unread};
use super::{Change, Link, Received, Static, Status};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::time::Nanos;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

/// Requests a second over all links, so that 10,000 next hops are asked within 2.5 s and not at once.
const REQUESTS_PER_SECOND: u64 = 4_000;
/// Requests that one call of [`Neighbors::poll`] may send.
const REQUEST_BURST: u64 = 32;

type Key = (LinkId, IpAddr);

/// A neighbour and the configuration that last named it.
#[derive(Debug)]
struct Slot {
    entry: Entry,
    generation: u64,
}

/// What happened so far. Every number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent: ARP requests and neighbour solicitations.
    pub requests: u64,
    /// Requests that could not be sent because the link has no own address of the family.
    pub no_source: u64,
    /// Messages that proved a neighbour to be there with the MAC known.
    pub confirmed: u64,
    /// Messages that changed a neighbour's MAC.
    pub changed: u64,
    /// Changes not followed because there were too many.
    pub flapping: u64,
    /// Neighbours that stopped answering.
    pub lost: u64,
    /// Frames that break a validity rule.
    pub malformed: u64,
}

/// The neighbour table of all links. Its size is the number of wanted and static neighbours, whatever arrives.
#[derive(Debug)]
pub struct Neighbors {
    links: HashMap<LinkId, Link>,
    own_macs: HashSet<[u8; 6]>,
    entries: HashMap<Key, Slot>,
    generation: u64,
    timers: BTreeSet<(Nanos, Key)>,
    changed: Vec<Key>,
    changed_set: HashSet<Key>,
    bucket: Bucket,
    random: Random,
    counters: Counters,
}

impl Default for Neighbors {
    fn default() -> Self {
        Self::new()
    }
}

impl Neighbors {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            links: HashMap::new(),
            own_macs: HashSet::new(),
            entries: HashMap::new(),
            generation: 0,
            timers: BTreeSet::new(),
            changed: Vec::new(),
            changed_set: HashSet::new(),
            bucket: Bucket::new(REQUESTS_PER_SECOND, REQUEST_BURST),
            random: Random::new(0),
            counters: Counters::default(),
        }
    }

    /// Sets the links, the next hops that must be resolved, and those that need no protocol (they go first).
    ///
    /// What is known about a neighbour that stays wanted is kept; a static one that is now merely wanted stays in use
    /// while it is verified. Own addresses and addresses that cannot be a host's are left out of `wanted`.
    pub fn configure(&mut self, now: Nanos, links: &[Link], wanted: &[(LinkId, IpAddr)], statics: &[Static]) {
        self.links = links.iter().map(|link| (link.id, link.clone())).collect();
        self.own_macs = links.iter().map(|link| link.mac).collect();
        for link in links {
            let [a, b, c, d, e, f] = link.mac;
            self.random.mix(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        }
        self.generation += 1;
        self.entries.reserve(wanted.len().saturating_sub(self.entries.len()));
        for entry in statics {
            self.want(now, (entry.link, entry.address), Some(entry.mac));
        }
        for key in wanted {
            if self.can_want(*key) {
                self.want(now, *key, None);
            }
        }
        self.forget_unwanted();
    }

    /// Watches these neighbors closely and no others: one that is gone is unresolved within 3 s instead of 40 s. For next
    /// hops that others can stand in for.
    pub fn watch(&mut self, now: Nanos, closely: &HashSet<(LinkId, IpAddr)>) {
        for (key, Slot { entry, .. }) in &mut self.entries {
            let before = entry.due;
            entry.watch(now, closely.contains(key));
            if let (Some(before), Some(due)) = (before, entry.due)
                && before != due
            {
                self.timers.remove(&(before, *key));
                self.timers.insert((due, *key));
            }
        }
    }

    fn can_want(&self, (link, address): Key) -> bool {
        let host = match address {
            IpAddr::V4(v4) => !v4.is_broadcast(),
            IpAddr::V6(_) => true,
        };
        let own = self.links.get(&link).is_some_and(|link| link.owns(address));
        host && !own && !address.is_multicast() && !address.is_unspecified()
    }

    /// Makes sure that `key` is in the table and of the current configuration, which may name it several times: then
    /// the first time counts.
    fn want(&mut self, now: Nanos, key: Key, fixed: Option<[u8; 6]>) {
        let slot = match self.entries.entry(key) {
            Vacant(vacant) => {
                let entry = fixed.map_or_else(|| Entry::unresolved(now), |mac| Entry::fixed(now, mac));
                self.timers.extend(entry.due.map(|due| (due, key)));
                if entry.mac.is_some() {
                    note(&mut self.changed, &mut self.changed_set, key);
                }
                vacant.insert(Slot { entry, generation: self.generation });
                return;
            }
            Occupied(occupied) => occupied.into_mut(),
        };
        if slot.generation == self.generation {
            return;
        }
        slot.generation = self.generation;
        let known = slot.entry;
        match fixed {
            Some(mac) => slot.entry = Entry::fixed(now, mac),
            None if known.state == State::Static => slot.entry.loosen(now),
            None => return,
        }
        if let Some(due) = known.due {
            self.timers.remove(&(due, key));
        }
        self.timers.extend(slot.entry.due.map(|due| (due, key)));
        if known.mac != slot.entry.mac {
            note(&mut self.changed, &mut self.changed_set, key);
        }
    }

    fn forget_unwanted(&mut self) {
        let Self { entries, timers, changed, changed_set, generation, .. } = self;
        entries.retain(|key, Slot { entry, generation: wanted }| {
            let stays = *wanted == *generation;
            if !stays {
                if let Some(due) = entry.due {
                    timers.remove(&(due, *key));
                }
                if entry.mac.is_some() {
                    note(changed, changed_set, *key);
                }
            }
            stays
        });
    }

    /// Sends the requests that are due, at most a small burst a call. `emit` gets each frame with its link.
    pub fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(LinkId, &[u8])) {
        while let Some(&(due, key)) = self.timers.first() {
            if due > now || !self.bucket.take(now) {
                break;
            }
            self.timers.pop_first();
            let Some(Slot { entry, .. }) = self.entries.get_mut(&key) else { continue };
            let (ask, lost) = entry.ask(now, &mut self.random);
            if let Some(next) = entry.due {
                self.timers.insert((next, key));
            }
            if lost {
                self.counters.lost += 1;
                note(&mut self.changed, &mut self.changed_set, key);
            }
            if request(self.links.get(&key.0), key.1, ask, emit) {
                self.counters.requests += 1;
            } else {
                self.counters.no_source += 1;
            }
        }
    }

    /// When [`Neighbors::poll`] has something to do next; `None` while every neighbour is static.
    #[must_use]
    pub fn next_due(&self, now: Nanos) -> Option<Nanos> {
        self.timers.first().map(|&(due, _)| due.max(self.bucket.next(now)))
    }

    /// Takes in an Ethernet frame, without tags, that arrived on `link`. Never answers: that is the responder's part.
    pub fn receive(&mut self, now: Nanos, link: LinkId, frame: &[u8]) -> Received {
        let heard = match wire::parse(frame) {
            Ok(message) => self.hear(now, link, &message),
            Err(Unread::Other) => return Received::Other,
            Err(Unread::Malformed) => {
                self.counters.malformed += 1;
                return Received::Malformed;
            }
        };
        match heard {
            Heard::Changed => {
                self.counters.changed += 1;
                Received::Changed
            }
            Heard::Confirmed => {
                self.counters.confirmed += 1;
                Received::Confirmed
            }
            Heard::Flapping => {
                self.counters.flapping += 1;
                Received::Flapping
            }
            Heard::Nothing => Received::Nothing,
        }
    }

    fn hear(&mut self, now: Nanos, id: LinkId, message: &Message) -> Heard {
        let Some(link) = self.links.get(&id) else { return Heard::Nothing };
        let (address, claim) = claim(link, message);
        // Our own frames come back where a switch loops or two of our links are one segment.
        if claim.mac.is_some_and(|mac| self.own_macs.contains(&mac)) {
            return Heard::Nothing;
        }
        let key = (id, address);
        let Some(Slot { entry, .. }) = self.entries.get_mut(&key) else { return Heard::Nothing };
        let before = entry.due;
        let heard = entry.hear(now, claim, &mut self.random);
        if entry.due != before {
            self.timers.extend(entry.due.map(|due| (due, key)));
            if let Some(due) = before {
                self.timers.remove(&(due, key));
            }
        }
        if heard == Heard::Changed {
            note(&mut self.changed, &mut self.changed_set, key);
        }
        heard
    }

    /// The MAC of a neighbour, if known. An entry that is being verified still counts.
    #[must_use]
    pub fn lookup(&self, link: LinkId, address: IpAddr) -> Option<[u8; 6]> {
        self.entries.get(&(link, address)).and_then(|slot| slot.entry.mac)
    }

    /// Forgets what was learnt on the links that `on` names, and asks anew at once. For a port that went down, and for
    /// its return.
    pub fn flush(&mut self, now: Nanos, on: impl Fn(LinkId) -> bool) {
        let Self { entries, timers, changed, changed_set, .. } = self;
        let learnt = entries.iter_mut().filter(|(key, slot)| on(key.0) && slot.entry.state != State::Static);
        for (key, Slot { entry, .. }) in learnt {
            if let Some(due) = entry.due {
                timers.remove(&(due, *key));
            }
            if entry.mac.is_some() {
                note(changed, changed_set, *key);
            }
            entry.forget(now);
            timers.extend(entry.due.map(|due| (due, *key)));
        }
    }

    /// Takes out every neighbour whose MAC changed since the last call, each once with its MAC now.
    pub fn changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changed_set.clear();
        let entries = &self.entries;
        self.changed.drain(..).map(|key| Change {
            link: key.0,
            address: key.1,
            mac: entries.get(&key).and_then(|slot| slot.entry.mac),
        })
    }

    /// Every neighbour, in no particular order.
    pub fn status(&self, now: Nanos) -> impl Iterator<Item = Status> + '_ {
        self.entries.iter().map(move |(&(link, address), Slot { entry, .. })| Status {
            link,
            address,
            mac: entry.mac,
            state: entry.state,
            age: now.since(entry.since),
        })
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

fn note(changed: &mut Vec<Key>, set: &mut HashSet<Key>, key: Key) {
    if set.insert(key) {
        changed.push(key);
    }
}

/// Whom a message is about, and what it says.
fn claim(link: &Link, message: &Message) -> (IpAddr, Claim) {
    match *message {
        Message::Arp(arp) => {
            let to_us = arp.target_mac == link.mac && link.owns(IpAddr::V4(arp.target));
            let solicited = arp.operation == Operation::Reply && to_us;
            (IpAddr::V4(arp.sender), Claim { mac: Some(arp.sender_mac), solicited, overrides: true })
        }
        // RFC 4861 section 7.2.3: the source option updates an entry, and proves nothing about the way back.
        Message::Solicit(ns) => (IpAddr::V6(ns.source), Claim { mac: ns.option, solicited: false, overrides: true }),
        Message::Advert(na) => {
            let solicited = na.solicited && link.owns(IpAddr::V6(na.destination));
            (IpAddr::V6(na.target), Claim { mac: na.option, solicited, overrides: na.overrides })
        }
    }
}
