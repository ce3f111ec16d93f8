//! What the validation knows of the machine that a configuration is to run on.

use std::collections::BTreeSet;
use std::thread::available_parallelism;

/// Where the kernel lists the cores that are online (Documentation/admin-guide/cputopology.rst of Linux).
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// A machine: the numbers of its cores, and what these can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    cores: BTreeSet<usize>,
    intrinsics: Intrinsics,
}

/// Instructions of a processor by which a core saves power while it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intrinsics {
    /// Pauses for a time.
    pub pause: bool,
    /// Waits for a write to one place in memory.
    pub monitor: bool,
    /// Waits for a write to any of several places.
    pub monitor_several: bool,
}

impl Machine {
    /// A machine with the cores 0 to `count` − 1.
    pub fn with_cores(count: usize) -> Self {
        Self { cores: (0..count).collect(), intrinsics: Intrinsics::default() }
    }

    /// The same machine, with these instructions. Without this call it has none of them.
    #[must_use]
    pub fn with_intrinsics(self, intrinsics: Intrinsics) -> Self {
        Self { intrinsics, ..self }
    }

    /// Instructions by which cores save power.
    pub fn intrinsics(&self) -> Intrinsics {
        self.intrinsics
    }

    /// The machine that this process runs on: its online cores, whatever this process may use of them.
    pub fn this() -> Self {
        let listed = std::fs::read_to_string(ONLINE).ok().and_then(|list| core_list(list.trim()));
        match listed {
            Some(cores) => Self { cores, intrinsics: Intrinsics::default() },
            None => Self::with_cores(available_parallelism().map_or(1, usize::from)),
        }
    }

    /// How many cores it has.
    pub fn count(&self) -> usize {
        self.cores.len()
    }

    /// Its cores in words, for messages.
    pub(crate) fn describe(&self) -> String {
        match (self.cores.first(), self.cores.last()) {
            (Some(first), Some(last)) if last - first + 1 == self.cores.len() => format!("cores {first} to {last}"),
            _ => format!("the cores {:?}", self.cores),
        }
    }

    /// Whether it has that core.
    pub fn has(&self, core: usize) -> bool {
        self.cores.contains(&core)
    }
}

/// Reads a list of cores such as `0-3,8`, as the kernel writes it; `None` if it is none, or empty.
pub fn core_list(list: &str) -> Option<BTreeSet<usize>> {
    let mut cores = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores() {
        assert_eq!(core_list("0-2,8"), Some([0, 1, 2, 8].into()));
        assert_eq!(core_list("0"), Some([0].into()));
        assert_eq!(core_list(""), None);
        assert_eq!(core_list("0-x"), None);
    }

    #[test]
    fn this_machine_has_cores() {
        let machine = Machine::this();
        assert!(machine.count() >= 1);
        assert!(!machine.has(usize::MAX));
    }
}
