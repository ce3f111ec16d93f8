//! Reload: a changed file is applied as a difference to what runs.
//!
//! [`diff`] compares two configurations and is pure: either a [`Plan`], or every reason why there is none. `fixed` knows
//! what a process keeps from its start to its end, `pools` and `vips` what they say. [`crate::state::State::reload`] makes
//! the state follow, [`run`] is the whole of it from a file on.
//!
//! What gives a VIP other slots ("re-keys" it) breaks every connection to it: it is refused, unless it is asked for.

mod fixed;
mod pools;
pub mod run;
mod vips;

use guideway_config::model::Config;
use guideway_dataplane::pin::PinClock;
use std::fmt;

/// What a reload does.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the state is to follow. Unless [`Plan::anew`], pools and VIPs are in the order of the old configuration: their
    /// places are their ids.
    pub target: Config,
    /// Whether slots and pins are made anew, which breaks connections: somebody asked for that.
    pub anew: bool,
    /// What changes, a line each.
    pub lines: Vec<String>,
}

/// What helps against a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Only a restart.
    Restart,
    /// To accept that connections break.
    Disruptive,
    /// To wait, or to write something else.
    Other,
}

/// Why a reload changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is to change, and what that would break.
    pub reason: String,
    /// What to do.
    pub remedy: Remedy,
}

/// One line: what, and what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.remedy {
            Remedy::Restart => f.write_str("; this needs a restart"),
            Remedy::Disruptive => f.write_str("; --disruptive applies it all the same, as a restart does"),
            Remedy::Other => Ok(()),
        }
    }
}

/// What a comparison found.
#[derive(Default)]
struct Found {
    lines: Vec<String>,
    refusals: Vec<Refusal>,
}

impl Found {
    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn refuse(&mut self, remedy: Remedy, reason: impl Into<String>) {
        self.refusals.push(Refusal { reason: reason.into(), remedy });
    }
}

/// What is to happen so that `new` holds where `old` does. `old` is what is wanted of the state now
/// ([`crate::state::State::desired`]), which is the file of before only if nobody changed anything at run time. `clock` is
/// that of the pins; with `disruptive`, what breaks connections is part of the plan.
///
/// # Errors
///
/// Everything that cannot be done without a restart, or without `disruptive`; never empty.
pub fn diff(old: &Config, new: &Config, clock: &PinClock, disruptive: bool) -> Result<Plan, Vec<Refusal>> {
    let mut found = Found::default();
    fixed::compare(old, new, &mut found);
    let pools = pools::compare(old, new, clock, &mut found);
    let vips = vips::compare(old, new, &mut found);
    let breaks = |refusal: &Refusal| refusal.remedy == Remedy::Disruptive;
    if found.refusals.is_empty() {
        let target = Config { pools, vips, ..new.clone() };
        return Ok(Plan { target, anew: false, lines: found.lines });
    }
    if !disruptive || !found.refusals.iter().all(breaks) {
        found.refusals.retain(|refusal| !disruptive || !breaks(refusal));
        return Err(found.refusals);
    }
    let mut lines: Vec<String> = found.refusals.into_iter().map(|refusal| refusal.reason).collect();
    lines.append(&mut found.lines);
    Ok(Plan { target: new.clone(), anew: true, lines })
}
