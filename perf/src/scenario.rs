//! What is measured: the kind of forwarding, how many flows and backends, and the worker that does it.

use crate::device::{Generated, Queues};
use crate::traffic::{Generator, Traffic};
use guideway_dataplane::consistency::{Member, Parts, Phase, Side, Special};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, PoolId, PortId, VipId, WorkerId};
use guideway_dataplane::parse::Family;
use guideway_dataplane::pin::{PinClock, PinTable};
use guideway_dataplane::port::Port;
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::rewrite::{Backend, Encapsulation, NextHop, Rewrite, Tunnel};
use guideway_dataplane::snapshot::{LinkState, Pool, PortState, Snapshot};
use guideway_dataplane::table::{BaseTable, BuildError, Slot, Table, TableBackend};
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::vip::{ServicePort, Steering, VipEntry, VipService, VipTable, address_bits};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::protocol;
use guideway_dataplane::wire::vlan::Tags;
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Slots of the pool's table: the default of the configuration for large pools.
const TABLE_SIZE: u32 = 65_537;
/// The most backends: those whose table of `TABLE_SIZE` slots gives each a few.
pub const MAX_BACKENDS: u16 = 10_000;
/// The port's own hardware address.
const PORT_MAC: Mac = [2, 0, 0, 0, 0, 1];
/// The port's MTU.
const MTU: u16 = 1_600;
/// The VIPs' port.
const SERVICE_PORT: u16 = 80;
const VIP_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x10);

/// What is done to each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Ethernet addresses change places, and nothing else: what any program pays that touches a packet.
    MacSwap,
    /// The worker forwards by direct server return on one segment.
    L2dsr,
    /// The worker forwards in a tunnel of the packet's own family.
    Ipip,
}

/// What the slots of the pool are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slots {
    /// No change concerns them: the usual state.
    #[default]
    Steady,
    /// Every slot is in transition, as a few percent of them are for a while after a change: each packet looks for its pin.
    Transition,
    /// `tracking = "always"`: every flow has a pin.
    Always,
}

/// One case of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub treatment: Treatment,
    /// The packets' family.
    pub family: Family,
    /// What the pool's slots are in.
    pub slots: Slots,
    /// Flows that packets belong to, in turns.
    pub flows: u32,
    /// Backends of the pool.
    pub backends: u16,
    /// Bytes of a frame without frame check sequence; raised to what the family needs.
    pub frame_len: usize,
}

impl Case {
    /// The name in tables: with `T` while slots are in transition, with `A` if all flows are tracked.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.treatment, self.family, self.slots) {
            (Treatment::MacSwap, Family::V4, _) => "mac-swap IPv4",
            (Treatment::MacSwap, Family::V6, _) => "mac-swap IPv6",
            (Treatment::L2dsr, Family::V4, Slots::Steady) => "l2dsr IPv4",
            (Treatment::L2dsr, Family::V4, Slots::Transition) => "l2dsr IPv4 T",
            (Treatment::L2dsr, Family::V4, Slots::Always) => "l2dsr IPv4 A",
            (Treatment::L2dsr, Family::V6, Slots::Steady) => "l2dsr IPv6",
            (Treatment::L2dsr, Family::V6, Slots::Transition) => "l2dsr IPv6 T",
            (Treatment::L2dsr, Family::V6, Slots::Always) => "l2dsr IPv6 A",
            (Treatment::Ipip, Family::V4, Slots::Steady) => "ipip 4in4",
            (Treatment::Ipip, Family::V4, Slots::Transition) => "ipip 4in4 T",
            (Treatment::Ipip, Family::V4, Slots::Always) => "ipip 4in4 A",
            (Treatment::Ipip, Family::V6, Slots::Steady) => "ipip 6in6",
            (Treatment::Ipip, Family::V6, Slots::Transition) => "ipip 6in6 T",
            (Treatment::Ipip, Family::V6, Slots::Always) => "ipip 6in6 A",
        }
    }

    /// The frames that come in.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic::new(PORT_MAC, SocketAddr::new(vip(self.family), SERVICE_PORT), self.flows, self.frame_len)
    }

    /// What the worker decides by.
    ///
    /// # Errors
    ///
    /// None of those that a table has, unless there are more backends than a pool may have.
    pub fn snapshot(&self) -> Result<Snapshot, BuildError> {
        let hasher = FlowHasher::new(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        let names: Vec<String> = (0..self.backends).map(|backend| format!("backend-{backend}")).collect();
        let members: Vec<_> = names.iter().map(|name| TableBackend { name, weight: 1 }).collect();
        let table = BaseTable::build(&members, &hasher, TABLE_SIZE)?.table().clone();
        let (table, special) = self.special(table);
        let backends = (0..self.backends).map(|number| self.backend(number)).collect();
        let service = VipService {
            address: vip(self.family),
            prefix_len: if self.family == Family::V4 { 32 } else { 128 },
            protocol: protocol::TCP,
            port: ServicePort::Exact(SERVICE_PORT),
            entry: VipEntry { vip: VipId(0), pool: PoolId(0), steering: Steering::Flow },
        };
        Ok(Snapshot {
            hasher,
            vips: VipTable::new(&[service]),
            own_addresses: [address_bits(Ipv4Addr::new(10, 0, 0, 1).into())].into(),
            tunnel_sources: [].into(),
            ports: [PortState::new(PORT_MAC)].into(),
            links: [LinkState { port: PortId(0), tags: Tags::NONE }].into(),
            pins: Arc::new(self.pins()),
            pools: [Arc::new(Pool::new([table].into(), backends).with_special(special))].into(),
        })
    }

    /// A table that has room for all flows, or that nobody needs.
    fn pins(&self) -> PinTable {
        match self.slots {
            Slots::Steady => PinTable::smallest(),
            Slots::Transition | Slots::Always => {
                let clock = PinClock::new(Duration::from_secs(900), Duration::from_secs(3));
                PinTable::new((1 << 20).max(self.flows as usize * 4), clock)
            }
        }
    }

    /// The table with its slots marked, and what decides about them.
    fn special(&self, table: Table) -> (Table, Option<Special>) {
        if self.slots == Slots::Steady {
            return (table, None);
        }
        let base = |slot: &Slot| Side { base: slot.index() as u16, phase: Phase::Transition };
        let parts = Parts {
            size: table.size(),
            sides: if self.slots == Slots::Transition { table.slots().iter().map(base).collect() } else { [].into() },
            members: (0..self.backends)
                .map(|number| Member { id: BackendId(number), eligible: true, as_base: true })
                .collect(),
            idle: 1_677,
            longest_idle: 1_677,
            ..Parts::default()
        };
        let marked: Box<[Slot]> = table.slots().iter().map(|slot| slot.with_special(true)).collect();
        (marked.into(), Some(parts.into()))
    }

    fn backend(&self, number: u16) -> Backend {
        let [high, low] = number.to_be_bytes();
        let next_hop = NextHop {
            egress: PortId(0),
            source: PORT_MAC,
            destination: Some([2, 0, 0, 1, high, low]),
            mtu: MTU,
            tags: Tags::NONE,
        };
        let rewrite = match (self.treatment, self.family) {
            (Treatment::MacSwap | Treatment::L2dsr, _) => Rewrite::L2dsr,
            (Treatment::Ipip, Family::V4) => {
                let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 1, high, low));
                Tunnel::v4(source.into(), destination, Encapsulation::Ipip).into()
            }
            (Treatment::Ipip, Family::V6) => {
                let address = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, last);
                Tunnel::v6(address(0xffff).into(), address(number), Encapsulation::Ipip).into()
            }
        };
        Backend { id: BackendId(number), hops: next_hop.into(), rewrite }
    }

    /// The worker of this case between a source with `lead` packets waiting and the sink, and its counters.
    ///
    /// # Errors
    ///
    /// As for [`Case::snapshot`].
    pub fn worker<P: Port>(
        &self,
        queues: Queues<P>,
        lead: usize,
    ) -> Result<(Worker<Generated<P>>, Arc<WorkerCounters>), BuildError> {
        // The reader keeps the one snapshot that there will ever be.
        let (_, mut readers) = publish::channel(self.snapshot()?, 1);
        let counters = Arc::new(WorkerCounters::default());
        let worker = Worker::new(WorkerParts {
            id: WorkerId(0),
            rx: vec![(PortId(0), Generator::new(queues.rx, self.traffic(), lead))],
            tx: vec![TxPath::Queue(queues.tx)],
            snapshots: readers.remove(0),
            rings: ControlRings::new(),
            pool: queues.pool,
            exception_rate: PuntClass::Exception.rate(),
            secret: [7; 16],
            counters: Arc::clone(&counters),
        });
        Ok((worker, counters))
    }
}

const fn vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(VIP_V4),
        Family::V6 => IpAddr::V6(VIP_V6),
    }
}
