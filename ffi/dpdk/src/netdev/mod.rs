//! Questions to the kernel about its network interfaces, for checks before a driver takes one and for error texts.

mod xdp;
mod xsk;

pub use xdp::XdpProgram;
pub(crate) use xdp::program as xdp_program;
pub(crate) use xsk::is_taken as is_xdp_queue_taken;

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max: [u32; 4],
    receive: u32,
    transmit: u32,
    other: u32,
    combined: u32,
}

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GGRO: u32 = 0x2b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// The bit of large receive offload in what ETHTOOL_GFLAGS gives.
const FLAG_LRO: u32 = 1 << 15;
const SIOCETHTOOL: u64 = 0x8946;

/// Index of the interface in this network namespace.
pub(crate) fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

fn request(name: &str) -> Option<libc::ifreq> {
    // SAFETY: ifreq is plain data, all zeros is valid.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Some(request)
}

fn ioctl(code: u64, request: &mut libc::ifreq) -> Option<()> {
    // SAFETY: plain system call; the descriptor is owned from here on.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return None;
        }
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: every code used here reads and writes the given ifreq and what it points to.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), code as libc::Ioctl, request) };
    (result == 0).then_some(())
}

fn flags(name: &str) -> Option<i32> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS filled this member.
    Some(i32::from(unsafe { request.ifr_ifru.ifru_flags }))
}

/// Whether somebody brought the interface up.
pub(crate) fn is_up(name: &str) -> bool {
    flags(name).is_some_and(|flags| flags & libc::IFF_UP != 0)
}

/// Whether frames pass: up, and with a carrier.
pub(crate) fn is_running(name: &str) -> bool {
    let running = libc::IFF_UP | libc::IFF_RUNNING;
    flags(name).is_some_and(|flags| flags & running == running)
}

/// Whether the interface has the promiscuous flag.
pub(crate) fn is_promiscuous(name: &str) -> bool {
    flags(name).is_some_and(|flags| flags & libc::IFF_PROMISC != 0)
}

/// The interface's MTU.
pub(crate) fn mtu(name: &str) -> Option<u32> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: SIOCGIFMTU filled this member.
    u32::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok()
}

/// Number of combined channels; 1 if the interface has none or does not say, as the AF_XDP driver counts.
pub(crate) fn combined_channels(name: &str) -> u16 {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    let Some(mut request) = request(name) else { return 1 };
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    match ioctl(SIOCETHTOOL, &mut request) {
        Some(()) if channels.max[3] > 0 => u16::try_from(channels.combined).unwrap_or(u16::MAX),
        _ => 1,
    }
}

fn ethtool(name: &str, command: u32) -> Option<u32> {
    let mut value = EthtoolValue { command, data: 0 };
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    ioctl(SIOCETHTOOL, &mut request)?;
    Some(value.data)
}

/// Whether the kernel or the device merges received packets into larger ones (GRO, LRO), which nobody can forward as they
/// were; `None` if the interface does not say.
#[must_use]
pub fn merges_packets(name: &str) -> Option<bool> {
    let lro = ethtool(name, ETHTOOL_GFLAGS)? & FLAG_LRO != 0;
    Some(lro || ethtool(name, ETHTOOL_GGRO)? != 0)
}

/// The XDP program on an interface of this network namespace; `None` without one.
#[must_use]
pub fn xdp_program_of(name: &str) -> Option<XdpProgram> {
    index(name).and_then(xdp_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_and_nonsense_is_not() {
        assert_eq!(index("lo"), Some(1));
        assert_eq!(mtu("lo"), Some(65_536));
        assert_eq!(combined_channels("lo"), 1);
        assert!(!is_promiscuous("lo"));
        assert_eq!(merges_packets("lo"), Some(true), "loopback has GRO unless somebody switches it off");
        for nonsense in ["", "no-such-if", "a name that is far too long for an interface", "nul\0"] {
            assert_eq!(index(nonsense), None, "{nonsense}");
            assert_eq!(mtu(nonsense), None, "{nonsense}");
            assert!(!is_up(nonsense), "{nonsense}");
            assert_eq!((merges_packets(nonsense), xdp_program_of(nonsense)), (None, None), "{nonsense}");
        }
    }
}
