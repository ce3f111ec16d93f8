//! Reload: a changed file is applied as a difference to what runs.
//!
//! [`diff`] compares two configurations and is pure: either a [`Plan`], or every reason why there is none. `fixed` knows
//! what a process keeps from its start to its end, `pools` and `vips` what they say. [`crate::state::State::reload`] makes
//! the state follow, [`run`] is the whole of it from a file on.
//!
//! VIPs and pools come and go with the file; `matching` says which pool goes on as which. What gives a VIP that stays other
//! slots ("re-keys" it) breaks every connection to it: it is refused, unless it is asked for.

mod fixed;
mod matching;
mod pools;
pub mod run;
pub(crate) mod vips;

use guideway_config::model::{Config, Vip};
use guideway_dataplane::pin::PinClock;
use matching::Matching;
use std::fmt;

/// What a reload does.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the state is to follow. Unless [`Plan::anew`], the pools that go on come first, in their present order, and then
    /// the new ones.
    pub target: Config,
    /// By present pool: whether it goes on. The others end.
    pub keeps: Vec<bool>,
    /// Whether connections break that the file does not end: somebody asked for that.
    pub breaks: bool,
    /// Whether slots and pins of all pools are made anew.
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
    /// What breaks connections of one VIP and leaves all else alone.
    breaks: Vec<String>,
    refusals: Vec<Refusal>,
}

impl Found {
    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn breaks(&mut self, reason: impl Into<String>) {
        self.breaks.push(reason.into());
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
    let matching = Matching::of(old, new);
    fixed::compare(old, new, &mut found);
    pools::compare(old, new, &matching, clock, &mut found);
    let vips = vips::compare(old, new, &matching, &mut found);
    let Found { mut lines, breaks, refusals } = found;
    let (disruptions, mut against): (Vec<_>, Vec<_>) =
        refusals.into_iter().partition(|refusal| refusal.remedy == Remedy::Disruptive);
    let anew = !disruptions.is_empty();
    let broken: Vec<String> = disruptions.into_iter().map(|refusal| refusal.reason).chain(breaks).collect();
    let breaks = !broken.is_empty();
    if disruptive {
        lines.splice(0..0, broken);
    } else {
        against.extend(broken.into_iter().map(|reason| Refusal { reason, remedy: Remedy::Disruptive }));
    }
    if !against.is_empty() {
        return Err(against);
    }
    let target = if anew { new.clone() } else { target(new, &matching, vips) };
    let keeps = matching.goes_on.iter().map(Option::is_some).collect();
    Ok(Plan { target, keeps, breaks, anew, lines })
}

/// The new configuration with its pools where the state is to have them.
fn target(new: &Config, matching: &Matching, vips: Vec<Vip>) -> Config {
    let pools = matching.order.iter().map(|index| new.pools[*index].clone()).collect();
    Config { pools, vips, ..new.clone() }
}
