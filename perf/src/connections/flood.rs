//! What a flood of SYNs does to connections that are there, with the SYN proxy: what a SYN costs the worker, what packets of
//! connections cost with and without SYNs between them, and whether new clients get through.
//!
//! As in [`super::run`], the whole worker runs between two queues in memory and only its polls are timed. Rounds with and without
//! SYNs take turns, so that what else the machine does meets both. By the worker's clock the SYNs come at the rate that is asked for.

use super::course::Course;
use super::{Error, Options, median};
use crate::clock::Clock;
use guideway_dataplane::port::BURST;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::tcp::{ACK, PSH, SYN};
use std::fmt;

/// SYNs a second that make a flood: what comes before counts as connections, and is tried with a backend.
const RATE: u32 = 200_000;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// SYNs a second.
    pub syns: u64,
    /// Packets a second of connections that are there.
    pub packets: u64,
    /// How many connections that are.
    pub connections: u32,
    /// Milliseconds of the worker's clock, half of them with SYNs.
    pub millis: u64,
    /// New clients meanwhile.
    pub visitors: u32,
}

impl Default for Flood {
    fn default() -> Self {
        Self { syns: 5_000_000, packets: 1_000_000, connections: 100_000, millis: 4_000, visitors: 1_000 }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was asked for.
    pub flood: Flood,
    /// Ticks of a connection's packet, without a flood and in one.
    pub packet: [f64; 2],
    /// Ticks of a SYN.
    pub syn: f64,
    /// Packets of connections that came through, of those that were sent, without a flood and in one.
    pub through: [(u64, u64); 2],
    /// New clients that came through, of those that came.
    pub visitors: (u32, u32),
    /// Sessions before and after.
    pub live: [u64; 2],
    /// Resident memory in bytes before and after; `None` where the system does not say.
    pub memory: Option<[u64; 2]>,
    /// Ticks a second.
    pub hz: u64,
    /// The name of a tick.
    pub unit: &'static str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flood, packet, syn, through, visitors, live, unit, .. } = self;
        let share = |ticks: f64, rate: u64| 100.0 * ticks * rate as f64 / self.hz as f64;
        writeln!(f, "{:.1} {unit} a SYN: {} a second are {:.0} % of a core", syn, flood.syns, share(*syn, flood.syns))?;
        writeln!(
            f,
            "{:.1} {unit} a packet of a connection, {:.1} in the flood ({:+.1} %): {} a second are {:.0} % of a core",
            packet[0],
            packet[1],
            100.0 * (packet[1] / packet[0] - 1.0),
            flood.packets,
            share(packet[1], flood.packets)
        )?;
        for (name, (came, sent)) in ["without", "in the flood"].into_iter().zip(through) {
            writeln!(f, "packets of {} connections, {name}: {came} of {sent} came through", flood.connections)?;
        }
        writeln!(f, "{} of {} new clients came through in the flood", visitors.0, visitors.1)?;
        write!(f, "sessions {} -> {}", live[0], live[1])?;
        match self.memory {
            Some([before, after]) => {
                write!(f, ", resident memory {:.1} -> {:.1} MB", before as f64 / 1e6, after as f64 / 1e6)
            }
            None => Ok(()),
        }
    }
}

/// Bytes of this process that lie in memory.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4_096)
}

/// Measures on the calling thread.
///
/// # Errors
///
/// [`Error`].
pub fn run<C: Clock>(clock: &C, flood: &Flood) -> Result<Report, Error> {
    let options = Options {
        rate: 100_000,
        wave: flood.connections.next_multiple_of(BURST as u32),
        sessions: 1_000_000,
        ..Options::default()
    };
    // All ask before the first backend answers, which takes a second of the worker's clock.
    let keys = format!("syn_proxy = \"auto\"\nsyn_proxy_rate = {RATE}\nconnect_timeout = \"10s\"");
    let mut course = Course::new(&options, &keys)?;
    course.step = BURST as u64 * 1_000_000_000 / u64::from(options.rate);
    for segment in 0..3 {
        course.send(segment, |poll| {
            poll();
        });
    }
    course.check()?;
    let Course { mut worker, counters, peers, input, output, mut now, .. } = course;
    let bursts = peers.len() as usize / BURST;
    // A round is a burst of connections' packets, and as many SYNs as come in its time.
    let nanos = BURST as u64 * 1_000_000_000 / flood.packets.max(1);
    let rounds = flood.millis * 1_000_000 / nanos.max(1);
    let per_round = flood.syns as f64 / flood.packets.max(1) as f64;
    // Long enough turns for the rate to be seen, and for what the caches hold to be that of the turn.
    let turn = (rounds / 16).max(1);
    let live = counters.sessions.live.get();
    let mut memory = None;
    let (mut syns, mut visited, mut came) = (0_u64, 0, 0);
    let (mut owed, mut through) = (0.0, [(0, 0); 2]);
    let (mut packet_ticks, mut syn_ticks) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..rounds {
        let in_flood = usize::from(round / turn % 2 == 1);
        owed += if in_flood == 1 { per_round } else { 0.0 };
        now = Nanos(now.0 + nanos);
        while owed >= 1.0 {
            peers.send_flood(syns, &input);
            syns += BURST as u64;
            let before = clock.ticks();
            worker.poll(now, &mut ());
            syn_ticks.push(clock.ticks().saturating_sub(before) as f64 / BURST as f64);
            peers.count(SYN | ACK, &output);
            owed -= 1.0;
        }
        peers.send_data(round as usize % bursts, &input);
        let before = clock.ticks();
        worker.poll(now, &mut ());
        packet_ticks[in_flood].push(clock.ticks().saturating_sub(before) as f64 / BURST as f64);
        through[in_flood].0 += peers.count(ACK | PSH, &output);
        through[in_flood].1 += BURST as u64;
        memory = memory.or_else(|| (round == turn).then(resident).flatten());
        let is_time = in_flood == 1 && round % turn > turn / 2 && visited < flood.visitors;
        if is_time && round % (rounds / 6 / u64::from(flood.visitors.max(1))).max(1) == 0 {
            came += u32::from(peers.visit(visited, (&input, &output), || {
                worker.poll(now, &mut ());
            }));
            visited += 1;
        }
    }
    let memory = memory.zip(resident()).map(|(before, after)| [before, after]);
    let [calm, in_flood] = packet_ticks;
    Ok(Report {
        flood: *flood,
        packet: [median(calm), median(in_flood)],
        syn: median(syn_ticks),
        through,
        visitors: (came, visited),
        live: [live, counters.sessions.live.get()],
        memory,
        hz: clock.hz(),
        unit: C::UNIT.label(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    #[test]
    fn a_flood_costs_nobody_a_connection() {
        let flood = Flood { syns: 500_000, packets: 100_000, connections: 2_000, millis: 2_000, visitors: 20 };
        let report = run(&Monotonic::default(), &flood).expect("figures");
        assert!(report.through.iter().all(|(came, sent)| came == sent && *sent > 90_000), "{report}");
        assert_eq!(report.visitors, (20, 20), "{report}");
        let before = report.live[1] - report.live[0] - 20;
        assert!(before <= u64::from(RATE) / 10 + 64, "{before} SYNs before the flood was seen; {report}");
    }
}
