//! A series of intervals as text: a graph with one line for each interval, as bpftrace 0.27 draws it.
//!
//! Values go from left to right, from the smallest to the largest. Positions are computed in single precision, as there.

use super::event::Interval;
use super::value::Value;

/// Characters of a line, from one side of the graph to the other.
const WIDTH: usize = 53;

/// Characters at the left that the smallest value is given.
const LEFT: usize = 21;

/// The graph; it ends with a line break if there is one.
pub fn graph(intervals: &[Interval]) -> String {
    let values = || intervals.iter().filter_map(|interval| interval.value.as_ref());
    let (Some(min), Some(max)) = (values().map(number).min(), values().map(number).max()) else {
        return "<no data>".to_owned();
    };
    // One value alone has some room on both sides, where the type has room for that.
    let signed = values().any(|value| matches!(value, Value::Signed(_)));
    let (least, most) = if signed { (i64::MIN.into(), i64::MAX.into()) } else { (0, u64::MAX.into()) };
    let (min, max) = if min == max { ((min - 1).max(least), (max + 1).min(most)) } else { (min, max) };

    let digits = digits(intervals);
    let name = match digits {
        0 => "",
        3 => ".ms",
        6 => ".us",
        _ => ".ns",
    };
    let clock = "hh:mm:ss".len() + if digits == 0 { 0 } else { 1 + digits };
    let scale = format!("{:clock$} {min:<LEFT$}{max:>right$}\n", "", right = WIDTH - LEFT);
    let mut text = scale.clone();
    text.push_str(&format!("{:<clock$} |{}|\n", format!("hh:mm:ss{name}"), "_".repeat(WIDTH - 2)));
    let share = |value: i128, of: usize| (of as f32 * (value - min) as f32 / (max - min) as f32) as usize;
    for interval in intervals {
        let mut line = vec![b' '; WIDTH];
        (line[0], line[WIDTH - 1]) = (b'|', b'|');
        if min < 0 && max > 0 {
            line[share(0, WIDTH).clamp(1, WIDTH - 1)] = b'.';
        }
        let value = interval.value.as_ref().map(|value| {
            line[share(number(value), WIDTH - 1).min(WIDTH - 1)] = b'*';
            value.to_text()
        });
        let time = interval.second.split(' ').nth(1).unwrap_or_default();
        let fraction = format!("{:09}", interval.start % 1_000_000_000);
        let point = if digits == 0 { "" } else { "." };
        let line = String::from_utf8_lossy(&line);
        text.push_str(&format!("{time}{point}{} {line} {}\n", &fraction[..digits], value.as_deref().unwrap_or("-")));
    }
    text.push_str(&format!("{:clock$} v{}v\n", "", "_".repeat(WIDTH - 2)));
    text + &scale
}

/// How many digits of a second's fraction are shown: as many as the length of an interval needs, which a single one does not
/// tell.
fn digits(intervals: &[Interval]) -> usize {
    match intervals {
        [first, second, ..] => match second.start - first.start {
            1_000_000_000.. => 0,
            1_000_000.. => 3,
            1_000.. => 6,
            _ => 9,
        },
        _ => 9,
    }
}

fn number(value: &Value) -> i128 {
    match *value {
        Value::Signed(number) => number.into(),
        Value::Unsigned(number) => number.into(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals of so many ns, from 07:48:15.9 on.
    fn series(interval: u64, values: &[Option<i64>]) -> Vec<Interval> {
        let interval = |(at, value): (usize, &Option<i64>)| {
            let start = 900_000_000 + at as u64 * interval;
            let second = format!("2026-11-25 07:48:{}", 15 + start / 1_000_000_000);
            Interval { start, second, value: value.map(Value::Signed) }
        };
        values.iter().enumerate().map(interval).collect()
    }

    /// `tseries(…, 50ms, 20, "min")`, as bpftrace 0.27.1 has printed it.
    #[test]
    fn values_of_both_signs_have_a_line_of_zeros() {
        let values = [-7, -1, 5, 14, 20, 29, 35].map(Some);
        let expected = "
             -7                                                 35
hh:mm:ss.ms  |___________________________________________________|
07:48:15.900 *       .                                           | -7
07:48:15.950 |      *.                                           | -1
07:48:16.000 |       .     *                                     | 5
07:48:16.050 |       .                 *                         | 14
07:48:16.100 |       .                        *                  | 20
07:48:16.150 |       .                                   *       | 29
07:48:16.200 |       .                                           * 35
             v___________________________________________________v
             -7                                                 35
";
        assert_eq!(format!("\n{}", graph(&series(50_000_000, &values))), expected);
    }

    /// The same with 20 ms, and nothing in some of them.
    #[test]
    fn intervals_without_values_have_a_dash() {
        let values = [Some(1), Some(2), None, Some(11), Some(15)];
        let expected = "
             1                                                  15
hh:mm:ss.ms  |___________________________________________________|
07:48:15.900 *                                                   | 1
07:48:15.920 |  *                                                | 2
07:48:15.940 |                                                   | -
07:48:15.960 |                                    *              | 11
07:48:15.980 |                                                   * 15
             v___________________________________________________v
             1                                                  15
";
        assert_eq!(format!("\n{}", graph(&series(20_000_000, &values))), expected);
    }

    /// Seconds have no fraction; a value that is always the same stands in the middle.
    #[test]
    fn long_intervals_are_told_by_the_second() {
        let expected = "
         -1                                                  1
hh:mm:ss |___________________________________________________|
07:48:15 |                         *                         | 0
07:48:17 |                         *                         | 0
         v___________________________________________________v
         -1                                                  1
";
        assert_eq!(format!("\n{}", graph(&series(1_500_000_000, &[Some(0); 2]))), expected);
        assert_eq!(graph(&[]), "<no data>");
    }
}
