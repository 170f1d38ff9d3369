//! Probe specifications → the places they stand for: aliases resolved, wildcards expanded, names checked.

use super::kprobes;
use super::policy::ProbeKind;
use super::syscalls::Syscall;
use super::{iterators, proposing, samples, signals, tracepoints, uprobes, usdt, watchpoints};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::btf::TypeId;
pub use crate::pattern::matches;
use crate::plan::{Missing, Sample};

/// One place that a probe specification stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The probe's full name, as the built-in `probe` gives it.
    pub name: String,
    /// What happens there.
    pub event: Event,
    /// The specification.
    pub span: Span,
}

/// What a probe fires on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Before everything else.
    Begin,
    /// After everything else.
    End,
    /// Every so many nanoseconds.
    Interval(u64),
    /// ctrace is sent SIGUSR1.
    Signal,
    /// Every system call.
    AnySyscall {
        /// When it returns.
        exit: bool,
        /// Through the raw tracepoint's own arguments.
        raw: bool,
    },
    /// One system call.
    Syscall {
        /// When it returns.
        exit: bool,
        /// Which.
        syscall: &'static Syscall,
    },
    /// A raw tracepoint.
    RawTracepoint {
        /// The function that stands for it in the kernel's types: see [`super::words`].
        function: TypeId,
    },
    /// A tracepoint of the catalogue.
    Tracepoint {
        /// Which of the catalogue's rows.
        row: usize,
        /// The function that stands for its raw tracepoint in the kernel's types.
        function: TypeId,
    },
    /// A tracepoint as tracefs describes it.
    Record {
        /// Which of the target's formats.
        format: usize,
    },
    /// A place in the code of a program or library.
    Uprobe {
        /// Which of the target's files.
        file: usize,
        /// When the function there returns.
        exit: bool,
        /// Where the instruction lies in the file.
        offset: u64,
    },
    /// A place that a program's authors have marked.
    Usdt {
        /// Which of the target's files.
        file: usize,
        /// Which of its markers.
        marker: usize,
    },
    /// A perf event.
    Sample(Sample),
    /// A place in a function of the kernel.
    KernelFunction {
        /// Which of the target's functions.
        function: usize,
        /// When it returns.
        exit: bool,
        /// Bytes from its beginning.
        offset: u64,
        /// If the kernel refuses it.
        missing: Missing,
    },
    /// The kernel has come to the next of what it goes over.
    Iterator {
        /// The function that stands for such programs in the kernel's types: see [`super::iterators`].
        function: TypeId,
    },
    /// The call of a function of the kernel, or its return, by a trampoline (fentry, fexit).
    KernelCall {
        /// Which of the target's functions.
        function: usize,
        /// When it returns.
        exit: bool,
        /// If the kernel refuses it.
        missing: Missing,
    },
}

impl Event {
    /// Whether it happens in a task that the scope may or may not cover.
    pub fn has_subject(self) -> bool {
        !matches!(self, Event::Begin | Event::End | Event::Interval(_) | Event::Signal)
    }

    /// Whether it is something that a thread does, one after the other: no such event comes while another's program runs.
    pub fn is_in_turn(self) -> bool {
        matches!(self, Event::AnySyscall { .. } | Event::Syscall { .. } | Event::Uprobe { .. } | Event::Usdt { .. })
    }

    /// Whether what addresses mean is the memory of the process, where nothing says otherwise.
    pub fn in_user_memory(self) -> bool {
        let of_kernel = matches!(
            self,
            Event::KernelFunction { .. }
                | Event::KernelCall { .. }
                | Event::Iterator { .. }
                | Event::RawTracepoint { .. }
                | Event::Tracepoint { .. }
                | Event::Record { .. }
        );
        self.has_subject() && !of_kernel
    }

    /// The row of the policy that it falls under.
    pub fn kind(self) -> ProbeKind {
        match self {
            Event::Begin | Event::End | Event::Interval(_) | Event::Signal => ProbeKind::Timer,
            Event::AnySyscall { .. } | Event::Syscall { .. } => ProbeKind::Syscall,
            Event::RawTracepoint { .. } | Event::Tracepoint { .. } | Event::Record { .. } | Event::Iterator { .. } => {
                ProbeKind::KernelEvent
            }
            Event::Uprobe { .. } | Event::Usdt { .. } => ProbeKind::UserFunction,
            Event::Sample(_) => ProbeKind::Sample,
            Event::KernelFunction { .. } | Event::KernelCall { .. } => ProbeKind::KernelFunction,
        }
    }
}

/// Whether a specification, of a kind that there is, names a place which may be there or not.
pub fn looks_for_a_place(spec: &ast::ProbeSpec) -> bool {
    let kind = spec.fields.first().map_or("", |kind| kind.text.as_str());
    let looks = matches!(kind, "tracepoint" | "t" | "rawtracepoint" | "rt" | "uprobe" | "u" | "uretprobe" | "ur");
    spec.fields.len() > 1 && (looks || usdt::is_kind(kind) || kprobes::kind(kind).is_some())
}

/// Probe kinds that work, for proposals.
const KINDS: [&str; 18] = [
    "begin",
    "end",
    "interval",
    "iter",
    "self",
    "tracepoint",
    "rawtracepoint",
    "uprobe",
    "uretprobe",
    "usdt",
    "kprobe",
    "kretprobe",
    "fentry",
    "fexit",
    "profile",
    "software",
    "hardware",
    "watchpoint",
];

/// The shortest period of an interval, in ns, as in bpftrace.
const SHORTEST_INTERVAL: u64 = 1000;

/// The places that one specification stands for, at least one.
pub fn expand(spec: &ast::ProbeSpec, target: &Target) -> Result<Vec<Site>, Diagnostic> {
    let Some(kind) = spec.fields.first() else {
        return Err(Diagnostic::error(spec.span, "expected a probe"));
    };
    let rest = &spec.fields[1..];
    match kind.text.as_str() {
        "begin" | "BEGIN" => lone(spec, rest, "begin", Event::Begin),
        "end" | "END" => lone(spec, rest, "end", Event::End),
        "interval" | "i" => interval(spec, rest).map(|site| vec![site]),
        "tracepoint" | "t" => tracepoints::expand(spec, rest, target),
        "rawtracepoint" | "rt" => tracepoints::expand_raw(spec, rest, target),
        "uprobe" | "u" => uprobes::expand(spec, false, target),
        "uretprobe" | "ur" => uprobes::expand(spec, true, target),
        kind if usdt::is_kind(kind) => usdt::expand(spec, target),
        "profile" | "p" => samples::profile(spec, rest).map(|site| vec![site]),
        "software" | "s" => samples::software(spec, rest).map(|site| vec![site]),
        "watchpoint" | "w" => watchpoints::expand(spec, rest, target).map(|site| vec![site]),
        "hardware" | "h" => samples::hardware(spec, rest).map(|site| vec![site]),
        "iter" | "it" => iterators::expand(spec, rest, target).map(|site| vec![site]),
        "self" => signals::expand(spec, rest).map(|site| vec![site]),
        "asyncwatchpoint" | "aw" => Err(watchpoints::no_async(kind)),
        other if let Some(kind) = kprobes::kind(other) => kprobes::expand(spec, kind, target),
        "" => {
            Err(Diagnostic::error(kind.span, "a probe begins with its kind")
                .help("write `tracepoint:…`, `uprobe:…`, …"))
        }
        other => {
            let error = Diagnostic::error(kind.span, format!("there is no probe kind `{other}`"));
            let error = proposing(error, other, KINDS.into_iter().chain(["BEGIN", "END"]));
            let supported = || format!("supported are {}", KINDS.map(|kind| format!("`{kind}`")).join(", "));
            Err(if error.help.is_empty() { error.help(supported()) } else { error })
        }
    }
}

fn lone(spec: &ast::ProbeSpec, rest: &[ast::Name], name: &str, event: Event) -> Result<Vec<Site>, Diagnostic> {
    match rest.first() {
        None => Ok(vec![Site { name: name.into(), event, span: spec.span }]),
        Some(extra) => Err(Diagnostic::error(extra.span, format!("`{name}` takes nothing after it"))),
    }
}

/// `interval:s:5`, `interval:hz:99`, `interval:5s` (the parser's number is in nanoseconds).
fn interval(spec: &ast::ProbeSpec, rest: &[ast::Name]) -> Result<Site, Diagnostic> {
    let usage = "write `interval:s:5`, with a unit of `s`, `ms`, `us` or `hz`";
    let (unit, count) = match rest {
        [unit, count] => (unit, count),
        [count] => return interval_of(spec, count, duration(&count.text).ok_or("a duration such as `5s`"), None),
        _ => return Err(Diagnostic::error(spec.span, "an interval needs a unit and a number").help(usage)),
    };
    let nanoseconds = |number: u64| match unit.text.as_str() {
        "s" => number.checked_mul(1_000_000_000),
        "ms" => number.checked_mul(1_000_000),
        "us" => number.checked_mul(1_000),
        "hz" => 1_000_000_000_u64.checked_div(number),
        _ => Some(0),
    };
    if !["s", "ms", "us", "hz"].contains(&unit.text.as_str()) {
        return Err(Diagnostic::error(unit.span, format!("`{}` is not a unit of an interval", unit.text)).help(usage));
    }
    let period = count.text.parse().map_err(|_| "a whole number").map(|number| nanoseconds(number).unwrap_or(0));
    interval_of(spec, count, period, Some(&unit.text))
}

fn interval_of(
    spec: &ast::ProbeSpec,
    count: &ast::Name,
    period: Result<u64, &str>,
    unit: Option<&str>,
) -> Result<Site, Diagnostic> {
    let period = period.map_err(|expected| {
        Diagnostic::error(count.span, format!("`{}` is not the length of an interval", count.text))
            .label(format!("expected {expected}"))
    })?;
    if period < SHORTEST_INTERVAL {
        return Err(Diagnostic::error(count.span, "the shortest interval is 1 us"));
    }
    let name = match unit {
        Some(unit) => format!("interval:{unit}:{}", count.text),
        None => format!("interval:us:{}", period / 1000),
    };
    Ok(Site { name, event: Event::Interval(period), span: spec.span })
}

/// `5s`, `100ms` as nanoseconds; a number alone is one of nanoseconds already.
pub(super) fn duration(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::sema::syscalls;

    fn spec(text: &str) -> ast::ProbeSpec {
        let fields = text.split(':').map(|field| ast::Name { text: field.into(), span: Span::default() }).collect();
        ast::ProbeSpec { fields, span: Span::default() }
    }

    fn names(text: &str) -> Vec<String> {
        expand(&spec(text), &Target::default()).unwrap().into_iter().map(|site| site.name).collect()
    }

    fn refusal(text: &str) -> String {
        let error = expand(&spec(text), &Target::default()).unwrap_err();
        [vec![error.message], error.help].concat().join("; ")
    }

    #[test]
    fn names_are_the_full_ones() {
        assert_eq!(names("BEGIN"), ["begin"]);
        assert_eq!(names("i:s:5"), ["interval:s:5"]);
        assert_eq!(names("interval:5s"), ["interval:us:5000000"]);
        assert_eq!(names("t:raw_syscalls:sys_enter"), ["tracepoint:raw_syscalls:sys_enter"]);
        assert_eq!(names("rt:sys_exit"), ["rawtracepoint:sys_exit"]);
        assert_eq!(names("t:syscalls:sys_enter_newstat"), ["tracepoint:syscalls:sys_enter_newstat"]);
    }

    #[test]
    fn wildcards_stand_for_every_match() {
        assert_eq!(
            names("tracepoint:syscalls:sys_*_openat*"),
            [
                "tracepoint:syscalls:sys_enter_openat",
                "tracepoint:syscalls:sys_exit_openat",
                "tracepoint:syscalls:sys_enter_openat2",
                "tracepoint:syscalls:sys_exit_openat2"
            ]
        );
        assert_eq!(names("tracepoint:raw_syscalls:*").len(), 2);
        let with_tracepoint = syscalls::all().iter().filter(|syscall| syscall.tracepoint.is_some()).count();
        assert_eq!(names("tracepoint:syscalls:sys_enter_*").len(), with_tracepoint);
    }

    #[test]
    fn periods_are_nanoseconds() {
        let period = |text| expand(&spec(text), &Target::default()).unwrap()[0].event;
        assert_eq!(period("interval:s:2"), Event::Interval(2_000_000_000));
        assert_eq!(period("interval:ms:100"), Event::Interval(100_000_000));
        assert_eq!(period("interval:us:1"), Event::Interval(1_000));
        assert_eq!(period("interval:hz:99"), Event::Interval(10_101_010));
    }

    #[test]
    fn what_is_refused_says_why() {
        assert_eq!(
            refusal("tracepoint:syscalls:sys_enter_opennat"),
            "there is no tracepoint `syscalls:sys_enter_opennat`; did you mean `sys_enter_openat`?"
        );
        assert_eq!(
            refusal("tracepoint:syscalls:sys_enter_stat"),
            "there is no tracepoint `syscalls:sys_enter_stat`; the kernel calls it `sys_enter_newstat`"
        );
        assert_eq!(refusal("tracepoint:syscalls:sys_enter_zz*"), "no tracepoint matches `syscalls:sys_enter_zz*`");
        assert_eq!(refusal("intervall:s:1"), "there is no probe kind `intervall`; did you mean `interval`?");
        assert_eq!(refusal("interval:s:0"), "the shortest interval is 1 us");
        assert_eq!(refusal("interval:s:x"), "`x` is not the length of an interval");
        assert_eq!(refusal("interval:m:1").split(';').next().unwrap(), "`m` is not a unit of an interval");
        assert_eq!(
            refusal("tracepoint:sched:sched_switch").split(';').next().unwrap(),
            "nothing is known of the tracepoint `sched:sched_switch`"
        );
    }
}
