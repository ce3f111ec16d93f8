//! Passive detection: which backend an ICMP error speaks of, so that its checks ask at once whether there is anything to it.
//!
//! What is forwarded tells of a backend's trouble only here: with `l2dsr` and tunnels a backend answers its clients
//! directly, but a router behind the balancer that cannot deliver an outer packet says so to the outer source, which is
//! ours. As with [`crate::path_mtu`], an error counts only if it quotes a tunnel to a backend with a packet to a VIP inside;
//! here the packet inside must be there. It is never a failure by itself: whoever forges one causes one probe.
//!
//! Pure code: frames are handed in.

use crate::quote::{self, Inner, Trouble};
use guideway_dataplane::ids::BackendId;
use std::collections::HashMap;
use std::net::IpAddr;

/// Whom errors may speak of. Its size is bounded by the number of backends, whatever arrives.
#[derive(Debug, Default)]
pub struct Suspects {
    /// The backends of each address; the one whose turn is next comes first.
    backends: HashMap<IpAddr, Vec<BackendId>>,
}

impl Suspects {
    /// Sets the backends that are reached by tunnels, by their addresses.
    pub fn configure(&mut self, backends: &HashMap<IpAddr, Vec<BackendId>>) {
        self.backends.clone_from(backends);
    }

    /// Takes in an Ethernet frame without tags that came to an own address. `is_vip` tells whether an address is a VIP's.
    /// Returns the backend that did not get a packet. One error names one backend; where several pools have one of the same
    /// address, they take turns.
    pub fn receive(&mut self, frame: &[u8], is_vip: impl Fn(IpAddr) -> bool) -> Option<BackendId> {
        let error = quote::parse(frame).filter(|error| error.trouble == Trouble::Unreachable)?;
        let Inner::To(destination) = error.inner else { return None };
        let backends = self.backends.get_mut(&error.destination).filter(|_| is_vip(destination))?;
        let first = *backends.first()?;
        backends.rotate_left(1);
        Some(first)
    }
}
