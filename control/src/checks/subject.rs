//! Who is asked what.

use crate::health::{AGENT, CheckNumber};
use guideway_config::model::{Agent, Check, CheckKind, CheckTimes, Via};
use guideway_dataplane::ids::BackendId;
use std::net::IpAddr;
use std::sync::Arc;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it serves.
    Check(CheckKind),
    /// How much traffic it wants.
    Agent,
}

impl Question {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Check(kind) => kind.word(),
            Self::Agent => "agent",
        }
    }
}

/// A check of a pool, or its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its place in the pool's list; [`AGENT`] for the agent.
    pub number: CheckNumber,
    /// What is asked.
    pub question: Arc<Question>,
    /// Which way.
    pub via: Via,
    /// At which port; 0 where there is none.
    pub port: u16,
    /// Whether that is the VIP's, so that the port of a backend that has one goes before it.
    pub is_at_vip: bool,
    /// From which address; `None`: not configured.
    pub source: Option<IpAddr>,
    /// How often, and what makes a verdict.
    pub times: CheckTimes,
}

impl Asked {
    /// A check by its place in the pool's list.
    #[must_use]
    pub fn check(number: CheckNumber, check: &Check) -> Self {
        Self {
            number,
            question: Arc::new(Question::Check(check.kind.clone())),
            via: check.via,
            port: check.port.unwrap_or_default(),
            is_at_vip: check.port_of_vip,
            source: check.probe_source,
            times: check.times,
        }
    }

    /// The agent of a pool.
    #[must_use]
    pub fn agent(agent: &Agent) -> Self {
        let &Agent { port, interval, timeout, via } = agent;
        let times = CheckTimes { interval, fast_interval: interval, timeout, rise: 1, fall: 1 };
        Self { number: AGENT, question: Arc::new(Question::Agent), via, port, is_at_vip: false, source: None, times }
    }
}

/// One check of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The backend.
    pub backend: BackendId,
    /// Where questions go: the VIP on the way of traffic, else the backend's own address.
    pub destination: IpAddr,
    /// Where they come from; `None`: the kernel's choice.
    pub source: Option<IpAddr>,
    /// What is asked.
    pub asked: Asked,
}

impl Subject {
    /// Whether what is known of the other one holds for this one: only times may differ.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        let same = |a: &Asked, b: &Asked| (&a.question, a.via, a.port) == (&b.question, b.via, b.port);
        (self.backend, self.destination, self.source) == (other.backend, other.destination, other.source)
            && same(&self.asked, &other.asked)
    }
}
