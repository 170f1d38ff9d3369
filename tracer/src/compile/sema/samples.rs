//! `profile`, `software`, `hardware`: perf events that a program runs for every so often.

use super::probes::{Event, Site, duration};
use super::proposing;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::plan::{Every, Sample, SampleEvent};

/// The shortest period of a clock, in ns, as in bpftrace.
const SHORTEST_PERIOD: u64 = 1000;

/// `PERF_COUNT_SW_CPU_CLOCK`.
const CPU_CLOCK: u32 = 0;

/// An event that the kernel counts.
pub struct Counter {
    /// As scripts name it.
    pub name: &'static str,
    /// Another name of it.
    pub alias: Option<&'static str>,
    /// Its number in `perf_sw_ids` or `perf_hw_id` (include/uapi/linux/perf_event.h).
    number: u32,
    /// How often a program runs if the script does not say, as in bpftrace.
    usual: u64,
}

const fn counter(number: u32, name: &'static str, alias: Option<&'static str>, usual: u64) -> Counter {
    Counter { name, alias, number, usual }
}

/// Those of the kernel.
pub const SOFTWARE: [Counter; 11] = [
    counter(CPU_CLOCK, "cpu-clock", Some("cpu"), 1_000_000),
    counter(1, "task-clock", None, 1_000_000),
    counter(2, "page-faults", Some("faults"), 100),
    counter(3, "context-switches", Some("cs"), 1000),
    counter(4, "cpu-migrations", None, 1),
    counter(5, "minor-faults", None, 100),
    counter(6, "major-faults", None, 1),
    counter(7, "alignment-faults", None, 1),
    counter(8, "emulation-faults", None, 1),
    counter(9, "dummy", None, 1),
    counter(10, "bpf-output", None, 1),
];

/// Those of the processor.
pub const HARDWARE: [Counter; 10] = [
    counter(0, "cpu-cycles", Some("cycles"), 1_000_000),
    counter(1, "instructions", None, 1_000_000),
    counter(2, "cache-references", None, 1_000_000),
    counter(3, "cache-misses", None, 1_000_000),
    counter(4, "branch-instructions", Some("branches"), 100_000),
    counter(5, "branch-misses", None, 100_000),
    counter(6, "bus-cycles", None, 100_000),
    counter(7, "frontend-stalls", None, 1_000_000),
    counter(8, "backend-stalls", None, 1_000_000),
    counter(9, "ref-cycles", None, 1_000_000),
];

/// `profile:hz:99`, `profile:ms:10`, `profile:10ms`, `profile:99hz`.
pub fn profile(spec: &ast::ProbeSpec, rest: &[ast::Name]) -> Result<Site, Diagnostic> {
    let usage = "write `profile:hz:99`, with a unit of `hz`, `s`, `ms` or `us`";
    let (unit, count) = match rest {
        [unit, count] => (unit.text.as_str(), count),
        [count] => match (count.text.strip_suffix("hz"), duration(&count.text)) {
            (Some(rate), _) if !rate.is_empty() => {
                let number = ast::Name { text: rate.to_owned(), span: count.span };
                return site(spec, "hz", &number, usage);
            }
            (_, Some(nanoseconds)) if nanoseconds >= SHORTEST_PERIOD => {
                let name = format!("profile:us:{}", nanoseconds / 1000);
                return Ok(clock(spec, name, Every::Count(nanoseconds)));
            }
            (_, Some(_)) => return Err(Diagnostic::error(count.span, "the shortest period is 1 us")),
            (_, None) if ["hz", "s", "ms", "us"].contains(&count.text.as_str()) => {
                return Err(Diagnostic::error(spec.span, "`profile` needs a number behind its unit").help(usage));
            }
            (_, None) => {
                let error = Diagnostic::error(count.span, format!("`{}` is not a rate or a time", count.text));
                return Err(error.help(usage));
            }
        },
        _ => return Err(Diagnostic::error(spec.span, "`profile` needs a unit and a number").help(usage)),
    };
    site(spec, unit, count, usage)
}

fn site(spec: &ast::ProbeSpec, unit: &str, count: &ast::Name, usage: &str) -> Result<Site, Diagnostic> {
    let number = count.text.parse::<u64>().ok().filter(|&number| number > 0);
    let Some(number) = number else {
        if count.text.is_empty() {
            return Err(Diagnostic::error(spec.span, "`profile` needs a number behind its unit").help(usage));
        }
        let error = Diagnostic::error(count.span, format!("`{}` is not a number above 0", count.text));
        return Err(error.help(usage));
    };
    let period = |unit: u64| number.checked_mul(unit).filter(|&ns| ns <= i64::MAX as u64).map(Every::Count);
    let every = match unit {
        "hz" => Some(Every::Hertz(number)),
        "s" => period(1_000_000_000),
        "ms" => period(1_000_000),
        "us" => period(1_000),
        _ => {
            return Err(Diagnostic::error(spec.span, format!("`{unit}` is not a unit of `profile`")).help(usage));
        }
    };
    let every = every.ok_or_else(|| Diagnostic::error(count.span, "the period is too long"))?;
    Ok(clock(spec, format!("profile:{unit}:{number}"), every))
}

fn clock(spec: &ast::ProbeSpec, name: String, every: Every) -> Site {
    let sample = Sample { event: SampleEvent::Software(CPU_CLOCK), every };
    Site { name, event: Event::Sample(sample), span: spec.span }
}

/// `software:faults:100`, `software:faults`.
pub fn software(spec: &ast::ProbeSpec, rest: &[ast::Name]) -> Result<Site, Diagnostic> {
    counted(spec, rest, "software", &SOFTWARE, SampleEvent::Software)
}

/// `hardware:cache-misses:1000000`, `hardware:cache-misses`.
pub fn hardware(spec: &ast::ProbeSpec, rest: &[ast::Name]) -> Result<Site, Diagnostic> {
    counted(spec, rest, "hardware", &HARDWARE, SampleEvent::Hardware)
}

fn counted(
    spec: &ast::ProbeSpec,
    rest: &[ast::Name],
    kind: &str,
    counters: &'static [Counter],
    event: fn(u32) -> SampleEvent,
) -> Result<Site, Diagnostic> {
    let names = || counters.iter().flat_map(|counter| [Some(counter.name), counter.alias]).flatten();
    let Some(name) = rest.first().filter(|_| rest.len() <= 2) else {
        let error = Diagnostic::error(spec.span, format!("`{kind}` needs an event, and how many of it"));
        return Err(error.help(format!("write `{kind}:{}:{}`", counters[2].name, counters[2].usual)));
    };
    let Some(counter) = counters.iter().find(|known| known.name == name.text || known.alias == Some(&name.text)) else {
        let error = Diagnostic::error(name.span, format!("there is no {kind} event `{}`", name.text));
        let error = proposing(error, &name.text, names());
        let error = match error.help.is_empty() {
            true => error.help(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
            false => error,
        };
        return Err(error);
    };
    let number = match rest.get(1).filter(|count| !count.text.is_empty()) {
        None => counter.usual,
        Some(count) => {
            count.text.parse::<u64>().ok().filter(|number| (1..=i64::MAX as u64).contains(number)).ok_or_else(|| {
                Diagnostic::error(count.span, format!("`{}` is not a number of events above 0", count.text))
            })?
        }
    };
    let sample = Sample { event: event(counter.number), every: Every::Count(number) };
    Ok(Site { name: format!("{kind}:{}:{number}", name.text), event: Event::Sample(sample), span: spec.span })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::sema::probes;
    use crate::compile::source::Span;
    use crate::compile::target::Target;

    fn expand(text: &str) -> Result<Site, Diagnostic> {
        let fields = text.split(':').map(|field| ast::Name { text: field.into(), span: Span::default() }).collect();
        let spec = ast::ProbeSpec { fields, span: Span::default() };
        probes::expand(&spec, &Target::default()).map(|mut sites| sites.remove(0))
    }

    fn name(text: &str) -> String {
        expand(text).unwrap().name
    }

    fn sample(text: &str) -> (SampleEvent, Every) {
        match expand(text).unwrap().event {
            Event::Sample(Sample { event, every }) => (event, every),
            other => panic!("{other:?}"),
        }
    }

    /// As bpftrace 0.27.1 prints `probe`.
    #[test]
    fn names_are_bpftraces() {
        assert_eq!(name("profile:hz:99"), "profile:hz:99");
        assert_eq!(name("p:us:10000"), "profile:us:10000");
        assert_eq!(name("profile:10ms"), "profile:us:10000");
        assert_eq!(name("s:cs:1"), "software:cs:1");
        assert_eq!(name("software:page-faults:1"), "software:page-faults:1");
    }

    #[test]
    fn rates_are_rates_and_periods_are_nanoseconds_or_counts() {
        let clock = SampleEvent::Software(CPU_CLOCK);
        assert_eq!(sample("profile:hz:99"), (clock, Every::Hertz(99)));
        assert_eq!(sample("profile:99hz"), (clock, Every::Hertz(99)));
        assert_eq!(sample("profile:s:1"), (clock, Every::Count(1_000_000_000)));
        assert_eq!(sample("profile:10ms"), (clock, Every::Count(10_000_000)));
        assert_eq!(sample("software:faults:7"), (SampleEvent::Software(2), Every::Count(7)));
        assert_eq!(sample("software:faults:"), (SampleEvent::Software(2), Every::Count(100)));
        assert_eq!(sample("h:cache-misses"), (SampleEvent::Hardware(3), Every::Count(1_000_000)));
    }

    #[test]
    fn what_is_refused_says_why() {
        let refusal = |text: &str| {
            let error = expand(text).unwrap_err();
            [vec![error.message], error.help].concat().join("; ")
        };
        let usage = "write `profile:hz:99`, with a unit of `hz`, `s`, `ms` or `us`";
        assert_eq!(refusal("profile:hz:0"), format!("`0` is not a number above 0; {usage}"));
        assert_eq!(refusal("profile:hz:1.5"), format!("`1.5` is not a number above 0; {usage}"));
        assert_eq!(refusal("profile:m:1"), format!("`m` is not a unit of `profile`; {usage}"));
        assert_eq!(refusal("profile"), format!("`profile` needs a unit and a number; {usage}"));
        assert_eq!(refusal("profile:often"), format!("`often` is not a rate or a time; {usage}"));
        assert_eq!(refusal("profile:100ns"), "the shortest period is 1 us");
        assert_eq!(refusal("software:fautls:1"), "there is no software event `fautls`; did you mean `faults`?");
        assert_eq!(refusal("software:faults:x"), "`x` is not a number of events above 0");
        assert_eq!(
            refusal("software"),
            "`software` needs an event, and how many of it; write `software:page-faults:100`"
        );
    }
}
