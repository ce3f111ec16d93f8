//! Whether the cores that are measured on have other work.

use guideway_perf::machine::CoreTime;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a look takes: ten ticks of the kernel's account.
const LOOK: Duration = Duration::from_millis(100);
/// Percent of a look that a core may be busy.
const MOST_BUSY: f64 = 15.0;

/// Looks at cores while nothing that is measured runs, and waits for other work to end, as long as there is patience.
#[derive(Debug)]
pub struct Calm {
    cores: [usize; 2],
    patience: Duration,
}

impl Calm {
    /// Of these cores; all waiting together takes no longer than `patience`.
    pub fn new(cores: [u32; 2], patience: Duration) -> Self {
        Self { cores: cores.map(|core| core as usize), patience }
    }

    /// Whether the cores are idle now. True where the kernel does not tell.
    pub fn is_now(&self) -> bool {
        let account = || self.cores.map(CoreTime::of);
        let before = account();
        sleep(LOOK);
        let pairs = before.into_iter().zip(account());
        pairs.into_iter().all(|pair| match pair {
            (Some(before), Some(after)) => after.busy_percent_since(before) <= MOST_BUSY,
            _ => true,
        })
    }

    /// Waits until the cores are idle; whether they are.
    pub fn wait(&mut self) -> bool {
        loop {
            let start = Instant::now();
            if self.is_now() {
                return true;
            }
            if self.patience.is_zero() {
                return false;
            }
            self.spend(start.elapsed());
        }
    }

    /// Whether there is patience left for what took `time` to be done again, which is spent then.
    pub fn forgives(&mut self, time: Duration) -> bool {
        let any = !self.patience.is_zero();
        self.spend(time);
        any
    }

    fn spend(&mut self, time: Duration) {
        self.patience = self.patience.saturating_sub(time);
    }
}
