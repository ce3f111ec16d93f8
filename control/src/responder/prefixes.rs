//! VIPs that are prefixes: which of them hold an address, by one hash for each length that occurs.

use guideway_config::model::Announce;
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Prefixes, and who answers for the addresses in them.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    announce: HashMap<IpNet, Announcing>,
    /// Lengths that occur among IPv4 and among IPv6 prefixes.
    lengths: [Vec<u8>; 2],
}

/// What the VIPs of one prefix together ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Announcing {
    /// Answered on links whose subnets hold the address.
    pub(super) auto: bool,
    /// Answered on every link.
    pub(super) always: bool,
}

impl Prefixes {
    /// The table of these prefixes; one may come several times.
    pub(super) fn new(prefixes: impl Iterator<Item = (IpNet, Announce)>) -> Self {
        let mut announce = HashMap::<IpNet, Announcing>::new();
        let mut lengths = [BTreeSet::new(), BTreeSet::new()];
        for (net, wish) in prefixes {
            let entry = announce.entry(net.trunc()).or_default();
            entry.auto |= wish == Announce::Auto;
            entry.always |= wish == Announce::Arp;
            lengths[family(net.addr())].insert(net.prefix_len());
        }
        Self { announce, lengths: lengths.map(|lengths| lengths.into_iter().collect()) }
    }

    /// Every prefix that holds `address`.
    pub(super) fn around(&self, address: IpAddr) -> impl Iterator<Item = Announcing> + '_ {
        self.lengths[family(address)].iter().filter_map(move |length| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            self.announce.get(&net).copied()
        })
    }

    /// Whether any prefix holds `address`.
    pub(super) fn hold(&self, address: IpAddr) -> bool {
        self.around(address).next().is_some()
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}
