//! Child processes that never outlive their handle.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(2);
/// The same for short programs, of which a lab runs dozens.
const RUN_POLL: Duration = Duration::from_micros(500);
/// How long a program may take that the lab waits for.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// A running program with its own process group; dropped means killed, with everything that it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Pid,
    label: String,
    log: PathBuf,
    ended: bool,
}

impl Process {
    /// Starts `command` in a process group of its own; its output goes to the file `log`.
    pub fn spawn(command: &mut Command, label: &str, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log of a child")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {label}: {command:?}"))?;
        let group = Pid::from_raw(i32::try_from(child.id()).context("a process id beyond 31 bits")?);
        Ok(Self { child, group, label: label.to_owned(), log: log.to_owned(), ended: false })
    }

    /// The process id, which is its group's id too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its output, for messages.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        killpg(self.group, signal).with_context(|| format!("cannot send {signal} to {}", self.label))
    }

    /// Its exit status, if it ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.label))
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("{} still runs after {limit:?}; its output ends with:\n{}", self.label, self.log_tail(20));
            }
            sleep(POLL);
        }
    }

    /// Asks it to end (SIGTERM to the group) and waits.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        if self.try_wait()?.is_none() {
            self.signal(Signal::SIGTERM)?;
        }
        self.wait(limit)
    }

    /// Kills the whole group at once (SIGKILL) and waits for the first process of it.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        // ESRCH only says that all of the group ended before.
        let _ = killpg(self.group, Signal::SIGKILL);
        self.child.wait().with_context(|| format!("cannot wait for {}", self.label))?;
        Ok(())
    }

    /// Lets it run on after this handle and after this process.
    pub fn detach(mut self) {
        self.ended = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Runs a program to its end and returns what it wrote to standard output.
///
/// # Errors
///
/// When it cannot be started, fails, or takes more than a minute; the message carries its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {command:?} (scripts/setup installs what the lab needs)"))?;
    let (output, errors) = (read_aside(child.stdout.take()), read_aside(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {command:?}"))? {
            break Some(status);
        }
        if start.elapsed() > RUN_LIMIT {
            // ESRCH only says that it ended at this moment.
            let _ = killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL);
            child.wait().with_context(|| format!("cannot wait for {command:?}"))?;
            break None;
        }
        sleep(RUN_POLL);
    };
    let errors = errors.join().unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(output.join().unwrap_or_default()),
        Some(status) => bail!("{command:?}: {status}: {}", errors.trim()),
        None => bail!("{command:?}: killed after {RUN_LIMIT:?}: {}", errors.trim()),
    }
}

/// Reads on a thread of its own, so that a full pipe holds nobody.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Looks every 2 ms whether `ready` returns something; gives up after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::run;
    use std::process::Command;

    #[test]
    fn a_program_gives_its_output_or_its_error() {
        let script = "head -c 300000 /dev/zero | tr '\\0' x";
        assert_eq!(run(Command::new("sh").args(["-c", script])).expect("it succeeds").len(), 300_000);
        let error = run(Command::new("sh").args(["-c", "echo reason >&2; exit 3"])).expect_err("it fails").to_string();
        assert!(error.contains("reason") && error.contains('3'), "{error}");
        let missing = run(&mut Command::new("/no/such/program")).expect_err("it is not there").to_string();
        assert!(missing.contains("scripts/setup"), "{missing}");
    }
}
