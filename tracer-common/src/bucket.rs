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

/// How many buckets `lhist(n, min, max, step)` has: the steps, one below and one above them.
pub const fn linear_buckets(min: i64, max: i64, step: i64) -> usize {
    let distance = max.wrapping_sub(min) as u64;
    div(distance, step) as usize + (div(distance, step) * step as u64 != distance) as usize + 2
}

/// The bucket of `value` in a histogram of equal steps: 0 below `min`, the last one from `max` on.
///
/// `step` must be positive and `max` greater than `min`; the compiler sees to it.
#[inline(always)]
pub const fn linear_index(value: i64, min: i64, max: i64, step: i64) -> u32 {
    if value < min {
        return 0;
    }
    if value >= max {
        return linear_buckets(min, max, step) as u32 - 1;
    }
    div(value.wrapping_sub(min) as u64, step) as u32 + 1
}

/// Unsigned, since a distance may exceed an `i64`; and without a way to panic, which a BPF program has no place for.
#[inline(always)]
const fn div(distance: u64, step: i64) -> u64 {
    match distance.checked_div(step as u64) {
        Some(quotient) => quotient,
        None => 0,
    }
}

/// Position of the highest bit set; `value` must not be 0.
///
/// Six shifts: the BPF back end turns `leading_zeros` into some forty instructions.
#[inline(always)]
const fn log2(mut value: u64) -> u32 {
    let mut bit = 0;
    let mut width = 32;
    while width > 0 {
        if value >> width != 0 {
            value >>= width;
            bit += width;
        }
        width >>= 1;
    }
    bit
}
