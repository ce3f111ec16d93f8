//! `guideway bench compare`: what changed from one record to another.

use super::report::read;
use crate::Failure;
use guideway_perf::show::compare::Comparison;
use std::path::PathBuf;

/// Options of `bench compare`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The record to compare to.
    a: PathBuf,
    /// The record that is compared.
    b: PathBuf,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
    /// End with exit code 1 if a figure got worse by more than this, beyond noise. Changes up to 3 % never count.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_on_regression: Option<f64>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches([' ', '%']).parse().ok();
    percent.filter(|percent| (0.0..=1e6).contains(percent)).ok_or_else(|| "a number of percent, such as 5".to_owned())
}

pub(super) fn compare(args: &Args) -> Result<(), Failure> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let comparison = Comparison::of(&a, &b);
    if comparison.changes.is_empty() {
        let [a, b] = &comparison.runs;
        return Err(Failure::Usage(format!(
            "nothing to compare: no figure is in both records; run the same benchmark with the same options\nA: {a}\nB: {b}"
        )));
    }
    if args.markdown {
        print!("{}", comparison.markdown());
    } else {
        print!("{comparison}");
    }
    let Some(percent) = args.fail_on_regression else { return Ok(()) };
    match comparison.regressions(percent).count() {
        0 => Ok(()),
        count => Err(Failure::Runtime(anyhow::anyhow!(
            "{count} of {} figures got worse by more than {percent} %",
            comparison.changes.len()
        ))),
    }
}
