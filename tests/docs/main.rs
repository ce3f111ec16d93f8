//! The documentation is run: every block of `README.md` and `docs/` as its info string says.
//!
//! | info string | what a test does |
//! | --- | --- |
//! | `sh` | runs it as written; a command that fails fails the test |
//! | `sh background` | the same, and goes on with the page while it runs; after `guideway run`, once that serves |
//! | `LANGUAGE no-run=REASON` | does not run it, for that reason; `sh` is parsed, and the options of its `guideway …` are |
//! | `toml` | a part of a configuration: every key and value of it must be known |
//! | `toml file=/PATH` | the same, and writes it there |
//! | `text output` | it is what the `sh` block before printed; `…` for any text, or any lines, and numbers may differ |
//! | `text` | nothing |
//!
//! GitHub shows none of what follows the language. Blocks of one page share one shell; [`surroundings`] says what each
//! page finds there.

mod commands;
mod configurations;
mod links;
mod page;
mod printed;
mod session;
mod surroundings;

use anyhow::{Context, Result};
use guideway_lab::runnable;
use page::Page;
use std::sync::{Mutex, PoisonError};
use surroundings::PAGES;

/// Two cores have to do for all that a page starts.
static TURN: Mutex<()> = Mutex::new(());

fn run(name: &str) -> Result<()> {
    if !runnable(name) {
        return Ok(());
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, surroundings) = PAGES.iter().find(|(page, _)| *page == name).context("an unknown page")?;
    surroundings.run(&Page::read(name)?)
}

#[test]
fn every_page_that_runs_has_its_test() -> Result<()> {
    let runs: Vec<String> = page::all()?.into_iter().filter(Page::runs).map(|page| page.name).collect();
    let known: Vec<&str> = PAGES.iter().map(|(page, _)| *page).collect();
    assert_eq!(runs, known, "add the page to PAGES in surroundings.rs, in alphabetical order, and its test here");
    Ok(())
}

#[test]
fn readme() -> Result<()> {
    run("README.md")
}

#[test]
fn forwarding_modes() -> Result<()> {
    run("docs/forwarding-modes.md")
}

#[test]
fn getting_started() -> Result<()> {
    run("docs/getting-started.md")
}

#[test]
fn operations() -> Result<()> {
    run("docs/operations.md")
}

#[test]
fn packets() -> Result<()> {
    run("docs/packets.md")
}

#[test]
fn tuning() -> Result<()> {
    run("docs/tuning.md")
}
