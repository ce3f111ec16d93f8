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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report;
    use clap::Parser;
    use guideway_perf::machine::Machine;
    use guideway_perf::maglev::report::{BalanceReport, CaseReport, Report};
    use guideway_perf::record::{Record, Results, Start};
    use guideway_perf::window::Spread;
    use std::path::Path;

    #[derive(Parser)]
    struct Compare {
        #[command(flatten)]
        args: Args,
    }

    #[derive(Parser)]
    struct Show {
        #[command(flatten)]
        args: report::Args,
    }

    /// Writes a record of a table that takes so long to build.
    fn record(directory: &Path, name: &str, slots: u32, build: f64) -> String {
        let exact = |value| Spread { median: value, min: value, max: value };
        let case = CaseReport {
            slots,
            backends: 10,
            build_ms: exact(build),
            one_down_ms: exact(1.0),
            balance: BalanceReport { largest: 1.0, smallest: 1.0 },
            events: vec![],
        };
        let results = Results::Maglev(Report { samples: 1, cases: vec![case] });
        let path = directory.join(name);
        Record::new(results, Machine::default(), Start::now()).write(&path).expect("written");
        path.display().to_string()
    }

    fn run(line: &[&str]) -> Result<(), Failure> {
        compare(&Compare::try_parse_from([&["compare"], line].concat()).expect("good usage").args)
    }

    #[test]
    fn a_regression_fails_only_if_asked_and_only_beyond_the_percent() {
        let directory = tempfile::tempdir().expect("a directory");
        let [a, b] = [("a", 1.0), ("b", 1.2)].map(|(name, build)| record(directory.path(), name, 13, build));
        assert!(run(&[&a, &b]).is_ok());
        assert!(run(&[&a, &b, "--fail-on-regression", "25 %"]).is_ok());
        assert!(run(&[&b, &a, "--fail-on-regression", "0", "--markdown"]).is_ok(), "it got better");
        let failed = run(&[&a, &b, "--fail-on-regression", "10"]);
        assert!(matches!(failed, Err(Failure::Runtime(error)) if error.to_string().starts_with("1 of 3 figures")));
    }

    #[test]
    fn what_cannot_be_compared_is_bad_usage() {
        let directory = tempfile::tempdir().expect("a directory");
        let [a, b] = [("a", 13), ("b", 17)].map(|(name, slots)| record(directory.path(), name, slots, 1.0));
        assert!(matches!(run(&[&a, &b]), Err(Failure::Usage(text)) if text.starts_with("nothing to compare")));
        assert!(matches!(run(&[&a, "nowhere.json"]), Err(Failure::Usage(text)) if text.contains("nowhere.json")));
        for percent in ["-1", "much", "nan"] {
            let line = ["compare", "a", "b", "--fail-on-regression", percent];
            assert!(Compare::try_parse_from(line).is_err(), "{percent}");
        }
    }

    #[test]
    fn records_become_a_page_and_tables() {
        let directory = tempfile::tempdir().expect("a directory");
        let a = record(directory.path(), "a", 13, 1.0);
        let [html, markdown] = ["a.html", "a.md"].map(|name| directory.path().join(name).display().to_string());
        let show =
            |line: &[&str]| report::report(&Show::try_parse_from([&["report"], line].concat()).expect("usage").args);
        assert!(show(&[&a, &a, "--html", &html, "--markdown", &markdown]).is_ok());
        let text = |path| std::fs::read_to_string(path).expect("a file");
        assert!(text(&html).contains("<h2 id=\"run-2\">") && text(&markdown).contains("## 2. Tables"));
        let nowhere = directory.path().join("nowhere/a.html").display().to_string();
        assert!(matches!(show(&[&a, "--html", &nowhere]), Err(Failure::Usage(text)) if text.contains("nowhere")));
        assert!(Show::try_parse_from(["report"]).is_err(), "no record");
    }
}
