//! What a reader sees of any benchmark: tables, plots and the figures that two runs are compared by.
//!
//! Each benchmark says what; `bench report` and `bench compare` know how.

use crate::window::Spread;

/// A benchmark's results, ready to be shown.
pub trait Present {
    /// What was measured, in a few words.
    fn title(&self) -> String;

    /// The conditions beyond those of the machine: device, traffic, options. Sentences.
    fn conditions(&self) -> Vec<String>;

    /// Tables.
    fn tables(&self) -> Vec<TableView>;

    /// Plots.
    fn plots(&self) -> Vec<Plot>;

    /// The figures that tell whether another run was better.
    fn metrics(&self) -> Vec<Metric>;
}

/// A table of text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableView {
    /// What it is about.
    pub caption: String,
    /// Names of the columns, with units.
    pub columns: Vec<String>,
    /// Cells, as many in each row as there are columns. What looks like a number is aligned as one.
    pub rows: Vec<Vec<String>>,
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// What it shows.
    pub caption: String,
    /// What is drawn.
    pub kind: PlotKind,
    /// Name and unit of the horizontal axis; of bars that of the categories.
    pub x: Axis,
    /// Name and unit of the vertical axis; of bars that of their length.
    pub y: Axis,
    /// What is drawn, each in a colour of its own.
    pub series: Vec<Series>,
}

/// A way to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlotKind {
    /// Points joined by lines.
    Lines,
    /// Bars by category.
    Bars,
}

/// An axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// Name and unit.
    pub label: String,
    /// Whether steps are factors.
    pub logarithmic: bool,
    /// Names of the places 0, 1, … on it, for bars.
    pub categories: Vec<String>,
}

/// One line, or the bars of one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// Places in their order; the vertical value has a lowest and a highest one.
    pub points: Vec<(f64, Spread)>,
}

/// A figure that two runs are compared by.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Names the case in full: the same figure of another run has the same key.
    pub key: String,
    /// The unit.
    pub unit: &'static str,
    /// The median, and how far it varied in the run: the noise.
    pub value: Spread,
    /// What is better.
    pub better: Better,
}

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}
