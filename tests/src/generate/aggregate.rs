//! What aggregations keep, and how bpftrace prints it.

use super::tree::Aggregation;
use super::types::Int;

/// What an aggregation has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    count: i128,
    total: i128,
    extreme: Option<i128>,
    values: Vec<i128>,
}

impl Seen {
    /// One more value.
    pub fn add(&mut self, aggregation: Aggregation, value: i128) {
        self.count += 1;
        self.total += value;
        self.extreme = Some(match (aggregation, self.extreme) {
            (_, None) => value,
            (Aggregation::Max { .. }, Some(extreme)) => extreme.max(value),
            (_, Some(extreme)) => extreme.min(value),
        });
        if matches!(aggregation, Aggregation::Hist | Aggregation::Linear { .. }) {
            self.values.push(value);
        }
    }

    fn total(&self, signed: bool) -> i128 {
        (if signed { Int::I64 } else { Int::U64 }).cut(self.total)
    }

    fn average(&self, signed: bool) -> i128 {
        self.total(signed).checked_div(self.count).unwrap_or(0)
    }

    /// The number that it has come to; `None` if it is more than a number.
    pub fn number(&self, aggregation: Aggregation) -> Option<i128> {
        match aggregation {
            Aggregation::Count => Some(self.count),
            Aggregation::Sum { signed } => Some(self.total(signed)),
            Aggregation::Avg { signed } => Some(self.average(signed)),
            Aggregation::Min { .. } | Aggregation::Max { .. } => Some(self.extreme.unwrap_or(0)),
            Aggregation::Stats { .. } | Aggregation::Hist | Aggregation::Linear { .. } => None,
        }
    }

    /// What entries of a map are ordered by. Extremes go by their bits, whatever their sign.
    pub fn rank(&self, aggregation: Aggregation) -> i128 {
        match aggregation {
            Aggregation::Count | Aggregation::Hist | Aggregation::Linear { .. } => self.count,
            Aggregation::Sum { signed } => self.total(signed),
            Aggregation::Avg { signed } | Aggregation::Stats { signed } => self.average(signed),
            Aggregation::Min { .. } | Aggregation::Max { .. } => Int::U64.cut(self.extreme.unwrap_or(0)),
        }
    }

    /// What follows the key and the colon.
    pub fn print(&self, aggregation: Aggregation) -> String {
        match aggregation {
            Aggregation::Count => format!(" {}\n", self.count),
            Aggregation::Sum { signed } => format!(" {}\n", self.total(signed)),
            Aggregation::Min { .. } | Aggregation::Max { .. } => format!(" {}\n", self.extreme.unwrap_or(0)),
            Aggregation::Avg { signed } => format!(" {}\n", self.average(signed)),
            Aggregation::Stats { signed } => {
                let (average, total) = (self.average(signed), self.total(signed));
                format!(" {{ .count = {}, .average = {average}, .total = {total} }}\n", self.count)
            }
            Aggregation::Hist => self.histogram(power, power_label),
            Aggregation::Linear { min, max, step } => {
                let (min, max, step) = (i128::from(min), i128::from(max), i128::from(step));
                // The bucket before `min` has number -1, that from the end of the last whole step on number `last`.
                let last = (max - min) / step;
                self.histogram(
                    |value| if value < min { -1 } else { ((value - min) / step).min(last) },
                    |bucket| match bucket {
                        -1 => format!("(..., {min})"),
                        _ if bucket == last => format!("[{}, ...)", min + last * step),
                        _ => format!("[{}, {})", min + bucket * step, min + (bucket + 1) * step),
                    },
                )
            }
        }
    }

    fn histogram(&self, bucket: impl Fn(i128) -> i128, label: impl Fn(i128) -> String) -> String {
        let buckets: Vec<i128> = self.values.iter().map(|&value| bucket(value)).collect();
        let count = |bucket: i128| buckets.iter().filter(|&&other| other == bucket).count();
        let (Some(&first), Some(&last)) = (buckets.iter().min(), buckets.iter().max()) else {
            return "\n\n".to_owned();
        };
        let most = buckets.iter().map(|&bucket| count(bucket)).max().unwrap_or(1);
        let mut text = "\n".to_owned();
        for bucket in first..=last {
            let count = count(bucket);
            let bar = "@".repeat((count as f32 / most as f32 * 52.0) as usize);
            text += &format!("{:<16}{count:>8} |{bar:<52}|\n", label(bucket));
        }
        text + "\n"
    }
}

/// -1 for negative numbers, 0 for zero, n + 1 from 2^n on.
fn power(value: i128) -> i128 {
    match value {
        ..0 => -1,
        0 => 0,
        _ => i128::from(value.ilog2()) + 1,
    }
}

fn power_label(bucket: i128) -> String {
    let bound = |power: i128| {
        let unit = ["", "K", "M", "G", "T", "P", "E"][power as usize / 10];
        format!("{}{unit}", 1 << (power % 10))
    };
    match bucket {
        -1 => "(..., 0)".to_owned(),
        0 => "[0]".to_owned(),
        1 => "[1]".to_owned(),
        _ => format!("[{}, {})", bound(bucket - 1), bound(bucket)),
    }
}
