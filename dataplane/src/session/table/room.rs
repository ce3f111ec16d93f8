//! Who makes room: sessions whose time is over, those that are embryonic, those that are silent.

use super::{PATIENCE_STEP, Record, Sessions, ticks};
use crate::session::record::SessionId;
use crate::session::wheel::TICK_MILLIS;
use crate::time::Nanos;
use std::time::Duration;

/// A session with a packet within this time never makes room for another.
pub const RECENT: Duration = Duration::from_secs(10);
/// Sessions that are looked at for one that is silent.
const SAMPLES: usize = 8;

impl Sessions {
    /// As many sessions as may be embryonic: at least one, and no more than there are.
    #[must_use]
    pub fn with_most_embryonic(mut self, most: u32) -> Self {
        self.most_embryonic = most.clamp(1, (self.records.len() as u32).max(1));
        self
    }

    /// How many may be embryonic.
    #[must_use]
    pub const fn most_embryonic(&self) -> u32 {
        self.most_embryonic
    }

    /// The session that has been embryonic for longest.
    #[must_use]
    pub fn oldest_embryonic(&self) -> Option<SessionId> {
        self.wheel.oldest_embryonic().map(SessionId)
    }

    /// A session that has been silent for [`RECENT`] or longer and is not embryonic: of the eight that were not looked at for
    /// longest the one that is silent for longest. Those that turn out to be busy are not looked at again soon, so a later call
    /// looks at others.
    pub fn next_silent(&mut self, now: Nanos) -> Option<SessionId> {
        let mut sampled = [0; SAMPLES];
        let count = self.wheel.soonest(&mut self.kept, &mut sampled);
        let mut most: Option<(Duration, u32)> = None;
        for &number in sampled.iter().take(count) {
            let silent = self.silence(SessionId(number), now);
            if silent >= RECENT {
                most = most.max(Some((silent, number)));
            } else if let Some(record) = self.records.get(number as usize) {
                let until = record.deadline;
                self.wheel.take(&mut self.kept, number);
                self.wheel.arm(&mut self.kept, number, until);
            }
        }
        most.map(|(_, number)| SessionId(number))
    }

    /// For how long a session has had no packet, or some seconds less.
    #[must_use]
    pub fn silence(&self, id: SessionId, now: Nanos) -> Duration {
        let place = id.0 as usize;
        let (Some(record), Some(kept)) = (self.records.get(place), self.kept.0.get(place)) else {
            return Duration::ZERO;
        };
        let ahead = i64::from(record.deadline.wrapping_sub(ticks(now)).cast_signed()) * TICK_MILLIS as i64;
        let silent = i64::from(kept.patience) * (PATIENCE_STEP * 1_000) as i64 - ahead;
        Duration::from_millis(silent.max(0).cast_unsigned())
    }

    /// A session whose time is over; looks at `budget` of them at most, and counts it down.
    pub fn next_expired(&mut self, now: Nanos, budget: &mut u32) -> Option<SessionId> {
        if self.live == 0 {
            return None;
        }
        let tick = ticks(now);
        let is_over = |record: &Record| tick.wrapping_sub(record.deadline).cast_signed() >= 0;
        let oldest = self.oldest_embryonic().filter(|id| self.record(*id).is_some_and(is_over));
        if oldest.is_some() && *budget > 0 {
            *budget -= 1;
            return oldest;
        }
        while *budget > 0 {
            let number = self.wheel.next_at(tick)?;
            *budget -= 1;
            self.look_ahead(number);
            let until = self.records.get(number as usize)?.deadline;
            if tick.wrapping_sub(until).cast_signed() >= 0 {
                return Some(SessionId(number));
            }
            self.wheel.take(&mut self.kept, number);
            self.wheel.arm(&mut self.kept, number, until);
        }
        None
    }
}
