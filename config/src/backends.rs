//! `[[pool.backend]]`: backends, their weights and groups.

use crate::addresses;
use crate::reader::{Located, Reader};
use crate::report::Report;
use crate::scalar;
use std::net::IpAddr;

/// Highest weight.
const HIGHEST_WEIGHT: u64 = 65535;

pub(crate) struct BackendDraft {
    /// As written, or the address.
    pub(crate) name: Option<Located<String>>,
    pub(crate) address: Option<Located<IpAddr>>,
    /// `Some(None)`: the VIP's.
    pub(crate) port: Option<Option<Located<u16>>>,
    pub(crate) weight: Option<u32>,
    pub(crate) priority: Option<u8>,
    /// `Some(None)`: none.
    pub(crate) server_id: Option<Option<Located<Box<[u8]>>>>,
}

/// Reads one backend.
pub(crate) fn read(mut backend: Reader<'_>, report: &mut Report) -> BackendDraft {
    let address = backend.need("address", report).and_then(|value| value.parsed(addresses::address, report));
    let name = match backend.get("name") {
        Some(value) => value.parsed(scalar::name, report),
        None => address.map(|address| address.map(|address| address.to_string())),
    };
    let port = match backend.get("port") {
        Some(value) => value.integer(1, 65535, report).map(|port| Some(port.map(|port| port as u16))),
        None => Some(None),
    };
    let weight = match backend.get("weight") {
        Some(value) => value.integer(0, HIGHEST_WEIGHT, report).map(|weight| weight.value as u32),
        None => Some(1),
    };
    let priority = match backend.get("priority") {
        Some(value) => value.integer(0, u64::from(u8::MAX), report).map(|priority| priority.value as u8),
        None => Some(0),
    };
    let server_id = match backend.get("server_id") {
        Some(value) => value.parsed(scalar::server_id, report).map(Some),
        None => Some(None),
    };
    backend.finish(report);
    BackendDraft { name, address, port, weight, priority, server_id }
}
