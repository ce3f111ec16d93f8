//! What is shown, and what keys make of it. Nothing here touches a terminal, a clock or a socket.

use super::rates::{History, Rates, vip_key};
use super::table::{self, Listed};
use guideway_control::status::model::Status;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::HashMap;
use std::fmt;

/// What one screen shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Tab {
    /// A little of everything.
    #[default]
    Overview,
    /// The VIPs.
    Vips,
    /// The pools.
    Pools,
    /// The backends of all pools.
    Backends,
    /// The workers.
    Workers,
    /// Drops by reason.
    Drops,
}

impl Tab {
    pub(super) const ALL: [Self; 6] =
        [Self::Overview, Self::Vips, Self::Pools, Self::Backends, Self::Workers, Self::Drops];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Vips => "VIPs",
            Self::Pools => "Pools",
            Self::Backends => "Backends",
            Self::Workers => "Workers",
            Self::Drops => "Drops",
        }
    }

    fn next(self, step: usize) -> Self {
        Self::ALL[(self as usize + step) % Self::ALL.len()]
    }
}

/// What can be done to a backend from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Drain,
    Enable,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Drain => "drain",
            Self::Enable => "enable",
        })
    }
}

/// A change that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) verb: Verb,
    pub(super) pool: String,
    pub(super) backend: String,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, pool, backend } = self;
        write!(f, "{verb} {pool}/{backend}")
    }
}

/// What lies over the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    #[default]
    Nothing,
    Help,
    /// A filter is being written.
    Filter,
    /// A change waits for a yes.
    Confirm(Order),
}

/// What a key asks of the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Order(Order),
}

/// How a table is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The column that it is sorted by; `None`: the order of the configuration.
    pub(super) sort: Option<usize>,
    /// Whether the other way round.
    pub(super) reversed: bool,
    /// The name of the row that is selected; `None`: the first one.
    pub(super) selected: Option<String>,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) tab: Tab,
    pub(super) over: Over,
    pub(super) filter: String,
    looks: [Look; Tab::ALL.len()],
    pub(super) status: Option<Status>,
    /// When that was, in seconds since 1970.
    pub(super) now: f64,
    pub(super) rates: Rates,
    pub(super) received: History,
    pub(super) bits: History,
    pub(super) dropped: History,
    pub(super) of_vips: HashMap<String, History>,
    pub(super) of_workers: HashMap<usize, History>,
    /// What came of the last change.
    pub(super) message: Option<String>,
    /// Why nothing new comes.
    pub(super) failure: Option<String>,
    /// Rows of a page, as the last frame had them.
    pub(super) page: usize,
}

impl App {
    pub(super) fn new(tab: Tab) -> Self {
        Self { tab, page: 10, ..Self::default() }
    }

    /// Takes over how things are at `now`, in seconds since 1970.
    pub(super) fn update(&mut self, status: Status, now: f64) {
        self.now = now;
        self.failure = None;
        let first = self.status.is_none();
        self.rates = Rates::between(self.status.as_ref(), &status);
        if !first {
            self.received.push(self.rates.received);
            self.bits.push(self.rates.bits);
            self.dropped.push(self.rates.dropped);
            let mut before = std::mem::take(&mut self.of_vips);
            for (vip, flow) in status.vips.iter().zip(&self.rates.vips) {
                let key = vip_key(vip);
                let mut history = before.remove(&key).unwrap_or_default();
                history.push(flow.packets);
                self.of_vips.insert(key, history);
            }
            for (worker, work) in status.workers.iter().zip(&self.rates.workers) {
                self.of_workers.entry(worker.core).or_default().push(work.busy);
            }
        }
        self.status = Some(status);
    }

    pub(super) fn look(&self) -> &Look {
        &self.looks[self.tab as usize]
    }

    fn look_mut(&mut self) -> &mut Look {
        &mut self.looks[self.tab as usize]
    }

    /// The rows of the tab, as they are filtered and sorted, and which of them is selected.
    pub(super) fn rows(&self) -> (Vec<Listed>, usize) {
        let rows = table::listed(self);
        let selected = self.look().selected.as_ref();
        let index = selected.and_then(|key| rows.iter().position(|row| row.key == *key)).unwrap_or(0);
        (rows, index)
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Effect::Quit);
        }
        match std::mem::take(&mut self.over) {
            Over::Nothing => self.plain(key.code),
            // Any key puts it away.
            Over::Help => (key.code == KeyCode::Char('q')).then_some(Effect::Quit),
            Over::Filter => {
                self.write_filter(key.code);
                None
            }
            Over::Confirm(order) => matches!(key.code, KeyCode::Char('y' | 'Y')).then(|| {
                self.message = Some(format!("{order} …"));
                Effect::Order(order)
            }),
        }
    }

    fn plain(&mut self, code: KeyCode) -> Option<Effect> {
        let page = self.page.max(1) as isize;
        match code {
            KeyCode::Char('q') => return Some(Effect::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.over = Over::Help,
            KeyCode::Char('/') => self.over = Over::Filter,
            KeyCode::Esc => {
                self.filter.clear();
                self.message = None;
            }
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.tab = self.tab.next(1),
            KeyCode::BackTab | KeyCode::Left => self.tab = self.tab.next(Tab::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='6') => self.tab = Tab::ALL[digit as usize - '1' as usize],
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::PageDown => self.select(page),
            KeyCode::PageUp => self.select(-page),
            KeyCode::Home | KeyCode::Char('g') => self.select(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.select(isize::MAX),
            KeyCode::Char('s') => self.sort(),
            KeyCode::Char('S' | 'r') => self.look_mut().reversed ^= true,
            KeyCode::Char('d') => self.ask(Verb::Drain),
            KeyCode::Char('e') => self.ask(Verb::Enable),
            _ => {}
        }
        None
    }

    fn write_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.filter.clear();
                return;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        self.over = Over::Filter;
    }

    fn select(&mut self, step: isize) {
        let (rows, selected) = self.rows();
        let last = rows.len().saturating_sub(1);
        let row = rows.into_iter().nth(selected.saturating_add_signed(step).min(last));
        self.look_mut().selected = row.map(|row| row.key);
    }

    /// The next column; after the last one the order of the configuration again.
    fn sort(&mut self) {
        let columns = table::columns(self.tab).len();
        let look = self.look_mut();
        look.sort = match look.sort {
            None if columns > 0 => Some(0),
            Some(column) if column + 1 < columns => Some(column + 1),
            _ => None,
        };
    }

    fn ask(&mut self, verb: Verb) {
        let (rows, selected) = self.rows();
        match rows.into_iter().nth(selected).and_then(|row| row.backend) {
            Some((pool, backend)) => self.over = Over::Confirm(Order { verb, pool, backend }),
            None => self.message = Some(format!("to {verb} a backend, select it under Backends (4)")),
        }
    }
}
