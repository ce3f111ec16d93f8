//! One balancer at work in the balancer's namespace.

use super::terminator::{self, Started};
use super::{FILE, FILE_BYTES, POOL, Site, Visit, Visitor, Way};
use crate::address;
use crate::cores::on_cores;
use crate::guideway::Guideway;
use crate::priority::set_all_real_time;
use crate::process::{Process, wait_for};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// For whatever must come sooner or later on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages of failures that are kept of a round.
const KEPT_FAILURES: usize = 3;

/// Where programs run, and how the kernel treats them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The core of the balancer: of Guideway's worker, of HAProxy, of nginx.
    pub balancer: u32,
    /// The core of the client, of the backend, and of Guideway's control side.
    pub others: u32,
    /// Real-time priority of client, balancers and backend, 1 to 99; `None`: none.
    pub real_time: Option<u8>,
}

/// A way that carries connections; dropped means that its balancer is stopped.
#[derive(Debug)]
pub struct Open<'a> {
    site: &'a Site,
    way: Way,
    balancer: Balancer,
    visitor: Visitor,
}

/// What runs.
#[derive(Debug)]
enum Balancer {
    /// Nothing.
    None,
    Guideway(Guideway),
    /// A program over the kernel's TCP, which has the balancer's addresses meanwhile.
    Kernel(Process),
}

/// What a round found.
#[derive(Debug, Default)]
pub struct Round {
    /// Connections that were answered, in no order.
    pub visits: Vec<Visit>,
    /// How many were not.
    pub failed: usize,
    /// What was wrong with some of them.
    pub failures: Vec<String>,
}

impl<'a> Open<'a> {
    pub(super) fn start(site: &'a Site, way: Way, idle: &str) -> Result<Self> {
        let visitor = Visitor::new(&[site.expected(way)])?;
        // From here on a drop takes away what was begun.
        let mut open = Self { site, way, balancer: Balancer::None, visitor };
        if let Some(config) = way.guideway(site, idle) {
            let cores = [site.place.others, site.place.balancer];
            let guideway = on_cores(&cores, || Guideway::start(&site.lab, &site.guideway, &config))?;
            open.balancer = Balancer::Guideway(guideway);
        } else if let Some(program) = terminator::prepare(way, site.lab.folder(), &site.balancer)? {
            open.start_over_kernel(&program)?;
        }
        open.wait()?;
        if let (Balancer::Guideway(guideway), Some(priority)) = (&open.balancer, site.place.real_time) {
            // Its workers ask for the lowest nice value, and with it give back what they inherited. By now they have.
            set_all_real_time(guideway.process().id(), priority)?;
        }
        Ok(open)
    }

    fn start_over_kernel(&mut self, started: &Started) -> Result<()> {
        let lab = &self.site.lab;
        lab.balancer().ip(&format!(
            "addr add {}/24 dev {device}\naddr add {}/32 dev lo\nroute add default via {}\n",
            address::BALANCER_V4,
            self.way.target().ip(),
            address::ROUTER_V4,
            device = lab.segment_device()
        ))?;
        let arguments: Vec<&str> = started.arguments.iter().map(String::as_str).collect();
        let log = lab.folder().join(format!("{}.log", self.way.name()));
        let process =
            on_cores(&[self.site.place.balancer], || lab.balancer().spawn(started.program, &arguments, &log))?;
        self.balancer = Balancer::Kernel(process);
        Ok(())
    }

    /// Waits until a connection is answered.
    fn wait(&mut self) -> Result<()> {
        if let Balancer::Guideway(guideway) = &self.balancer {
            guideway.wait_for_state(POOL, self.site.lab.backend(1).name(), "up", PATIENCE)?;
        }
        let mut last = String::new();
        let answered = wait_for("an answer", PATIENCE, || {
            if let Balancer::Kernel(process) = &mut self.balancer {
                ensure!(process.try_wait()?.is_none(), "it ended: {}", process.log_tail(10));
            }
            match self.ask("/client") {
                Ok(visit) => Ok(Some(visit)),
                Err(error) => {
                    last = format!("{error:#}");
                    Ok(None)
                }
            }
        });
        answered.with_context(|| format!("{last}\n{}", self.log()))?;
        Ok(())
    }

    /// What the balancer wrote last.
    pub fn log(&self) -> String {
        match &self.balancer {
            Balancer::None => String::new(),
            Balancer::Guideway(guideway) => guideway.process().log_tail(20),
            Balancer::Kernel(process) => process.log_tail(20),
        }
    }

    /// Asks for `path` once, from the client.
    ///
    /// # Errors
    ///
    /// As [`Visitor::visit`].
    pub fn ask(&self, path: &str) -> Result<Visit> {
        self.site.lab.client().enter(|| self.visitor.visit(self.way.target(), path))?
    }

    /// Asks for the file `count` times, each time over a connection of its own, by `side_by_side` threads of the client on the
    /// core that is not the balancer's.
    ///
    /// # Errors
    ///
    /// When the threads cannot be started. Connections that fail are counted.
    pub fn round(&self, count: usize, side_by_side: usize) -> Result<Round> {
        let target = self.way.target();
        let path = format!("/{FILE}");
        let one_thread = |count: usize| {
            let mut round = Round::default();
            for _ in 0..count {
                let visit = self.visitor.visit(target, &path).and_then(|visit| {
                    let length = visit.body.len();
                    ensure!(length == FILE_BYTES, "a body of {length} bytes");
                    Ok(visit)
                });
                round.add(visit);
            }
            round
        };
        let threads = side_by_side.max(1);
        let shares = (0..threads).map(|thread| count / threads + usize::from(thread < count % threads));
        on_cores(&[self.site.place.others], || {
            self.site.lab.client().enter(|| {
                std::thread::scope(|scope| {
                    let threads: Vec<_> = shares.map(|share| scope.spawn(move || one_thread(share))).collect();
                    let mut all = Round::default();
                    for thread in threads {
                        all.join(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                    }
                    all
                })
            })
        })
    }
}

impl Round {
    fn add(&mut self, visit: Result<Visit>) {
        match visit {
            Ok(visit) => self.visits.push(visit),
            Err(error) => {
                self.failed += 1;
                self.keep(format!("{error:#}"));
            }
        }
    }

    fn keep(&mut self, failure: String) {
        if self.failures.len() < KEPT_FAILURES {
            self.failures.push(failure);
        }
    }

    fn join(&mut self, other: Self) {
        self.visits.extend(other.visits);
        self.failed += other.failed;
        other.failures.into_iter().for_each(|failure| self.keep(failure));
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let lab = &self.site.lab;
        match &mut self.balancer {
            Balancer::None => {}
            Balancer::Guideway(guideway) => drop(guideway.terminate()),
            Balancer::Kernel(process) => drop(process.kill()),
        }
        // What was not added is not there to be removed: each line for itself.
        let vip = self.way.target().ip();
        for line in [format!("addr flush dev {}", lab.segment_device()), format!("addr del {vip}/32 dev lo")] {
            let _ = lab.balancer().ip(&line);
        }
    }
}
