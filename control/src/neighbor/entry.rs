//! One neighbour: what is known, how far it is trusted, and when to ask next.

use super::random::Random;
use guideway_dataplane::time::Nanos;
use std::time::Duration;

/// Pauses before the first retries, so that start-up is quick; [`RETRY`] after that.
const QUICK: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];
/// Pause between requests of an unresolved neighbour, and between probes of a known one.
const RETRY: Duration = Duration::from_secs(1);
/// How long a proof of reachability counts (RFC 4861 section 10, REACHABLE_TIME).
const REACHABLE: Duration = Duration::from_secs(30);
/// The same for a neighbor that is watched closely.
const REACHABLE_CLOSE: Duration = Duration::from_secs(1);
/// Pause between probes of a known neighbor that is watched closely.
const RETRY_CLOSE: Duration = Duration::from_millis(250);
/// How long after an unproven MAC was learnt it is verified.
const VERIFY: Duration = Duration::from_secs(1);
/// Unanswered probes after which a neighbour is unresolved (RFC 4861 section 10, MAX_UNICAST_SOLICIT).
const PROBES: usize = 3;
/// Changes of the MAC that are followed within [`FLAP_WINDOW`].
const FLAPS: u32 = 5;
/// The window of [`FLAPS`].
const FLAP_WINDOW: Duration = Duration::from_secs(1);

/// How far a neighbour is trusted (after RFC 4861 section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Named by the configuration.
    Static,
    /// No MAC; being asked for.
    Unresolved,
    /// Answered a request within the reachable time.
    Reachable,
    /// Has a MAC, in use, that nobody proved: learnt from an announcement.
    Stale,
    /// Has a MAC, in use, that is being verified.
    Probing,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The known MAC.
    Unicast([u8; 6]),
    /// Everybody: broadcast, or the solicited-node group.
    Group,
}

/// What a message says about a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// Its MAC, if the message names one.
    pub(super) mac: Option<[u8; 6]>,
    /// The message answers a request of ours: the path works in both directions.
    pub(super) solicited: bool,
    /// The message replaces what is known.
    pub(super) overrides: bool,
}

/// What a claim changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The MAC.
    Changed,
    /// It proved to be there.
    Confirmed,
    /// Nothing that matters outside.
    Nothing,
    /// It changed too often to be followed.
    Flapping,
}

/// One neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) mac: Option<[u8; 6]>,
    pub(super) state: State,
    /// When it last proved to be there, or when asking began.
    pub(super) since: Nanos,
    /// When to ask next; `None`: never.
    pub(super) due: Option<Nanos>,
    /// Whether somebody waits for the moment that it is gone.
    close: bool,
    tries: usize,
    window: Nanos,
    flaps: u32,
}

impl Entry {
    /// A neighbour to be asked for at once.
    pub(super) fn unresolved(now: Nanos) -> Self {
        let (mac, state, due) = (None, State::Unresolved, Some(now));
        Self { mac, state, since: now, due, close: false, tries: 0, window: now, flaps: 0 }
    }

    /// What is known of it is forgotten, and it is asked for at once.
    pub(super) fn forget(&mut self, now: Nanos) {
        *self = Self { close: self.close, ..Self::unresolved(now) };
    }

    /// Whether it is watched closely from now on. A change counts from the next request on, and that is soon.
    pub(super) fn watch(&mut self, now: Nanos, close: bool) {
        self.close = close;
        if close {
            self.due = self.due.map(|due| due.min(now + REACHABLE_CLOSE));
        }
    }

    /// A neighbour that needs no protocol.
    pub(super) fn fixed(now: Nanos, mac: [u8; 6]) -> Self {
        Self { mac: Some(mac), state: State::Static, due: None, ..Self::unresolved(now) }
    }

    /// A static neighbour becomes a dynamic one: its MAC stays in use while it is verified.
    pub(super) fn loosen(&mut self, now: Nanos) {
        self.state = State::Stale;
        self.due = Some(now);
    }

    /// The time to ask has come. Says whom to ask, and whether the neighbour has just become unresolved.
    pub(super) fn ask(&mut self, now: Nanos, random: &mut Random) -> (Ask, bool) {
        let mut lost = false;
        let ask = match (self.state, self.mac) {
            (State::Probing, Some(_)) if self.tries < PROBES => Ask::Group,
            (State::Probing, Some(_)) => {
                lost = true;
                self.forget(now);
                self.tries = QUICK.len();
                Ask::Group
            }
            (_, Some(mac)) => {
                self.state = State::Probing;
                self.tries = 0;
                Ask::Unicast(mac)
            }
            (_, None) => Ask::Group,
        };
        let pause = match self.mac {
            None => QUICK.get(self.tries).copied().unwrap_or(RETRY),
            Some(_) if self.close => RETRY_CLOSE,
            Some(_) => RETRY,
        };
        self.due = Some(now + random.around(pause));
        self.tries = self.tries.saturating_add(1);
        (ask, lost)
    }

    /// Takes in what a message says (RFC 4861 section 7.2.5; ARP claims always override).
    pub(super) fn hear(&mut self, now: Nanos, claim: Claim, random: &mut Random) -> Heard {
        if self.state == State::Static {
            return Heard::Nothing;
        }
        match (self.mac, claim.mac) {
            (None, None) => Heard::Nothing,
            (None, Some(mac)) => self.learn(now, mac, claim.solicited, random),
            (Some(known), Some(mac)) if known != mac => {
                if claim.overrides {
                    return self.follow(now, mac, claim.solicited, random);
                }
                if self.state == State::Reachable {
                    self.doubt(now, random);
                }
                Heard::Nothing
            }
            (Some(_), _) if claim.solicited => {
                self.trust(now, random);
                Heard::Confirmed
            }
            (Some(_), _) => Heard::Nothing,
        }
    }

    /// Another MAC than the one known. Two hosts that quarrel about an address must not make a snapshot a frame.
    fn follow(&mut self, now: Nanos, mac: [u8; 6], solicited: bool, random: &mut Random) -> Heard {
        if now < self.window || now.since(self.window) >= FLAP_WINDOW {
            self.window = now;
            self.flaps = 0;
        }
        if self.flaps >= FLAPS {
            if self.state == State::Reachable {
                self.doubt(now, random);
            }
            return Heard::Flapping;
        }
        self.flaps += 1;
        self.learn(now, mac, solicited, random)
    }

    fn learn(&mut self, now: Nanos, mac: [u8; 6], solicited: bool, random: &mut Random) -> Heard {
        self.mac = Some(mac);
        if solicited {
            self.trust(now, random);
        } else {
            self.since = now;
            self.doubt(now, random);
        }
        Heard::Changed
    }

    fn trust(&mut self, now: Nanos, random: &mut Random) {
        self.state = State::Reachable;
        self.since = now;
        self.due = Some(now + random.around(if self.close { REACHABLE_CLOSE } else { REACHABLE }));
    }

    fn doubt(&mut self, now: Nanos, random: &mut Random) {
        self.state = State::Stale;
        self.due = Some(now + random.around(VERIFY));
    }
}
