//! `--at TIME ACTION`: what changes while a capture goes by, as it is written.

use super::ReplayError;
use crate::state::Change;
use std::net::IpAddr;
use std::time::Duration;

/// The highest weight of a backend, as in the configuration.
const HIGHEST_WEIGHT: u32 = 65_535;

/// Verbs, and what follows each.
const GRAMMAR: [(&str, &str); 8] = [
    ("drain", "[POOL/]NAME [force]"),
    ("enable", "[POOL/]NAME"),
    ("disable", "[POOL/]NAME"),
    ("weight", "[POOL/]NAME WEIGHT"),
    ("add", "POOL/NAME ADDRESS [weight WEIGHT]"),
    ("remove", "[POOL/]NAME [force]"),
    ("down", "[POOL/]NAME"),
    ("up", "[POOL/]NAME"),
];

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// What an operator asks for.
    Change(Change),
    /// A new backend.
    Add { address: IpAddr, weight: u32 },
    /// A health check that passes.
    Up,
    /// A health check that fails.
    Down,
}

/// Whom an action is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `None`: the pools that have a backend of this name.
    pub(super) pool: Option<String>,
    pub(super) name: String,
}

impl Target {
    /// Reads `NAME` or `POOL/NAME`: names have no slash in them.
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((pool, name)) => Self { pool: Some(pool.to_owned()), name: name.to_owned() },
            None => Self { pool: None, name: text.to_owned() },
        }
    }
}

/// An action and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Counted from the first frame.
    pub(super) after: Duration,
    pub(super) target: Target,
    pub(super) action: Action,
    /// As they were written.
    pub(super) time: String,
    pub(super) text: String,
}

impl Timed {
    /// Reads the two values of `--at`: a time from the first frame on as `2.5s`, and an action as `drain web/web3`.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Action`], which says what would be right.
    pub fn parse(time: &str, text: &str) -> Result<Self, ReplayError> {
        let refused = |problem| ReplayError::Action { time: time.to_owned(), text: text.to_owned(), problem };
        let after = duration(time).ok_or_else(|| {
            refused(
                "the time is a number and a unit (us, ms, s, m, h), from the first frame on: 300ms, 2.5s, 2m".into(),
            )
        })?;
        let (target, action) = parse_action(text).map_err(refused)?;
        Ok(Self { after, target, action, time: time.to_owned(), text: text.to_owned() })
    }

    /// Why it cannot be done.
    pub(super) fn refused(&self, problem: &impl ToString) -> ReplayError {
        ReplayError::Action { time: self.time.clone(), text: self.text.clone(), problem: problem.to_string() }
    }
}

fn parse_action(text: &str) -> Result<(Target, Action), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some((&verb, rest)) = words.split_first() else {
        return Err(format!("the action is empty; write one of {}", verbs()));
    };
    let Some((_, usage)) = GRAMMAR.iter().find(|(known, _)| *known == verb) else {
        return Err(format!("there is no action {verb:?}; write one of {}", verbs()));
    };
    let usage = || format!("write {verb} {usage}");
    let Some((target, rest)) = rest.split_first() else { return Err(usage()) };
    let action = match (verb, rest) {
        ("drain", []) => Action::Change(Change::Drain { force: false }),
        ("drain", ["force"]) => Action::Change(Change::Drain { force: true }),
        ("remove", []) => Action::Change(Change::Remove { force: false }),
        ("remove", ["force"]) => Action::Change(Change::Remove { force: true }),
        ("enable", []) => Action::Change(Change::Enable),
        ("disable", []) => Action::Change(Change::Disable),
        ("weight", [text]) => Action::Change(Change::Weight(weight(text)?)),
        ("add", [address]) => Action::Add { address: self::address(address)?, weight: 1 },
        ("add", [address, "weight", text]) => Action::Add { address: self::address(address)?, weight: weight(text)? },
        ("up", []) => Action::Up,
        ("down", []) => Action::Down,
        _ => return Err(usage()),
    };
    let target = Target::parse(target);
    let is_name = |name: &str| !name.is_empty() && !name.contains('/');
    let whole = is_name(&target.name) && target.pool.as_deref().is_none_or(is_name);
    // A new backend has to be put somewhere.
    if !whole || target.pool.is_none() && matches!(action, Action::Add { .. }) {
        return Err(usage());
    }
    Ok((target, action))
}

fn verbs() -> String {
    GRAMMAR.map(|(verb, _)| verb).join(", ")
}

fn weight(text: &str) -> Result<u32, String> {
    let weight = text.parse().ok().filter(|weight| *weight <= HIGHEST_WEIGHT);
    weight.ok_or_else(|| format!("{text:?} is no weight: 0 to {HIGHEST_WEIGHT}"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address; write an IPv4 or IPv6 address without a prefix length"))
}

/// A duration as in the configuration: a decimal number and a unit, without a space.
fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let unit: u64 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_nanos(whole.checked_add(u64::try_from(parts).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_configuration() {
        for (text, nanos) in
            [("2.5s", 2_500_000_000), ("300ms", 300_000_000), ("2m", 120_000_000_000), ("0s", 0), ("0.5us", 500)]
        {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "2", "s", "-1s", "1 s", "1.s", ".5s", "1.2.3s", "1d", "99999999999999999999s", "5124096h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn actions_are_words() {
        let of = |text| parse_action(text).map(|(target, action)| (target.pool, target.name, action));
        let web = || Some("web".to_owned());
        let drain = |force| Action::Change(Change::Drain { force });
        assert_eq!(of("drain web/web3"), Ok((web(), "web3".to_owned(), drain(false))));
        assert_eq!(of("  drain  web3  force "), Ok((None, "web3".to_owned(), drain(true))));
        assert_eq!(of("weight web3 0"), Ok((None, "web3".to_owned(), Action::Change(Change::Weight(0)))));
        let add = Action::Add { address: "2001:db8::9".parse().unwrap(), weight: 7 };
        assert_eq!(of("add web/2001:db8::9 2001:db8::9 weight 7"), Ok((web(), "2001:db8::9".to_owned(), add)));
        for (bad, told) in [
            ("", "the action is empty; write one of drain, enable"),
            ("drian web/web3", "no action \"drian\""),
            ("drain", "write drain [POOL/]NAME [force]"),
            ("drain web/web3 now", "write drain [POOL/]NAME [force]"),
            ("enable web3 force", "write enable [POOL/]NAME"),
            ("weight web3", "write weight [POOL/]NAME WEIGHT"),
            ("weight web3 65536", "0 to 65535"),
            ("weight web3 -1", "0 to 65535"),
            ("add web3 10.0.0.9", "write add POOL/NAME ADDRESS"),
            ("add web/web3", "write add POOL/NAME ADDRESS"),
            ("add web/web3 10.0.0.9/24", "no address"),
            ("add web/ 10.0.0.9", "write add"),
            ("down a/b/c", "write down"),
        ] {
            let error = of(bad).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }
}
