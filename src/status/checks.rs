//! Checks of a backend for people: what each says, and its last results.

use super::{backend_header, backend_line, duration, now_unix};
use guideway_control::status::model::{BackendStatus, CheckDetail, CheckHistory, CheckStatus, ResultStatus};
use std::fmt::{self, Write};

/// A line for each check of a backend that has several, or one that is not well or says more than its verdict.
pub(super) fn check_lines(out: &mut String, backend: &BackendStatus) -> fmt::Result {
    let tells = |check: &CheckDetail| check.state != "up" || check.detail.is_some() || check.counts.slow;
    if backend.checks.len() < 2 && !backend.checks.iter().any(tells) {
        return Ok(());
    }
    backend.checks.iter().try_for_each(|check| check_line(out, check))
}

fn check_line(out: &mut String, check: &CheckDetail) -> fmt::Result {
    let CheckStatus { sent, answered, failed, void, rtt_microseconds, slow } = check.counts;
    // An agent has no verdict: what it said is its detail.
    let state = if check.kind == "agent" { "asked" } else { &check.state };
    let reason = check.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
    let last = check.detail.as_ref().map(|detail| format!(" (last: {detail})")).unwrap_or_default();
    let void = if void > 0 { format!(", {void} not judged") } else { String::new() };
    let took = rtt_microseconds.map(|took| format!(", {}", milliseconds(took))).unwrap_or_default();
    let slow = if slow { ", more than half of the timeout" } else { "" };
    let name = name(&check.kind, &check.via, check.port);
    writeln!(
        out,
        "    {name}: {state}{reason}{last}; {sent} probes, {answered} answered, {failed} failed{void}{took}{slow}"
    )
}

/// All about one backend: its line, its checks, and their last results, the latest one first.
pub(super) fn of_backend(backend: &BackendStatus, history: &[CheckHistory]) -> Result<String, fmt::Error> {
    let mut out = String::new();
    backend_header(&mut out)?;
    backend_line(&mut out, backend)?;
    backend.checks.iter().try_for_each(|check| check_line(&mut out, check))?;
    for check in history {
        writeln!(out, "\nlast results of {}", name(&check.kind, &check.via, check.port))?;
        if check.results.is_empty() {
            writeln!(out, "  none yet")?;
        }
        for result in &check.results {
            result_line(&mut out, result, now_unix())?;
        }
    }
    Ok(out)
}

fn result_line(out: &mut String, result: &ResultStatus, now: f64) -> fmt::Result {
    let ago = format!("{} ago", duration((now - result.at_unix).max(0.0)));
    let took = milliseconds(result.took_microseconds);
    let reason = result.reason.as_deref().unwrap_or("not judged: this process could not ask, or was late");
    let detail = result.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    writeln!(out, "  {ago:>16}  {:<6} {took:>12}  {reason}{detail}", result.result)
}

fn name(kind: &str, via: &str, port: Option<u16>) -> String {
    let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
    format!("{kind} via {via}{port}")
}

fn milliseconds(microseconds: f64) -> String {
    format!("{:.3} ms", microseconds / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, state: &str, reason: Option<&str>) -> CheckDetail {
        let counts =
            CheckStatus { sent: 9, answered: 6, failed: 2, void: 1, rtt_microseconds: Some(1_500.0), slow: false };
        let (kind, via, state) = (kind.to_owned(), "dataplane".to_owned(), state.to_owned());
        CheckDetail { kind, via, port: Some(80), state, reason: reason.map(str::to_owned), detail: None, counts }
    }

    #[test]
    fn a_check_says_which_it_is_and_why() {
        let mut out = String::new();
        check_line(&mut out, &check("http", "down", Some("HTTP status 503"))).expect("a string takes it");
        let expected = "    http via dataplane, port 80: down, HTTP status 503; 9 probes, 6 answered, 2 failed, 1 not \
                        judged, 1.500 ms\n";
        assert_eq!(out, expected);
        let agent = CheckDetail { detail: Some("50% # busy".to_owned()), port: None, ..check("agent", "up", None) };
        out.clear();
        check_line(&mut out, &agent).expect("a string takes it");
        assert!(out.starts_with("    agent via dataplane: asked (last: 50% # busy); "), "{out}");
    }

    #[test]
    fn a_result_says_when_how_long_and_why() {
        let failed = ResultStatus {
            at_unix: 1_000.0,
            took_microseconds: 20_250.0,
            result: "failed".to_owned(),
            reason: Some("no answer within the timeout".to_owned()),
            detail: None,
        };
        let mut out = String::new();
        result_line(&mut out, &failed, 1_061.0).expect("a string takes it");
        assert_eq!(out, "     1 min 1 s ago  failed    20.250 ms  no answer within the timeout\n");
        let void = ResultStatus { result: "void".to_owned(), reason: None, ..failed };
        out.clear();
        result_line(&mut out, &void, 999.0).expect("a string takes it");
        assert!(out.contains("0.0 s ago  void") && out.contains("not judged"), "{out}");
    }
}
