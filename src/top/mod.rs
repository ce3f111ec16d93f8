//! `guideway top`: rates, states and drops in the terminal, and a drain where one is wanted.
//!
//! `app` is the model and what keys make of it, `rates` what it is fed with, `table` and `view` how it looks, `feed` the
//! thread that asks the running process. Only this file knows the terminal.

mod app;
mod feed;
mod once;
mod rates;
mod table;
#[cfg(test)]
mod tests;
mod view;

use crate::Failure;
use anyhow::{Context, anyhow};
use app::{App, Effect, Tab};
use feed::{Feed, News};
use guideway_control::api::client::Client;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a look for keys lasts: news and signals are seen after it.
const LOOK: Duration = Duration::from_millis(50);
/// The shortest interval: each answer is the whole status.
const SHORTEST: Duration = Duration::from_millis(100);

/// Options of `top`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// How often to ask: "1s", "500ms".
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// The screen to begin with.
    #[arg(long, value_enum, default_value_t = Tab::Overview)]
    tab: Tab,
    /// Only what contains this in its name or state.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Ask twice, an interval apart, print one frame as text, and end.
    #[arg(long)]
    once: bool,
    /// With --once: the rates as JSON.
    #[arg(long, requires = "once")]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = crate::backend::duration(text)?;
    if interval < SHORTEST { Err(format!("at least {SHORTEST:?}")) } else { Ok(interval) }
}

pub(crate) fn top(args: &Args) -> Result<(), Failure> {
    let mut app = App::new(args.tab);
    app.filter.clone_from(&args.filter);
    if args.once {
        return once(args, app);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::Usage("guideway top: this is no terminal; use --once".to_owned()));
    }
    // Before the terminal is taken: a process that is not there is told like by any other command.
    app.update(Client::new(&args.socket)?.status()?, now());
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot install signal handlers")?;
    }
    let feed = Feed::start(&args.socket, args.interval)?;
    // Its panic hook restores the terminal as well.
    let mut terminal = ratatui::try_init().context("cannot set up the terminal")?;
    let ended = show(&mut terminal, &mut app, &feed, &stop);
    let restored = ratatui::try_restore().context("cannot restore the terminal; type: reset");
    // Where the terminal is gone, there is nobody left to tell.
    if stop.load(Relaxed) {
        return Ok(());
    }
    ended?;
    Ok(restored?)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Until somebody quits.
fn show(terminal: &mut DefaultTerminal, app: &mut App, feed: &Feed, stop: &AtomicBool) -> anyhow::Result<()> {
    while !stop.load(Relaxed) {
        terminal.draw(|frame| view::draw(frame, app)).context("cannot draw")?;
        loop {
            let seen = event::poll(LOOK).context("cannot read keys")?;
            if seen
                && let Event::Key(key) = event::read().context("cannot read keys")?
                && let Some(effect) = app.key(key)
            {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Order(order) => feed.orders.send(order).context("the thread that asks has ended")?,
                }
            }
            if take(app, feed)? || seen || stop.load(Relaxed) {
                break;
            }
        }
    }
    Ok(())
}

/// Takes over what came. Returns whether anything did.
fn take(app: &mut App, feed: &Feed) -> anyhow::Result<bool> {
    let mut came = false;
    loop {
        match feed.news.try_recv() {
            Ok(News::Status(status)) => app.update(*status, now()),
            Ok(News::Done(told)) => app.message = Some(told),
            Ok(News::Failed(why)) => app.failure = Some(why),
            Err(TryRecvError::Empty) => return Ok(came),
            Err(TryRecvError::Disconnected) => return Err(anyhow!("the thread that asks has ended")),
        }
        came = true;
    }
}

fn once(args: &Args, mut app: App) -> Result<(), Failure> {
    let client = Client::new(&args.socket)?;
    app.update(client.status()?, now());
    std::thread::sleep(args.interval);
    let status = client.status()?;
    app.update(status.clone(), now());
    let text = if args.json {
        serde_json::to_string_pretty(&once::json(&app, &status))?
    } else {
        once::text(&mut app, once::SIZE)?
    };
    match writeln!(std::io::stdout(), "{text}") {
        // Who reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("cannot write")?),
    }
}
