//! A backend that is added at run time: checked like one of the file.

use crate::topology::{hops_to, own_address};
use guideway_config::model::{Backend, Check, Config, Forward, Via, Vip};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// Longest name, in bytes, as in the file.
const NAME_LENGTH: usize = 64;
/// Highest weight, as in the file.
const HIGHEST_WEIGHT: u32 = 65_535;

/// A backend to add: the keys of `[[pool.backend]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// Its name, unique in the pool.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// Where it listens, in a pool that rewrites addresses; the VIP's port without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its share.
    #[serde(default = "one")]
    pub weight: u32,
    /// Its group.
    #[serde(default)]
    pub priority: u8,
    /// What names it in QUIC connection IDs: two hexadecimal digits a byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
}

const fn one() -> u32 {
    1
}

impl Addition {
    /// The backend, if the file could have it in this pool. What is wrong, and what to do, otherwise.
    pub(crate) fn check(self, config: &Config, pool: usize) -> Result<Backend, String> {
        let Self { name, address, port, weight, priority, server_id } = self;
        check_name(&name)?;
        if weight > HIGHEST_WEIGHT {
            return Err(format!("{weight} is no weight: 0 to {HIGHEST_WEIGHT}"));
        }
        let parsed = address.parse::<IpAddr>();
        let address = parsed.map_err(|_| format!("{address:?} is not an IPv4 or IPv6 address"))?;
        check_unicast(address)?;
        check_place(config, pool, address)?;
        if let Some(port) = port {
            check_port(port, config.pools[pool].forward)?;
        }
        let server_id = server_id.map(|text| check_server_id(config, pool, &text)).transpose()?;
        Ok(Backend { name, address, port, weight, priority, server_id })
    }
}

fn check_port(port: u16, forward: Forward) -> Result<(), String> {
    if port == 0 {
        return Err("0 is no port: 1 to 65535".to_owned());
    }
    if !forward.is_nat() {
        return Err(format!("`port` has no meaning with forward = \"{forward}\": the mode does not rewrite ports"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() {
        Err("the name is empty".to_owned())
    } else if name.len() > NAME_LENGTH {
        Err(format!("the name {name:?} is longer than {NAME_LENGTH} characters"))
    } else if name.chars().all(allowed) {
        Ok(())
    } else {
        Err(format!("the name {name:?} cannot be: use letters, digits, '-', '_', '.' and ':'"))
    }
}

fn check_unicast(address: IpAddr) -> Result<(), String> {
    let wrong = match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.to_ipv4_mapped().is_some(),
    };
    if wrong || address.is_loopback() || address.is_multicast() {
        return Err(format!("{address} is no unicast address of a machine: write the backend's own address"));
    }
    Ok(())
}

/// Whether packets and probes of the pool get to an address.
fn check_place(config: &Config, pool: usize, address: IpAddr) -> Result<(), String> {
    let of_pool = &config.pools[pool];
    let interfaces = config.interfaces.iter().flat_map(|interface| &interface.addresses);
    if interfaces.clone().any(|own| own.addr() == address) {
        return Err(format!("{address} is an own address: write the backend's"));
    }
    if let Some(vip) = config.vips.iter().find(|vip| vip.address.contains(&address)) {
        return Err(format!("{address} is an address of the VIP {vip}: write the backend's own address"));
    }
    let vip = config.vips.iter().find(|vip: &&Vip| vip.pool == pool);
    if of_pool.forward == Forward::L2dsr {
        if !interfaces.clone().any(|own| own.contains(&address)) {
            return Err(format!("{address} is in no interface's subnet: l2dsr needs the backend on the same segment"));
        }
        if vip.is_some_and(|vip| vip.address.addr().is_ipv4() != address.is_ipv4()) {
            return Err(format!("{address} is of another family than the pool's VIPs: l2dsr carries one family"));
        }
    }
    let has_source = |source: &IpAddr| source.is_ipv4() == address.is_ipv4();
    if !of_pool.sources.is_empty() && !of_pool.sources.iter().any(has_source) {
        return Err(format!("{address} is of another family than every one of the pool's `source_addresses`"));
    }
    let Some(vip) = vip.filter(|_| !of_pool.forward.is_nat()) else { return Ok(()) };
    let needs_source = |check: &Check| check.via == Via::Dataplane && check.probe_source.is_none();
    let hops = hops_to(config, address);
    let unprobed = hops.iter().any(|hop| own_address(config, hop.link, vip.address.addr()).is_none());
    if of_pool.health.iter().any(needs_source) && unprobed {
        let family = if vip.address.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!(
            "{address} cannot be checked, so it would never serve: the interface on the way to it has no {family} \
             address; give it one, or set `probe_source`"
        ));
    }
    Ok(())
}

fn check_server_id(config: &Config, pool: usize, text: &str) -> Result<Box<[u8]>, String> {
    let of_pool = &config.pools[pool];
    let Some(lb) = of_pool.quic_lb.first() else {
        return Err("`server_id` has no meaning in a pool without [[pool.quic_lb]]: leave it out".to_owned());
    };
    let length = usize::from(lb.server_id_len);
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|c| c.is_ascii_hexdigit()));
        digits.filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let id: Option<Box<[u8]>> = pairs.collect();
    let Some(id) = id.filter(|id| id.len() == length) else {
        return Err(format!("the server_id {text:?} is not {length} bytes of two hexadecimal digits each"));
    };
    let other = of_pool.backends.iter().find(|backend| backend.server_id.as_ref() == Some(&id));
    match other {
        Some(other) => Err(format!("{:?} has the server_id {text:?} already: choose another one", other.name)),
        None => Ok(id),
    }
}
