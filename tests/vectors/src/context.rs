//! The balancer that a vector's frame meets: what of a configuration matters to one packet.

use anyhow::{Context as _, Result, anyhow, bail};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, PoolId, PortId, VipId};
use guideway_dataplane::rewrite::{Backend, Ipip4, Ipip6, NextHop, Rewrite};
use guideway_dataplane::snapshot::{Pool, PortState, Snapshot};
use guideway_dataplane::table::{BaseTable, TableBackend};
use guideway_dataplane::vip::{VipEntry, VipService, VipTable, address_bits};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::protocol;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::sync::Arc;

/// Slots of every pool's table: a prime, small so that a snapshot costs nothing.
const TABLE_SIZE: u32 = 251;

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
}

/// A pool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolContext {
    /// Its name.
    pub name: String,
    /// Its forwarding mode.
    pub forward: Forward,
    /// Its backends; all are eligible.
    pub backends: Vec<BackendContext>,
}

/// A forwarding mode.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Ethernet addresses only.
    L2dsr,
    /// IP in IP; the family is that of the backend's address.
    Ipip,
}

/// A backend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendContext {
    /// Its id, unique in the context.
    pub id: u16,
    /// Its address.
    pub address: IpAddr,
    /// The address that a tunnel to it starts from.
    pub encap_source: Option<IpAddr>,
    /// The hardware address of its next hop, unless it is not known.
    #[serde(default, deserialize_with = "optional_mac")]
    pub mac: Option<Mac>,
    /// The port that leads there.
    #[serde(default)]
    pub egress: u16,
    /// MTU of that port, 1500 unless given.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
}

/// A VIP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VipContext {
    /// Its address.
    pub address: IpAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Its port; any unless given.
    pub port: Option<u16>,
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
        let state =
            |port: &PortContext| PortState { mac: port.mac, up: port.up, any_destination: port.any_destination };
        let pools: Result<Box<[Arc<Pool>]>> =
            self.pools.iter().map(|pool| self.pool(pool, &hasher).map(Arc::new)).collect();
        let services: Result<Vec<VipService>> =
            (0..).zip(&self.vips).map(|(id, vip)| self.service(VipId(id), vip)).collect();
        Ok(Snapshot {
            vips: VipTable::new(&services?),
            own_addresses: own_addresses.into(),
            ports: self.ports.iter().map(state).collect(),
            pools: pools?,
            hasher,
        })
    }

    fn service(&self, vip: VipId, context: &VipContext) -> Result<VipService> {
        let pool = self.pools.iter().position(|pool| pool.name == context.pool);
        let pool = PoolId(pool.with_context(|| format!("no pool {}", context.pool))?.try_into()?);
        let protocol = match context.protocol {
            Protocol::Tcp => protocol::TCP,
            Protocol::Udp => protocol::UDP,
        };
        Ok(VipService { address: context.address, protocol, port: context.port, entry: VipEntry { vip, pool } })
    }

    fn pool(&self, pool: &PoolContext, hasher: &FlowHasher) -> Result<Pool> {
        let names: Vec<String> = pool.backends.iter().map(|backend| backend.id.to_string()).collect();
        let members: Vec<TableBackend<'_>> = names.iter().map(|name| TableBackend { name, weight: 1 }).collect();
        let table = BaseTable::build(&members, hasher, TABLE_SIZE)?.table().clone();
        let backends: Result<Box<[Backend]>> =
            pool.backends.iter().map(|backend| self.backend(pool.forward, backend)).collect();
        Ok(Pool::new([table].into(), backends?))
    }

    fn backend(&self, forward: Forward, backend: &BackendContext) -> Result<Backend> {
        let port = self.ports.get(usize::from(backend.egress)).context("no such egress port")?;
        let egress = PortId(backend.egress);
        let next_hop = NextHop { egress, source: port.mac, destination: backend.mac, mtu: backend.mtu };
        let rewrite = match (forward, backend.encap_source, backend.address) {
            (Forward::L2dsr, None, _) => Rewrite::L2dsr,
            (Forward::Ipip, Some(IpAddr::V4(source)), IpAddr::V4(address)) => {
                Rewrite::Ipip4(Ipip4::new(source, address))
            }
            (Forward::Ipip, Some(IpAddr::V6(source)), IpAddr::V6(address)) => {
                Rewrite::Ipip6(Ipip6::new(source, address))
            }
            _ => bail!("backend {}: a tunnel, and only a tunnel, has an encap_source of its family", backend.id),
        };
        Ok(Backend { id: BackendId(backend.id), next_hop, rewrite })
    }
}

const fn yes() -> bool {
    true
}

const fn default_mtu() -> u16 {
    1500
}

fn mac<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bytes(&text.replace(':', "")).map_err(serde::de::Error::custom)
}

fn optional_mac<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mac>, D::Error> {
    mac(deserializer).map(Some)
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bytes(&text).map_err(serde::de::Error::custom)
}

fn parse_bytes<const N: usize>(digits: &str) -> Result<[u8; N]> {
    let bytes = crate::bytes::Frames::default().read(digits)?;
    <[u8; N]>::try_from(bytes).map_err(|bytes| anyhow!("{} bytes where {N} are needed", bytes.len()))
}
