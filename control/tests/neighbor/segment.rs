//! A segment with hosts that answer, and the clock that both sides share.

use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Message, Operation};
use guideway_control::neighbor::{Change, Link, Neighbors, State};
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::time::Nanos;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

pub const LINK: LinkId = LinkId(3);
pub const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
pub const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 0xfd];
pub const START: Nanos = Nanos(1_000_000_000_000);

pub fn v4() -> IpAddr {
    "10.0.0.254".parse().unwrap()
}

pub fn v6() -> IpAddr {
    "fd00::fe".parse().unwrap()
}

pub fn link() -> Link {
    let addresses = ["10.0.0.1/8", "fd00::1/64"].map(|net| net.parse().unwrap());
    Link { id: LINK, mac: ME, addresses: addresses.to_vec() }
}

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at: Nanos,
    pub to: [u8; 6],
    pub target: IpAddr,
    pub frame: Vec<u8>,
}

impl Sent {
    pub fn is_group(&self) -> bool {
        self.to[0] & 1 == 1
    }
}

pub struct Segment {
    pub table: Neighbors,
    pub now: Nanos,
    pub hosts: HashMap<IpAddr, [u8; 6]>,
    pub sent: Vec<Sent>,
    /// The most frames that one poll sent.
    pub largest_burst: usize,
}

impl Segment {
    /// A table that wants `wanted`, on a segment without hosts.
    pub fn new(wanted: &[IpAddr]) -> Self {
        let mut table = Neighbors::new();
        let wanted: Vec<_> = wanted.iter().map(|address| (LINK, *address)).collect();
        table.configure(START, &[link()], &wanted, &[]);
        Self { table, now: START, hosts: HashMap::new(), sent: Vec::new(), largest_burst: 0 }
    }

    /// A table that wants one host, which is there and resolved.
    pub fn resolved(address: IpAddr) -> Self {
        let mut segment = Self::new(&[address]);
        segment.hosts.insert(address, GATEWAY);
        segment.run(Duration::from_millis(1));
        assert_eq!(segment.table.lookup(LINK, address), Some(GATEWAY));
        assert_eq!(segment.state(address), State::Reachable);
        assert_eq!(segment.changes(), [Change { link: LINK, address, mac: Some(GATEWAY) }]);
        segment.sent.clear();
        segment
    }

    /// Lets `time` pass: polls whenever the table asks for it, and lets hosts answer.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.table.next_due(self.now).filter(|next| *next <= end) {
            self.now = next;
            let mut frames = Vec::new();
            self.table.poll(next, &mut |link, frame| {
                assert_eq!(link, LINK);
                frames.push(frame.to_vec());
            });
            self.largest_burst = self.largest_burst.max(frames.len());
            for frame in frames {
                self.deliver(frame);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, frame: Vec<u8>) {
        let to: [u8; 6] = frame[..6].try_into().unwrap();
        let message = wire::parse(&frame).expect("the table sends valid messages");
        let target = match message {
            Message::Arp(arp) => IpAddr::V4(arp.target),
            Message::Solicit(solicit) => IpAddr::V6(solicit.target),
            Message::Advert(_) => panic!("the table never answers"),
        };
        self.sent.push(Sent { at: self.now, to, target, frame });
        let Some(&mac) = self.hosts.get(&target) else { return };
        if to != mac && to[0] & 1 == 0 {
            return;
        }
        let mut buffer = [0; MAX_MESSAGE];
        let answer = match message {
            Message::Arp(arp) => wire::write_arp(
                &mut buffer,
                arp.sender_mac,
                &Arp {
                    operation: Operation::Reply,
                    sender_mac: mac,
                    sender: arp.target,
                    target_mac: arp.sender_mac,
                    target: arp.sender,
                },
            ),
            Message::Solicit(solicit) => {
                wire::write_advert(&mut buffer, mac, solicit.target, (solicit.mac, solicit.source), true)
            }
            Message::Advert(_) => unreachable!(),
        };
        self.table.receive(self.now, LINK, answer);
    }

    pub fn changes(&mut self) -> Vec<Change> {
        self.table.changes().collect()
    }

    pub fn state(&self, address: IpAddr) -> State {
        self.table.status(self.now).find(|line| line.address == address).unwrap().state
    }
}

/// A gratuitous ARP packet of `address` at `mac`.
pub fn gratuitous(operation: Operation, address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    let IpAddr::V4(own) = address else { panic!("ARP is IPv4") };
    let arp = Arp { operation, sender_mac: mac, sender: own, target_mac: [0; 6], target: own };
    wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
}

/// An unsolicited advertisement of `address` at `mac`, with the override flag.
pub fn unsolicited(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    let IpAddr::V6(own) = address else { panic!("NDP is IPv6") };
    let all = (wire::group_mac(wire::ALL_NODES), wire::ALL_NODES);
    wire::write_advert(&mut [0; MAX_MESSAGE], mac, own, all, false).to_vec()
}
