//! The parts that CPUs and generations hold merge to the whole, and percentiles are those of hdrhistogram.

use hdrhistogram::Histogram;
use proptest::prelude::*;

use super::super::store::{Accumulator, Store, Totals};
use super::*;

const MAP: MapId = MapId(0);

/// Values with the CPU that they come up on, and whether the map is drained after them.
fn history() -> impl Strategy<Value = Vec<(i64, usize, bool)>> {
    let value = prop_oneof![any::<i64>(), 0..5000i64, (0..63u32).prop_map(|power| 1 << power)];
    prop::collection::vec((value, 0..CPUS, any::<bool>()), 1..200)
}

/// What a store makes of a history.
fn merged(kind: Aggregation, history: &[(i64, usize, bool)]) -> Accumulator {
    let mut session = Session::new();
    session.aggregation("@", None, kind);
    let mut kernel = session.kernel;
    let plan = kernel.plan.clone();
    let mut store = Store::new(&plan);
    let mut drain = |kernel: &mut Kernel| {
        kernel
            .drain(MAP, false, &mut |key, partials| store.merge(MAP, &plan.maps[0], key, partials))
            .expect("a map in memory");
    };
    for &(value, cpu, drained) in history {
        kernel.update(MAP, &[], cpu, value);
        if drained {
            drain(&mut kernel);
        }
    }
    drain(&mut kernel);
    store.get(MAP, &[]).expect("a history is not empty").clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn totals_and_extremes_are_those_of_all_values(history in history()) {
        let values = || history.iter().map(|&(value, ..)| value);
        let (count, total) = (values().count() as u64, values().fold(0, i64::wrapping_add) as u64);
        let signed = Totals {
            count, total, min: values().min().unwrap_or(0) as u64, max: values().max().unwrap_or(0) as u64,
        };
        prop_assert_eq!(merged(Aggregation::Stats { signed: true }, &history).totals, signed);
        let bits = || values().map(|value| value as u64);
        let unsigned = Totals { count, total, min: bits().min().unwrap_or(0), max: bits().max().unwrap_or(0) };
        prop_assert_eq!(merged(Aggregation::Stats { signed: false }, &history).totals, unsigned);
        prop_assert_eq!(merged(Aggregation::Count, &history).totals.count, count);
    }

    #[test]
    fn every_value_is_in_its_bucket(history in history()) {
        for kind in [
            Aggregation::Hist { bits: 0 },
            Aggregation::Hist { bits: 3 },
            Aggregation::Linear { min: 100, max: 1000, step: 30 },
            Aggregation::Hdr,
        ] {
            let at_once: Vec<_> = history.iter().map(|&(value, ..)| (value, 0, false)).collect();
            let (parts, whole) = (merged(kind, &history), merged(kind, &at_once));
            prop_assert_eq!(parts.counts.iter().sum::<u64>(), history.len() as u64);
            prop_assert_eq!(parts, whole);
        }
    }

    /// Recorded value by value; only that the exact extremes bound the result is ours.
    #[test]
    fn percentiles_are_those_of_hdrhistogram(history in history()) {
        let values = || history.iter().map(|&(value, ..)| value as u64);
        let mut histogram = Histogram::<u64>::new_with_bounds(1, u64::MAX, 1).expect("valid bounds");
        values().for_each(|value| histogram.record(value).expect("within the bounds"));
        let (min, max) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
        let cell = super::super::view::cell(Aggregation::Hdr, &merged(Aggregation::Hdr, &history), 1);
        let super::super::event::Cell::Hdr(hdr) = cell else { panic!("{cell:?}") };
        let expected = [0.5, 0.9, 0.99, 0.999].map(|share| histogram.value_at_quantile(share).clamp(min, max));
        prop_assert_eq!(hdr.at, expected);
        prop_assert_eq!((hdr.min, hdr.max, hdr.count), (min, max, history.len() as u64));
    }

    /// The stated error: at most 6.25 % above the value that the percentile stands for.
    #[test]
    fn percentiles_are_within_their_error(mut values in prop::collection::vec(0..u64::MAX / 2, 1..200)) {
        let history: Vec<_> = values.iter().map(|&value| (value as i64, 0, false)).collect();
        let cell = super::super::view::cell(Aggregation::Hdr, &merged(Aggregation::Hdr, &history), 1);
        let super::super::event::Cell::Hdr(hdr) = cell else { panic!("{cell:?}") };
        values.sort_unstable();
        for (share, reported) in [0.5, 0.9, 0.99, 0.999].into_iter().zip(hdr.at) {
            let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1];
            prop_assert!(exact <= reported && reported - exact <= exact / 16, "at {share}: {reported}, exactly {exact}");
        }
    }
}
