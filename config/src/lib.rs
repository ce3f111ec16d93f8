//! The TOML schema of Guideway, its validation and its errors.
//!
//! [`parse`] turns the text of a file into a [`model::Config`] in three steps. `syntax` reads TOML into a
//! tree with positions. One file a section decodes its tables into drafts, and notes unknown keys, wrong types
//! and unusable values. `cross` then checks what concerns several sections: references, addresses, ways to backends.
//! No step stops at its first error, and an error that only follows from another one is not reported.
//!
//! A key or value that DESIGN knows and this version does not build is refused by name, see [`schema`].

mod addresses;
mod assemble;
mod audit;
mod backends;
mod connect;
mod cores;
mod cross;
mod diagnostic;
mod display;
mod draft;
mod exception;
mod fit;
mod flows;
mod groups;
mod health;
pub mod import;
mod interfaces;
mod links;
mod load;
mod machine;
pub mod memory;
pub mod model;
mod names;
mod nat;
pub mod overhead;
mod pools;
mod ports;
mod prefixes;
mod probes;
mod process;
mod questions;
mod quic;
mod reader;
pub mod reference;
mod report;
mod routes;
mod scalar;
pub mod schema;
mod services;
mod syntax;
pub mod table_size;
mod tunnel;
mod vips;
mod ways;

pub use diagnostic::{Diagnostic, Position, Related, Severity};
pub use load::{Failure, load};
pub use machine::{Intrinsics, Machine, core_list};

use report::Report;

/// What a valid file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The configuration.
    pub config: model::Config,
    /// What is allowed but probably not meant, by position.
    pub warnings: Vec<Diagnostic>,
}

/// Parses and validates the text of a configuration file.
///
/// `machine` is the machine that the configuration is to run on. With `None` cores need not exist, so that a
/// file for a large machine can be replayed and tested on a small one.
///
/// # Errors
///
/// Every error of the file, sorted by position; never empty. A file whose syntax is broken reports its
/// syntax errors only, since what a broken tree lacks says nothing.
pub fn parse(source: &str, machine: Option<&Machine>) -> Result<Parsed, Vec<Diagnostic>> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut report = Report::default();
    let config = read(source, machine, &mut report);
    let (errors, warnings) = report.finish(source);
    match config {
        Some(config) if errors.is_empty() => Ok(Parsed { config, warnings }),
        _ => Err(errors),
    }
}

/// What is wrong with the keys and values of pools and VIPs in a file that may lack all other sections. What concerns
/// several sections is not looked at.
pub(crate) fn refused_values(source: &str) -> Vec<Diagnostic> {
    const REST: &str = "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [1]\n\
        [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\n";
    let whole = format!("{source}\n{REST}");
    let mut report = Report::default();
    if let Some(tree) = syntax::read(&whole, &mut report) {
        draft::Draft::read(tree.get_ref(), None, &mut report);
    }
    report.finish(&whole).0
}

fn read(source: &str, machine: Option<&Machine>, report: &mut Report) -> Option<model::Config> {
    let tree = syntax::read(source, report)?;
    let draft = draft::Draft::read(tree.get_ref(), machine, report);
    let links = cross::check(&draft, report);
    if machine.is_some() {
        draft.pools.iter().filter_map(|pool| pool.health.as_ref()).for_each(|health| health.check_files(report));
    }
    if report.has_errors() {
        return None;
    }
    let config = assemble::config(draft, &links);
    if config.is_none() {
        report.error(0, "the file was refused for a reason that validation did not name: please report this file");
    }
    config
}
