//! Who of a pool serves: shares of its backends, and their groups by `priority`.

use crate::names::quote;
use crate::pools::PoolDraft;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::Fault;

/// `group_min` unless configured.
const GROUP_MIN: f64 = 0.5;

pub(crate) struct GroupsDraft {
    /// `Some(None)`: off.
    pub(crate) panic_threshold: Option<Option<f64>>,
    /// `Some(None)`: the default.
    group_min: Option<Option<Located<f64>>>,
}

impl GroupsDraft {
    /// The share in the model; `None` if it was refused.
    pub(crate) fn group_min(&self) -> Option<f64> {
        Some(self.group_min?.map_or(GROUP_MIN, |share| share.value))
    }
}

/// Reads the keys out of a pool.
pub(crate) fn read(pool: &mut Reader<'_>, report: &mut Report) -> GroupsDraft {
    let panic_threshold = match pool.get("panic_threshold") {
        Some(value) => share(value, "panic_threshold", report).map(|share| Some(share.value)),
        None => Some(None),
    };
    let group_min = match pool.get("group_min") {
        Some(value) => share(value, "group_min", report).and_then(|share| above_zero(share, report)).map(Some),
        None => Some(None),
    };
    GroupsDraft { panic_threshold, group_min }
}

fn share(value: Value<'_>, key: &str, report: &mut Report) -> Option<Located<f64>> {
    let share = if value.as_str().is_some() {
        value.parsed(percent, report)?.value
    } else {
        match value.number() {
            Some(share) => share,
            None => return value.wrong("a number from 0 to 1, or a string such as \"50%\"", report),
        }
    };
    if (0.0..=1.0).contains(&share) {
        return Some(Located { at: value.at, value: share });
    }
    let finding = report.error(value.at, format!("`{key}` must be from 0 to 1, or from \"0%\" to \"100%\""));
    if value.is_integer() && (2.0..=100.0).contains(&share) {
        finding.help(format!("write \"{share}%\""));
    }
    None
}

/// A group of which none has to be up would serve for ever.
fn above_zero(share: Located<f64>, report: &mut Report) -> Option<Located<f64>> {
    if share.value > 0.0 {
        return Some(share);
    }
    report
        .error(share.at, "`group_min` must be above 0")
        .help("write the share of a group that is enough to serve, for example \"50%\"");
    None
}

fn percent(text: &str) -> Result<f64, Fault> {
    let digits = text.strip_suffix('%').filter(|number| number.chars().all(|c| c.is_ascii_digit() || c == '.'));
    match digits.and_then(|number| number.parse::<f64>().ok()) {
        Some(percent) => Ok(percent / 100.0),
        None => {
            Err(Fault::with_help(format!("{} is not a percentage", quote(text)), "write for example \"50%\" or 0.5"))
        }
    }
}

/// Warns of a `group_min` that chooses among one group.
pub(crate) fn check(pool: &PoolDraft, report: &mut Report) {
    let Some(Some(share)) = pool.groups.group_min else { return };
    let mut priorities = pool.backends.iter().map(|backend| backend.priority);
    let first = priorities.next().flatten();
    if first.is_some() && priorities.all(|priority| priority == first) {
        report
            .warning(share.at, format!("`group_min` has no effect: all backends of {} are one group", pool.called()))
            .help("give those that wait for others to fail a higher `priority`, or remove it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!(percent("50%"), Ok(0.5));
        assert_eq!(percent("0%"), Ok(0.0));
        for bad in ["50", "%", "-1%", "inf%", "1e2%", "5 %"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
