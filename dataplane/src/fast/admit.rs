//! The first stage: which packets are usual, and which VIPs they are for.

use super::read::{self, Receiver};
use super::{FastPath, all_of, places};
use crate::drop_reason::DropReason;
use crate::hash::FlowKey;
use crate::port::{BURST, Burst, Packet, RxChecksum};
use crate::select::Verdict;
use crate::snapshot::{PortState, Snapshot};
use crate::vip::Steering;
use crate::vip::exact::{KeyV4, KeyV6};
use std::net::Ipv4Addr;

/// What the first stage makes of a burst. Bit `i` is packet `i`; on a packet in no mask there is a verdict.
#[derive(Clone, Copy, Default)]
pub(super) struct Admitted {
    /// Packets that a VIP takes, and that everything is known about.
    pub usual: u64,
    /// Those that are IPv6.
    pub ipv6: u64,
    /// Packets for the slow path.
    pub slow: u64,
}

/// What one loop over packets of one family found.
#[derive(Clone, Copy, Default)]
struct Found {
    /// Packets that are not usual ones of this family.
    rest: u64,
    /// Usual ones whose service is not known as it stands.
    unmatched: u64,
}

impl FastPath {
    /// Reads usual packets and looks up their VIPs.
    #[inline]
    pub(super) fn admit<P: Packet>(
        &mut self,
        snapshot: &Snapshot,
        port: &PortState,
        receiver: Receiver,
        burst: &Burst<P>,
    ) -> Admitted {
        let all = all_of(burst.len());
        let mut found = self.admit_v4(snapshot, receiver, burst);
        let mut admitted = Admitted { usual: all & !(found.rest | found.unmatched), ..Admitted::default() };
        if found.rest != 0 {
            let v6 = self.admit_v6(snapshot, receiver, burst, found.rest);
            admitted.ipv6 = found.rest & !v6.rest;
            admitted.slow = v6.rest;
            admitted.usual |= found.rest & !(v6.rest | v6.unmatched);
            found.unmatched |= v6.unmatched;
        }
        if found.unmatched != 0 {
            self.refuse(snapshot, port, found.unmatched, &mut admitted);
        }
        let exact = snapshot.vips.exact();
        if exact.v4.steers() || exact.v6.steers() {
            self.steer(&mut admitted);
        }
        if port.rx_checksum {
            leave_out_wrong(burst, &mut admitted);
        }
        admitted
    }

    #[inline(never)]
    fn admit_v4<P: Packet>(&mut self, snapshot: &Snapshot, receiver: Receiver, burst: &Burst<P>) -> Found {
        let table = &snapshot.vips.exact().v4;
        let mut found = Found::default();
        for place in 0..burst.len().min(BURST) {
            let packet = &burst[place];
            let frame = packet.frame();
            if let Some(v4) = read::v4(frame, receiver).filter(|_| packet.total_len() == frame.len()) {
                self.hashes.0[place] = v4.block;
                self.packets[place].header = v4.header;
                match table.find(v4.service) {
                    Some(vip) => self.packets[place].vip = vip,
                    None => found.unmatched |= 1 << place,
                }
            } else {
                found.rest |= 1 << place;
            }
        }
        found
    }

    /// The same for those of IPv6 among `candidates`.
    #[inline(never)]
    fn admit_v6<P: Packet>(
        &mut self,
        snapshot: &Snapshot,
        receiver: Receiver,
        burst: &Burst<P>,
        candidates: u64,
    ) -> Found {
        let table = &snapshot.vips.exact().v6;
        let [sources, destinations] = &mut self.addresses;
        let mut found = Found::default();
        for place in 0..burst.len().min(BURST) {
            if candidates >> place & 1 == 0 {
                continue;
            }
            let packet = &burst[place];
            let frame = packet.frame();
            if let Some(v6) = read::v6(frame, receiver).filter(|_| packet.total_len() == frame.len()) {
                [self.hashes.0[place], sources.0[place], destinations.0[place]] = v6.blocks;
                self.packets[place].header = v6.header;
                match table.find(v6.service) {
                    Some(vip) => self.packets[place].vip = vip,
                    None => found.unmatched |= 1 << place,
                }
            } else {
                found.rest |= 1 << place;
            }
        }
        found
    }

    /// Drops those of `unmatched` that are plainly for nobody here; the others are for the slow path.
    #[inline(never)]
    fn refuse(&mut self, snapshot: &Snapshot, port: &PortState, unmatched: u64, admitted: &mut Admitted) {
        // Where every address that is served is known as a whole, and what is for nobody has no other use.
        let plain = !snapshot.vips.is_wide() && !port.exception && snapshot.nat_backends.is_empty();
        let exact = snapshot.vips.exact();
        for place in places(unmatched) {
            let bit = 1 << place;
            let block = self.hashes.0[place];
            let (of_vip, address, port) = if admitted.ipv6 & bit != 0 {
                let address = self.addresses[1].0[place];
                let key = KeyV6([address as u64, (address >> 64) as u64, 0]);
                (exact.v6.find(key).is_some(), address.swap_bytes(), block >> 48)
            } else {
                let address = (block >> 64) as u32;
                let is_vip = exact.v4.find(KeyV4(address.into())).is_some();
                (is_vip, Ipv4Addr::from(address.to_le_bytes()).to_ipv6_mapped().to_bits(), block >> 112)
            };
            let has_port_zero = port as u16 == 0;
            // Port zero has a reason of its own.
            if !plain || of_vip || has_port_zero || snapshot.is_own(address) {
                admitted.slow |= bit;
            } else {
                self.verdicts[place] = Verdict::Drop(DropReason::NotForUs);
            }
        }
    }

    /// Where the client alone decides, only it is hashed. What a QUIC connection ID or a session says is for the slow path.
    #[inline(never)]
    fn steer(&mut self, admitted: &mut Admitted) {
        for place in places(admitted.usual) {
            match self.packets[place].vip.steering() {
                Steering::Flow => {}
                Steering::Client => {
                    self.hashes.0[place] = FlowKey::client_block(self.hashes.0[place]);
                    self.addresses[1].0[place] = 0;
                }
                Steering::Quic | Steering::Session { .. } => {
                    admitted.usual &= !(1 << place);
                    admitted.slow |= 1 << place;
                }
            }
        }
    }
}

/// What a device found wrong is for the slow path, which names it.
#[inline(never)]
fn leave_out_wrong<P: Packet>(burst: &Burst<P>, admitted: &mut Admitted) {
    for (place, packet) in burst.iter().enumerate() {
        if packet.rx_checksum() != RxChecksum::Unknown {
            admitted.usual &= !(1 << place);
            admitted.slow |= 1 << place;
        }
    }
}
