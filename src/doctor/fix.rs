//! `--fix`: runs the commands that the findings about what is left over name.

use super::Finding;
use crate::Failure;
use anyhow::{Context, ensure};
use std::process::Command;

pub(super) fn fix(findings: &[Finding]) -> Result<(), Failure> {
    for step in findings.iter().filter(|finding| finding.fixable).flat_map(|finding| &finding.mend) {
        eprintln!("doctor: {step}");
        run(step)?;
    }
    Ok(())
}

fn run(step: &str) -> anyhow::Result<()> {
    // Commands whose names hold white space are not fixable.
    let mut words = step.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output().with_context(|| format!("cannot run {program}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{step}: {}", why.trim());
    Ok(())
}
