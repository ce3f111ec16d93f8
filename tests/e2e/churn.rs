//! An operator who cannot leave it alone: planned changes of a pool's backends at random, without waiting for each other.

use crate::setup::{BINARY, PATIENCE, Site};
use anyhow::{Context, Result, ensure};
use guideway_lab::Backend;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// Shares that a backend may get; 0: no new flows.
const WEIGHTS: [u32; 5] = [0, 1, 2, 3, 5];
/// So many backends get new flows at any time.
const FEWEST: usize = 3;
/// So many of those that the configuration names stay in the pool.
const FEWEST_OLD: usize = 4;
/// Rounds of changes, each followed by a rest in which slots come through all of their phases.
const ROUNDS: usize = 4;
/// Changes in each.
const CHANGES: usize = 25;
/// The rest.
const REST: Duration = Duration::from_secs(6);
/// Between two changes, at least and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];
/// Changes before a connection broke that may have to do with it.
const SHOWN: Duration = Duration::from_secs(8);

/// Numbers that look random and are the same in each run (xorshift64).
pub struct Random(u64);

impl Random {
    /// Of a seed that `CHURN_SEED` overrides; says which.
    pub fn new(seed: u64) -> Self {
        let seed = std::env::var("CHURN_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
        println!("seed {seed}");
        Self(seed.max(1))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The high bits are the better ones.
        ((self.0 >> 32) as usize * bound) >> 32
    }
}

/// A backend as the operator knows it.
struct Member {
    name: String,
    /// Index of its machine among the spare ones; `None`: the configuration names it.
    spare: Option<usize>,
    enabled: bool,
    weight: u32,
    /// The latest change of it.
    change: Option<Running>,
}

impl Member {
    const fn serves(&self) -> bool {
        self.enabled && self.weight > 0
    }
}

/// A command that was started.
struct Running {
    what: String,
    child: Child,
}

impl Running {
    fn start(site: &Site, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(BINARY);
        command.arg("backend").args(arguments).arg("--socket").arg(site.guideway.socket());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Ok(Self { what: arguments.join(" "), child: child.context("cannot run the program")? })
    }

    fn finish(self) -> Result<()> {
        let Output { status, stderr, .. } = self.child.wait_with_output().context("cannot wait for a command")?;
        ensure!(status.success(), "{}: {status}: {}", self.what, String::from_utf8_lossy(&stderr));
        Ok(())
    }
}

/// The operator.
pub struct Churn<'a> {
    site: &'a Site,
    pool: &'a str,
    random: Random,
    members: Vec<Member>,
    /// Machines that are added and removed, and how often each was.
    spare: Vec<(&'a Backend, usize)>,
    /// Those that were removed, with their last change.
    removed: Vec<Running>,
    journal: Vec<(SystemTime, String)>,
}

impl<'a> Churn<'a> {
    /// Of a pool whose configuration names the lab's first `backends` backends; the others come and go.
    pub fn new(site: &'a Site, pool: &'a str, backends: usize, random: Random) -> Self {
        let (old, spare) = site.lab.backends().split_at(backends);
        let member = |backend: &Backend| Member {
            name: backend.name().to_owned(),
            spare: None,
            enabled: true,
            weight: 1,
            change: None,
        };
        Self {
            site,
            pool,
            random,
            members: old.iter().map(member).collect(),
            spare: spare.iter().map(|backend| (backend, 0)).collect(),
            removed: Vec::new(),
            journal: Vec::new(),
        }
    }

    /// Makes a hundred changes in about 45 s, one after the other, without waiting for what they bring about. Each must be
    /// taken. Returns the most pins that `status` showed in the middle of it.
    pub fn run(&mut self) -> Result<u64> {
        let [least, most] = PAUSES.map(|pause| pause.as_millis() as usize);
        let mut pins = 0;
        for _ in 0..ROUNDS {
            for _ in 0..CHANGES {
                let begun = Instant::now();
                let pause = Duration::from_millis((least + self.random.below(most - least + 1)) as u64);
                self.change()?;
                sleep(pause.saturating_sub(begun.elapsed()));
            }
            pins = pins.max(self.site.guideway.status()?["pins"]["in_use"].as_u64().unwrap_or(0));
            sleep(REST);
        }
        self.settle()?;
        Ok(pins)
    }

    /// Waits for all commands; each must have been taken.
    fn settle(&mut self) -> Result<()> {
        let changes = self.members.iter_mut().filter_map(|member| member.change.take());
        changes.chain(self.removed.drain(..)).try_for_each(Running::finish)
    }

    /// Gives all backends that are there new connections again.
    pub fn enable_all(&mut self) -> Result<()> {
        for index in 0..self.members.len() {
            if !self.members[index].enabled {
                self.enable(index)?;
            }
            if self.members[index].weight == 0 {
                self.weigh(index, 1)?;
            }
        }
        self.settle()
    }

    /// Backends of the configuration that were not removed.
    pub fn old(&self) -> impl Iterator<Item = &str> {
        self.members.iter().filter(|member| member.spare.is_none()).map(|member| member.name.as_str())
    }

    /// How many changes were made.
    pub const fn changes(&self) -> usize {
        self.journal.len()
    }

    /// How often each kind of change was made.
    pub fn kinds(&self) -> String {
        let count = |kind: &str| self.journal.iter().filter(|(_, what)| what.starts_with(kind)).count();
        ["drain", "enable", "weight", "add", "remove"].map(|kind| format!("{kind} {}", count(kind))).join(", ")
    }

    /// What was changed shortly before a moment, a line each.
    pub fn before(&self, moment: SystemTime) -> String {
        let ago = |at: &SystemTime| moment.duration_since(*at).ok().filter(|ago| *ago < SHOWN);
        let lines = self.journal.iter().filter_map(|(at, what)| Some(format!("  {:?} before: {what}", ago(at)?)));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn change(&mut self) -> Result<()> {
        let serving = self.members.iter().filter(|member| member.serves()).count();
        let dispensable = |member: &Member| !member.serves() || serving > FEWEST;
        let (few_old, comes_and_goes) = (self.old().count() <= FEWEST_OLD, !self.spare.is_empty());
        match self.random.below(12) {
            0..4 => {
                if let Some(index) = self.any(|member| member.enabled && dispensable(member)) {
                    return self.drain(index);
                }
            }
            4..8 => {
                if let Some(index) = self.any(|member| !member.enabled) {
                    return self.enable(index);
                }
            }
            8 if comes_and_goes && self.add()? => return Ok(()),
            9 if comes_and_goes => {
                if let Some(index) = self.any(|member| dispensable(member) && (member.spare.is_some() || !few_old)) {
                    return self.remove(index);
                }
            }
            _ => {}
        }
        let index = self.random.below(self.members.len());
        let weight = WEIGHTS[self.random.below(WEIGHTS.len())];
        self.weigh(index, if dispensable(&self.members[index]) { weight } else { weight.max(1) })
    }

    /// One at random of those that fit.
    fn any(&mut self, fits: impl Fn(&Member) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.members.len()).filter(|index| fits(&self.members[*index])).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())])
    }

    fn drain(&mut self, index: usize) -> Result<()> {
        self.members[index].enabled = false;
        self.start(index, "drain", &[])
    }

    fn enable(&mut self, index: usize) -> Result<()> {
        self.members[index].enabled = true;
        self.start(index, "enable", &[])
    }

    fn weigh(&mut self, index: usize, weight: u32) -> Result<()> {
        self.members[index].weight = weight;
        self.start(index, "weight", &[&weight.to_string()])
    }

    /// Adds a machine that is not in the pool, if there is one. Its name is a new one each time: one that was removed
    /// lasts as long as its connections.
    fn add(&mut self) -> Result<bool> {
        let taken = |index: usize| self.members.iter().any(|member| member.spare == Some(index));
        let Some(index) = (0..self.spare.len()).find(|index| !taken(*index)) else { return Ok(false) };
        let (backend, times) = &mut self.spare[index];
        *times += 1;
        let (name, address) = (format!("{}-{times}", backend.name()), backend.v4().to_string());
        self.members.push(Member { name, spare: Some(index), enabled: true, weight: 1, change: None });
        self.start(self.members.len() - 1, "add", &[&address])?;
        Ok(true)
    }

    fn remove(&mut self, index: usize) -> Result<()> {
        self.start(index, "remove", &[])?;
        self.removed.extend(self.members.remove(index).change);
        Ok(())
    }

    fn start(&mut self, index: usize, what: &str, more: &[&str]) -> Result<()> {
        let member = &mut self.members[index];
        // Two changes of one backend that overtook each other would leave another state than is known here.
        member.change.take().map_or(Ok(()), Running::finish)?;
        let backend = format!("{}/{}", self.pool, member.name);
        let arguments = [&[what, &backend], more].concat();
        self.journal.push((SystemTime::now(), arguments.join(" ")));
        member.change = Some(Running::start(self.site, &arguments)?);
        Ok(())
    }
}

/// Waits until new connections of a pool go where they shall.
pub fn wait_until_settled(site: &Site, pool: &str) -> Result<()> {
    guideway_lab::process::wait_for("the pool to be settled", PATIENCE, || {
        Ok((site.guideway.pool(pool)?["transition"]["settled"] == true).then_some(()))
    })
}
