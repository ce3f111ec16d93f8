//! Cases that belong together: what a user looks at first, and all that the documentation speaks of.

use crate::mix::Spreading;
use crate::scenario::{Case, Load, Slots, Treatment};
use guideway_dataplane::parse::Family;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const TREATMENTS: [Treatment; 5] =
    [Treatment::L2dsr, Treatment::Ipip, Treatment::Gre, Treatment::Gue, Treatment::GueChecksum];

/// Each mode and IP version.
#[must_use]
pub fn quick() -> Vec<Case> {
    let treatments = [Treatment::MacSwap].into_iter().chain(TREATMENTS);
    treatments.flat_map(|treatment| FAMILIES.map(|family| Case { treatment, family, ..Case::default() })).collect()
}

/// [`quick`], each of the numbers that a cost might depend on over its range, and every state and load.
#[must_use]
pub fn full() -> Vec<Case> {
    let mut cases = quick();
    let plain = Case::default();
    for treatment in [Treatment::L2dsr, Treatment::Ipip, Treatment::Gue] {
        for flows in [1, 1_000, 1_000_000, 10_000_000] {
            cases.extend(FAMILIES.map(|family| Case { treatment, family, flows, ..plain }));
        }
        for backends in [10, 10_000] {
            let of = |flows| Case { treatment, backends, flows, ..plain };
            cases.extend([1, 100_000, 10_000_000].map(of));
        }
    }
    for family in FAMILIES {
        let plain = Case { family, flows: 1_000_000, ..plain };
        cases.extend([Slots::Transition, Slots::Always].map(|slots| Case { slots, ..plain }));
        cases.extend([Load::Udp, Load::SynFlood, Load::NoVip].map(|load| Case { load, ..plain }));
        cases.push(Case { affinity: true, ..plain });
        cases.push(Case { vips: 1_000, ..plain });
    }
    for table_size in [4_099, 65_537] {
        let plain = Case { vips: 1_000, pools: 1_000, backends: 10, flows: 1_000_000, table_size, ..plain };
        cases.extend([Spreading::Uniform, Spreading::Zipf].map(|spreading| Case { spreading, ..plain }));
        cases.push(Case { vips: 1, pools: 1, ..plain });
    }
    for treatment in [Treatment::Ipip, Treatment::GueChecksum] {
        cases.extend([508, 1_514].map(|frame_len| Case { treatment, frame_len, ..plain }));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_is_measured_twice() {
        for suite in [quick(), full()] {
            for (place, case) in suite.iter().enumerate() {
                assert!(!suite[..place].contains(case), "{case:?}");
            }
        }
        assert!(quick().iter().all(|case| full().contains(case)));
    }
}
