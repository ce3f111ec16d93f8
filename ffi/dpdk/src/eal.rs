//! The environment abstraction layer: started once, with typed arguments.

use crate::{errno_text, log, rte_errno};
use std::ffi::{CString, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Whether hugepages are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// Used if at least [`EalConfig::memory_mb`] of them are free.
    #[default]
    Auto,
    /// Not used.
    Never,
    /// Starting fails without them.
    Require,
}

/// From which level on DPDK's messages are kept for error texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// Errors and warnings.
    #[default]
    Warning,
    /// What drivers say at start, too.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    fn number(self) -> u32 {
        match self {
            Self::Error => dpdk_sys::RTE_LOG_ERR,
            Self::Warning => dpdk_sys::RTE_LOG_WARNING,
            Self::Info => dpdk_sys::RTE_LOG_INFO,
            Self::Debug => dpdk_sys::RTE_LOG_DEBUG,
        }
    }
}

/// How the EAL is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalConfig {
    /// CPU of the calling thread, which DPDK pins there. Threads started later inherit that and must pin themselves.
    pub main_core: usize,
    /// Hugepages or not.
    pub hugepages: Hugepages,
    /// Memory in MiB that pools and drivers need. Without hugepages it is reserved as address space at start; with
    /// them pages are taken as needed and this is how many must be free.
    pub memory_mb: usize,
    /// Whether a PCI device will be attached; without one the PCI bus is not scanned.
    pub pci: bool,
    /// Messages kept for error texts.
    pub log_level: LogLevel,
    /// Further EAL arguments, last on the command line.
    pub extra_args: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            main_core: 0,
            hugepages: Hugepages::Auto,
            memory_mb: 256,
            pci: false,
            log_level: LogLevel::default(),
            extra_args: Vec::new(),
        }
    }
}

/// Why the EAL did not start.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EalError {
    /// Started before, also if it was shut down since: DPDK cannot start twice.
    #[error("EAL: was already started in this process, and DPDK starts only once; use one Eal for the whole process")]
    AlreadyRunning,
    /// Hugepages are required and there are too few.
    #[error(
        "EAL: hugepages are required, {needed_mb} MiB must be free and {free_mb} MiB are; reserve them: \
         echo {} > /proc/sys/vm/nr_hugepages (for good: vm.nr_hugepages in /etc/sysctl.d)", needed_mb.div_ceil(2)
    )]
    NoHugepages {
        /// MiB asked for.
        needed_mb: usize,
        /// MiB that lie in free hugepages.
        free_mb: usize,
    },
    /// The operating system refused something.
    #[error(
        "EAL: permission denied ({detail}); run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK and CAP_SYS_NICE"
    )]
    Permission {
        /// DPDK's log.
        detail: String,
    },
    /// The core does not exist or is not allowed.
    #[error(
        "EAL: core {core} is not available to this process; choose `cores.control` from /proc/self/status, Cpus_allowed_list"
    )]
    NoSuchCore {
        /// The CPU asked for.
        core: usize,
    },
    /// An argument holds a NUL byte.
    #[error("EAL: argument {0:?} of dpdk.extra_args holds a NUL byte; remove it")]
    BadArgument(String),
    /// Anything else.
    #[error("EAL: start failed: {reason} ({detail}); check dpdk.extra_args and the memory of this machine")]
    Failed {
        /// Text of `rte_errno`.
        reason: String,
        /// DPDK's log.
        detail: String,
    },
}

/// Prefix of DPDK's file names, before the process id.
const PREFIX: &str = "guideway-";

static STARTED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
pub(crate) struct EalInner {
    hugepages: bool,
    /// Whether there may be devices that read memory by its physical address.
    pub(crate) pci: bool,
    /// Set when a pool had to be left behind: its memory must then stay mapped.
    pub(crate) keep: AtomicBool,
}

impl Drop for EalInner {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Acquire) {
            // SAFETY: every port, queue and pool holds a reference to self, so all of them are gone.
            unsafe { dpdk_sys::rte_eal_cleanup() };
        }
    }
}

/// The running EAL. Clones share it; it is shut down with the last of them and of the ports, queues and pools.
#[derive(Clone, Debug)]
pub struct Eal {
    pub(crate) inner: Arc<EalInner>,
}

impl Eal {
    /// Starts DPDK on the calling thread and pins that thread to `config.main_core`.
    ///
    /// Nothing is left behind when the process is killed: with hugepages memory is anonymous (`--in-memory`), without
    /// them nothing is shared (`--no-huge --no-shconf`).
    ///
    /// # Errors
    /// Any [`EalError`]. After a failure of DPDK itself the process cannot try again.
    pub fn init(config: &EalConfig) -> Result<Self, EalError> {
        let free_mb = free_hugepages_mb(Path::new("/sys/kernel/mm/hugepages"));
        let hugepages = choose(config, free_mb)?;
        if !core_allowed(config.main_core) {
            return Err(EalError::NoSuchCore { core: config.main_core });
        }
        let arguments = arguments(config, hugepages)?;
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::AlreadyRunning);
        }
        log::capture();
        let result = rte_init(arguments, config.log_level);
        remove_runtime_directories();
        result?;
        Ok(Self { inner: Arc::new(EalInner { hugepages, pci: config.pci, keep: AtomicBool::new(false) }) })
    }

    /// Whether memory comes from hugepages.
    #[must_use]
    pub fn has_hugepages(&self) -> bool {
        self.inner.hugepages
    }

    /// [`version`] of the DPDK that was started.
    #[must_use]
    pub fn version(&self) -> String {
        version()
    }
}

/// DPDK's version, such as `DPDK 22.11.11`.
#[must_use]
pub fn version() -> String {
    // SAFETY: returns a static C string.
    unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned()
}

/// DPDK makes a directory for files that it shares with other processes. It shares none here, so the directory is
/// removed at once, and with it those of processes that were killed before they came to this point.
fn remove_runtime_directories() {
    // SAFETY: returns a static C string.
    let own = unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) };
    let own = Path::new(OsStr::from_bytes(own.to_bytes()));
    // Only empty directories can be removed this way; anything else is somebody else's business.
    let _ = std::fs::remove_dir(own);
    let Some(parent) = own.parent() else { return };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

fn choose(config: &EalConfig, free_mb: usize) -> Result<bool, EalError> {
    let enough = free_mb >= config.memory_mb.max(1);
    match config.hugepages {
        Hugepages::Never => Ok(false),
        Hugepages::Auto => Ok(enough),
        Hugepages::Require if enough => Ok(true),
        Hugepages::Require => Err(EalError::NoHugepages { needed_mb: config.memory_mb, free_mb }),
    }
}

/// MiB in free hugepages of all sizes, from a directory as `/sys/kernel/mm/hugepages`.
fn free_hugepages_mb(root: &Path) -> usize {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let kilobytes = entries.filter_map(|entry| {
        let name = entry.file_name();
        let size: usize = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free = std::fs::read_to_string(entry.path().join("free_hugepages")).ok()?;
        Some(size.saturating_mul(free.trim().parse().ok()?))
    });
    kilobytes.fold(0, usize::saturating_add) / 1024
}

fn core_allowed(core: usize) -> bool {
    if core >= libc::CPU_SETSIZE as usize {
        return false;
    }
    // SAFETY: cpu_set_t is an array of integers, all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid for the size given; `core` lies within it.
    unsafe {
        libc::CPU_SET(core, &mut set);
        // The thread's own mask may be narrower than what it may choose, so this asks by setting and restores.
        let mut before: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &mut before) != 0 {
            return false;
        }
        let allowed = libc::sched_setaffinity(0, size, &set) == 0;
        libc::sched_setaffinity(0, size, &before);
        allowed
    }
}

fn arguments(config: &EalConfig, hugepages: bool) -> Result<Vec<CString>, EalError> {
    let mut arguments = vec![
        "guideway".to_owned(),
        // One lcore, number 0, whatever the CPU's number: DPDK counts 128 lcores, machines have more CPUs.
        format!("--lcores=0@{}", config.main_core),
        format!("--file-prefix={PREFIX}{}", std::process::id()),
        "--no-telemetry".to_owned(),
        format!("--log-level={}", config.log_level.number()),
    ];
    if hugepages {
        arguments.push("--in-memory".to_owned());
    } else {
        arguments.extend(["--no-huge".to_owned(), "--no-shconf".to_owned(), format!("-m{}", config.memory_mb)]);
    }
    if config.pci {
        // A list that no driver matches: devices are attached later, one by one, so that an error names its device.
        arguments.push("--allow=0000:00:00.0".to_owned());
    } else {
        // Without devices physical addresses serve nobody, and AF_XDP needs a pool in one piece.
        arguments.extend(["--no-pci".to_owned(), "--iova-mode=va".to_owned()]);
    }
    arguments.extend(config.extra_args.iter().cloned());
    arguments
        .into_iter()
        .map(|argument| CString::new(argument.clone()).map_err(|_| EalError::BadArgument(argument)))
        .collect()
}

fn rte_init(arguments: Vec<CString>, level: LogLevel) -> Result<(), EalError> {
    let count = c_int::try_from(arguments.len()).unwrap_or(c_int::MAX);
    // DPDK reorders the array, writes into the strings and keeps pointers to some of them: they live for ever.
    let mut argv: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    argv.push(std::ptr::null_mut());
    let argv = argv.leak();
    log::clear();
    // SAFETY: argv holds `count` NUL-terminated writable strings and a final null, all of them leaked; STARTED
    // guarantees that this runs once.
    let result = unsafe { dpdk_sys::rte_eal_init(count, argv.as_mut_ptr()) };
    if result >= 0 {
        // SAFETY: the pattern is a C string. Drivers register with a level of their own; this brings them in line.
        // The AF_XDP driver's libraries print for themselves otherwise.
        unsafe {
            dpdk_sys::rte_log_set_level_pattern(c"*".as_ptr(), level.number());
            dpdk_sys::guideway_capture_bpf_log();
        }
        return Ok(());
    }
    let errno = rte_errno();
    let detail = log::take();
    match errno {
        libc::EACCES | libc::EPERM => Err(EalError::Permission { detail }),
        _ => Err(EalError::Failed { reason: errno_text(errno), detail }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(config: &EalConfig, hugepages: bool) -> Vec<String> {
        let arguments = arguments(config, hugepages).expect("no NUL");
        arguments.into_iter().map(|argument| argument.into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn in_memory_and_no_huge_exclude_each_other() {
        let config = EalConfig::default();
        let with = text(&config, true);
        let without = text(&config, false);
        assert!(with.contains(&"--in-memory".into()) && !with.contains(&"--no-huge".into()));
        assert!(without.contains(&"--no-huge".into()) && without.contains(&"--no-shconf".into()));
        assert!(!without.contains(&"--in-memory".into()));
        assert!(without.contains(&"-m256".into()) && !with.iter().any(|a| a.starts_with("-m")));
    }

    #[test]
    fn extra_arguments_come_last_and_pci_is_scanned_only_when_asked_for() {
        let config = EalConfig { pci: true, extra_args: vec!["--huge-worker-stack".into()], ..EalConfig::default() };
        let arguments = text(&config, true);
        assert_eq!(arguments.last().map(String::as_str), Some("--huge-worker-stack"));
        assert!(!arguments.contains(&"--no-pci".into()));
        assert!(text(&EalConfig::default(), true).contains(&"--no-pci".into()));
    }

    #[test]
    fn a_nul_byte_is_an_error() {
        let config = EalConfig { extra_args: vec!["a\0b".into()], ..EalConfig::default() };
        assert_eq!(arguments(&config, true), Err(EalError::BadArgument("a\0b".into())));
    }

    #[test]
    fn hugepages_are_chosen_by_what_is_free() {
        let config = |hugepages| EalConfig { hugepages, memory_mb: 64, ..EalConfig::default() };
        assert_eq!(choose(&config(Hugepages::Auto), 64), Ok(true));
        assert_eq!(choose(&config(Hugepages::Auto), 63), Ok(false));
        assert_eq!(choose(&config(Hugepages::Never), 640), Ok(false));
        let error = choose(&config(Hugepages::Require), 10).expect_err("too few");
        assert_eq!(error, EalError::NoHugepages { needed_mb: 64, free_mb: 10 });
        assert!(error.to_string().contains("echo 32 > /proc/sys/vm/nr_hugepages"), "{error}");
    }
}
