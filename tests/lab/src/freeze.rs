//! Stops a single thread of another process: what a scheduler under pressure or a debugger does to it.

use anyhow::{Context, Result, bail};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Stops the thread called `name` of a process for `time`, lets it run on, and says how long it stood still.
/// All other threads of the process go on running. Needs the right to trace it (ptrace(2)).
pub fn freeze_thread(process: u32, name: &str, time: Duration) -> Result<Duration> {
    let thread = find_thread(process, name)?;
    let what = || format!("the thread {name} of process {process}");
    ptrace::seize(thread, ptrace::Options::empty()).with_context(|| format!("cannot trace {}", what()))?;
    ptrace::interrupt(thread).with_context(|| format!("cannot interrupt {}", what()))?;
    // The stop of a thread that is no child of ours is only told to who asks for all kinds.
    let status = waitpid(thread, Some(WaitPidFlag::__WALL)).with_context(|| format!("cannot stop {}", what()))?;
    if matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
        bail!("{} ended: {status:?}", what());
    }
    let stopped = Instant::now();
    sleep(time);
    ptrace::detach(thread, None).with_context(|| format!("cannot let {} go", what()))?;
    Ok(stopped.elapsed())
}

fn find_thread(process: u32, name: &str) -> Result<Pid> {
    let folder = Path::new("/proc").join(process.to_string()).join("task");
    let threads = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for thread in threads.flatten() {
        let found = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        if found.trim_end() == name {
            let id = thread.file_name().to_string_lossy().parse().context("a thread id that is no number")?;
            return Ok(Pid::from_raw(id));
        }
    }
    bail!("process {process} has no thread called {name}")
}
