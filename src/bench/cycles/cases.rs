//! The cases that options ask for.

use super::FRAME_CHECK_SEQUENCE;
use super::args::{Args, Mode, Suite};
use crate::Failure;
use clap::ValueEnum as _;
use guideway_dataplane::parse::Family;
use guideway_perf::scenario::{Case, MAX_BACKENDS};
use guideway_perf::suite;

/// What was asked for: a suite, or every combination of the options.
pub(super) fn cases(args: &Args) -> Result<Vec<Case>, Failure> {
    let cases = match args.suite {
        Some(Suite::Quick) => suite::quick(),
        Some(Suite::Full) => suite::full(),
        None => combinations(args),
    };
    for case in &cases {
        let backends = u32::from(case.pools) * u32::from(case.backends);
        if backends > MAX_BACKENDS {
            let what = format!("{} pools of {} backends are {backends}", case.pools, case.backends);
            return Err(Failure::Usage(format!(
                "{what}; there can be {MAX_BACKENDS}: give fewer --pools or --backends"
            )));
        }
    }
    Ok(cases)
}

fn combinations(args: &Args) -> Vec<Case> {
    fn or<T: Copy>(given: &[T], otherwise: &[T]) -> Vec<T> {
        if given.is_empty() { otherwise.to_vec() } else { given.to_vec() }
    }
    let modes = or(&args.mode, Mode::value_variants());
    let mut cases = vec![Case { affinity: args.affinity, ..Case::default() }];
    // The first varies slowest in the table.
    vary(&mut cases, &args.frame_size, |case, size| case.frame_len = usize::from(size - FRAME_CHECK_SEQUENCE));
    vary(&mut cases, &args.table_size, |case, size| case.table_size = size);
    vary(&mut cases, &args.spreading, |case, spreading| case.spreading = spreading.into());
    vary(&mut cases, &args.vips, |case, vips| case.vips = vips);
    vary(&mut cases, &args.pools, |case, pools| (case.pools, case.vips) = (pools, case.vips.max(pools)));
    vary(&mut cases, &args.flows, |case, flows| case.flows = flows);
    vary(&mut cases, &args.backends, |case, backends| case.backends = backends);
    vary(&mut cases, &modes, |case, mode| case.treatment = mode.into());
    vary(&mut cases, &args.load, |case, load| case.load = load.into());
    vary(&mut cases, &args.slots, |case, slots| case.slots = slots.into());
    vary(&mut cases, &or(&args.family, &[Family::V4, Family::V6]), |case, family| case.family = family);
    cases
}

/// Each case once for each value.
fn vary<T: Copy>(cases: &mut Vec<Case>, values: &[T], set: impl Fn(&mut Case, T)) {
    let with = |case: &Case, value: T| {
        let mut case = *case;
        set(&mut case, value);
        case
    };
    *cases = cases.iter().flat_map(|case| values.iter().map(|value| with(case, *value)).collect::<Vec<_>>()).collect();
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    fn cases_of(line: &str) -> Vec<Case> {
        cases(&parse(line).expect("good usage")).unwrap_or_else(|_| panic!("cases"))
    }

    #[test]
    fn everything_is_measured_unless_told_otherwise() {
        let all = cases_of("cycles");
        assert_eq!(all, suite::quick());
        assert!(all.iter().all(|case| (case.flows, case.backends, case.frame_len) == (100_000, 1_000, 60)));
        let chosen = cases_of("cycles --mode ipip --family 6 --flows 1,1000 --backends 3,1000 --frame-size 128");
        let found: Vec<_> =
            chosen.iter().map(|case| (case.to_string(), case.flows, case.backends, case.frame_len)).collect();
        let expected = [(1, 3), (1, 1_000), (1_000, 3), (1_000, 1_000)];
        assert_eq!(found, expected.map(|(flows, backends)| ("ipip IPv6".to_owned(), flows, backends, 124)));
        let pools =
            cases_of("cycles --mode l2dsr --family 4 --pools 1,500 --vips 2 --spreading uniform,zipf --backends 10");
        assert_eq!(
            pools.iter().map(|case| (case.vips, case.pools)).collect::<Vec<_>>(),
            [(2, 1), (500, 500), (2, 1), (500, 500)]
        );
        assert_eq!(cases_of("cycles --suite quick").len(), suite::quick().len());
    }
}
