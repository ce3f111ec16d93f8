//! Cores that a thread, and what it starts, may run on.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread, for the kernel.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Runs `work` with the calling thread on `cores` only. Threads and programs that it starts meanwhile inherit that, and keep it;
/// this thread has its own cores back afterwards.
///
/// # Errors
///
/// When the kernel refuses, as for cores that are not there; else what `work` returns.
pub fn on_cores<T>(cores: &[u32], work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(THIS_THREAD).context("this thread's cores are unknown")?;
    let mut wanted = CpuSet::new();
    for core in cores {
        wanted.set(*core as usize).with_context(|| format!("there is no core {core}"))?;
    }
    sched_setaffinity(THIS_THREAD, &wanted).with_context(|| format!("cannot run on the cores {cores:?}"))?;
    let result = work();
    sched_setaffinity(THIS_THREAD, &before).context("cannot run on the cores of before")?;
    result
}

/// The cores that the calling thread may run on, lowest first.
pub fn cores() -> Result<Vec<u32>> {
    let set = sched_getaffinity(THIS_THREAD).context("this thread's cores are unknown")?;
    let all = 0..u32::try_from(CpuSet::count())?;
    Ok(all.filter(|core| set.is_set(*core as usize) == Ok(true)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_stays_where_it_was_put() -> Result<()> {
        let all = cores()?;
        let last = &all[all.len() - 1..];
        let (here, thread) = on_cores(last, || Ok((cores()?, std::thread::spawn(cores))))?;
        assert_eq!(here, last);
        assert_eq!(thread.join().expect("it ran")?, last);
        assert_eq!(cores()?, all);
        assert!(on_cores(&[u32::MAX], || Ok(())).is_err());
        Ok(())
    }
}
