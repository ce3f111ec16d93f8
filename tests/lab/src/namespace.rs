//! Network namespaces: create, enter, run programs in them, remove.

use crate::process::{Process, run};
use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// Where `ip netns` keeps its names.
const FOLDER: &str = "/run/netns";

/// A named network namespace; dropped means removed, with the processes in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kept: bool,
}

impl Namespace {
    /// Creates a namespace, with the loopback interface up.
    pub fn create(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self { name: name.to_owned(), kept: false };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// A handle of a namespace that exists already; dropped means removed, as with any other.
    pub fn adopt(name: &str) -> Result<Self> {
        let namespace = Self { name: name.to_owned(), kept: false };
        if !namespace.path().exists() {
            bail!("there is no network namespace '{name}'");
        }
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// Leaves the namespace in place when this handle is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// A command that will run in this namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program in this namespace to its end; its standard output.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(self.command(program).args(arguments))
    }

    /// Starts a program in this namespace; its output goes to the file `log`.
    pub fn spawn(&self, program: impl AsRef<Path>, arguments: &[&str], log: &Path) -> Result<Process> {
        let program = program.as_ref();
        let label = format!("{} in {}", program.display(), self.name);
        Process::spawn(self.command(program).args(arguments), &label, log)
    }

    /// Runs lines of `ip` (without the word `ip`) in this namespace, all in one process.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run 'ip' (package iproute2)")?;
        let mut input = child.stdin.take().ok_or_else(|| anyhow!("'ip' has no standard input"))?;
        input.write_all(lines.as_bytes()).context("cannot write to 'ip'")?;
        drop(input);
        let output = child.wait_with_output().context("cannot wait for 'ip'")?;
        if !output.status.success() {
            bail!("ip -n {}: {}\n{lines}", self.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Sets kernel parameters of this namespace: keys below `net.` in the form of sysctl, values as text.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys").join(key.replace('.', "/"));
                std::fs::write(&path, value).with_context(|| format!("cannot set {key} = {value}"))?;
            }
            Ok(())
        })?
    }

    /// Runs `work` on a thread of this process inside the namespace: sockets that it opens live there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = self.open()?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || enter_file(&file).map(|()| work()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Like [`Namespace::enter`], without waiting for the end.
    pub fn enter_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let file = self.open()?;
        Ok(std::thread::spawn(move || enter_file(&file).map(|()| work())))
    }

    /// Kills every process in this namespace.
    pub fn kill_processes(&self) -> Result<()> {
        let listing = run(Command::new("ip").args(["netns", "pids", &self.name]))?;
        for id in listing.lines().filter_map(|line| line.trim().parse::<i32>().ok()) {
            // A process that ended meanwhile is no error.
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
        Ok(())
    }

    fn open(&self) -> Result<File> {
        File::open(self.path()).with_context(|| format!("cannot open the network namespace {}", self.name))
    }
}

fn enter_file(file: &File) -> Result<()> {
    setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let _ = self.kill_processes();
        let _ = run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}
