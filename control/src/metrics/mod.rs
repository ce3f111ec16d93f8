//! Metrics for Prometheus: `GET /metrics`.
//!
//! A scrape takes a [`Sample`] while it holds the control lock: what states are, and where counters lie. Tables are walked,
//! counters read and text written afterwards, on a thread of its own, so that a death that comes meanwhile is told to
//! workers at once. Workers are not asked: their counters are read in place.
//!
//! Names and units follow <https://prometheus.io/docs/practices/naming/>. A client that accepts OpenMetrics 1.0 gets that,
//! any other the text format of before (version 0.0.4). With `?backends=none` the series of single backends are left out:
//! all but some thousand series of a configuration with 10,000 backends.

mod families;
mod pools;
mod process;
mod sample;
mod serve;
mod workers;

use families::Families;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;
pub use sample::Sample;
pub use serve::{METRICS_PATH, router};
use std::fmt;
use std::sync::Arc;

/// In front of every name.
const PREFIX: &str = "guideway";
/// Bytes of text that one series takes, about.
const SERIES_LENGTH: usize = 96;
/// Series of one backend.
const BACKEND_SERIES: usize = 12;

/// How a scrape is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

impl Form {
    /// What a client gets that accepts this (RFC 9110 section 12.5.1). Prometheus names OpenMetrics if it can read it.
    #[must_use]
    pub fn accepted(header: Option<&str>) -> Self {
        if header.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// What is wanted beside the families that are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backends {
    /// Series for each backend.
    All,
    /// None: pools count their backends by state, and VIPs their traffic.
    None,
}

/// Writes a sample.
///
/// # Errors
///
/// Never, unless memory is short: text is written to memory.
pub fn encode(sample: &Arc<Sample>, backends: Backends, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scrape { sample: Arc::clone(sample), backends }));
    let mut out = String::with_capacity((sample.backends() * BACKEND_SERIES + 2_048) * SERIES_LENGTH);
    match form {
        Form::OpenMetrics => text::encode(&mut out, &registry)?,
        Form::Text => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct Scrape {
    sample: Arc<Sample>,
    backends: Backends,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let Self { sample, backends } = self;
        let mut families = Families::new(encoder);
        process::process(&mut families, sample)?;
        process::control(&mut families, sample)?;
        process::pins(&mut families, sample)?;
        process::sessions(&mut families, sample)?;
        process::exception(&mut families, sample)?;
        workers::workers(&mut families, sample)?;
        workers::sums(&mut families, sample)?;
        workers::ports(&mut families, sample)?;
        pools::vips(&mut families, sample)?;
        pools::pools(&mut families, sample)?;
        match backends {
            Backends::All => pools::backends(&mut families, sample),
            Backends::None => Ok(()),
        }
    }
}
