//! Configurations of Guideway that fit a lab.

use crate::address;
use crate::backend::Backend;
use crate::topology::Lab;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use toml::Value;

/// The key of every lab's fleet.
const HASH_KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// The driver of the balancer's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `net_af_packet`.
    AfPacket,
    /// `net_af_xdp`.
    AfXdp,
}

/// A configuration, as its file has it. Every part can be changed before [`GuidewayConfig::text`].
#[derive(Clone, Debug, Serialize)]
pub struct GuidewayConfig {
    /// `[fleet]`.
    pub fleet: BTreeMap<String, Value>,
    /// `[cores]`.
    pub cores: BTreeMap<String, Value>,
    /// `[api]`.
    pub api: BTreeMap<String, Value>,
    /// `[state]`; `None`: the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<BTreeMap<String, Value>>,
    /// `[exception]`; `None`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<BTreeMap<String, Value>>,
    /// `[audit]`; `None`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<BTreeMap<String, Value>>,
    /// `[[port]]`.
    pub port: Vec<BTreeMap<String, Value>>,
    /// `[[interface]]`.
    pub interface: Vec<BTreeMap<String, Value>>,
    /// `[[route]]`.
    pub route: Vec<BTreeMap<String, Value>>,
    /// `[[pool]]`.
    pub pool: Vec<PoolConfig>,
    /// `[[vip]]`.
    pub vip: Vec<VipConfig>,
}

/// `[[pool]]`.
#[derive(Clone, Debug, Serialize)]
pub struct PoolConfig {
    /// Its name.
    pub name: String,
    /// `l2dsr`, `ipip`, `gre`, `gue`.
    pub forward: String,
    /// `health`; empty: `{ kind = "none" }` is left to the default of the program.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub health: BTreeMap<String, Value>,
    /// Any further key.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
    /// `[[pool.backend]]`.
    pub backend: Vec<BTreeMap<String, Value>>,
}

/// `[[vip]]`.
#[derive(Clone, Debug, Serialize)]
pub struct VipConfig {
    /// The address, or a prefix.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// A number, a range such as "8000-8099", or "any".
    pub port: Value,
    /// The name of the pool.
    pub pool: String,
    /// Any further key.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl GuidewayConfig {
    /// The balancer's ports, interfaces and default routes in `lab`, with as many workers as `workers` names cores;
    /// no pool and no VIP yet.
    pub fn new(lab: &Lab, device: Device, workers: &[u32]) -> Self {
        let segment = (address::BALANCER_V4.into(), address::BALANCER_V6.into());
        let outside = (address::OUTSIDE_V4.into(), address::OUTSIDE_V6.into());
        let mut ports = vec![port("edge", device, 0, workers.len(), lab)];
        let mut interfaces = vec![interface("edge", if lab.is_two_armed() { outside } else { segment })];
        let mut gateways = [address::ROUTER_V4.to_string(), address::ROUTER_V6.to_string()];
        if lab.is_two_armed() {
            ports.push(port("inside", device, 1, workers.len(), lab));
            interfaces.push(interface("inside", segment));
            gateways = [address::ROUTER_OUTSIDE_V4.to_string(), address::ROUTER_OUTSIDE_V6.to_string()];
        }
        let cores = workers.iter().map(|core| Value::from(*core)).collect::<Vec<_>>();
        Self {
            fleet: table([("hash_key", HASH_KEY.into())]),
            cores: table([("control", 0.into()), ("workers", cores.into()), ("idle", "adaptive".into())]),
            api: table([("socket", socket(lab.folder()).to_string_lossy().as_ref().into())]),
            state: None,
            exception: None,
            audit: None,
            port: ports,
            interface: interfaces,
            route: vec![table([("to", "default".into()), ("via", gateways.to_vec().into())])],
            pool: Vec::new(),
            vip: Vec::new(),
        }
    }

    /// A pool of all backends of the lab in one family, checked by TCP on port 80 with the default times.
    #[must_use]
    pub fn pool(self, lab: &Lab, name: &str, forward: &str, ipv6: bool) -> Self {
        let address = |backend: &Backend| if ipv6 { backend.v6().into() } else { backend.v4().into() };
        self.pool_at(lab.backends(), name, forward, address)
    }

    /// A pool of some backends at these addresses, checked like the others.
    #[must_use]
    pub fn pool_at(
        mut self,
        backends: &[Backend],
        name: &str,
        forward: &str,
        address: impl Fn(&Backend) -> IpAddr,
    ) -> Self {
        let backend = backends
            .iter()
            .map(|backend| table([("name", backend.name().into()), ("address", address(backend).to_string().into())]));
        self.pool.push(PoolConfig {
            name: name.into(),
            forward: forward.into(),
            health: table([("kind", "tcp".into()), ("port", 80.into())]),
            more: BTreeMap::new(),
            backend: backend.collect(),
        });
        self
    }

    /// A route by these next hops, which share the flows.
    #[must_use]
    pub fn route(mut self, to: &str, via: &[IpAddr]) -> Self {
        let via = via.iter().map(|hop| Value::from(hop.to_string())).collect::<Vec<_>>();
        self.route.push(table([("to", to.into()), ("via", via.into())]));
        self
    }

    /// A VIP of one address and port.
    #[must_use]
    pub fn vip(self, address: IpAddr, protocol: &str, port: u16, pool: &str) -> Self {
        self.wide_vip(&address.to_string(), protocol, i64::from(port), pool)
    }

    /// A VIP of any address or prefix and any form of port.
    #[must_use]
    pub fn wide_vip(mut self, address: &str, protocol: &str, port: impl Into<Value>, pool: &str) -> Self {
        let (address, protocol, pool) = (address.into(), protocol.into(), pool.into());
        self.vip.push(VipConfig { address, protocol, port: port.into(), pool, more: BTreeMap::new() });
        self
    }

    /// Where its control socket lies.
    pub fn socket(&self) -> PathBuf {
        self.api.get("socket").and_then(Value::as_str).unwrap_or_default().into()
    }

    /// The file's text.
    pub fn text(&self) -> Result<String> {
        toml::to_string(self).context("the configuration cannot be written as TOML")
    }
}

/// A table of TOML.
pub fn table<const N: usize>(entries: [(&str, Value); N]) -> BTreeMap<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("guideway.sock")
}

fn port(name: &str, device: Device, number: usize, queues: usize, lab: &Lab) -> BTreeMap<String, Value> {
    let device = match device {
        Device::AfPacket => format!("net_af_packet{number},iface=gw{number},qpairs={queues}"),
        Device::AfXdp => format!("net_af_xdp{number},iface=gw{number},start_queue=0,queue_count={queues}"),
    };
    let on_segment = lab.segment_device() == format!("gw{number}");
    let mtu = if on_segment { lab.segment_mtu() } else { 1500 };
    table([("name", name.into()), ("device", device.into()), ("mtu", mtu.into())])
}

fn interface(port: &str, (v4, v6): (IpAddr, IpAddr)) -> BTreeMap<String, Value> {
    let addresses = vec![format!("{v4}/24"), format!("{v6}/64")];
    table([("port", port.into()), ("addresses", addresses.into())])
}
