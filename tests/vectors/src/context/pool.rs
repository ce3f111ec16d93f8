//! Pools and backends.

use super::notation::{bytes, default_mtu, one, optional_key, optional_mac, optional_prefix, yes};
use super::{Context, VlanContext};
use anyhow::{Context as _, Result, bail};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, PortId};
use guideway_dataplane::quic::{LbConfig, ServerIds};
use guideway_dataplane::rewrite::{Backend, Encapsulation, Gue, GueVariant, Hops, NextHop, Rewrite, Source, Tunnel};
use guideway_dataplane::snapshot::Pool;
use guideway_dataplane::table::{BaseTable, TableBackend};
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::vlan::Tags;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Slots of every pool's table: a prime, small so that a snapshot costs nothing.
pub const TABLE_SIZE: u32 = 251;

/// A pool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolContext {
    /// Its name.
    pub name: String,
    /// Its forwarding mode.
    pub forward: Forward,
    /// UDP port of GUE, 6080 unless given.
    pub gue_port: Option<u16>,
    /// Variant of GUE, 0 unless given.
    #[serde(default)]
    pub gue_variant: u8,
    /// Whether GUE has a UDP checksum.
    #[serde(default = "yes")]
    pub udp_checksum: bool,
    /// Whether a tunnel's packet that does not fit is sent in fragments of its outer packet.
    #[serde(default)]
    pub fragment_outer: bool,
    /// How servers write their IDs into QUIC connection IDs.
    #[serde(default)]
    pub quic_lb: Vec<QuicContext>,
    /// Its backends; all are eligible.
    pub backends: Vec<BackendContext>,
}

/// A forwarding mode.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Ethernet addresses only.
    L2dsr,
    /// IP in IP; the outer family is that of the backend's address.
    Ipip,
    /// GRE, as IP in IP.
    Gre,
    /// Generic UDP encapsulation, as IP in IP.
    Gue,
}

/// A backend, and its next hop unless it has several.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendContext {
    /// Its id, unique in the context.
    pub id: u16,
    /// Its address.
    pub address: IpAddr,
    /// Its weight in the table, 1 unless given; one of weight 0 gets only what names it.
    #[serde(default = "one")]
    pub weight: u32,
    /// Its ID in QUIC connection IDs, in hexadecimal.
    #[serde(default, deserialize_with = "bytes")]
    pub server_id: Vec<u8>,
    /// The address that a tunnel to it starts from, or a prefix of them.
    #[serde(default, deserialize_with = "optional_prefix")]
    pub encap_source: Option<(IpAddr, u8)>,
    /// The hardware address of its next hop, unless it is not known.
    #[serde(default, deserialize_with = "optional_mac")]
    pub mac: Option<Mac>,
    /// The port that leads there.
    #[serde(default)]
    pub egress: u16,
    /// MTU of that port, 1500 unless given.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// The VLAN that leads there.
    pub vlan: Option<VlanContext>,
    /// Several next hops that share by flow, instead of the one above.
    #[serde(default)]
    pub hops: Vec<HopContext>,
}

/// One of several next hops; its identity is its place among them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopContext {
    /// Its hardware address, unless it is not known.
    #[serde(default, deserialize_with = "optional_mac")]
    pub mac: Option<Mac>,
    /// The port that leads there.
    #[serde(default)]
    pub egress: u16,
    /// MTU of that port, 1500 unless given.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// The VLAN that leads there.
    pub vlan: Option<VlanContext>,
}

/// One configuration of QUIC-LB.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuicContext {
    /// The first three bits of a connection ID.
    pub config_id: u8,
    /// Bytes of a server ID.
    pub server_id_len: u8,
    /// Bytes of the nonce.
    pub nonce_len: u8,
    /// The key, 32 hexadecimal digits; without one server IDs are open.
    #[serde(default, deserialize_with = "optional_key")]
    pub key: Option<[u8; 16]>,
}

impl PoolContext {
    pub(super) fn build(&self, context: &Context, hasher: &FlowHasher) -> Result<Pool> {
        let names: Vec<String> = self.backends.iter().map(|backend| backend.id.to_string()).collect();
        let weights = self.backends.iter().map(|backend| backend.weight);
        let members: Vec<TableBackend<'_>> =
            names.iter().zip(weights).map(|(name, weight)| TableBackend { name, weight }).collect();
        let table = BaseTable::build(&members, hasher, TABLE_SIZE)?.table().clone();
        let backends: Result<Arc<[Backend]>> =
            self.backends.iter().map(|backend| self.backend(context, backend)).collect();
        Ok(Pool::new([table].into(), backends?).with_server_ids(self.server_ids()))
    }

    fn backend(&self, context: &Context, backend: &BackendContext) -> Result<Backend> {
        let rewrite = self.rewrite(backend).with_context(|| format!("backend {}", backend.id))?;
        let BackendContext { mac, egress, mtu, vlan, .. } = *backend;
        let one = [HopContext { mac, egress, mtu, vlan }];
        let hops = if backend.hops.is_empty() { &one[..] } else { &backend.hops };
        let hops: Result<Vec<(u64, NextHop)>> =
            (0..).zip(hops).map(|(id, hop)| Ok((id, hop.next_hop(context)?))).collect();
        Ok(Backend { id: BackendId(backend.id), hops: Hops::new(&hops?), rewrite })
    }

    fn server_ids(&self) -> Option<Arc<ServerIds>> {
        let config = |config: &QuicContext| {
            let QuicContext { config_id, server_id_len, nonce_len, key } = *config;
            LbConfig { config_id, server_id_len, nonce_len, key }
        };
        let configs: Vec<LbConfig> = self.quic_lb.iter().map(config).collect();
        let servers: Vec<(&[u8], u16)> = self.backends.iter().map(|backend| &backend.server_id[..]).zip(0..).collect();
        (!configs.is_empty()).then(|| Arc::new(ServerIds::new(&configs, &servers)))
    }

    fn rewrite(&self, backend: &BackendContext) -> Result<Rewrite> {
        let variant = match self.gue_variant {
            0 => GueVariant::Header,
            1 => GueVariant::Direct,
            _ => bail!("GUE has variants 0 and 1"),
        };
        let gue = Gue { port: self.gue_port.unwrap_or(Gue::default().port), variant, checksum: self.udp_checksum };
        let encapsulation = match self.forward {
            Forward::L2dsr if backend.encap_source.is_none() => return Ok(Rewrite::L2dsr),
            Forward::L2dsr => bail!("only a tunnel has an encap_source"),
            Forward::Ipip => Encapsulation::Ipip,
            Forward::Gre => Encapsulation::Gre,
            Forward::Gue => Encapsulation::Gue(gue),
        };
        let tunnel = match (backend.encap_source, backend.address) {
            (Some((IpAddr::V4(source), len)), IpAddr::V4(address)) => {
                Tunnel::v4(Source::prefix_v4(source, len), address, encapsulation)
            }
            (Some((IpAddr::V6(source), len)), IpAddr::V6(address)) => {
                Tunnel::v6(Source::prefix_v6(source, len), address, encapsulation)
            }
            _ => bail!("a tunnel has an encap_source of its family"),
        };
        Ok(tunnel.fragment_outer(self.fragment_outer).into())
    }
}

impl HopContext {
    fn next_hop(&self, context: &Context) -> Result<NextHop> {
        let port = context.ports.get(usize::from(self.egress)).context("no such egress port")?;
        let tags = self.vlan.map_or(Tags::NONE, VlanContext::tags);
        Ok(NextHop { egress: PortId(self.egress), source: port.mac, destination: self.mac, mtu: self.mtu, tags })
    }
}
