//! The drain of a whole machine: nobody is told the way to VIPs any more, what still arrives is forwarded, and when nothing
//! arrives the process stops.

use crate::control::Control;
use guideway_dataplane::time::Nanos;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tracing::info;
use utoipa::ToSchema;

/// For how long no packet for a VIP may have come, unless asked for otherwise.
const QUIET_SECONDS: f64 = 10.0;

/// How the log of changes calls this machine.
const NODE: &str = "node";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Flows count as gone when no packet for a VIP came for this long.
    #[serde(default = "quiet")]
    pub quiet_seconds: f64,
    /// Stop after this long, whatever still comes; absent: wait for as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_seconds: Option<f64>,
}

const fn quiet() -> f64 {
    QUIET_SECONDS
}

impl Default for Ask {
    fn default() -> Self {
        Self { quiet_seconds: QUIET_SECONDS, limit_seconds: None }
    }
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainStatus {
    /// Since it began.
    pub since_seconds: f64,
    /// Since the last packet for a VIP, or since it began.
    pub quiet_for_seconds: f64,
    /// The process stops when that is so long.
    pub quiet_seconds: f64,
    /// It stops after so long in any case; `null`: it does not.
    pub limit_seconds: Option<f64>,
}

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeDrain {
    quiet: Duration,
    limit: Option<Duration>,
    began: Nanos,
    last_packet: Nanos,
    packets: u64,
}

impl NodeDrain {
    /// One that begins when `packets` were sent for VIPs. What is wrong with a time otherwise.
    pub(crate) fn new(ask: Ask, now: Nanos, packets: u64) -> Result<Self, String> {
        let time = |name: &str, seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| format!("{name} {seconds} is no time: write seconds, 0 or more"))
        };
        let quiet = time("quiet_seconds", ask.quiet_seconds)?;
        let limit = ask.limit_seconds.map(|limit| time("limit_seconds", limit)).transpose()?;
        Ok(Self { quiet, limit, began: now, last_packet: now, packets })
    }

    /// Takes over how many packets were sent for VIPs by now. Returns whether it is over.
    pub(crate) fn step(&mut self, now: Nanos, packets: u64) -> bool {
        if packets != self.packets {
            (self.packets, self.last_packet) = (packets, now);
        }
        now.since(self.last_packet) >= self.quiet || self.limit.is_some_and(|limit| now.since(self.began) >= limit)
    }

    /// What was asked for, for the log of changes.
    fn ask(&self) -> Value {
        let limit = self.limit.map(|limit| limit.as_secs_f64());
        json!(Ask { quiet_seconds: self.quiet.as_secs_f64(), limit_seconds: limit })
    }

    /// The same with other times.
    pub(crate) fn with_times_of(self, other: Self) -> Self {
        Self { quiet: other.quiet, limit: other.limit, ..self }
    }

    pub(crate) fn status(&self, now: Nanos) -> DrainStatus {
        DrainStatus {
            since_seconds: now.since(self.began).as_secs_f64(),
            quiet_for_seconds: now.since(self.last_packet).as_secs_f64(),
            quiet_seconds: self.quiet.as_secs_f64(),
            limit_seconds: self.limit.map(|limit| limit.as_secs_f64()),
        }
    }
}

impl Control {
    /// Begins to drain the machine, or gives a drain that is under way other times.
    ///
    /// # Errors
    ///
    /// What is wrong with a time; nothing changed then.
    pub fn drain(&mut self, ask: Ask, now: Nanos) -> Result<(), String> {
        let begun = NodeDrain::new(ask, now, self.vip_packets())?;
        let before = self.drain.map_or(Value::Null, |drain| drain.ask());
        self.drain = Some(self.drain.map_or(begun, |drain| drain.with_times_of(begun)));
        self.state.withdraw(true);
        self.audit.changed(NODE.to_owned(), "drain", before, begun.ask());
        info!(?ask, "this machine drains: VIPs are not answered for any more");
        Ok(())
    }

    /// Undoes a drain of the machine: VIPs are answered for and announced again. Returns whether there was one.
    pub fn cancel_drain(&mut self) -> bool {
        let Some(drain) = self.drain.take() else { return false };
        self.state.withdraw(false);
        self.audit.changed(NODE.to_owned(), "cancel drain", drain.ask(), Value::Null);
        info!("this machine does not drain any more");
        true
    }

    /// How far a drain of the machine is; `None`: there is none.
    #[must_use]
    pub fn drain_status(&self, now: Nanos) -> Option<DrainStatus> {
        self.drain.map(|drain| drain.status(now))
    }

    /// Whether a drain of the machine is over, so that the process is to stop.
    pub fn has_drained(&mut self, now: Nanos) -> bool {
        let packets = self.vip_packets();
        self.drain.as_mut().is_some_and(|drain| drain.step(now, packets))
    }

    /// Packets sent for VIPs so far.
    fn vip_packets(&self) -> u64 {
        self.state.vip_ids.iter().map(|id| self.vip_traffic(*id).packets).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos(1) + Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_over_when_nothing_came_for_a_while() {
        let mut drain = NodeDrain::new(Ask::default(), at(0), 7).unwrap();
        assert!(!drain.step(at(9), 8));
        assert!(!drain.step(at(18), 8));
        assert_eq!(drain.status(at(18)).quiet_for_seconds, 9.0);
        assert!(drain.step(at(19), 8));
    }

    #[test]
    fn it_is_over_at_its_limit_whatever_comes() {
        let ask = Ask { limit_seconds: Some(60.0), ..Ask::default() };
        let mut drain = NodeDrain::new(ask, at(0), 0).unwrap();
        for second in 1..60 {
            assert!(!drain.step(at(second), second));
        }
        assert!(drain.step(at(60), 60));
    }

    #[test]
    fn times_are_times() {
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert!(NodeDrain::new(Ask { quiet_seconds: bad, ..Ask::default() }, at(0), 0).is_err(), "{bad}");
            assert!(NodeDrain::new(Ask { limit_seconds: Some(bad), ..Ask::default() }, at(0), 0).is_err(), "{bad}");
        }
    }
}
