//! `--wait`: asks until a change is done, and says meanwhile what is missing.

use crate::Failure;
use anyhow::anyhow;
use guideway_control::api::client::Client;
use guideway_control::status::model::{BackendStatus, PoolStatus};
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often the process is asked.
pub(crate) const POLL: Duration = Duration::from_millis(200);
/// How often a terminal shows what is missing.
const SHOW: Duration = Duration::from_secs(1);

/// When a change is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// No flow can be on the backend any more.
    Empty,
    /// New flows go where they shall.
    Settled,
    /// The pool is without it.
    Gone,
}

/// How far a change is.
#[derive(Debug, PartialEq)]
enum Progress {
    Done,
    /// What is missing; from now until the last deadline that is known.
    Missing(String, Option<f64>),
    /// It never will be done, and why.
    Never(String),
}

/// Asks until `goal` is reached. Returns the backend then; `None`: it is gone.
pub(super) fn until(
    client: &Client,
    pool: &str,
    name: &str,
    goal: Goal,
    timeout: Option<Duration>,
) -> Result<Option<BackendStatus>, Failure> {
    let begun = Instant::now();
    let mut screen = Screen::new(format!("{pool}/{name}"));
    loop {
        let now = client.pool(pool)?;
        let backend = now.backends.iter().rfind(|backend| backend.name == name);
        let (missing, left) = match goal.progress(&now, backend) {
            Progress::Done => {
                screen.clear();
                return Ok(backend.cloned());
            }
            Progress::Never(why) => {
                screen.clear();
                return Err(anyhow!("{pool}/{name}: {why}").into());
            }
            Progress::Missing(missing, left) => (missing, left),
        };
        let rest = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        if rest.is_some_and(|rest| rest.is_zero()) {
            screen.clear();
            let waited = timeout.unwrap_or_default();
            return Err(anyhow!("{pool}/{name}: not done within {waited:?}: {missing}; the change goes on").into());
        }
        screen.show(missing, left);
        std::thread::sleep(rest.map_or(POLL, |rest| rest.min(POLL)));
    }
}

impl Goal {
    fn progress(self, pool: &PoolStatus, backend: Option<&BackendStatus>) -> Progress {
        let until = pool.transition.until_seconds;
        let Some(backend) = backend else {
            return match self {
                Self::Gone => Progress::Done,
                Self::Empty | Self::Settled => Progress::Never("it was removed meanwhile".to_owned()),
            };
        };
        let serves = backend.admin == "enabled" && backend.stage == "serving";
        match self {
            Self::Empty if backend.drained => Progress::Done,
            Self::Empty if serves => Progress::Never("it was enabled meanwhile".to_owned()),
            Self::Empty | Self::Gone => Progress::Missing(emptying(pool, backend), until),
            Self::Settled if backend.stage == "leaving" || backend.stage == "left" => {
                Progress::Never("it is being removed".to_owned())
            }
            Self::Settled if backend.stage == "joining" => Progress::Missing(joining(backend), None),
            Self::Settled if pool.transition.settled => Progress::Done,
            Self::Settled => Progress::Missing(planned(pool), until),
        }
    }
}

/// What keeps a backend from being empty.
fn emptying(pool: &PoolStatus, backend: &BackendStatus) -> String {
    let transition = &pool.transition;
    if !transition.settled {
        return planned(pool);
    }
    if backend.slots > 0 {
        return format!(
            "{} slots are still its own, since no other backend may serve: add or enable one",
            backend.slots
        );
    }
    match (transition.differing, backend.pins) {
        (0, 0) => "a last look for flows that it may have".to_owned(),
        (0, pins) => format!("flows left: {pins}"),
        (slots, pins) => format!("flows left: {pins}, and what is on {slots} slots that changed"),
    }
}

/// What keeps a pool from being settled.
fn planned(pool: &PoolStatus) -> String {
    match pool.transition.waiting.as_deref() {
        Some("pins") => "waits: too many pins are in use, see `guideway status`".to_owned(),
        Some("arming") => format!("{} slots are armed", pool.transition.armed),
        _ => "waits for the workers".to_owned(),
    }
}

/// What keeps a backend from joining.
fn joining(backend: &BackendStatus) -> String {
    let failed = backend.reason.as_deref().unwrap_or("not judged yet");
    match (&backend.next_hop_mac, &backend.check) {
        (None, _) => "its next hop does not answer ARP or NDP yet".to_owned(),
        (Some(_), Some(check)) => {
            format!("{}: {failed}; {} of {} checks passed", backend.state, check.answered, check.sent)
        }
        (Some(_), None) => "it is not checked yet".to_owned(),
    }
}

/// Where progress is shown: a terminal has one line, rewritten each second; elsewhere a line for each change.
pub(crate) struct Screen {
    subject: String,
    terminal: bool,
    shown: Option<(String, Instant)>,
}

impl Screen {
    pub(crate) fn new(subject: String) -> Self {
        Self { subject, terminal: stderr().is_terminal(), shown: None }
    }

    pub(crate) fn show(&mut self, missing: String, left: Option<f64>) {
        let again = self
            .shown
            .as_ref()
            .is_none_or(|(before, at)| if self.terminal { at.elapsed() >= SHOW } else { *before != missing });
        if !again {
            return;
        }
        let left =
            left.filter(|left| *left > 0.0).map(|left| format!(", for {:.0} s", left.ceil())).unwrap_or_default();
        // Nobody reads it any more: that is no reason to end the wait.
        let _ = if self.terminal {
            write!(stderr(), "\r\x1b[K{}: {missing}{left}", self.subject)
        } else {
            writeln!(stderr(), "{}: {missing}{left}", self.subject)
        };
        self.shown = Some((missing, Instant::now()));
    }

    pub(crate) fn clear(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_control::status::model::TransitionStatus;

    fn pool(settled: bool, waiting: Option<&str>, differing: u32) -> PoolStatus {
        let waiting = waiting.map(str::to_owned);
        let transition = TransitionStatus { armed: 7, differing, waiting, settled, ..TransitionStatus::default() };
        PoolStatus { transition, ..PoolStatus::default() }
    }

    fn backend(admin: &str, stage: &str) -> BackendStatus {
        BackendStatus { admin: admin.to_owned(), stage: stage.to_owned(), ..BackendStatus::default() }
    }

    fn missing(progress: Progress) -> String {
        let Progress::Missing(missing, _) = progress else { panic!("{progress:?}") };
        missing
    }

    #[test]
    fn a_drain_is_done_when_it_is_empty() {
        let draining = backend("draining", "serving");
        let of = |pool: &PoolStatus, backend: &BackendStatus| Goal::Empty.progress(pool, Some(backend));
        assert_eq!(missing(of(&pool(false, Some("arming"), 0), &draining)), "7 slots are armed");
        assert!(missing(of(&pool(false, Some("pins"), 0), &draining)).contains("too many pins"));
        assert!(missing(of(&pool(false, Some("workers"), 0), &draining)).contains("workers"));
        let busy = BackendStatus { pins: 3, ..draining.clone() };
        assert_eq!(missing(of(&pool(true, None, 5), &busy)), "flows left: 3, and what is on 5 slots that changed");
        assert_eq!(missing(of(&pool(true, None, 0), &busy)), "flows left: 3");
        assert!(missing(of(&pool(true, None, 0), &draining)).contains("last look"));
        let alone = BackendStatus { slots: 9, ..draining.clone() };
        assert!(missing(of(&pool(true, None, 0), &alone)).contains("add or enable one"));
        let drained = BackendStatus { drained: true, ..draining };
        assert_eq!(of(&pool(false, None, 0), &drained), Progress::Done);
        assert!(matches!(of(&pool(true, None, 0), &backend("enabled", "serving")), Progress::Never(_)));
        assert!(matches!(Goal::Empty.progress(&pool(true, None, 0), None), Progress::Never(_)));
    }

    #[test]
    fn a_removal_is_done_when_it_is_gone() {
        let leaving = backend("enabled", "leaving");
        assert!(matches!(Goal::Gone.progress(&pool(true, None, 5), Some(&leaving)), Progress::Missing(..)));
        assert_eq!(Goal::Gone.progress(&pool(true, None, 5), None), Progress::Done);
    }

    #[test]
    fn the_rest_is_done_when_the_pool_is_settled_and_the_backend_joined() {
        let serving = backend("enabled", "serving");
        let of = |pool: &PoolStatus, backend: &BackendStatus| Goal::Settled.progress(pool, Some(backend));
        assert_eq!(of(&pool(true, None, 5), &serving), Progress::Done, "flows from before stay where they are");
        assert_eq!(missing(of(&pool(false, Some("arming"), 0), &serving)), "7 slots are armed");
        let joining = backend("enabled", "joining");
        assert!(missing(of(&pool(true, None, 0), &joining)).contains("next hop"));
        let reached = BackendStatus { next_hop_mac: Some(String::new()), ..joining.clone() };
        assert!(missing(of(&pool(true, None, 0), &reached)).contains("not checked yet"));
        let checked = BackendStatus { check: Some(Default::default()), reason: Some("refused".to_owned()), ..reached };
        assert!(missing(of(&pool(true, None, 0), &checked)).contains("refused; 0 of 0 checks"));
        assert!(matches!(of(&pool(true, None, 0), &backend("enabled", "leaving")), Progress::Never(_)));
    }
}
