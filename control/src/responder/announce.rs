//! Announcements: gratuitous ARP and unsolicited neighbour advertisements, repeated and spread. Of single addresses
//! only: a prefix may hold millions, so its addresses are answered for when somebody asks.
//!
//! Gratuitous ARP is sent in the request form only: RFC 5227 section 3 explains why it reaches at least as many
//! implementations as the reply form, and RFC 5944 section 4.6 allows either.

use super::addresses::{Addresses, Key};
use crate::neighbor::bucket::Bucket;
use crate::neighbor::wire::{self, Arp, MAX_MESSAGE, Operation};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::time::Nanos;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How often an address is announced. RFC 4861 section 10: MAX_NEIGHBOR_ADVERTISEMENT; RFC 5227 asks for two.
const REPEATS: u8 = 3;
/// Pause between two announcements of one address.
const PAUSE: Duration = Duration::from_secs(1);
/// Announcements a second over all links: 1,000 VIPs take half a second.
const PER_SECOND: u64 = 2_000;
/// Announcements that one call of [`Announcer::poll`] may send.
const BURST: u64 = 32;

/// The announcements still to be made.
#[derive(Debug)]
pub(super) struct Announcer {
    /// When, what, and how many remain with this one.
    pending: BTreeSet<(Nanos, Key, u8)>,
    bucket: Bucket,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self { pending: BTreeSet::new(), bucket: Bucket::new(PER_SECOND, BURST) }
    }

    /// Announces each key from now on, in addition to what is pending.
    pub(super) fn schedule(&mut self, now: Nanos, keys: impl IntoIterator<Item = Key>) {
        self.pending.extend(keys.into_iter().map(|key| (now, key, REPEATS)));
    }

    /// Drops what is pending unless `keep` says otherwise.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(LinkId, IpAddr) -> bool) {
        self.pending.retain(|(_, (link, address), _)| keep(*link, *address));
    }

    /// Sends what is due and returns how many.
    pub(super) fn poll(&mut self, now: Nanos, addresses: &Addresses, emit: &mut impl FnMut(LinkId, &[u8])) -> u64 {
        let mut sent = 0;
        while let Some(&(due, key, left)) = self.pending.first() {
            if due > now || !self.bucket.take(now) {
                break;
            }
            self.pending.pop_first();
            if left > 1 {
                self.pending.insert((now + PAUSE, key, left - 1));
            }
            if let Some(mac) = addresses.mac(key.0) {
                let mut buffer = [0; MAX_MESSAGE];
                emit(key.0, announcement(&mut buffer, mac, key.1));
                sent += 1;
            }
        }
        sent
    }

    pub(super) fn next_due(&self, now: Nanos) -> Option<Nanos> {
        self.pending.first().map(|&(due, _, _)| due.max(self.bucket.next(now)))
    }
}

fn announcement(buffer: &mut [u8; MAX_MESSAGE], mac: [u8; 6], address: IpAddr) -> &[u8] {
    match address {
        IpAddr::V4(own) => {
            let arp =
                Arp { operation: Operation::Request, sender_mac: mac, sender: own, target_mac: [0; 6], target: own };
            wire::write_arp(buffer, wire::BROADCAST, &arp)
        }
        IpAddr::V6(own) => {
            let all = wire::ALL_NODES;
            wire::write_advert(buffer, mac, own, (wire::group_mac(all), all), false)
        }
    }
}
