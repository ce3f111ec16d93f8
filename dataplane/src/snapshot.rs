//! What a worker needs to know, immutable: published as a whole, shared by all workers, replaced at every change.

use crate::consistency::Special;
use crate::hash::FlowHasher;
use crate::ids::{LinkId, PoolId, PortId, WorkerId};
pub use crate::lane::Pools;
use crate::nat::Nat;
use crate::observe::Observe;
use crate::pin::PinTable;
use crate::quic::ServerIds;
use crate::rewrite::Backend;
use crate::rss::Rss;
use crate::table::{Slot, Table};
use crate::vip::{Prefix, VipTable};
use crate::wire::ethernet::Mac;
use crate::wire::vlan::Tags;
use std::sync::Arc;

/// One immutable state of everything that workers decide by.
#[derive(Debug)]
pub struct Snapshot {
    /// The keyed flow hash.
    pub hasher: FlowHasher,
    /// Services and the pools behind them.
    pub vips: VipTable,
    /// Own addresses of the balancer as [`crate::vip::address_bits`], sorted.
    pub own_addresses: Box<[u128]>,
    /// Addresses beside these where tunnels begin: errors about what is in them come there.
    pub tunnel_sources: Box<[Prefix]>,
    /// Ports by [`PortId`].
    pub ports: Box<[PortState]>,
    /// Links by [`LinkId`].
    pub links: Box<[LinkState]>,
    /// The pins of all flows: the same table in every snapshot.
    pub pins: Arc<PinTable>,
    /// Pools by [`PoolId`]. A pool that did not change is the same `Arc` as in the snapshot before.
    pub pools: Pools,
    /// Backends whose packets have their addresses rewritten, as [`crate::vip::address_bits`], sorted: what no VIP takes may
    /// be their answer in a session.
    pub nat_backends: Box<[u128]>,
    /// The port behind the highest that probes of backends come from.
    pub probe_ports_end: u16,
    /// Packets that somebody looks for; `None` almost always, which costs a worker one look a poll.
    pub observe: Option<Arc<Observe>>,
}

/// What workers need to know of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortState {
    /// Its hardware address.
    pub mac: Mac,
    /// Whether its link is up; nothing is sent to a port that is down.
    pub up: bool,
    /// Whether any unicast destination MAC is taken as its own: for captures of other machines (`replay`).
    pub any_destination: bool,
    /// Whether frames without a tag are for it.
    pub untagged: bool,
    /// Whether the device verifies the checksums of what it receives, so that its word counts.
    pub rx_checksum: bool,
    /// How it spreads flows over workers, where that is known.
    pub rss: Option<Arc<Rss>>,
    /// Whether what Guideway has no use for goes to the kernel, by the exception path.
    pub exception: bool,
    /// Its VLANs, sorted.
    pub vlans: Vec<(VlanKey, LinkId)>,
}

impl PortState {
    /// A port with a link that is up, for untagged frames.
    #[must_use]
    pub const fn new(mac: Mac) -> Self {
        Self {
            mac,
            up: true,
            any_destination: false,
            untagged: true,
            rx_checksum: false,
            rss: None,
            exception: false,
            vlans: Vec::new(),
        }
    }

    /// The same, taking any unicast destination MAC as its own.
    #[must_use]
    pub const fn taking_any_destination(mac: Mac) -> Self {
        let mut port = Self::new(mac);
        port.any_destination = true;
        port
    }

    /// The link of a VLAN on this port, whose id is `id`; `None` if it has no interface for it.
    #[must_use]
    pub fn link(&self, id: PortId, vlan: VlanKey) -> Option<LinkId> {
        if vlan == VlanKey::UNTAGGED {
            return self.untagged.then_some(LinkId(id.0));
        }
        let place = self.vlans.binary_search_by_key(&vlan, |(vlan, _)| *vlan).ok()?;
        self.vlans.get(place).map(|(_, link)| *link)
    }

    /// Whether the port has a link for this VLAN.
    #[must_use]
    pub fn knows(&self, vlan: VlanKey) -> bool {
        self.link(PortId(0), vlan).is_some()
    }
}

/// A VLAN among those of a port: its identifier, and that of the service tag before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanKey(u32);

impl VlanKey {
    /// No tag, or one that carries a priority only.
    pub const UNTAGGED: Self = Self(0);

    /// A VLAN by its identifier, and the one of the service tag if there is one.
    #[must_use]
    pub const fn new(service: Option<u16>, id: u16) -> Self {
        match service {
            // A bit of its own: a service tag of VLAN 0 is not the same as none.
            Some(service) => Self(1 << 24 | (service as u32 & 0xfff) << 12 | id as u32 & 0xfff),
            None => Self(id as u32 & 0xfff),
        }
    }
}

/// A link: what frames of the control side need to get onto it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The port.
    pub port: PortId,
    /// The tags that frames carry there.
    pub tags: Tags,
    /// Largest IP packet that it carries, in bytes.
    pub mtu: u16,
}

/// A pool: its table and its backends.
#[derive(Debug)]
pub struct Pool {
    // One copy for each worker, or fewer that workers share: which is a question of memory (`table_memory`).
    tables: Arc<[Table]>,
    /// Which backend a QUIC connection ID names, of those that may get packets; `None` if the pool has no such names.
    pub server_ids: Option<Arc<ServerIds>>,
    /// Backends by pool-local index: what a slot of the table names.
    pub backends: Arc<[Backend]>,
    /// How addresses are rewritten for each backend, by the same index; empty where they are not.
    pub nats: Arc<[Nat]>,
    /// What decides about special slots; `None`: no slot is special.
    pub special: Option<Arc<Special>>,
}

impl Pool {
    /// A pool with a table for each worker, or fewer that workers share, and its backends. Each table is a copy of the
    /// same one.
    #[must_use]
    pub fn new(tables: Arc<[Table]>, backends: Arc<[Backend]>) -> Self {
        Self { tables, backends, server_ids: None, nats: Arc::default(), special: None }
    }

    /// The same pool with these names of its backends.
    #[must_use]
    pub fn with_server_ids(self, server_ids: Option<Arc<ServerIds>>) -> Self {
        Self { server_ids, ..self }
    }

    /// The same pool with rewritten addresses.
    #[must_use]
    pub fn with_nats(self, nats: Arc<[Nat]>) -> Self {
        Self { nats, ..self }
    }

    /// The same pool with special slots.
    #[must_use]
    pub fn with_special(self, special: Option<Special>) -> Self {
        Self { special: special.map(Arc::new), ..self }
    }

    /// The slots that this worker reads. Empty if the pool has nobody to serve it.
    #[inline]
    #[must_use]
    pub fn slots(&self, worker: WorkerId) -> &[Slot] {
        self.copy(worker.index()).map_or(&[], |table| table.slots())
    }

    #[inline]
    fn copy(&self, number: usize) -> Option<&Table> {
        self.tables.get(number.checked_rem(self.tables.len())?)
    }

    /// One of the copies, which are taken in turns; an empty table if there is none.
    pub(crate) fn table(&self, copy: usize) -> Table {
        self.copy(copy).cloned().unwrap_or_else(|| Table::from(Box::from([])))
    }

    /// The copies of the table.
    #[must_use]
    pub fn tables(&self) -> &Arc<[Table]> {
        &self.tables
    }
}

impl Snapshot {
    /// The pool with this id.
    #[inline]
    #[must_use]
    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(id.index()).map(Arc::as_ref)
    }

    /// Whether an address, as [`crate::vip::address_bits`], is a backend's whose packets have their addresses rewritten.
    #[must_use]
    pub fn is_nat_backend(&self, address: u128) -> bool {
        self.nat_backends.binary_search(&address).is_ok()
    }

    /// Whether an answer to this own port may be one to a probe. The ports above are of sessions only.
    #[must_use]
    pub fn is_probe_port(&self, port: u16) -> bool {
        port < self.probe_ports_end
    }

    /// Whether an address, as [`crate::vip::address_bits`], is one of the balancer's own.
    #[must_use]
    pub fn is_own(&self, address: u128) -> bool {
        self.own_addresses.binary_search(&address).is_ok()
            || self.tunnel_sources.iter().any(|prefix| prefix.contains(address))
    }
}

/// The reading end that a worker holds.
pub type SnapshotReader = crate::publish::Reader<Snapshot>;

/// The writing end that the control side holds.
pub type SnapshotPublisher = crate::publish::Publisher<Snapshot>;
