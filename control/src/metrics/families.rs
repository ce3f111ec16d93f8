//! Families of metrics: a name, a help text, and a value for each set of labels.

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use std::fmt;

/// The label of a series that is alone in its family.
const ALONE: [(&str, &str); 0] = [];

/// Writes families.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// Values that only grow while the process lives. The encoder adds `_total` to the name.
    pub(super) fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let write = |row: &mut MetricEncoder<'_>, value| row.encode_counter::<NoLabelSet, V, u64>(&value, None);
        self.family(name, help, MetricType::Counter, rows, write)
    }

    /// One of these.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.counters(name, help, [(ALONE, value)])
    }

    /// Values that go up and down.
    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, rows, |row, value| row.encode_gauge(&value))
    }

    /// One of these.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges(name, help, [(ALONE, value)])
    }

    fn family<L: EncodeLabelSet, V>(
        &mut self,
        name: &str,
        help: &str,
        of: MetricType,
        rows: impl IntoIterator<Item = (L, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, of)?;
        rows.into_iter().try_for_each(|(labels, value)| write(&mut family.encode_family(&labels)?, value))
    }
}
