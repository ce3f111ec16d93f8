//! The snapshot of a case, and the worker that decides by it.

use super::{Case, Load, PORT_MAC, SERVICE_PORT, Slots, Treatment, first_vip};
use crate::device::{Generated, Source};
use crate::generator::Generator;
use crate::traffic::service;
use guideway_dataplane::consistency::{Member, Parts, Phase, Side, Special};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, PoolId, PortId, VipId, WorkerId};
use guideway_dataplane::observe::Observe;
use guideway_dataplane::parse::Family;
use guideway_dataplane::pin::{PinClock, PinTable};
use guideway_dataplane::port::Port;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::rewrite::{Backend, Encapsulation, Gue, NextHop, Rewrite, Tunnel};
use guideway_dataplane::snapshot::{LinkState, Pool, PortState, Snapshot};
use guideway_dataplane::table::{BaseTable, BuildError, Slot, Table, TableBackend};
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::vip::{ServicePort, Steering, VipEntry, VipService, VipTable, address_bits};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::protocol;
use guideway_dataplane::wire::vlan::Tags;
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The port's MTU: whatever frame comes in fits with any outer header.
const MTU: u16 = 9_600;

/// A worker of a benchmark between its source and its sink, and what it counts.
pub type Rig<P> = (Worker<Generated<P>>, Arc<WorkerCounters>);

impl Case {
    /// What the worker decides by, at a port with this address.
    ///
    /// # Errors
    ///
    /// None of those that a table has, unless there are more backends than a pool may have or the table size is not prime.
    pub fn snapshot(&self, mac: Mac) -> Result<Snapshot, BuildError> {
        let hasher = FlowHasher::new(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        let pools: Result<Vec<_>, _> =
            (0..self.pools.max(1)).map(|pool| self.pool(&hasher, pool).map(Arc::new)).collect();
        let services: Vec<VipService> = (0..self.vips.max(1)).map(|vip| self.service(vip)).collect();
        Ok(Snapshot {
            hasher,
            vips: VipTable::new(&services),
            own_addresses: [address_bits(Ipv4Addr::new(10, 0, 0, 1).into())].into(),
            tunnel_sources: [].into(),
            ports: [PortState::new(mac)].into(),
            links: [LinkState { port: PortId(0), tags: Tags::NONE, mtu: 1_500 }].into(),
            pins: Arc::new(self.pins()),
            pools: pools?.into_iter().collect(),
            nat_backends: Box::default(),
            probe_ports_end: 0,
            observe: None,
        })
    }

    fn service(&self, vip: u16) -> VipService {
        let first = SocketAddr::new(first_vip(self.family), SERVICE_PORT);
        VipService {
            address: service(first, vip).ip(),
            prefix_len: if self.family == Family::V4 { 32 } else { 128 },
            protocol: if self.load == Load::Udp { protocol::UDP } else { protocol::TCP },
            port: ServicePort::Exact(SERVICE_PORT),
            entry: VipEntry {
                vip: VipId(vip),
                pool: PoolId(vip % self.pools.max(1)),
                steering: if self.affinity { Steering::Client } else { Steering::Flow },
            },
        }
    }

    fn pool(&self, hasher: &FlowHasher, pool: u16) -> Result<Pool, BuildError> {
        let names: Vec<String> = (0..self.backends).map(|backend| format!("backend-{pool}-{backend}")).collect();
        let members: Vec<_> = names.iter().map(|name| TableBackend { name, weight: 1 }).collect();
        let table = BaseTable::build(&members, hasher, self.table_size)?.table().clone();
        let (table, special) = self.special(table, pool);
        let backends = (0..self.backends).map(|number| self.backend(self.id(pool, number))).collect();
        Ok(Pool::new([table].into(), backends).with_special(special))
    }

    /// A backend's id: of no other in any pool.
    const fn id(&self, pool: u16, number: u16) -> u16 {
        (pool as u32 * self.backends as u32 + number as u32) as u16
    }

    /// A table that is half full when all flows have pins, or that nobody needs.
    fn pins(&self) -> PinTable {
        match self.slots {
            Slots::Steady => PinTable::smallest(),
            Slots::Transition | Slots::Always => {
                let clock = PinClock::new(Duration::from_secs(900), Duration::from_secs(3));
                let pins = PinTable::new((1 << 16).max(self.flows as usize * 2), clock);
                // As `guideway run` does.
                #[cfg(feature = "dpdk")]
                guideway_dpdk::prefer_huge_pages(pins.memory());
                pins
            }
        }
    }

    /// The table with its slots marked, and what decides about them.
    fn special(&self, table: Table, pool: u16) -> (Table, Option<Special>) {
        if self.slots == Slots::Steady {
            return (table, None);
        }
        let base = |slot: &Slot| Side { base: slot.index() as u16, phase: Phase::Transition };
        let member = |number| Member { id: BackendId(self.id(pool, number)), eligible: true, as_base: true };
        let parts = Parts {
            size: table.size(),
            sides: if self.slots == Slots::Transition { table.slots().iter().map(base).collect() } else { [].into() },
            members: (0..self.backends).map(member).collect(),
            idle: 1_677,
            longest_idle: 1_677,
            salt: u32::from(pool),
            ..Parts::default()
        };
        let marked: Box<[Slot]> = table.slots().iter().map(|slot| slot.with_special(true)).collect();
        (marked.into(), Some(parts.into()))
    }

    fn backend(&self, id: u16) -> Backend {
        let [high, low] = id.to_be_bytes();
        let next_hop = NextHop {
            egress: PortId(0),
            source: PORT_MAC,
            destination: Some([2, 0, 0, 1, high, low]),
            mtu: MTU,
            tags: Tags::NONE,
        };
        let rewrite = match self.treatment {
            Treatment::MacSwap | Treatment::L2dsr => Rewrite::L2dsr,
            Treatment::Ipip => self.tunnel(id, Encapsulation::Ipip),
            Treatment::Gre => self.tunnel(id, Encapsulation::Gre),
            Treatment::Gue => self.tunnel(id, Encapsulation::Gue(Gue { checksum: false, ..Gue::default() })),
            Treatment::GueChecksum => self.tunnel(id, Encapsulation::Gue(Gue::default())),
        };
        Backend { id: BackendId(id), hops: next_hop.into(), rewrite }
    }

    fn tunnel(&self, id: u16, encapsulation: Encapsulation) -> Rewrite {
        let [high, low] = id.to_be_bytes();
        match self.family {
            Family::V4 => {
                let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 1, high, low));
                Tunnel::v4(source.into(), destination, encapsulation).into()
            }
            Family::V6 => {
                let address = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, last);
                Tunnel::v6(address(0xffff).into(), address(id), encapsulation).into()
            }
        }
    }

    /// The worker of this case between a source with `lead` packets waiting and the sink.
    ///
    /// # Errors
    ///
    /// As for [`Case::snapshot`].
    pub fn worker<P: Port>(&self, source: Source<P>, lead: usize) -> Result<Rig<P>, BuildError> {
        self.observed_worker(source, lead, None)
    }

    /// The same, with somebody who looks for packets.
    ///
    /// # Errors
    ///
    /// As for [`Case::snapshot`].
    pub fn observed_worker<P: Port>(
        &self,
        source: Source<P>,
        lead: usize,
        observe: Option<Arc<Observe>>,
    ) -> Result<Rig<P>, BuildError> {
        let Source { queues, traffic, mac } = source;
        let snapshot = Snapshot { observe, ..self.snapshot(mac.unwrap_or(PORT_MAC))? };
        // The reader keeps the one snapshot that there will ever be.
        let (_, mut readers) = publish::channel(snapshot, 1);
        let counters = Arc::new(WorkerCounters::default());
        let worker = Worker::new(WorkerParts {
            id: WorkerId(0),
            rx: vec![(PortId(0), Generator::new(queues.rx, traffic, lead))],
            tx: vec![TxPath::Queue(queues.tx)],
            snapshots: readers.remove(0),
            rings: ControlRings::new(),
            pool: queues.pool,
            exception_rate: PuntClass::Exception.rate(),
            sessions: None,
            secret: [7; 16],
            counters: Arc::clone(&counters),
        });
        Ok((worker, counters))
    }
}
