//! What a new connection of `fullnat` costs a worker, from its SYN to its last acknowledgement.
//!
//! The whole worker runs, between two queues in memory. Connections go through their six segments in waves: all of a wave send
//! their SYN, then all backends answer, and so on, so that a segment meets a session that left the caches meanwhile. The clock that the
//! worker sees is not the real one: it goes on as if so many connections began in each second as are asked for. So after a while as
//! many sessions end as begin, and as many ports rest as come free, though it takes less than a minute. Only the worker's polls are
//! timed, not what makes segments of its output.
//!
//! With several workers clients are at the first one, and a card brings backends' answers to all of them, from where they hop. One
//! thread runs them in turn: what caches pay for memory that two cores share is not in the figures.

mod course;
pub mod flood;
mod peer;
mod setup;

use crate::clock::Clock;
use crate::window::thread_time;
use course::Course;
use guideway_dataplane::counters::SessionCounters;
use guideway_dataplane::session::{PORTS_OF_ADDRESS, REST};
use peer::SEGMENTS;
use std::fmt;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections a second, by the worker's clock.
    pub rate: u32,
    /// Source addresses, 1 to 200.
    pub sources: u16,
    /// Backends, 1 to 200.
    pub backends: u16,
    /// Connections that go through their segments together.
    pub wave: u32,
    /// Waves before anything counts: until as many sessions end as begin.
    pub warm_up: u32,
    /// Waves that count.
    pub waves: u32,
    /// `[state] sessions`.
    pub sessions: u32,
    /// Workers, 1 to 16.
    pub workers: u16,
    /// Whether they know how the card spreads flows over them.
    pub rss: bool,
}

impl Default for Options {
    /// A fifth of a million connections a second by the worker's clock: 4 million sessions at a time, most of them over, 500 MB.
    fn default() -> Self {
        Self {
            rate: 200_000,
            sources: 64,
            backends: 64,
            wave: 16_384,
            warm_up: 320,
            waves: 60,
            sessions: 6_000_000,
            workers: 1,
            rss: false,
        }
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options make no configuration.
    #[error("these options make no configuration: {0}")]
    Config(String),
    /// Connections did not come through.
    #[error("of {begun} connections {lost} did not come through; {reason}")]
    Lost {
        /// Connections that began.
        begun: u64,
        /// Those of them with a segment that did not leave.
        lost: u64,
        /// What was dropped, and why.
        reason: String,
    },
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The options.
    pub options: Options,
    /// Ticks a connection, the median of the waves.
    pub ticks: f64,
    /// Ticks of each of its segments, from the SYN on.
    pub segments: [f64; SEGMENTS],
    /// Ticks a second.
    pub hz: u64,
    /// The name of a tick.
    pub unit: &'static str,
    /// Sessions at the end.
    pub live: u64,
    /// Packets of a connection that another worker got first.
    pub hops: f64,
}

impl Report {
    /// Connections a second that one core gets through.
    #[must_use]
    pub fn connections(&self) -> f64 {
        self.hz as f64 / self.ticks
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            options: Options { rate, sources, backends, workers, .. }, ticks, segments, unit, live, hops, ..
        } = self;
        let each: Vec<String> = segments.iter().map(|ticks| format!("{ticks:.0}")).collect();
        writeln!(f, "{:.0} connections/s a core: {ticks:.0} {unit} each ({})", self.connections(), each.join(" + "))?;
        writeln!(f, "{live} sessions, {rate} connections/s by the worker's clock")?;
        if *workers > 1 {
            writeln!(f, "{workers} workers: {hops:.2} packets of a connection came to another one first")?;
        }
        let there = u64::from(PORTS_OF_ADDRESS) * u64::from(*sources) * u64::from(*backends);
        let rest = REST.as_secs();
        let needed = self.connections() * rest as f64;
        write!(
            f,
            "ports: {:.0}/s x {rest} s rest = {:.1} million of {PORTS_OF_ADDRESS} x {sources} sources x {backends} backends = \
             {:.1} million, {:.0} %",
            self.connections(),
            needed / 1e6,
            there as f64 / 1e6,
            100.0 * needed / there as f64,
        )
    }
}

/// Sends all waves through a worker, those of the warm-up among them. `poll` is given each poll to do. Returns how many packets there were.
///
/// # Errors
///
/// [`Error`].
pub fn walk(options: &Options, mut poll: impl FnMut(&mut dyn FnMut() -> usize)) -> Result<u64, Error> {
    let mut course = Course::new(options, "")?;
    for _ in 0..options.warm_up + options.waves {
        (0..SEGMENTS).for_each(|segment| course.send(segment, &mut poll));
        course.peers.next_wave();
    }
    course.check()?;
    Ok(course.counters.received.packets.get())
}

/// Measures on the calling thread.
///
/// # Errors
///
/// [`Error`].
pub fn run<C: Clock>(clock: &C, options: &Options) -> Result<Report, Error> {
    let mut course = Course::new(options, "")?;
    let mut waves: Vec<[f64; SEGMENTS]> = Vec::with_capacity(options.waves as usize);
    for wave in 0..options.warm_up + options.waves {
        let mut ticks = [0.0; SEGMENTS];
        for (segment, ticks) in ticks.iter_mut().enumerate() {
            let (begun, cpu_begun) = (clock.ticks(), thread_time());
            let mut spent = 0;
            course.send(segment, |poll| {
                let before = clock.ticks();
                poll();
                spent += clock.ticks().saturating_sub(before);
            });
            // Of the time in which the thread had its core.
            let cpu = thread_time().saturating_sub(cpu_begun).as_secs_f64();
            let wall = clock.ticks().saturating_sub(begun) as f64 / clock.hz() as f64;
            *ticks = spent as f64 * (cpu / wall).min(1.0);
        }
        course.peers.next_wave();
        if wave >= options.warm_up {
            waves.push(ticks.map(|ticks| ticks / f64::from(course.peers.len())));
        }
    }
    course.check()?;
    let all: Vec<f64> = waves.iter().map(|segments| segments.iter().sum()).collect();
    let segments = std::array::from_fn(|segment| median(waves.iter().map(|segments| segments[segment]).collect()));
    let SessionCounters { created, live, .. } = &course.counters.sessions;
    let (hops, live) = (course.hops() as f64 / created.get() as f64, live.get());
    Ok(Report { options: *options, ticks: median(all), segments, hz: clock.hz(), unit: C::UNIT.label(), live, hops })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    const SMALL: Options = Options {
        rate: 10_000,
        sources: 2,
        backends: 3,
        wave: 640,
        warm_up: 2,
        waves: 3,
        sessions: 100_000,
        workers: 1,
        rss: false,
    };

    #[test]
    fn every_connection_comes_through() {
        let report = run(&Monotonic::default(), &SMALL).expect("figures");
        assert_eq!(report.live, 5 * 640, "each is remembered for 20 s after its end");
        assert!(report.ticks > 0.0 && report.segments.iter().all(|ticks| *ticks > 0.0), "{report}");
        assert!(report.to_string().contains("60000 x 2 sources x 3 backends = 0.4 million"), "{report}");
    }

    /// As many end as begin, and ports come again: 80 s of the worker's clock.
    #[test]
    fn it_goes_on_for_as_long_as_there_are_ports() {
        let long = Options { rate: 1_000, warm_up: 120, waves: 5, ..SMALL };
        let report = run(&Monotonic::default(), &long).expect("figures");
        assert!((20_000..23_000).contains(&report.live), "{report}");
    }

    /// Of two answers one comes to the other of two workers, unless the ports are chosen for it.
    #[test]
    fn answers_hop_unless_it_is_known_where_they_come_in() {
        let hops = |rss| {
            let options = Options { workers: 2, rss, ..SMALL };
            run(&Monotonic::default(), &options).expect("figures").hops
        };
        assert!((0.8..1.2).contains(&hops(false)), "{}", hops(false));
        assert!(hops(true) < 0.01, "{}", hops(true));
    }

    #[test]
    fn who_has_too_few_ports_is_told() {
        let few = Options { sources: 1, backends: 1, warm_up: 100, ..SMALL };
        let error = run(&Monotonic::default(), &few).expect_err("63,000 connections with 60,000 ports");
        assert!(error.to_string().contains("source_ports"), "{error}");
    }
}
