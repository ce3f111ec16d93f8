//! Blocks that do not run are still shell, and name commands and options that exist.

use crate::page::{self, Kind};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs no command: every `guideway` of a script only parses its arguments, since `--help` comes last.
const PARSE_ONLY: &str = "guideway() { \"$BINARY\" \"$@\" --help >/dev/null || exit 1; }\n";

/// Gives a script to bash with some options.
fn bash(options: &[&str], script: &str) -> Result<()> {
    let mut child = Command::new("bash")
        .args(options)
        .env("BINARY", env!("CARGO_BIN_EXE_guideway"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run bash")?;
    child.stdin.take().context("bash has no standard input")?.write_all(script.as_bytes())?;
    let ended = child.wait_with_output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr).trim());
    Ok(())
}

/// The lines of a script that only call our program: none has a pipe, an angle bracket, or a choice in brackets.
fn ours(script: &str) -> impl Iterator<Item = String> {
    let joined = script.replace("\\\n", " ");
    let lines: Vec<String> =
        joined.lines().map(|line| line.trim().replace("target/release/guideway", "guideway")).collect();
    lines.into_iter().filter(|line| line.starts_with("guideway ") && !line.contains(['|', '<', '>', '[', '&', '…']))
}

#[test]
fn blocks_that_do_not_run_are_shell_and_name_what_exists() -> Result<()> {
    let mut wrong = Vec::new();
    for page in page::all()? {
        for block in &page.blocks {
            let Kind::NoRun { language, .. } = &block.kind else { continue };
            if language != "sh" {
                continue;
            }
            let mut checks = vec![bash(&["-n"], &block.text)];
            checks.extend(
                ours(&block.text).map(|line| bash(&[], &format!("{PARSE_ONLY}{line}\n")).with_context(|| line.clone())),
            );
            for error in checks.into_iter().filter_map(Result::err) {
                wrong.push(format!("{}:{}: {error:#}", page.name, block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn an_option_that_is_not_there_is_found() {
    let parse = |line: &str| bash(&[], &format!("{PARSE_ONLY}{line}\n"));
    assert!(parse("guideway bench cycles --mode ipip").is_ok());
    assert!(parse("guideway bench cycles --no-such-option").is_err());
    assert!(parse("guideway bench cycles --mode nonsense").is_err());
    assert!(parse("guideway no-such-command").is_err());
    assert_eq!(ours("ls\n  target/release/guideway check \\\n --config F\nguideway status | jq\n").count(), 1);
}
