//! Wires that lose, repeat and delay frames.

use crate::Random;
use std::collections::BTreeMap;

/// A wire in one direction: frames by the time at which they arrive.
#[derive(Debug, Default)]
pub struct Hostile {
    under_way: BTreeMap<(i64, u64), Vec<u8>>,
    sent: u64,
}

impl Hostile {
    /// Sends frames at a time in milliseconds. Each is lost, comes twice, or up to 60 ms late, with the chances of `percent`; late
    /// with four times the chance.
    pub fn send(&mut self, frames: Vec<Vec<u8>>, now: i64, percent: u64, random: &mut Random) {
        for frame in frames {
            if random.below(100) < percent {
                continue;
            }
            let copies = if random.below(100) < percent { 2 } else { 1 };
            for _ in 0..copies {
                let late = if random.below(100) < 4 * percent { random.below(60) } else { 0 };
                self.sent += 1;
                self.under_way.insert((now + 1 + late as i64, self.sent), frame.clone());
            }
        }
    }

    /// What has arrived by this time.
    pub fn arrived(&mut self, now: i64) -> Vec<Vec<u8>> {
        let later = self.under_way.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.under_way, later).into_values().collect()
    }
}
