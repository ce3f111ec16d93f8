//! How values are written in a context, and what stands for those that are left out.

use anyhow::{Result, anyhow};
use guideway_dataplane::vip::ServicePort;
use guideway_dataplane::wire::ethernet::Mac;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;

pub(super) const fn yes() -> bool {
    true
}

pub(super) const fn default_mtu() -> u16 {
    1500
}

pub(super) const fn one() -> u32 {
    1
}

pub(super) const fn any_port() -> ServicePort {
    ServicePort::Any
}

/// An address, or a prefix, with its length.
pub(super) fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(IpAddr, u8), D::Error> {
    let text = String::deserialize(deserializer)?;
    let (address, len) = text.split_once('/').map_or((&*text, None), |(address, len)| (address, Some(len)));
    let address: IpAddr = address.parse().map_err(serde::de::Error::custom)?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let len = len.map_or(Ok(whole), str::parse).map_err(serde::de::Error::custom)?;
    Ok((address, len))
}

pub(super) fn optional_prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(IpAddr, u8)>, D::Error> {
    prefix(deserializer).map(Some)
}

/// A port, or two with a dash between them.
pub(super) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServicePort, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(u16),
        Range(String),
    }
    match Written::deserialize(deserializer)? {
        Written::One(port) => Ok(ServicePort::Exact(port)),
        Written::Range(text) => {
            let bounds = text.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
            let (low, high): (u16, u16) = bounds.ok_or_else(|| serde::de::Error::custom("a range is low-high"))?;
            Ok(ServicePort::Range(low..=high))
        }
    }
}

pub(super) fn mac<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bytes(&text.replace(':', "")).map_err(serde::de::Error::custom)
}

pub(super) fn optional_mac<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mac>, D::Error> {
    mac(deserializer).map(Some)
}

pub(super) fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_bytes(&text).map_err(serde::de::Error::custom)
}

pub(super) fn optional_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 16]>, D::Error> {
    key(deserializer).map(Some)
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::bytes::Frames::default().read(&text).map_err(serde::de::Error::custom)
}

fn parse_bytes<const N: usize>(digits: &str) -> Result<[u8; N]> {
    let bytes = crate::bytes::Frames::default().read(digits)?;
    <[u8; N]>::try_from(bytes).map_err(|bytes| anyhow!("{} bytes where {N} are needed", bytes.len()))
}
