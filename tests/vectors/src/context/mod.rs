//! The balancer that a vector's frame meets: what of a configuration matters to one packet.

mod notation;
mod pool;

use anyhow::{Context as _, Result};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{LinkId, PoolId, PortId, VipId};
use guideway_dataplane::pin::PinTable;
use guideway_dataplane::snapshot::{LinkState, Pool, PortState, Snapshot, VlanKey};
use guideway_dataplane::vip::{Prefix, ServicePort, Steering, VipEntry, VipService, VipTable, address_bits};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::protocol;
use guideway_dataplane::wire::vlan::Tags;
use notation::{any_port, key, mac, port, prefix, yes};
pub use pool::{BackendContext, Forward, HopContext, PoolContext, QuicContext, TABLE_SIZE};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Ports, own addresses, pools and VIPs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The fleet's key, 32 hexadecimal digits.
    #[serde(deserialize_with = "key")]
    pub hash_key: [u8; 16],
    /// The balancer's own addresses.
    pub own_addresses: Vec<IpAddr>,
    /// Ports, in the order of their numbers.
    pub ports: Vec<PortContext>,
    /// Pools.
    pub pools: Vec<PoolContext>,
    /// VIPs.
    pub vips: Vec<VipContext>,
}

/// A port.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortContext {
    /// Its hardware address.
    #[serde(deserialize_with = "mac")]
    pub mac: Mac,
    /// Whether its link is up.
    #[serde(default = "yes")]
    pub up: bool,
    /// Whether it takes frames to any unicast MAC address.
    #[serde(default)]
    pub any_destination: bool,
    /// Whether untagged frames are for it.
    #[serde(default = "yes")]
    pub untagged: bool,
    /// Whether it has an exception path.
    #[serde(default)]
    pub exception: bool,
    /// Its VLANs.
    #[serde(default)]
    pub vlans: Vec<VlanContext>,
}

/// A VLAN.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct VlanContext {
    /// Its identifier.
    pub id: u16,
    /// That of the service tag before it.
    pub service: Option<u16>,
}

impl VlanContext {
    fn tags(self) -> Tags {
        match self.service {
            Some(service) => Tags::service(service, self.id),
            None => Tags::customer(self.id),
        }
    }
}

/// A VIP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VipContext {
    /// Its address, or a prefix of addresses.
    #[serde(deserialize_with = "prefix")]
    pub address: (IpAddr, u8),
    /// TCP, UDP or QUIC.
    pub protocol: Protocol,
    /// Its port, or a range `"8000-8099"`; any unless given.
    #[serde(default = "any_port", deserialize_with = "port")]
    pub port: ServicePort,
    /// Whether all flows of a client go to one backend.
    #[serde(default)]
    pub client_affinity: bool,
    /// The name of its pool.
    pub pool: String,
}

/// What VIPs serve.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// QUIC, over UDP.
    Quic,
}

impl Context {
    /// Refuses a context that no snapshot can be made of.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&self) -> Result<()> {
        self.snapshot().map(drop)
    }

    /// The snapshot that workers would have; one table a pool, shared by all workers.
    ///
    /// # Errors
    ///
    /// A VIP that names no pool, a tunnel without a source of the right family, a port that does not exist, or a pool
    /// that no table can be built for.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let hasher = FlowHasher::new(self.hash_key);
        let mut own_addresses: Vec<u128> = self.own_addresses.iter().copied().map(address_bits).collect();
        own_addresses.sort_unstable();
        let pools: Result<Box<[Arc<Pool>]>> =
            self.pools.iter().map(|pool| pool.build(self, &hasher).map(Arc::new)).collect();
        let services: Result<Vec<VipService>> =
            (0..).zip(&self.vips).map(|(id, vip)| self.service(VipId(id), vip)).collect();
        Ok(Snapshot {
            vips: VipTable::new(&services?),
            own_addresses: own_addresses.into(),
            tunnel_sources: self.tunnel_sources(),
            ports: self.port_states().into(),
            links: self.links().into(),
            pins: Arc::new(PinTable::smallest()),
            pools: pools?.into(),
            nat_backends: Box::default(),
            probe_ports_end: 0,
            observe: None,
            hasher,
        })
    }

    fn tunnel_sources(&self) -> Box<[Prefix]> {
        let sources = self.pools.iter().flat_map(|pool| &pool.backends).filter_map(|backend| backend.encap_source);
        sources.map(|(address, len)| Prefix::new(address, len)).collect()
    }

    /// For each port its VLANs with their links: these are numbered after the untagged links of all ports.
    fn vlans(&self) -> Vec<Vec<(VlanContext, LinkId)>> {
        let mut links = (self.ports.len() as u16..).map(LinkId);
        self.ports.iter().map(|port| port.vlans.iter().copied().zip(&mut links).collect()).collect()
    }

    fn port_states(&self) -> Vec<PortState> {
        let state = |(port, vlans): (&PortContext, Vec<(VlanContext, LinkId)>)| {
            let key = |(vlan, link): (VlanContext, LinkId)| (VlanKey::new(vlan.service, vlan.id), link);
            let mut vlans: Vec<_> = vlans.into_iter().map(key).collect();
            vlans.sort_unstable();
            PortState {
                up: port.up,
                any_destination: port.any_destination,
                untagged: port.untagged,
                exception: port.exception,
                vlans,
                ..PortState::new(port.mac)
            }
        };
        self.ports.iter().zip(self.vlans()).map(state).collect()
    }

    fn links(&self) -> Vec<LinkState> {
        let untagged =
            (0..self.ports.len() as u16).map(|port| LinkState { port: PortId(port), tags: Tags::NONE, mtu: 1_500 });
        let tagged = (0..).zip(self.vlans()).flat_map(|(port, vlans)| {
            vlans.into_iter().map(move |(vlan, _)| LinkState { port: PortId(port), tags: vlan.tags(), mtu: 1_500 })
        });
        untagged.chain(tagged).collect()
    }

    fn service(&self, vip: VipId, context: &VipContext) -> Result<VipService> {
        let pool = self.pools.iter().position(|pool| pool.name == context.pool);
        let pool = PoolId(pool.with_context(|| format!("no pool {}", context.pool))?.try_into()?);
        let protocol = match context.protocol {
            Protocol::Tcp => protocol::TCP,
            Protocol::Udp | Protocol::Quic => protocol::UDP,
        };
        let steering = match context.protocol {
            Protocol::Quic => Steering::Quic,
            _ if context.client_affinity => Steering::Client,
            _ => Steering::Flow,
        };
        let (address, prefix_len) = context.address;
        let entry = VipEntry { vip, pool, steering };
        Ok(VipService { address, prefix_len, protocol, port: context.port.clone(), entry })
    }
}
