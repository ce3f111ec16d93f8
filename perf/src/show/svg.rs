//! Plots as SVG. Colours come from classes of the page that they are part of: `s0` to `s7` for series.

use super::figure::{figure, spread, tick};
use super::html::escape;
use super::scale::{Scale, can_draw};
use crate::present::{Axis, Plot, PlotKind, Series};
use crate::window::Spread;
use std::fmt::Write;

/// Units of the drawing across; on a narrow phone about seven tenths of a pixel.
const WIDTH: f64 = 480.0;
/// Height of a plot of lines.
const HEIGHT: f64 = 300.0;
/// What is kept free for labels at the left of lines, and at either end.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
/// Ticks and the name of the horizontal axis.
const BOTTOM: f64 = 44.0;
/// Bars: the figure behind a bar, the line with the category's name, a bar and the gap behind a category.
const FIGURE: f64 = 66.0;
const NAME: f64 = 17.0;
const BAR: f64 = 13.0;
const GAP: f64 = 8.0;
/// More letters of a category's name than this do not fit.
const NAME_LETTERS: usize = 64;
/// The most labels that fit beside each other.
const MOST_LABELS: usize = 9;
/// Points of a line that have a mark each; more would hide the line.
const MOST_MARKS: usize = 60;
/// Colours; series beyond them take the same ones again, dashed.
const COLOURS: usize = 8;

/// The class of the series at this place: its colour, and whether it is dashed.
pub(super) fn class(series: usize) -> String {
    format!("s{}{}", series % COLOURS, if series / COLOURS % 2 == 1 { " again" } else { "" })
}

/// Draws a plot. Points without a place on a logarithmic axis, or that are not finite, are left out.
#[must_use]
pub fn draw(plot: &Plot) -> String {
    match plot.kind {
        PlotKind::Lines => Lines::new(plot).draw(plot),
        PlotKind::Bars => bars(plot),
    }
}

/// How many points of a plot [`draw`] leaves out.
#[must_use]
pub fn left_out(plot: &Plot) -> usize {
    let lines = plot.kind == PlotKind::Lines;
    let across = |x: f64| if lines { can_draw(x, plot.x.logarithmic) } else { category(&plot.x, x).is_some() };
    let points = plot.series.iter().flat_map(|series| &series.points);
    points.filter(|(x, y)| !across(*x) || !can_draw(y.median, plot.y.logarithmic)).count()
}

fn start(height: f64, caption: &str) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}">"#, escape(caption))
}

/// The extremes of what is drawn of a value.
fn extremes(points: &[(f64, Spread)]) -> impl Iterator<Item = f64> {
    points.iter().flat_map(|(_, y)| [y.min, y.median, y.max])
}

/// A grid line or an axis.
fn rule(svg: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    // Writing to a string does not fail.
    let _ = write!(svg, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
}

/// Words at a place; `anchor` is which end of them is there.
fn words(svg: &mut String, anchor: &str, (x, y): (f64, f64), text: &str) {
    let _ = write!(svg, r#"<text class="{anchor}" x="{x:.1}" y="{y:.1}">{}</text>"#, escape(text));
}

/// Vertical grid lines with their numbers and the axis's name below.
fn horizontal_axis(svg: &mut String, scale: &Scale, label: &str, [left, right, top, bottom]: [f64; 4]) {
    let ticks = scale.ticks();
    let every = ticks.len().div_ceil(MOST_LABELS);
    for (i, mark) in ticks.iter().enumerate() {
        let x = left + mark.place * (right - left);
        rule(svg, "grid", [x, top, x, bottom]);
        if i % every == 0 {
            words(svg, "middle", (x, bottom + 16.0), &tick(mark.value, mark.step));
        }
    }
    words(svg, "middle label", (f64::midpoint(left, right), bottom + 35.0), label);
}

/// A plot of lines: where its values are.
struct Lines {
    x: Scale,
    y: Scale,
}

impl Lines {
    fn new(plot: &Plot) -> Self {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        Self {
            x: Scale::over(points().map(|(x, _)| *x), plot.x.logarithmic),
            y: Scale::over(plot.series.iter().flat_map(|series| extremes(&series.points)), plot.y.logarithmic),
        }
    }

    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (x, y) = (self.x.place(x)?, self.y.place(y)?);
        Some((LEFT + x * (WIDTH - RIGHT - LEFT), HEIGHT - BOTTOM - y * (HEIGHT - BOTTOM - TOP)))
    }

    fn draw(&self, plot: &Plot) -> String {
        let mut svg = start(HEIGHT, &plot.caption);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        horizontal_axis(&mut svg, &self.x, &plot.x.label, [LEFT, right, TOP, bottom]);
        for mark in self.y.ticks() {
            let y = bottom - mark.place * (bottom - TOP);
            rule(&mut svg, "grid", [LEFT, y, right, y]);
            words(&mut svg, "end", (LEFT - 6.0, y + 4.0), &tick(mark.value, mark.step));
        }
        let middle = f64::midpoint(TOP, bottom);
        let _ = write!(
            svg,
            r#"<text class="middle label" transform="rotate(-90)" x="{:.1}" y="11">{}</text>"#,
            -middle,
            escape(&plot.y.label)
        );
        rule(&mut svg, "axis", [LEFT, bottom, right, bottom]);
        for (i, series) in plot.series.iter().enumerate() {
            let _ = write!(svg, r#"<g class="{}">"#, class(i));
            self.series(&mut svg, plot, series);
            svg.push_str("</g>");
        }
        svg + "</svg>"
    }

    fn series(&self, svg: &mut String, plot: &Plot, series: &Series) {
        let drawn: Vec<_> = series.points.iter().filter_map(|(x, y)| Some((*x, y, self.at(*x, y.median)?))).collect();
        let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
        };
        // An end of a range without a place is at the median.
        let edge = |end: fn(&Spread) -> f64| {
            let edge = |(x, y, at): &(f64, &Spread, (f64, f64))| self.at(*x, end(y)).unwrap_or(*at);
            drawn.iter().map(edge).collect::<Vec<_>>()
        };
        if drawn.iter().any(|(_, y, _)| y.min < y.max) {
            let around = edge(|y| y.max).into_iter().chain(edge(|y| y.min).into_iter().rev());
            let _ = write!(svg, r#"<polygon class="band" points="{}"/>"#, path(&mut { around }));
        }
        let _ = write!(svg, r#"<polyline points="{}"/>"#, path(&mut drawn.iter().map(|(_, _, at)| *at)));
        if drawn.len() <= MOST_MARKS {
            for (x, y, at) in drawn {
                let title = format!("{}: {} at {} {}", series.name, spread(y), figure(x), plot.x.label);
                let _ = write!(
                    svg,
                    r#"<circle cx="{:.1}" cy="{:.1}" r="3"><title>{}</title></circle>"#,
                    at.0,
                    at.1,
                    escape(&title)
                );
            }
        }
    }
}

/// The name of the category at a place; `None` if there is no such place.
fn category(axis: &Axis, place: f64) -> Option<&str> {
    (place >= 0.0 && place.fract() == 0.0).then(|| axis.categories.get(place as usize)).flatten().map(String::as_str)
}

/// Bars that lie, so that long names of categories are above them and not across.
fn bars(plot: &Plot) -> String {
    let all = || plot.series.iter().flat_map(|series| extremes(&series.points));
    let from_zero = (!plot.y.logarithmic).then_some(0.0);
    let scale = Scale::over(all().chain(from_zero), plot.y.logarithmic);
    let (left, right) = (RIGHT, WIDTH - FIGURE);
    let of_category = NAME + BAR * plot.series.len() as f64 + GAP;
    let bottom = TOP + of_category * plot.x.categories.len() as f64;
    let mut svg = start(bottom + BOTTOM, &plot.caption);
    horizontal_axis(&mut svg, &scale, &plot.y.label, [left, right, TOP, bottom]);
    let origin = left + scale.origin() * (right - left);
    for (place, name) in plot.x.categories.iter().enumerate() {
        let top = TOP + of_category * place as f64;
        let shown = shortened(name);
        words(&mut svg, "start", (left + 4.0, top + NAME - 4.0), &shown);
        for (i, series) in plot.series.iter().enumerate() {
            let points = series.points.iter().filter(|(at, _)| *at == place as f64);
            for (_, value) in points {
                let across = |value: f64| Some(left + scale.place(value)? * (right - left));
                let Some(end) = across(value.median) else { continue };
                let range = [value.min, value.max].map(|value| across(value).unwrap_or(end));
                let y = top + NAME + BAR * i as f64;
                let title = format!("{name}, {}: {}", series.name, spread(value));
                bar(&mut svg, i, [origin, end, y], range, &title);
                words(&mut svg, "start", (range[1].max(end) + 5.0, y + BAR - 3.0), &figure(value.median));
            }
        }
    }
    rule(&mut svg, "axis", [origin, TOP, origin, bottom]);
    svg + "</svg>"
}

/// A bar from `origin` to `end` with a whisker over `range`.
fn bar(svg: &mut String, series: usize, [origin, end, y]: [f64; 3], range: [f64; 2], title: &str) {
    let (x, width, middle) = (origin.min(end), (end - origin).abs(), y + BAR / 2.0 - 0.5);
    let _ = write!(
        svg,
        r#"<g class="{}"><title>{}</title><rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{:.1}"/>"#,
        class(series),
        escape(title),
        BAR - 1.0
    );
    if range[0] < range[1] {
        rule(svg, "whisker", [range[0], middle, range[1], middle]);
        for x in range {
            rule(svg, "whisker", [x, middle - 3.0, x, middle + 3.0]);
        }
    }
    svg.push_str("</g>");
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_LETTERS {
        return name.to_owned();
    }
    name.chars().take(NAME_LETTERS - 1).chain(['…']).collect()
}
