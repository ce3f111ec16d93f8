//! Any bytes, as a frame with an ICMP error that came to an own address: what is learned of paths, and who is suspected.
#![no_main]

use guideway_control::path_mtu::{LEAST_V4, LEAST_V6, PathMtus};
use guideway_control::suspects::Suspects;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use guideway_fuzz::answer::{BACKEND, BACKEND_V6, VIP, VIP_V6};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::net::IpAddr;

const NOW: Nanos = Nanos(1_000_000_000);

/// Whether the bytes hold this address.
fn holds(frame: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => frame.windows(4).any(|window| window == v4.octets()),
        IpAddr::V6(v6) => frame.windows(16).any(|window| window == v6.octets()),
    }
}

fuzz_target!(|frame: &[u8]| {
    let backends = [BACKEND.into(), BACKEND_V6.into()];
    let vips: [IpAddr; 2] = [VIP.into(), VIP_V6.into()];
    let is_vip = |address| vips.contains(&address);
    let mut path_mtus = PathMtus::new();
    path_mtus.configure(&backends.into());
    let learned = path_mtus.receive(NOW, frame, is_vip);
    if let Some(learned) = learned {
        let least = if learned.backend_address.is_ipv4() { LEAST_V4 } else { LEAST_V6 };
        assert!(learned.mtu >= least);
        assert!(holds(frame, learned.backend_address), "{learned:?}");
    }
    let mut suspects = Suspects::default();
    suspects.configure(&HashMap::from([(backends[0], vec![BackendId(0)]), (backends[1], vec![BackendId(1)])]));
    if let Some(suspect) = suspects.receive(frame, is_vip) {
        assert!(learned.is_none(), "an error says one thing");
        assert!(holds(frame, backends[suspect.index()]));
        assert!(vips.iter().any(|vip| holds(frame, *vip)));
    }
});
