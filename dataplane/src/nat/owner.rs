//! Which worker a flow belongs to.

use crate::hash::{FlowHasher, FlowKey};
use crate::ids::WorkerId;

/// The worker that owns the flows from a client's address, as [`crate::vip::address_bits`], and port: of a `nat` pool both
/// directions tell it. `secret` must be the same at all workers; who does not know it cannot aim flows at one of them. It is
/// that of the process: under the fleet's key the owner would follow from the backend.
///
/// Of no workers it is the first.
#[inline]
#[must_use]
pub fn owner_of_client(secret: &FlowHasher, address: u128, port: u16, workers: u16) -> WorkerId {
    let key = FlowKey::v6(0, address.to_be_bytes(), [0; 16], port, 0);
    WorkerId(secret.hash(&key).slot(workers.into()) as u16)
}

/// The worker that owns a source port of a `fullnat` pool, which answers are sent to: it allocates no ports but its own.
///
/// Of no workers it is the first.
#[inline]
#[must_use]
pub const fn owner_of_port(port: u16, workers: u16) -> WorkerId {
    WorkerId(if workers == 0 { 0 } else { port % workers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vip::address_bits;
    use std::collections::HashMap;

    #[test]
    fn clients_spread_evenly_and_ports_of_one_client_too() {
        let (one, other) = (FlowHasher::new([1; 16]), FlowHasher::new([2; 16]));
        let workers = 7;
        let mut moved = 0;
        let mut shares = HashMap::<_, u32>::new();
        for client in 0..14_000_u32 {
            let (address, port) =
                (address_bits(std::net::Ipv4Addr::from(client % 10 + 0xc000_0200).into()), client as u16 + 1);
            let owner = owner_of_client(&one, address, port, workers);
            assert_eq!(owner, owner_of_client(&FlowHasher::software([1; 16]), address, port, workers));
            *shares.entry(owner).or_default() += 1;
            moved += u32::from(owner != owner_of_client(&other, address, port, workers));
        }
        assert!(shares.len() == 7 && shares.values().all(|share| (1_800..2_200).contains(share)), "{shares:?}");
        // Under another secret six of seven are elsewhere.
        assert!((11_500..12_500).contains(&moved), "{moved}");
    }

    #[test]
    fn ports_belong_to_their_residue() {
        assert_eq!([7, 8, 65_535].map(|port| owner_of_port(port, 4)), [WorkerId(3), WorkerId(0), WorkerId(3)]);
    }

    #[test]
    fn of_no_workers_it_is_the_first() {
        assert_eq!(owner_of_port(80, 0), WorkerId(0));
        assert_eq!(owner_of_client(&FlowHasher::new([1; 16]), 1, 80, 0), WorkerId(0));
    }
}
