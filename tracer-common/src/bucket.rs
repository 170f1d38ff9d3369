//! Which bucket a value falls into, and what a bucket's bounds are.
//!
//! Three families: `hist` (powers of two, each cut in 2^k), `lhist` (equal steps) and `hdr` (log-linear, the layout
//! of HdrHistogram with one significant figure: 32 buckets of width one, then 16 for each further power of two, so a
//! bucket is at most 6.25 % of its lower bound wide).

/// Buckets of an [`hdr_index`] histogram: enough for every `u64`.
pub const HDR_BUCKETS: usize = 976;

/// The most bits that `hist(n, k)` takes for `k`.
pub const LOG2_MAX_BITS: u32 = 5;

/// The bucket of `value` in a log-linear histogram. Always less than [`HDR_BUCKETS`].
#[inline(always)]
pub const fn hdr_index(value: u64) -> u32 {
    let shift = log2(value | 31) - 4;
    (shift << 4) + (value >> shift) as u32
}

/// The smallest and the largest value of a log-linear bucket.
pub const fn hdr_bounds(index: u32) -> (u64, u64) {
    if index < 32 {
        return (index as u64, index as u64);
    }
    let shift = (index >> 4) - 1;
    let low = (((index & 15) + 16) as u64) << shift;
    (low, low + ((1 << shift) - 1))
}

/// How many buckets `hist(n, bits)` has: one for negative values, one for each value below 2^bits, and 2^bits for each
/// further power of two of an `i64`.
pub const fn log2_buckets(bits: u32) -> usize {
    (((64 - bits) << bits) + 1) as usize
}

/// The bucket of `value` in a power-of-two histogram: 0 for negatives, then as in bpftrace's `hist(n, bits)`.
#[inline(always)]
pub const fn log2_index(value: i64, bits: u32) -> u32 {
    if value < 0 {
        return 0;
    }
    let value = value as u64;
    if value >> bits == 0 {
        return value as u32 + 1;
    }
    let shift = log2(value) - bits;
    (shift << bits) + (value >> shift) as u32 + 1
}

/// The smallest and the largest value of a power-of-two bucket; bucket 0 holds all negative values.
pub const fn log2_bounds(index: u32, bits: u32) -> (i64, i64) {
    if index == 0 {
        return (i64::MIN, -1);
    }
    let index = (index - 1) as u64;
    if index >> bits == 0 {
        return (index as i64, index as i64);
    }
    let shift = (index >> bits) - 1;
    let low = ((index & ((1 << bits) - 1)) + (1 << bits)) << shift;
    (low as i64, (low + ((1 << shift) - 1)) as i64)
}

/// How many buckets `lhist(n, min, max, step)` has: the whole steps, one below and one above them.
pub const fn linear_buckets(min: i64, max: i64, step: i64) -> usize {
    steps(min, max, step) as usize + 2
}

/// The bucket of `value` in a histogram of equal steps: 0 below `min`, the last one from the end of the last whole step
/// on. (Where `step` does not divide the range, that is before `max`, as in bpftrace.)
///
/// `step` must be positive and `max` greater than `min`; the compiler sees to it.
#[inline(always)]
pub const fn linear_index(value: i64, min: i64, max: i64, step: i64) -> u32 {
    if value < min {
        return 0;
    }
    steps(min, if value < max { value } else { max }, step) as u32 + 1
}

/// Whole steps from `from` to `to`.
///
/// Unsigned, since the distance may exceed an `i64`; and without a panic for 0, which a BPF program has no place for.
#[inline(always)]
const fn steps(from: i64, to: i64, step: i64) -> u64 {
    match (to.wrapping_sub(from) as u64).checked_div(step as u64) {
        Some(steps) => steps,
        None => 0,
    }
}

/// Position of the highest bit set; `value` must not be 0.
///
/// In BPF these are some forty instructions, but without a branch, of which the verifier would have to follow both sides.
#[inline(always)]
const fn log2(value: u64) -> u32 {
    63 - value.leading_zeros()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

    /// HdrHistogram's layout with one significant figure, over its whole range.
    fn reference() -> Histogram<u64> {
        Histogram::new_with_bounds(1, u64::MAX, 1).expect("valid bounds")
    }

    /// The smallest and the largest value that HdrHistogram does not tell from `value`.
    fn reference_bounds(reference: &Histogram<u64>, value: u64) -> (u64, u64) {
        // It takes the end of a bucket for the beginning of the next less one, which for the last bucket saturates.
        let high = match reference.highest_equivalent(value) {
            high if high == u64::MAX - 1 => u64::MAX,
            high => high,
        };
        (reference.lowest_equivalent(value), high)
    }

    /// Values of all magnitudes, as likely to be small as large.
    fn magnitude() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift)
    }

    #[test]
    fn hdr_has_a_bucket_for_each_small_value_then_sixteen_for_each_power_of_two() {
        let cases = [
            // value, bucket, and what else is in it
            (0, 0, (0, 0)),
            (1, 1, (1, 1)),
            (31, 31, (31, 31)),
            (32, 32, (32, 33)),
            (33, 32, (32, 33)),
            (63, 47, (62, 63)),
            (64, 48, (64, 67)),
            (1_000, 111, (992, 1_023)),
            (1_000_000, 270, (983_040, 1_015_807)),
            (u64::MAX, 975, (0xf800_0000_0000_0000, u64::MAX)),
        ];
        for (value, index, bounds) in cases {
            assert_eq!((hdr_index(value), hdr_bounds(index)), (index, bounds), "{value}");
        }
    }

    #[test]
    fn hdr_buckets_cover_every_value_once() {
        assert_eq!(hdr_bounds(0).0, 0);
        for index in 1..HDR_BUCKETS as u32 {
            assert_eq!(hdr_bounds(index).0, hdr_bounds(index - 1).1 + 1, "{index}");
        }
        assert_eq!(hdr_bounds(HDR_BUCKETS as u32 - 1).1, u64::MAX);
    }

    #[test]
    fn every_hdr_bucket_is_a_bucket_of_hdrhistogram() {
        let reference = reference();
        for (low, high) in (0..HDR_BUCKETS as u32).map(hdr_bounds) {
            for value in [low, low + (high - low) / 2, high] {
                assert_eq!(reference_bounds(&reference, value), (low, high));
            }
        }
    }

    #[test]
    fn log2_is_bpftraces_hist() {
        let cases = [
            // value, bits, bucket
            (i64::MIN, 0, 0),
            (-1, 0, 0),
            (0, 0, 1),
            (1, 0, 2),
            (2, 0, 3),
            (3, 0, 3),
            (4, 0, 4),
            (1_023, 0, 11),
            (1_024, 0, 12),
            (i64::MAX, 0, 64),
            (-1, 2, 0),
            (0, 2, 1),
            (3, 2, 4),
            (4, 2, 5),
            (7, 2, 8),
            (8, 2, 9),
            (9, 2, 9),
            (10, 2, 10),
            (i64::MAX, 5, 1_888),
        ];
        for (value, bits, index) in cases {
            assert_eq!(log2_index(value, bits), index, "hist({value}, {bits})");
        }
        assert_eq!((log2_buckets(0), log2_buckets(LOG2_MAX_BITS)), (65, 1_889));
    }

    #[test]
    fn log2_buckets_cover_every_value_once() {
        for bits in 0..=LOG2_MAX_BITS {
            let buckets = log2_buckets(bits) as u32;
            assert_eq!(log2_bounds(0, bits), (i64::MIN, -1));
            for index in 1..buckets {
                assert_eq!(log2_bounds(index, bits).0, log2_bounds(index - 1, bits).1 + 1, "{index} of {bits}");
            }
            assert_eq!(log2_bounds(buckets - 1, bits).1, i64::MAX);
        }
    }

    #[test]
    fn linear_is_bpftraces_lhist() {
        let cases = [
            // (min, max, step), value, bucket
            ((0, 100, 10), -1, 0),
            ((0, 100, 10), 0, 1),
            ((0, 100, 10), 9, 1),
            ((0, 100, 10), 10, 2),
            ((0, 100, 10), 99, 10),
            ((0, 100, 10), 100, 11),
            ((0, 100, 10), i64::MAX, 11),
            ((-10, 10, 5), -11, 0),
            ((-10, 10, 5), -10, 1),
            ((-10, 10, 5), -1, 2),
            ((-10, 10, 5), 10, 5),
            // A step that does not divide the range: what is left over belongs to the last bucket.
            ((0, 10, 3), 8, 3),
            ((0, 10, 3), 9, 4),
            ((0, 10, 3), 11, 4),
            ((i64::MIN, i64::MAX, i64::MAX), i64::MAX, 3),
        ];
        for ((min, max, step), value, index) in cases {
            assert_eq!(linear_index(value, min, max, step), index, "lhist({value}, {min}, {max}, {step})");
        }
        assert_eq!((linear_buckets(0, 100, 10), linear_buckets(0, 10, 3)), (12, 5));
    }

    proptest! {
        #[test]
        fn hdr_puts_values_together_exactly_where_hdrhistogram_does(value in magnitude()) {
            prop_assert_eq!(hdr_bounds(hdr_index(value)), reference_bounds(&reference(), value));
        }

        #[test]
        fn an_hdr_bucket_is_at_most_a_sixteenth_of_its_lower_bound_wide(value in magnitude()) {
            let (low, high) = hdr_bounds(hdr_index(value));
            prop_assert!(low <= value && value <= high);
            prop_assert!(high - low <= low / 16);
        }

        #[test]
        fn a_value_lies_within_the_bounds_of_its_log2_bucket(value in any::<i64>(), bits in 0..=LOG2_MAX_BITS) {
            let (low, high) = log2_bounds(log2_index(value, bits), bits);
            prop_assert!(low <= value && value <= high);
        }

        #[test]
        fn a_linear_index_is_always_one_of_the_buckets(
            value in any::<i64>(), min in any::<i64>(), range in 1..1_000_000i64, step in 1..10_000i64,
        ) {
            let max = min.saturating_add(range);
            prop_assume!(max > min);
            prop_assert!((linear_index(value, min, max, step) as usize) < linear_buckets(min, max, step));
        }
    }
}
