//! Real-time priority: on a machine that does other things too, what has it runs as if the others were not there.

use crate::process::run;
use anyhow::{Context, Result};
use std::process::Command;

/// Fields of /proc/PID/stat behind the name in parentheses, from 0: the scheduling policy (proc_pid_stat(5), field 41).
const POLICY: usize = 38;
/// The policy of threads that nobody gave another one, SCHED_OTHER.
const OTHER: &str = "0";

/// Gives a thread real-time priority in turns with others of the same (SCHED_RR), from 1 to 99. What it starts from now on
/// inherits that.
///
/// # Errors
///
/// When the kernel refuses, as without root.
pub fn set_real_time(thread: u32, priority: u8) -> Result<()> {
    run(Command::new("chrt").args(["--rr", "--pid", &priority.to_string(), &thread.to_string()]))?;
    Ok(())
}

/// The same for all threads of a process that have no real-time priority, be it that they gave it back.
///
/// # Errors
///
/// When the process is gone, and when the kernel refuses.
pub fn set_all_real_time(process: u32, priority: u8) -> Result<()> {
    let folder = format!("/proc/{process}/task");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?.flatten() {
        let thread = entry.file_name().to_string_lossy().parse();
        if let (Ok(thread), Some(OTHER)) = (thread, policy(entry.path().join("stat")).as_deref()) {
            set_real_time(thread, priority)?;
        }
    }
    Ok(())
}

/// A thread's policy, as the kernel numbers it; `None` once it is gone.
fn policy(stat: impl AsRef<std::path::Path>) -> Option<String> {
    let stat = std::fs::read_to_string(stat).ok()?;
    // The name may have spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(POLICY).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_none_is_given_it() -> Result<()> {
        if !crate::runnable("real-time priority") {
            return Ok(());
        }
        let mut sleeper = Command::new("sleep").arg("60").spawn()?;
        let stat = format!("/proc/{}/stat", sleeper.id());
        let before = policy(&stat);
        let given = set_all_real_time(sleeper.id(), 1);
        let after = policy(&stat);
        sleeper.kill()?;
        sleeper.wait()?;
        given?;
        assert_eq!((before.as_deref(), after.as_deref()), (Some(OTHER), Some("2")));
        Ok(())
    }
}
