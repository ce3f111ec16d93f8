//! A program that runs, seen from outside: the counters of its ports, and the processor time of its threads.

use super::Error;
use super::contender::{Contender, Surroundings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take until packets pass: the exact match prints a line for each of its rules.
const START: Duration = Duration::from_secs(120);
/// How long it then runs before it counts: caches fill, tables are touched.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long it may take to end.
const END: Duration = Duration::from_secs(10);
/// Between two looks at a program that starts or ends.
const PAUSE: Duration = Duration::from_millis(20);
/// Lines of output in an error.
const LOG_LINES: usize = 12;

/// What a program did in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Packets that it received.
    pub packets: u64,
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds in which its busiest thread had a core.
    pub busy: f64,
}

impl Window {
    /// Seconds a packet, of the time in which the thread had a core.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.busy / self.packets.max(1) as f64
    }
}

/// Counters of the two ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    received: u64,
    sent: u64,
    /// What left by the port that it came from: packets that a table did not know.
    returned: u64,
}

struct Sample {
    counters: Counters,
    at: Instant,
    threads: BTreeMap<u32, u64>,
}

impl Sample {
    /// What happened since `earlier`.
    fn since(&self, earlier: &Self) -> Window {
        let busy =
            |(thread, now): (&u32, &u64)| now.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(*now));
        Window {
            packets: self.counters.received - earlier.counters.received.min(self.counters.received),
            wall: self.at.duration_since(earlier.at).as_secs_f64(),
            busy: self.threads.iter().map(busy).max().unwrap_or(0) as f64 / 1e9,
        }
    }
}

/// A program that forwards. It is ended when this is dropped.
pub struct Running {
    contender: Contender,
    flows: u32,
    child: Child,
    source: Source,
    log: PathBuf,
}

/// Where counters come from.
enum Source {
    /// DPDK's telemetry in this directory, connected once it answers.
    Telemetry {
        directory: PathBuf,
        socket: Option<Socket>,
        // Kept open: testpmd ends when its input does.
        _stdin: ChildStdin,
    },
    /// The program answers each line by a line of counters.
    Lines(ChildStdin, BufReader<ChildStdout>),
}

impl Running {
    /// Starts a contender and waits until packets pass.
    ///
    /// # Errors
    ///
    /// [`Error`]: it cannot be started, ends, or forwards nothing.
    pub fn start(contender: Contender, surroundings: &Surroundings<'_>) -> Result<Self, Error> {
        let log = surroundings.directory.join("output");
        let failed = |what: String| move |source| Error::Io { what, source };
        let output = File::create(&log).map_err(failed(format!("writing {}", log.display())))?;
        let errors = output.try_clone().map_err(failed("duplicating a file".to_owned()))?;
        let mut command = contender.command(surroundings);
        // Its sockets and other files of the run go into our directory.
        command.env("RUNTIME_DIRECTORY", surroundings.directory).stdin(Stdio::piped()).stderr(errors);
        command.stdout(if contender.counts_itself() { Stdio::piped() } else { output.into() });
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().map_err(failed(format!("starting {program}")))?;
        let source = match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Source::Lines(stdin, BufReader::new(stdout)),
            (Some(stdin), None) => {
                Source::Telemetry { directory: surroundings.directory.join("dpdk/peer"), socket: None, _stdin: stdin }
            }
            _ => return Err(failed(format!("starting {program}"))(io::ErrorKind::BrokenPipe.into())),
        };
        let mut running = Self { contender, flows: surroundings.capture.flows, child, source, log };
        running.wait_for_packets()?;
        Ok(running)
    }

    /// What it does in `length` from now on.
    ///
    /// # Errors
    ///
    /// [`Error`]: it ended, or did not forward what it received.
    pub fn window(&mut self, length: Duration) -> Result<Window, Error> {
        let before = self.sample()?;
        thread::sleep(length);
        let after = self.sample()?;
        let window = after.since(&before);
        let sent = after.counters.sent.saturating_sub(before.counters.sent);
        let returned = after.counters.returned;
        // The ports are not asked at the same moment: between the questions the thread may lose its core for a while.
        if returned > 0 || sent * 10 < window.packets * 9 || window.packets == 0 {
            let what = format!("received {} packets, forwarded {sent}, returned {returned}", window.packets);
            return Err(self.error(what));
        }
        Ok(window)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// [`Error`]: it does not end, or says that it failed.
    pub fn stop(mut self) -> Result<(), Error> {
        match self.end() {
            Ok(()) => Ok(()),
            Err(what) => Err(self.error(what)),
        }
    }

    fn wait_for_packets(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.error(format!("it ended ({status})")));
            }
            match self.source.counters() {
                Ok(counters) if counters.received > 0 => break,
                _ if Instant::now() > deadline => return Err(self.error(format!("no packet passed in {START:?}"))),
                _ => thread::sleep(PAUSE),
            }
        }
        thread::sleep(WARM_UP);
        Ok(())
    }

    fn sample(&mut self) -> Result<Sample, Error> {
        let counters = self.source.counters();
        let at = Instant::now();
        let threads = thread_times(self.child.id());
        match counters {
            Ok(counters) => Ok(Sample { counters, at, threads }),
            Err(error) => Err(self.error(format!("its counters could not be read: {error}"))),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).map_err(|error| format!("it cannot be told to end: {error}"))?;
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() || status.signal() == Some(Signal::SIGTERM as i32) => {
                    return Ok(());
                }
                Ok(Some(status)) => return Err(format!("it ended badly ({status})")),
                _ => thread::sleep(PAUSE),
            }
        }
        Err(format!("it did not end in {END:?}"))
    }

    fn error(&self, what: String) -> Error {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        Error::Program { name: self.contender.name(), flows: self.flows, what, log }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already takes no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Source {
    fn counters(&mut self) -> io::Result<Counters> {
        match self {
            Self::Telemetry { directory, socket, .. } => {
                let socket = match socket {
                    Some(socket) => socket,
                    None => socket.insert(connect(directory)?),
                };
                let (from, to) = (ask(socket, "/ethdev/stats,0")?, ask(socket, "/ethdev/stats,1")?);
                let count = |stats: &Value, name: &str| {
                    stats.pointer(&format!("/~1ethdev~1stats/{name}")).and_then(Value::as_u64)
                };
                let counters = count(&from, "ipackets").zip(count(&to, "opackets")).zip(count(&from, "opackets"));
                let ((received, sent), returned) = counters.ok_or_else(|| unreadable(&format!("{from} {to}")))?;
                Ok(Counters { received, sent, returned })
            }
            Self::Lines(stdin, stdout) => {
                stdin.write_all(b"\n")?;
                let mut line = String::new();
                stdout.read_line(&mut line)?;
                parse_line(&line).ok_or_else(|| unreadable(&line))
            }
        }
    }
}

fn unreadable(answer: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected answer {answer:?}"))
}

/// A line of counters: packets received, and packets sent.
fn parse_line(line: &str) -> Option<Counters> {
    let mut numbers = line.split_whitespace().map(str::parse);
    let (received, sent) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Counters { received, sent, returned: 0 })
}

/// Connects to DPDK's telemetry, whose socket has a suffix if the program keeps nothing on disk.
fn connect(directory: &Path) -> io::Result<Socket> {
    let entries = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    let is_socket =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dpdk_telemetry.v2"));
    let path = entries.into_iter().find(is_socket).ok_or(io::ErrorKind::NotFound)?;
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_read_timeout(Some(END))?;
    socket.connect(&SockAddr::unix(path)?)?;
    // It introduces itself.
    receive(&socket)?;
    Ok(socket)
}

fn ask(socket: &Socket, question: &str) -> io::Result<Value> {
    socket.send(question.as_bytes())?;
    Ok(serde_json::from_slice(&receive(socket)?)?)
}

fn receive(mut socket: &Socket) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; 1 << 16];
    let length = socket.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// Nanoseconds that each thread of a process had a core so far. A thread that ends meanwhile is not in it.
fn thread_times(pid: u32) -> BTreeMap<u32, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let time = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        Some((number, text.split(' ').next()?.parse().ok()?))
    };
    threads.filter_map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, received: u64, threads: &[(u32, u64)]) -> Sample {
        let counters = Counters { received, ..Counters::default() };
        Sample { counters, at, threads: threads.iter().copied().collect() }
    }

    #[test]
    fn the_busiest_thread_is_what_a_packet_costs() {
        let start = Instant::now();
        let before = sample(start, 100, &[(7, 5_000_000_000), (8, 1_000_000_000)]);
        let after = sample(start + Duration::from_secs(2), 1_100, &[(7, 5_000_000_001), (8, 2_500_000_000), (9, 77)]);
        let window = after.since(&before);
        assert_eq!(window, Window { packets: 1_000, wall: 2.0, busy: 1.5 });
        assert!((window.cost() - 0.0015).abs() < 1e-12);
    }

    #[test]
    fn a_thread_of_this_process_that_works_gets_older() {
        let before: u64 = thread_times(std::process::id()).values().sum();
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        assert!(thread_times(std::process::id()).values().sum::<u64>() > before);
    }

    #[test]
    fn lines_of_counters() {
        assert_eq!(parse_line("12 11\n"), Some(Counters { received: 12, sent: 11, returned: 0 }));
        for bad in ["", "12", "12 x", "-1 2"] {
            assert_eq!(parse_line(bad), None, "{bad:?}");
        }
    }
}
