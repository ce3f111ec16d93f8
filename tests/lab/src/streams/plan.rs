//! What the two sides of a connection do.

use crate::random::Random;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// The most bytes of one direction; how many they are is spread evenly over the orders of magnitude from one byte on.
const MOST: f64 = 300_000.0;

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What the two sides of a connection do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) client: SocketAddr,
    pub(super) vip: SocketAddr,
    /// Bytes of the client.
    upload: usize,
    /// Bytes of the server.
    download: usize,
    /// Who says something before it has heard anything: the client at even ports.
    pub(super) first: Side,
    /// Both speak at the same time, and close at the same time: at every other pair of ports. Else the second answers the
    /// first, and closes.
    pub(super) together: bool,
    seed: u64,
}

impl Plan {
    /// That of the connection from `client` to `vip`.
    pub(super) fn new(client: SocketAddr, vip: SocketAddr) -> Self {
        // Both sides are this process, so the standard library's hash is the same.
        let mut hasher = DefaultHasher::new();
        (client, vip).hash(&mut hasher);
        let seed = hasher.finish();
        let mut random = Random::new(seed);
        let mut length = || MOST.powf(random.fraction()) as usize;
        let first = if client.port().is_multiple_of(2) { Side::Client } else { Side::Server };
        let together = client.port() & 2 != 0;
        Self { client, vip, upload: length(), download: length(), first, together, seed }
    }

    /// All that a side says.
    pub(super) fn bytes(&self, side: Side) -> impl Iterator<Item = u8> + use<> {
        let (length, salt) = match side {
            Side::Client => (self.upload, 1),
            Side::Server => (self.download, 2),
        };
        Random::new(self.seed.rotate_left(salt)).bytes().take(length)
    }

    /// Bytes of both sides.
    pub(super) fn length(&self) -> usize {
        self.upload + self.download
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Side};
    use std::net::{IpAddr, SocketAddr};

    const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)), 80);

    fn plans() -> Vec<Plan> {
        (20_000..21_000).map(|port| Plan::new(SocketAddr::new([10, 1, 0, 2].into(), port), VIP)).collect()
    }

    #[test]
    fn lengths_are_of_all_orders_of_magnitude() {
        let plans = plans();
        let lengths = || plans.iter().flat_map(|plan| [plan.upload, plan.download]);
        assert!(lengths().all(|length| (1..300_000).contains(&length)));
        assert!(lengths().any(|length| length == 1) && lengths().any(|length| length > 200_000));
    }

    #[test]
    fn all_four_kinds_are_as_frequent() {
        for (first, together) in
            [(Side::Client, false), (Side::Client, true), (Side::Server, false), (Side::Server, true)]
        {
            let own = plans().into_iter().filter(|plan| plan.first == first && plan.together == together);
            assert_eq!(own.count(), 250, "{first:?} {together}");
        }
    }

    #[test]
    fn no_two_streams_are_alike() {
        let plan = Plan::new(SocketAddr::new([10, 1, 0, 2].into(), 4000), VIP);
        let port = Plan::new(SocketAddr::new([10, 1, 0, 2].into(), 4004), VIP);
        let vip = Plan::new(plan.client, SocketAddr::new(VIP.ip(), 81));
        let streams = [plan, port, vip].map(|plan| [plan.seed.rotate_left(1), plan.seed.rotate_left(2)]);
        let mut streams = streams.concat();
        streams.sort_unstable();
        streams.dedup();
        assert_eq!(streams.len(), 6);
        assert_eq!(plan.bytes(Side::Client).count() + plan.bytes(Side::Server).count(), plan.length());
    }
}
