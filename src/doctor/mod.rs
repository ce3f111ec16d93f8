//! `guideway doctor`: what of the machine stands in the way, and how to mend it.
//!
//! A check is a function from the machine's files and the configuration to findings. The files lie below a root, so that tests
//! cover machines that are not there. What needs the kernel itself (ioctl, netlink) is asked on this machine only.

mod bind;
mod cores;
mod devices;
mod finding;
mod fix;
mod host;
mod leftover;
mod memory;
mod processor;
mod server;
#[cfg(test)]
mod tests;

use crate::Failure;
use crate::check::load_config;
use anyhow::anyhow;
use finding::{Finding, State};
use guideway_config::model::Config;
use host::Host;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Options of `doctor`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration that the machine is to run; without it, what depends on one stays unknown.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The findings, as JSON.
    #[arg(long)]
    json: bool,
    /// Bind a network card (its PCI address, or its interface) to another driver, after a question.
    #[arg(long, value_name = "DEVICE", conflicts_with_all = ["fix", "config"])]
    bind: Option<String>,
    /// The driver for `--bind`; `none` gives the card back to the kernel's own.
    #[arg(long, default_value = bind::VFIO, requires = "bind")]
    driver: String,
    /// Bind without a question.
    #[arg(long, requires = "bind")]
    yes: bool,
    /// Bind even a card that carries routes or addresses: who is connected by it loses the machine.
    #[arg(long, requires = "bind")]
    force: bool,
    /// Clear what a dead process left: control socket, XDP program, promiscuous flag.
    #[arg(long)]
    fix: bool,
}

/// What a check may look at.
struct Subject<'a> {
    host: &'a Host,
    config: Option<&'a Config>,
}

pub(crate) fn doctor(args: &Args) -> Result<(), Failure> {
    let host = Host::this();
    if let Some(device) = &args.bind {
        let request = bind::Request { device, driver: &args.driver, yes: args.yes, force: args.force };
        return bind::bind(&host, &request, args.json);
    }
    // Any machine: that a core is not there is a finding, not a refusal.
    let config = args.config.as_deref().map(|path| load_config(path, None)).transpose()?;
    let subject = Subject { host: &host, config: config.as_ref() };
    let mut findings = examine(&subject);
    if args.fix {
        fix::fix(&findings)?;
        findings = examine(&subject);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&findings))?);
    } else {
        println!("{}", text(&findings));
    }
    match count(&findings, State::Fail) {
        0 => Ok(()),
        1 => Err(anyhow!("doctor: one check failed").into()),
        failed => Err(anyhow!("doctor: {failed} checks failed").into()),
    }
}

/// All checks, in the order in which a machine is set up.
fn examine(subject: &Subject<'_>) -> Vec<Finding> {
    let checks: [fn(&Subject<'_>) -> Vec<Finding>; 6] =
        [processor::check, cores::check, memory::check, devices::check, server::check, leftover::check];
    checks.iter().flat_map(|check| check(subject)).collect()
}

fn count(findings: &[Finding], state: State) -> usize {
    findings.iter().filter(|finding| finding.state == state).count()
}

fn text(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    let of = |state: State| format!("{} {}", count(findings, state), state.word());
    lines.push([State::Ok, State::Warn, State::Fail, State::Unknown].map(of).join(", "));
    lines.join("\n")
}

fn as_json(findings: &[Finding]) -> Value {
    let checks: Vec<Value> = findings.iter().map(Finding::json).collect();
    let of = |state| count(findings, state);
    json!({
        "ok": of(State::Ok),
        "warn": of(State::Warn),
        "fail": of(State::Fail),
        "unknown": of(State::Unknown),
        "checks": checks,
    })
}
