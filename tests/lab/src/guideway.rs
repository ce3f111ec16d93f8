//! The load balancer under test, running in a lab.

use crate::config::GuidewayConfig;
use crate::process::{Process, run, wait_for};
use crate::topology::Lab;
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long it may take to become ready: the EAL scans devices, without hugepages it touches all of its memory.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running Guideway; dropped means killed.
#[derive(Debug)]
pub struct Guideway {
    process: Process,
    binary: PathBuf,
    file: PathBuf,
    socket: PathBuf,
}

impl Guideway {
    /// Starts `binary` in the balancer's namespace and waits until it says that it is ready (sd_notify(3)).
    pub fn start(lab: &Lab, binary: &Path, config: &GuidewayConfig) -> Result<Self> {
        Self::start_with(lab, binary, config, &[])
    }

    /// Like [`Guideway::start`], with further options of `run`.
    pub fn start_with(lab: &Lab, binary: &Path, config: &GuidewayConfig, options: &[&str]) -> Result<Self> {
        let file = lab.folder().join("guideway.toml");
        std::fs::write(&file, config.text()?).with_context(|| format!("cannot write {}", file.display()))?;
        let notify = lab.folder().join("notify.sock");
        // One of an earlier start in the same lab may be there.
        let _ = std::fs::remove_file(&notify);
        let listener = UnixDatagram::bind(&notify).with_context(|| format!("cannot bind {}", notify.display()))?;
        listener.set_read_timeout(Some(Duration::from_millis(20))).context("cannot set a timeout")?;
        let mut command = lab.balancer().command(binary);
        command.args(["run", "--config"]).arg(&file).args(options).env("NOTIFY_SOCKET", &notify);
        let process = Process::spawn(&mut command, "guideway", &lab.folder().join("guideway.log"))?;
        let mut guideway = Self { process, binary: binary.to_owned(), file, socket: config.socket() };
        guideway.wait_until_ready(&listener)?;
        Ok(guideway)
    }

    fn wait_until_ready(&mut self, listener: &UnixDatagram) -> Result<()> {
        let start = Instant::now();
        let mut buffer = [0; 4096];
        while start.elapsed() < READY_LIMIT {
            if let Ok(length) = listener.recv(&mut buffer)
                && String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1")
            {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("guideway ended: {status}; its output ends with:\n{}", self.process.log_tail(30));
            }
        }
        bail!("guideway was not ready within {READY_LIMIT:?}; its output ends with:\n{}", self.process.log_tail(30))
    }

    /// The process, for signals and its output.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The configuration file: change it, then send SIGHUP.
    pub fn config_file(&self) -> &Path {
        &self.file
    }

    /// Where its control socket lies.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What `guideway status --json` says.
    pub fn status(&self) -> Result<Value> {
        let text = self.control(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("'guideway status --json' is no JSON: {text}"))
    }

    /// What `status` says of a pool.
    pub fn pool(&self, name: &str) -> Result<Value> {
        let status = self.status()?;
        let pools = status["pools"].as_array().context("the status has no pools")?;
        let pool = pools.iter().find(|pool| pool["name"] == name);
        pool.cloned().with_context(|| format!("the status has no pool '{name}'"))
    }

    /// What `status` says of a backend.
    pub fn backend(&self, pool: &str, name: &str) -> Result<Value> {
        let pool = self.pool(pool)?;
        let backends = pool["backends"].as_array().context("a pool without backends")?;
        let backend = backends.iter().find(|backend| backend["name"] == name);
        backend.cloned().with_context(|| format!("the status has no backend '{name}'"))
    }

    /// Waits until `status` calls a backend `state`: "up", "down", …
    pub fn wait_for_state(&self, pool: &str, backend: &str, state: &str, limit: Duration) -> Result<()> {
        wait_for(&format!("{pool}/{backend} to be {state}"), limit, || {
            Ok((self.backend(pool, backend)?["state"] == state).then_some(()))
        })
    }

    /// Runs a subcommand that talks to this process over its socket; its standard output.
    pub fn control(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new(&self.binary).args(arguments).arg("--socket").arg(&self.socket))
    }

    /// Writes another configuration over the file and asks for a reload (SIGHUP).
    pub fn reload(&self, config: &GuidewayConfig) -> Result<()> {
        std::fs::write(&self.file, config.text()?).with_context(|| format!("cannot write {}", self.file.display()))?;
        self.process.signal(Signal::SIGHUP)
    }

    /// How it ended, if it has by itself.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Ends it in order (SIGTERM).
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.terminate(Duration::from_secs(20))
    }

    /// Kills it (SIGKILL), as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Lets it run on after this handle.
    pub fn detach(self) {
        self.process.detach();
    }
}
