//! How clients behave: what a flow sends, and when.

use super::packet::{Shape, Source};
use super::random::Random;
use super::truth::Number;
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// No backend yet.
pub(super) const NOBODY: Number = Number::MAX;
/// Sequence numbers of a SYN's neighborhood: 2^18, from where on a duplicate of it is told from the flow's segments.
const NEIGHBORHOOD: u32 = 1 << 18;

/// What a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Udp,
    Quic,
    /// A client with affinity, and all that it sends to one of two pools.
    Client(u8),
}

/// What a flow does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Start,
    /// The first packet again: its answer was lost.
    Again,
    /// The second half of a QUIC client's first flight.
    Second,
    Established,
    /// The client ended it, and acknowledges what still comes.
    Ending,
    Over,
}

/// A flow.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) kind: Kind,
    pub(super) source: Source,
    pub(super) worker: u8,
    pub(super) step: Step,
    /// Whether it ends by FIN or RST.
    pub(super) closed: bool,
    /// By RST: then nothing follows.
    pub(super) resets: bool,
    /// Whether the balancer saw that it ended.
    pub(super) told: bool,
    /// Whether a stray RST of its tuple came.
    pub(super) reset: bool,
    /// Whether this is another flow of the same tuple.
    pub(super) reused: bool,
    /// Whether it broke already: counted once.
    pub(super) broken: bool,
    /// The same for plain Maglev.
    pub(super) plain_broken: bool,
    /// Packets that it still sends.
    pub(super) left: u16,
    /// Of it: a SYN of this flow comes again, or a made-up one comes.
    pub(super) disturbed: bool,
    pub(super) first_sequence: u32,
    /// Where the flow before of the same tuple ended.
    pub(super) former_sequence: u32,
    /// Bytes sent.
    pub(super) sent: u32,
    /// When its last packet came.
    pub(super) last: Nanos,
    /// Where it is.
    pub(super) backend: Number,
    /// Where it would be with plain Maglev.
    pub(super) plain: Number,
}

/// Packets that do not belong to a flow's course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extra {
    /// The flow goes on.
    Course,
    /// The network made a copy of its first packet.
    Copy,
    /// A late copy of its SYN.
    LateSyn,
    /// Somebody makes up a SYN of its tuple.
    MadeUpSyn,
    /// A stray RST of it comes late.
    LateReset,
}

impl Flow {
    pub(super) fn new(number: u64, kind: Kind, random: &mut Random) -> Self {
        let source = Source {
            // Unicast, and different for each flow.
            address: 0x1000_0000 + (number % 0x6000_0000) as u32,
            port: 1_024 + random.below(60_000) as u16,
        };
        let mut flow = Self {
            kind,
            source,
            worker: random.next() as u8,
            step: Step::Start,
            closed: false,
            resets: false,
            told: false,
            reset: false,
            reused: false,
            broken: false,
            plain_broken: false,
            left: 0,
            disturbed: false,
            first_sequence: 0,
            former_sequence: 0,
            sent: 0,
            last: Nanos(0),
            backend: NOBODY,
            plain: NOBODY,
        };
        flow.begin(random);
        flow
    }

    fn begin(&mut self, random: &mut Random) {
        let many = random.chance(0.02);
        let mean = if many { 60.0 } else { 6.0 };
        self.left = (1.0 - mean * (1.0 - random.unit()).ln()).min(2_000.0) as u16;
        if matches!(self.kind, Kind::Client(_)) {
            self.left += 20;
        }
        self.first_sequence = random.next() as u32;
        self.sent = 0;
        self.disturbed = random.chance(0.02);
        self.step = Step::Start;
    }

    /// The same tuple begins again.
    pub(super) fn begin_again(&mut self, random: &mut Random) {
        self.former_sequence = self.first_sequence.wrapping_add(1).wrapping_add(self.sent);
        self.begin(random);
        self.reused = true;
        self.reset = false;
        self.backend = NOBODY;
        self.plain = NOBODY;
        self.broken = false;
        self.plain_broken = false;
    }

    /// The packet of the next step.
    pub(super) fn packet(&mut self, random: &mut Random) -> Shape {
        let number = self.first_sequence.wrapping_add(1).wrapping_add(self.sent);
        match (self.kind, self.step) {
            (Kind::Tcp, Step::Start | Step::Again) => Shape::Syn(self.first_sequence),
            (Kind::Tcp, Step::Ending) => Shape::Ack(number),
            (Kind::Tcp, _) if self.left == 0 && self.closed => {
                if self.resets {
                    Shape::Rst(number)
                } else {
                    Shape::Fin(number)
                }
            }
            (Kind::Tcp, _) => Shape::Ack(number),
            (Kind::Udp, _) => Shape::Datagram,
            (Kind::Quic, Step::Start | Step::Again | Step::Second) => Shape::Initial,
            (Kind::Quic, _) if self.sent == 0 => Shape::Handshake,
            (Kind::Quic, _) => Shape::Short,
            (Kind::Client(pool), _) => {
                // A client's connections come and go: only its address stays.
                self.source.port = 1_024 + random.below(60_000) as u16;
                if random.chance(0.3) { Shape::StickySyn(pool) } else { Shape::StickyAck(pool) }
            }
        }
    }

    /// What of it may come beside its course, after its first packet: what, and how much later.
    pub(super) fn extras(&mut self, random: &mut Random, idle: Duration) -> Option<(Extra, Duration)> {
        if self.step == Step::Start && random.chance(0.03) {
            return Some((Extra::Copy, random.seconds(0.0, 0.2)));
        }
        if self.kind != Kind::Tcp || self.step != Step::Established || !self.disturbed {
            return None;
        }
        let later = random.between(Duration::ZERO, idle.mul_f64(0.1));
        match random.below(3) {
            // A copy of the SYN within the first bytes of a flow without a pin is a named exposure.
            0 if self.sent > NEIGHBORHOOD => {
                self.disturbed = false;
                Some((Extra::LateSyn, later))
            }
            1 => {
                self.disturbed = false;
                Some((Extra::MadeUpSyn, later))
            }
            _ => None,
        }
    }

    /// The packet of an extra; `None` if there is none of this kind.
    pub(super) fn extra(&self, extra: Extra, random: &mut Random) -> Option<Shape> {
        let here = self.first_sequence.wrapping_add(1).wrapping_add(self.sent);
        match (extra, self.kind) {
            (Extra::Copy, Kind::Tcp) => Some(Shape::Syn(self.first_sequence)),
            (Extra::Copy, Kind::Quic) => Some(Shape::Initial),
            (Extra::Copy, Kind::Udp) => Some(Shape::Datagram),
            (Extra::LateSyn, Kind::Tcp) => Some(Shape::Syn(self.first_sequence)),
            // Who makes it up does not know where the flow is: not within what the flow sends next.
            (Extra::MadeUpSyn, Kind::Tcp) => {
                // Bits 17..25 decide: at least 2^20 and at most 2^24 from here.
                Some(Shape::Syn(here.wrapping_sub((1 << 20) + random.below(15 << 20) as u32)))
            }
            (Extra::LateReset, Kind::Tcp) => {
                Some(Shape::Rst(if self.step == Step::Over { here } else { self.former_sequence }))
            }
            _ => None,
        }
    }

    /// Goes on to the next step. How much later that is; `None`: the flow is over.
    pub(super) fn advance(&mut self, random: &mut Random, idle: Duration, longest: f64) -> Option<Duration> {
        let round_trip = random.seconds(0.01, 0.2);
        match self.step {
            Step::Start | Step::Again if matches!(self.kind, Kind::Tcp | Kind::Quic) && random.chance(0.06) => {
                self.step = Step::Again;
                Some(Duration::from_secs(1))
            }
            Step::Start if self.kind == Kind::Quic => {
                self.step = Step::Second;
                Some(random.seconds(0.0, 0.03))
            }
            Step::Start | Step::Again | Step::Second => {
                self.step = Step::Established;
                self.closed = random.chance(0.8);
                self.resets = random.chance(0.15);
                // A packet of the handshake may be lost, and lost again.
                Some(if random.chance(0.03) { random.seconds(2.0, 20.0) } else { round_trip })
            }
            Step::Established if self.left == 0 => {
                let acknowledges = self.kind == Kind::Tcp && self.closed && !self.resets && random.chance(0.8);
                self.step = if acknowledges { Step::Ending } else { Step::Over };
                (self.step == Step::Ending).then_some(round_trip)
            }
            Step::Established => {
                self.left -= 1;
                self.sent += random.below(60_000) as u32 + 1;
                Some(self.gap(random, idle, longest))
            }
            Step::Ending | Step::Over => {
                self.step = Step::Over;
                None
            }
        }
    }

    /// The time to the next packet: mostly short, at times almost T.
    fn gap(&self, random: &mut Random, idle: Duration, longest: f64) -> Duration {
        let whole = idle.as_secs_f64();
        match random.below(100) {
            0..70 => random.seconds(0.01, (whole / 200.0).min(5.0)),
            70..92 => random.seconds(0.05, whole / 15.0),
            92..98 => random.seconds(whole / 15.0, whole / 2.0),
            98 => random.seconds(whole / 2.0, whole * longest),
            _ => random.seconds(whole * longest * 0.995, whole * longest),
        }
    }
}
