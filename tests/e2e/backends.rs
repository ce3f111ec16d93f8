//! Planned changes as an operator makes them: drain, enable, weight, remove, add, disable.

use crate::setup::{BINARY, PATIENCE, Site, backends_of, http};
use anyhow::{Context, Result, anyhow, bail, ensure};
use guideway_lab::{Namespace, address, runnable};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

const POOL: &str = "web";
/// The backend that comes and goes.
const NAME: &str = "web2";
const BACKEND: &str = "web/web2";
/// Its number.
const NUMBER: usize = 2;
/// T of the pool: much longer than the pauses of a conversation, also on a busy machine.
const IDLE: &str = "4s";
/// Longer than T: what a drain still waits for then is known to be there.
const TIMEOUT: &str = "8s";
/// Requests that shall be answered: enough that a backend without any would be no accident.
const REQUESTS: u64 = 90;
/// Attempts to reach one of three backends.
const ATTEMPTS: usize = 100;
/// Between two requests of a conversation.
const PAUSE: Duration = Duration::from_millis(50);

fn site() -> Result<Site> {
    Site::of_changes(POOL, target(), IDLE)
}

fn target() -> SocketAddr {
    http(address::vip_v4(10))
}

/// Runs `guideway backend`.
fn backend(site: &Site, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(BINARY);
    command.arg("backend").args(arguments).arg("--socket").arg(site.guideway.socket());
    command.output().context("cannot run the program")
}

/// Runs it until the change is done; what `--json` says.
fn done(site: &Site, arguments: &[&str]) -> Result<Value> {
    let output = backend(site, &[arguments, &["--wait", "--timeout", "60s", "--json"]].concat())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}: {errors}\n{}", output.status, site.log());
    serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?} gave no JSON"))
}

/// New connections; whether the backend got some of them.
fn gets_connections(site: &Site) -> Result<bool> {
    Ok(site.requests(target(), REQUESTS)?.by_backend.contains_key(NAME))
}

/// A connection that asks again and again.
struct Conversation {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Conversation {
    /// Begins one with the backend.
    fn start(client: &Namespace) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let mut stream = client.enter(|| TcpStream::connect_timeout(&target(), PATIENCE))?.context("connect")?;
            stream.set_read_timeout(Some(PATIENCE))?;
            if ask(&mut stream)? != NAME {
                continue;
            }
            let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let (theirs, count) = (Arc::clone(&stop), Arc::clone(&answers));
            let thread = std::thread::spawn(move || {
                while !theirs.load(Relaxed) {
                    let name = ask(&mut stream).context("the conversation broke off")?;
                    ensure!(name == NAME, "{name} answered in the middle of a conversation with {NAME}");
                    count.fetch_add(1, Relaxed);
                    sleep(PAUSE);
                }
                Ok(())
            });
            return Ok(Self { stop, answers, thread: Some(thread) });
        }
        bail!("{ATTEMPTS} connections did not reach {NAME}")
    }

    /// Ends it; every question must have been answered.
    fn finish(mut self) -> Result<usize> {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().context("finished before")?;
        thread.join().map_err(|_| anyhow!("the thread of a conversation panicked"))??;
        Ok(self.answers.load(Relaxed))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// Who answers.
fn ask(stream: &mut TcpStream) -> Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    // A head, and a body of one line.
    while !(answer.windows(4).any(|end| end == b"\r\n\r\n") && answer.ends_with(b"\n") && !answer.ends_with(b"\r\n")) {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let name = answer.lines().find_map(|line| line.strip_prefix("Backend: "));
    name.map(str::to_owned).with_context(|| format!("no backend in {answer:?}"))
}

#[test]
fn a_drain_keeps_connections_and_enable_restores_the_table() -> Result<()> {
    if !runnable("a drain") {
        return Ok(());
    }
    let site = site()?;
    let digest = site.digest(POOL)?;
    let conversation = Conversation::start(site.lab.client())?;

    let output = backend(&site, &["drain", BACKEND, "--wait", "--timeout", TIMEOUT])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "somebody is still connected: {errors}");
    for part in ["slots are armed", "flows left: 1", "not done within 8s", "the change goes on"] {
        ensure!(errors.contains(part), "no {part:?} in {errors}");
    }
    let draining = site.guideway.backend(POOL, NAME)?;
    assert_eq!(
        (&draining["state"], &draining["slots"], &draining["drained"]),
        (&"draining".into(), &0.into(), &false.into())
    );
    assert_eq!(draining["pins"], 1, "{draining:#}");
    ensure!(!gets_connections(&site)?, "{NAME} got a new connection while it drains");
    let screen = site.guideway.control(&["status"])?;
    ensure!(screen.contains("draining") && screen.contains("pins: "), "{screen}");
    let answers = conversation.finish().with_context(|| site.log())?;
    println!("{answers} answers on a connection to a backend that drains");

    let drained = done(&site, &["drain", BACKEND])?;
    assert_eq!(
        (&drained["state"], &drained["drained"], &drained["pins"]),
        (&"drained".into(), &true.into(), &0.into())
    );
    assert_eq!(site.guideway.backend(POOL, NAME)?["state"], "drained");
    ensure!(!gets_connections(&site)?, "{NAME} got a new connection after it drained");

    let enabled = done(&site, &["enable", BACKEND])?;
    assert_eq!((&enabled["state"], &enabled["admin"]), (&"up".into(), &"enabled".into()));
    assert_eq!(site.digest(POOL)?, digest);
    ensure!(gets_connections(&site)?, "{NAME} got no connection after its return");
    let status = site.guideway.status()?;
    assert_eq!(status["pins"]["evicted_confirmed"], 0);
    ensure!(status["pins"]["inserted"].as_u64() > Some(0), "{:#}", status["pins"]);
    Ok(())
}

#[test]
fn weights_removal_addition_and_disabling() -> Result<()> {
    if !runnable("changes of backends") {
        return Ok(());
    }
    let site = site()?;
    let digest = site.digest(POOL)?;

    let slots = |backend: &Value| backend["slots"].as_u64().context("no slots");
    let before = slots(&site.guideway.backend(POOL, NAME)?)?;
    let heavy = done(&site, &["weight", BACKEND, "4"])?;
    assert_eq!(heavy["weight"], 4);
    ensure!(slots(&heavy)? > before * 3 / 2, "{before} slots before, now {heavy:#}");
    done(&site, &["weight", BACKEND, "1"])?;
    assert_eq!(site.digest(POOL)?, digest);

    // The name alone will do.
    assert_eq!(done(&site, &["remove", NAME])?, Value::Null);
    ensure!(backends_of(&site.guideway.pool(POOL)?).all(|backend| backend["name"] != NAME), "it is still there");
    ensure!(!gets_connections(&site)?, "{NAME} got a connection after it was removed");
    let at = site.lab.backend(NUMBER).v4().to_string();
    let added = done(&site, &["add", BACKEND, &at])?;
    assert_eq!((&added["state"], &added["stage"]), (&"up".into(), &"serving".into()));
    assert_eq!(site.digest(POOL)?, digest);
    ensure!(gets_connections(&site)?, "{NAME} got no connection after its return");

    let disabled = done(&site, &["disable", BACKEND])?;
    assert_eq!(
        (&disabled["state"], &disabled["drained"], &disabled["check"]),
        (&"disabled".into(), &true.into(), &Value::Null)
    );
    done(&site, &["enable", BACKEND])?;
    site.wait_until_up()?;
    assert_eq!(site.digest(POOL)?, digest);
    mistakes(&site, &at)
}

/// One clear line each, and the right code.
fn mistakes(site: &Site, address: &str) -> Result<()> {
    for (arguments, code, part) in [
        (&["drain", "wab/web2"][..], 2, "\"wab\""),
        (&["drain", "web/web9"], 2, "web1, "),
        (&["drain", "web9"], 2, "web9"),
        (&["remove", "web/"], 2, "POOL/NAME"),
        (&["add", "web/web4", "127.0.0.1"], 2, "unicast"),
        (&["add", "web/web4", "203.0.113.10"], 2, "203.0.113.10:80/tcp"),
        (&["add", BACKEND, address], 1, "already"),
    ] {
        let output = backend(site, arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        ensure!(errors.lines().count() == 1 && errors.contains(part), "{arguments:?}: {errors}");
    }
    Ok(())
}
