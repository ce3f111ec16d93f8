//! `guideway top` in a real terminal: what it shows, what keys do, and that it leaves the terminal as it was.

use crate::setup::{BINARY, PATIENCE, Site, patient_checks};
use anyhow::{Context, Result, anyhow, ensure};
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, LabOptions, address};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Rows and columns.
const SIZE: (u16, u16) = (40, 140);

/// A terminal with a shell that runs `top`, and says in the end how that ended and how the terminal is set.
struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    shell: Box<dyn Child + Send + Sync>,
    _pty: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn start(socket: &Path, options: &str) -> Result<Self> {
        let (rows, cols) = SIZE;
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).map_err(|error| anyhow!("no terminal: {error}"))?;
        let mut command = CommandBuilder::new("sh");
        let top = format!("'{BINARY}' top --interval 200ms {options} --socket '{}'", socket.display());
        command.args(["-c", &format!("stty -a; echo BEGIN; {top}; echo END=$?; stty -a; echo DONE")]);
        command.env("TERM", "xterm-256color");
        let shell = pair.slave.spawn_command(command).map_err(|error| anyhow!("no shell: {error}"))?;
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().map_err(|error| anyhow!("cannot read: {error}"))?;
        let keys = pair.master.take_writer().map_err(|error| anyhow!("cannot write: {error}"))?;
        let cells = |count| NonZero::new(count).context("an empty terminal");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows)?, cells(cols)?, 200)));
        let seen = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                seen.lock().expect("no panic").process(&buffer[..length]);
            }
        });
        Ok(Self { screen, keys, shell, _pty: pair.master })
    }

    fn text(&self) -> String {
        self.screen.lock().expect("no panic").screen().contents()
    }

    fn wait_for(&self, what: &str, seen: impl Fn(&str) -> bool) -> Result<()> {
        let shown = wait_for(what, PATIENCE, || Ok(seen(&self.text()).then_some(())));
        shown.with_context(|| self.text())
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// Sends a signal to `top`, the shell's only child.
    fn signal(&self, signal: Signal) -> Result<()> {
        let shell = self.shell.process_id().context("no shell")?;
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        let top: i32 = children.trim().parse().with_context(|| format!("children of the shell: {children:?}"))?;
        Ok(kill(Pid::from_raw(top), signal)?)
    }

    /// Waits until the shell goes on, and checks that the terminal is as it was before.
    fn is_restored(&self, code: i32) -> Result<()> {
        self.wait_for("the shell to go on", |text| text.contains("DONE"))?;
        let screen = self.screen.lock().expect("no panic");
        let screen = screen.screen();
        ensure!(!screen.alternate_screen() && !screen.hide_cursor(), "the terminal is not restored");
        let text = screen.contents();
        let (before, rest) = text.split_once("BEGIN").context("no BEGIN")?;
        let (told, rest) = rest.split_once(&format!("END={code}")).with_context(|| text.clone())?;
        let after = rest.split_once("DONE").context("no DONE")?.0;
        ensure!(told.trim().is_empty(), "it says something at its end: {told}");
        ensure!(before.contains(" icanon") && before.trim() == after.trim(), "settings:\n{before}\nthen\n{after}");
        Ok(())
    }
}

fn site() -> Result<Site> {
    Site::start(LabOptions::new().backends(2), |lab| {
        let config = GuidewayConfig::new(lab, Device::AfPacket, &[1]).pool(lab, "web", "l2dsr", false);
        patient_checks(config.vip(address::vip_v4(10), "tcp", 80, "web"))
    })
}

#[test]
fn top_shows_and_drains_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let site = site()?;
    let mut terminal = Terminal::start(site.guideway.socket(), "")?;
    terminal.wait_for("the overview", |text| text.contains("1 of 1 serve") && text.contains("2 up"))?;
    ensure!(terminal.screen.lock().expect("no panic").screen().alternate_screen());
    terminal.press("4")?;
    let name = site.lab.backends()[1].name().to_owned();
    terminal.wait_for("the backends", |text| text.contains(&format!("web/{name}")))?;
    terminal.press("jd")?;
    terminal.wait_for("the question", |text| text.contains(&format!("drain web/{name}?")))?;
    ensure!(site.guideway.backend("web", &name)?["admin"] == "enabled", "not before the yes");
    terminal.press("y")?;
    site.guideway.wait_for_state("web", &name, "draining", PATIENCE)?;
    terminal.wait_for("the drain", |text| text.contains(&format!("drain web/{name}: it is draining")))?;
    terminal.press("e")?;
    terminal.wait_for("the question", |text| text.contains(&format!("enable web/{name}?")))?;
    terminal.press("y")?;
    site.guideway.wait_for_state("web", &name, "up", PATIENCE)?;
    terminal.press("?")?;
    terminal.wait_for("the help", |text| text.contains("filter by name or state"))?;
    terminal.press(" q")?;
    terminal.is_restored(0)?;

    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let terminal = Terminal::start(site.guideway.socket(), "--tab drops")?;
        terminal.wait_for("the drops", |text| text.contains("meaning") || text.contains("nothing was dropped"))?;
        terminal.signal(signal)?;
        terminal.is_restored(0)?;
    }
    Ok(())
}

#[test]
fn top_says_so_when_the_process_goes_and_when_it_is_back() -> Result<()> {
    let mut site = site()?;
    let mut terminal = Terminal::start(site.guideway.socket(), "")?;
    terminal.wait_for("the overview", |text| text.contains("1 of 1 serve"))?;
    site.guideway.terminate()?;
    terminal.wait_for("no news", |text| text.contains("no news: "))?;
    site.start_again(&[])?;
    terminal.wait_for("news", |text| !text.contains("no news") && text.contains("2 up"))?;
    terminal.press("\u{3}")?;
    terminal.is_restored(0)
}

#[test]
fn one_frame_is_for_scripts() -> Result<()> {
    let site = site()?;
    let frame = site.guideway.control(&["top", "--once", "--interval", "200ms", "--tab", "backends"])?;
    for backend in site.lab.backends() {
        ensure!(frame.contains(&format!("web/{}", backend.name())), "{frame}");
    }
    ensure!(!frame.contains('\u{1b}'), "no escape sequences");
    let rates = site.guideway.control(&["top", "--once", "--json", "--interval", "200ms"])?;
    let rates: serde_json::Value = serde_json::from_str(&rates)?;
    ensure!(rates["pools"][0]["backends"].as_array().is_some_and(|all| all.len() == 2), "{rates}");
    let refused = site.guideway.control(&["top"]).expect_err("it is no terminal").to_string();
    ensure!(refused.contains("--once") && refused.contains("exit status: 2"), "{refused}");
    Ok(())
}
