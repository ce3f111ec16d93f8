//! What slots do without a rule: for the simulation, which shows that flows break then.

use super::phases::{Cohort, Phases};
use guideway_dataplane::consistency::Phase;
use guideway_dataplane::time::Nanos;

impl Phases {
    /// Every slot in transition has the deadline of the one that entered first.
    pub(super) fn share_deadline(&mut self) {
        let of = |cohort: &Cohort| cohort.phase == Phase::Transition;
        let first = self.cohorts.iter().filter(|(_, cohort)| of(cohort)).filter_map(|(_, c)| c.acknowledged).min();
        for (_, cohort) in self.cohorts.iter_mut().filter(|(_, cohort)| of(cohort)) {
            cohort.acknowledged = cohort.acknowledged.and(first);
        }
    }

    /// A base that is not eligible is forgotten.
    pub(super) fn forget_bases(&mut self, is_eligible: impl Fn(u16) -> bool) {
        for (slot, side) in self.current.iter().zip(&mut self.sides) {
            if side.phase == Phase::Transition && !is_eligible(side.base) {
                side.base = slot.index() as u16;
            }
        }
    }

    /// Whoever is looked at is steady.
    pub(super) fn skip_look(&mut self) -> bool {
        self.swept(Nanos(u64::MAX), |_| false)
    }
}
