//! The model as a frame.

use super::app::{App, Over, Tab};
use super::rates::{History, short};
use super::table::{self, Column, Tone, backend_tone};
use crate::status::duration;
use guideway_control::status::model::Status;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Sparkline, Table, Tabs, Wrap};
use std::collections::BTreeMap;

const HELP: &str = "\
 Tab ← → 1…6   the next screen, the one before, one by number
 ↑ ↓ j k       select; PgUp PgDn g G: by page, first, last
 s             sort by the next column, at last as configured
 S             the other way round
 /             filter by name or state; Enter keeps it, Esc ends it
 d             drain the selected backend (asks first)
 e             enable it again (asks first)
 ?             this help
 q Ctrl-C      quit";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let [head, tabs, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    let titles = Tab::ALL.iter().zip(1..).map(|(tab, number)| format!("{number} {}", tab.title()));
    let highlight = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Tabs::new(titles).select(app.tab as usize).highlight_style(highlight), tabs);
    match &app.status {
        None => frame.render_widget(Paragraph::new("asking the running process …"), body),
        Some(status) => {
            frame.render_widget(Paragraph::new(headline(status)), head);
            if app.tab == Tab::Overview {
                overview(frame, body, app, status);
            } else {
                let height = list(frame, body, app, status);
                app.page = usize::from(height);
            }
        }
    }
    frame.render_widget(Paragraph::new(footline(app)), foot);
    match &app.over {
        Over::Nothing | Over::Filter => {}
        Over::Help => over(frame, " Help ", HELP),
        Over::Confirm(order) => {
            over(frame, " Sure? ", &format!(" {order}?\n\n y: yes        any other key: no"));
        }
    }
}

fn headline(status: &Status) -> Line<'static> {
    let waits = status.generation != status.acknowledged_generation;
    let snapshot = if waits { " (not yet in use on every worker)" } else { "" };
    Line::from(format!(
        "guideway {}, pid {}, up {}, snapshot {}{snapshot}",
        status.version,
        status.pid,
        duration(status.uptime_seconds),
        status.generation
    ))
}

fn footline(app: &App) -> Line<'static> {
    if app.over == Over::Filter {
        return Line::from(format!("filter: {}▏ (Enter: keep, Esc: end)", app.filter));
    }
    if let Some(failure) = &app.failure {
        return Line::styled(format!("no news: {failure}"), style(Tone::Bad));
    }
    let filter = if app.filter.is_empty() { String::new() } else { format!("filter: {} (Esc ends it)  ", app.filter) };
    let message = app.message.clone().unwrap_or_else(|| "?: help  q: quit".to_owned());
    Line::from(format!("{filter}{message}"))
}

const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Good => Style::new(),
        Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
        Tone::Change => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

/// A table; how many rows fit. Only those are made.
fn list(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) -> u16 {
    let columns = table::columns(app.tab);
    let (rows, selected) = app.rows();
    let height = area.height.saturating_sub(1);
    let visible = usize::from(height).max(1);
    let first = selected.saturating_sub(visible / 2).min(rows.len().saturating_sub(visible));
    let look = app.look();
    let shown = rows.iter().enumerate().skip(first).take(visible).map(|(index, row)| {
        let cells = table::cells(app, status, row);
        let cells = cells.iter().zip(columns).map(|(cell, column)| aligned(cell.text(), column));
        let style = style(table::tone(status, row));
        Row::new(cells).style(if index == selected { style.add_modifier(Modifier::REVERSED) } else { style })
    });
    let titles = columns.iter().enumerate().map(|(index, column)| {
        let mark = match (look.sort == Some(index), look.reversed) {
            (true, false) => "▼",
            (true, true) => "▲",
            (false, _) => "",
        };
        aligned(&format!("{}{mark}", column.title), column)
    });
    let widths = columns.iter().map(|column| Constraint::Length(column.width));
    let header = Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(shown, widths).header(header), area);
    if rows.is_empty() {
        let [_, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        let why = match app.tab {
            _ if !app.filter.is_empty() => "nothing passes the filter",
            Tab::Drops => "nothing was dropped",
            _ => "there are none",
        };
        frame.render_widget(Paragraph::new(why), below);
    }
    height
}

fn aligned(text: &str, column: &Column) -> Line<'static> {
    let line = Line::from(text.to_owned());
    if column.number { line.alignment(Alignment::Right) } else { line }
}

fn overview(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) {
    let [charts, rest] = Layout::vertical([Constraint::Length(6), Constraint::Min(0)]).areas(area);
    let [received, bits, dropped] = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas(charts);
    let rates = &app.rates;
    chart(frame, received, "packets in/s", rates.received, &app.received, Color::Green);
    chart(frame, bits, "bit/s to backends", rates.bits, &app.bits, Color::Cyan);
    chart(frame, dropped, "drops/s", rates.dropped, &app.dropped, Color::Red);
    frame.render_widget(Paragraph::new(facts(app, status)).wrap(Wrap { trim: false }), rest);
}

fn chart(frame: &mut Frame<'_>, area: Rect, title: &str, now: f64, history: &History, color: Color) {
    let block = Block::bordered().title(format!(" {title}: {} ", short(now)));
    let values = history.values(usize::from(block.inner(area).width));
    frame.render_widget(Sparkline::default().data(values).style(Style::new().fg(color)).block(block), area);
}

fn facts(app: &App, status: &Status) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let serving = status.vips.iter().filter(|vip| vip.serving).count();
    let tone = if serving == status.vips.len() { Tone::Good } else { Tone::Bad };
    lines.push(fact("VIPs", format!("{serving} of {} serve", status.vips.len()), tone));
    lines.extend(backends(status));
    for worker in &status.workers {
        let index = status.workers.iter().position(|other| other.core == worker.core).unwrap_or(0);
        let work = app.rates.workers.get(index).copied().unwrap_or_default();
        let bars = app.of_workers.get(&worker.core).map(|history| history.bars(40)).unwrap_or_default();
        let text = format!(
            "busy {:>5.1} %, {:>4.1} packets a burst, {} in/s, {} out/s {bars}",
            work.busy * 100.0,
            work.fill,
            short(work.received),
            short(work.sent)
        );
        lines.push(fact(&format!("core {}", worker.core), text, Tone::Good));
    }
    for port in &status.ports {
        let (link, tone) = if port.link_up { ("up", Tone::Good) } else { ("DOWN", Tone::Bad) };
        let missed = short(port.counters.missed as f64);
        lines.push(fact(&format!("port {}", port.name), format!("link {link}, {missed} missed"), tone));
    }
    let pins = &status.pins;
    let (used, room) = (short(pins.in_use as f64), short(pins.capacity as f64));
    lines.push(fact("pins", format!("{used} of {room} in use ({:.1} %)", pins.occupancy * 100.0), Tone::Good));
    let mut drops: Vec<_> = app.rates.drops.iter().filter(|(_, rate)| **rate > 0.0).collect();
    drops.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    for (reason, rate) in drops.into_iter().take(5) {
        lines.push(fact("dropping", format!("{}/s as {reason}", short(*rate)), Tone::Change));
    }
    lines.extend(status.warnings.iter().map(|warning| fact("warning", warning.clone(), Tone::Change)));
    lines
}

/// How many backends are in which state.
fn backends(status: &Status) -> Option<Line<'static>> {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for backend in status.pools.iter().flat_map(|pool| &pool.backends) {
        *states.entry(&backend.state).or_default() += 1;
    }
    let mut spans = vec![label("backends")];
    for (index, (state, count)) in states.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        spans.push(Span::raw(comma));
        spans.push(Span::styled(format!("{count} {state}"), style(backend_tone(state))));
    }
    (!states.is_empty()).then(|| Line::from(spans))
}

fn label(name: &str) -> Span<'static> {
    Span::styled(format!("{name:<12}"), Style::new().add_modifier(Modifier::BOLD))
}

fn fact(name: &str, text: String, tone: Tone) -> Line<'static> {
    Line::from(vec![label(name), Span::styled(text, style(tone))])
}

/// A box over the middle of the screen.
fn over(frame: &mut Frame<'_>, title: &str, text: &str) {
    let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0) as u16 + 4;
    let height = text.lines().count() as u16 + 2;
    let area = frame.area().centered(Constraint::Length(width), Constraint::Length(height));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text.to_owned()).block(Block::bordered().title(title.to_owned())), area);
}
