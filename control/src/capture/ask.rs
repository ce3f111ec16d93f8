//! What somebody asks for, in the words of the configuration, and what of it workers look for.

use crate::state::State;
use guideway_config::model::Config;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{BackendId, PortId, VipId};
use guideway_dataplane::observe::{Dropped, Filter};
use guideway_dataplane::vip::Prefix;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// Seconds unless asked otherwise: nobody forgets a capture for longer.
const SECONDS: u64 = 600;
/// Bytes unless asked otherwise: 1 GiB.
const BYTES: u64 = 1 << 30;
/// As many bytes of a frame as pcapng readers take at once.
const LONGEST_SNAP: u32 = 262_144;
/// What is left of a frame shows its Ethernet and IP headers.
const SHORTEST_SNAP: u32 = 64;

/// Which frames: as they come in, as they leave, or both.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// As they come in.
    In,
    /// As they leave.
    Out,
    /// Both: a packet that is forwarded is there twice.
    #[default]
    Both,
}

/// The body of `POST /v1/capture`. What is absent does not narrow the capture.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureAsk {
    /// Packets of this VIP: `address:port/protocol`, as `status` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// Packets to this backend: `pool/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Packets of clients with these addresses: an address or a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Packets that are dropped for this reason; `any`: for whatever reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<String>,
    /// Frames of this port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Which frames.
    pub direction: Direction,
    /// One packet of so many, at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
    /// Frames after which it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Seconds after which it ends; 600 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Bytes of the file after which it ends; 1 GiB unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes of each frame at most; whole frames unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
}

/// Where a capture ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub frames: u64,
    pub seconds: u64,
    pub bytes: u64,
}

/// Why what is asked for cannot be.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// A name that is not there.
    #[error("{option} {value:?}: {problem}")]
    Unknown {
        /// What it is given for.
        option: &'static str,
        /// What is given.
        value: String,
        /// What is wrong, and what there is.
        problem: String,
    },
    /// A value that cannot be.
    #[error("{option} {value:?}: {problem}")]
    Value {
        /// What it is given for.
        option: &'static str,
        /// What is given.
        value: String,
        /// What is wrong, and what to write.
        problem: String,
    },
}

fn wrong(option: &'static str, value: &dyn ToString, problem: impl Into<String>) -> AskError {
    AskError::Value { option, value: value.to_string(), problem: problem.into() }
}

fn unknown(option: &'static str, value: &str, problem: String) -> AskError {
    AskError::Unknown { option, value: value.to_owned(), problem }
}

/// Names that a message shows.
const NAMES_SHOWN: usize = 12;

fn some_of(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(NAMES_SHOWN + 1).collect();
    if names.len() > NAMES_SHOWN {
        names[NAMES_SHOWN] = "more".to_owned();
    }
    names.join(", ")
}

impl CaptureAsk {
    /// What workers are to look for.
    pub(super) fn filter(&self, state: &State) -> Result<Filter, AskError> {
        if self.drop.is_some() && self.direction == Direction::Out {
            return Err(wrong("direction", &"out", "what is dropped does not leave; leave one of both out"));
        }
        if self.sample == Some(0) {
            return Err(wrong("sample", &0, "is 1 for every packet, 100 for one of a hundred"));
        }
        Ok(Filter {
            vip: self.vip.as_deref().map(|name| vip(state, name)).transpose()?,
            client: self.client.as_deref().map(client).transpose()?,
            backend: self.backend.as_deref().map(|name| backend(state, name)).transpose()?,
            drop: self.drop.as_deref().map(dropped).transpose()?,
            port: self.port.as_deref().map(|name| port(&state.config, name)).transpose()?,
            comes_in: self.direction != Direction::Out,
            leaves: self.direction != Direction::In,
            sample: self.sample.unwrap_or(1),
        })
    }

    /// Where it ends.
    pub(super) fn bounds(&self) -> Result<Bounds, AskError> {
        let positive = |option, value: Option<u64>, default| match value {
            Some(0) => Err(wrong(option, &0, "would end before it begins")),
            Some(value) => Ok(value),
            None => Ok(default),
        };
        Ok(Bounds {
            frames: positive("count", self.count, u64::MAX)?,
            seconds: positive("seconds", self.seconds, SECONDS)?,
            bytes: positive("bytes", self.bytes, BYTES)?,
        })
    }

    /// Bytes of each frame at most.
    pub(super) fn snap(&self) -> Result<u32, AskError> {
        match self.snaplen {
            None => Ok(LONGEST_SNAP),
            Some(bytes) if (SHORTEST_SNAP..=LONGEST_SNAP).contains(&bytes) => Ok(bytes),
            Some(bytes) => Err(wrong("snaplen", &bytes, format!("is from {SHORTEST_SNAP} to {LONGEST_SNAP} bytes"))),
        }
    }
}

fn vip(state: &State, name: &str) -> Result<(VipId, Prefix), AskError> {
    let config = &state.config;
    let found = config.vips.iter().position(|vip| vip.to_string() == name);
    let none = || {
        let known = some_of(config.vips.iter().map(ToString::to_string));
        unknown("vip", name, format!("there is no such VIP; there is {known}"))
    };
    let index = found.ok_or_else(none)?;
    let address = config.vips[index].address;
    Ok((state.vip_ids[index], Prefix::new(address.network(), address.prefix_len())))
}

fn backend(state: &State, name: &str) -> Result<BackendId, AskError> {
    let (pool, of_pool) =
        name.split_once('/').ok_or_else(|| wrong("backend", &name, "is written POOL/NAME, for example web/web1"))?;
    let problem = |error: crate::state::ChangeError| unknown("backend", name, error.to_string());
    let pool = state.pool_named(pool).map_err(problem)?;
    let index = state.backend_named(pool, of_pool).map_err(problem)?;
    Ok(state.pools[pool].backends[index].id)
}

fn port(config: &Config, name: &str) -> Result<PortId, AskError> {
    let found = config.ports.iter().position(|port| port.name == name);
    let none = || {
        let known = some_of(config.ports.iter().map(|port| port.name.clone()));
        unknown("port", name, format!("there is no such port; there is {known}"))
    };
    Ok(PortId(found.ok_or_else(none)? as u16))
}

fn client(text: &str) -> Result<Prefix, AskError> {
    let net: Option<IpNet> = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let net = net.ok_or_else(|| wrong("client", &text, "is an address or a prefix, for example 192.0.2.0/24"))?;
    Ok(Prefix::new(net.network(), net.prefix_len()))
}

fn dropped(text: &str) -> Result<Dropped, AskError> {
    if text == "any" {
        return Ok(Dropped::Any);
    }
    let Some(reason) = DropReason::ALL.iter().find(|reason| reason.label() == text) else {
        let problem = "is no reason; docs/drops.md lists them, and any stands for all".to_owned();
        return Err(unknown("drop", text, problem));
    };
    match reason {
        // A burst of frames, or one of the control side: nobody knows any more what was decided about them.
        DropReason::TxFull | DropReason::HandoffFull | DropReason::StaleInjection => {
            Err(wrong("drop", &text, "happens to frames that are on their way out, and is counted only"))
        }
        reason => Ok(Dropped::For(*reason)),
    }
}
