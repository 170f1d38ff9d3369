//! Wall-clock times, as strftime(3) writes them in the C locale.

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// How far atomic time is ahead of the time since boot, in ns: of some looks, the one with the least time between its two
/// outer ones.
pub fn tai_offset() -> i64 {
    const LOOKS: usize = 5;
    let nanoseconds = |time: Timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
    let since_boot = || nanoseconds(clock_gettime(ClockId::Boottime));
    let look = |_| {
        let (before, tai, after) = (since_boot(), clock_gettime_dynamic(DynamicClockId::Tai), since_boot());
        tai.map(|tai| (after - before, nanoseconds(tai) - (before + (after - before) / 2)))
    };
    // The clock is there since Linux 3.10.
    (0..LOOKS).flat_map(look).min().map_or(0, |(_, offset)| offset)
}

/// How far atomic time is ahead of the time of day, in ns: whole seconds.
pub fn tai_ahead() -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let nanoseconds = |time: Timespec| time.tv_sec * SECOND + time.tv_nsec;
    let day = nanoseconds(clock_gettime(ClockId::Realtime));
    let ahead = clock_gettime_dynamic(DynamicClockId::Tai).map_or(0, |tai| nanoseconds(tai) - day);
    (ahead + SECOND / 2).div_euclid(SECOND) * SECOND
}

/// What strftime(3) knows; whatever else follows a `%` stands for itself.
const LETTERS: &str = "aAbBcCdDeFgGhHIjmMnprRsStTuUVwWxXyYzZ%";

/// Fills in a format with a time in ns since 1970, in the machine's time zone.
///
/// As in bpftrace, `%f` gives the microseconds, `%k` the nanoseconds and `%l` the milliseconds of the second.
pub fn format(format: &str, since_epoch: i128) -> String {
    let Ok(time) = Timestamp::from_nanosecond(since_epoch) else { return String::new() };
    with_zone(format, &time.to_zoned(TimeZone::system()))
}

fn with_zone(format: &str, time: &Zoned) -> String {
    let config = Config::new().custom(PosixCustom::new()).lenient(true);
    let text = BrokenDownTime::from(time).to_string_with_config(&config, directives(format, time.timestamp()));
    // A format that it cannot make sense of all the same is shown as it is.
    text.unwrap_or_else(|_| format.to_owned())
}

/// A format that has no directives but those of `LETTERS`.
fn directives(format: &str, time: Timestamp) -> String {
    let nanoseconds = time.as_nanosecond().rem_euclid(1_000_000_000);
    let mut directives = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        directives.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let flags = rest.len() - rest.trim_start_matches(|c: char| "_-0^#EO".contains(c) || c.is_ascii_digit()).len();
        let letter = rest[flags..].chars().next();
        match letter {
            Some('f') => directives.push_str(&format!("{:06}", nanoseconds / 1_000)),
            Some('k') => directives.push_str(&format!("{nanoseconds:09}")),
            Some('l') => directives.push_str(&format!("{:03}", nanoseconds / 1_000_000)),
            Some(letter) if LETTERS.contains(letter) => {
                directives.push('%');
                directives.extend(rest[..flags].chars().filter(|flag| !"EO".contains(*flag)));
                directives.push(letter);
            }
            _ => {
                directives.push_str("%%");
                continue;
            }
        }
        rest = &rest[flags + 1..];
    }
    directives + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, since_epoch: i128) -> String {
        let time = Timestamp::from_nanosecond(since_epoch).expect("within all limits");
        with_zone(text, &time.to_zoned(TimeZone::UTC))
    }

    /// As bpftrace 0.27.1 has printed it, but for the time.
    #[test]
    fn formats_are_those_of_strftime() {
        let now = 1_795_401_023_910_540_499;
        assert_eq!(
            at("%c|%x|%X|%p|%r|%Z|%z|%s|%j|%U|%V|%e|%n|%t|%%|%G|%g|%u|%w|%D|%F|%T|%R|%h|%y|%C", now),
            "Mon Nov 23 02:30:23 2026|11/23/26|02:30:23|AM|02:30:23 AM|UTC|+0000|1795401023|327|47|48|23|\n|\t|%|2026|26|\
             1|1|11/23/26|2026-11-23|02:30:23|02:30|Nov|26|20"
        );
        assert_eq!(at("%-d|%_d|%^a|%k|%l|%f", now), "23|23|MON|910540499|910|910540");
    }

    #[test]
    fn what_is_no_directive_stands_for_itself() {
        assert_eq!(at("100%|%E|%O|%v|%+|%L|%N|%3Q|%é", 0), "100%|%E|%O|%v|%+|%L|%N|%3Q|%é");
    }
}
