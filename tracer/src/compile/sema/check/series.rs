//! `tseries(n, interval, intervals, function)`: what is asked of a series of intervals.

use super::Checker;
use super::maps::MapValue;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;
use crate::plan::{Aggregation, Series, SeriesFunction};

/// As many intervals as bpftrace keeps, and one more.
const MAX_INTERVALS: i64 = 1_000_000;

impl Checker<'_> {
    /// The series that a call asks for; `None` after an error.
    pub(super) fn series(
        &mut self,
        interval: i64,
        intervals: i64,
        function: Option<(String, Span)>,
        signed: bool,
        span: Span,
    ) -> Option<Series> {
        if interval < 1 {
            self.error(span, format!("an interval of `tseries()` has 1 ns at least, not {interval}"));
            return None;
        }
        if !(1..MAX_INTERVALS).contains(&intervals) {
            let message = format!("`tseries()` keeps 1 to {} intervals, not {intervals}", MAX_INTERVALS - 1);
            self.error(span, message);
            return None;
        }
        let function = match function.as_ref().map(|(name, at)| (name.as_str(), *at)) {
            None => SeriesFunction::Last,
            Some(("sum", _)) => SeriesFunction::Sum,
            Some(("avg", _)) => SeriesFunction::Avg,
            Some(("min", _)) => SeriesFunction::Min,
            Some(("max", _)) => SeriesFunction::Max,
            Some((name, at)) => {
                let error = Diagnostic::error(at, format!("`tseries()` does not know the function `{name}`"));
                self.report(
                    error.help("it knows \"avg\", \"max\", \"min\" and \"sum\"; without one, the last value stays"),
                );
                return None;
            }
        };
        Some(Series { interval: interval as u64, intervals: intervals as u32, function, signed })
    }

    /// Whether a map of this name is known to be a series.
    pub(super) fn is_series(&self, name: &str) -> bool {
        let known = self.maps.iter().find(|map| map.name[1..] == *name);
        known.is_some_and(|map| matches!(map.value, MapValue::Aggregation(Aggregation::Series(_), _)))
    }
}
