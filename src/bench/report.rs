//! `guideway bench report`: records as a page or as tables.

use crate::Failure;
use guideway_perf::file;
use guideway_perf::record::Record;
use guideway_perf::show::{html, markdown};
use std::path::{Path, PathBuf};

/// Options of `bench report`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Records, as `--out` of the other commands writes them.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// Write a page for a browser to this file; everything is in it, nothing is loaded.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write tables in Markdown to this file; printed if no file is named at all.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

pub(super) fn report(args: &Args) -> Result<(), Failure> {
    let records = args.records.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &args.html {
        write(path, &html::page(&records))?;
    }
    match &args.markdown {
        Some(path) => write(path, &markdown::text(&records))?,
        None if args.html.is_none() => print!("{}", markdown::text(&records)),
        None => {}
    }
    Ok(())
}

/// A record that the user named: if it is none, that is bad usage.
pub(super) fn read(path: &Path) -> Result<Record, Failure> {
    Record::read(path).map_err(|error| Failure::Usage(error.to_string()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    file::write(path, text).map_err(|error| Failure::Usage(format!("{}: cannot write it: {error}", path.display())))
}
