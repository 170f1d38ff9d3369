//! `ctrace -l`: the probes there are, with `-v` their arguments.
//!
//! Every kind of probe has a function below that gives its rows: names as a script would have them, and arguments as C
//! declares them. Nothing here needs tracefs or a privilege; where tracefs can be read, there are more tracepoints. What is
//! listed can be probed.

use std::collections::HashSet;

use crate::compile::sema::catalogue::{self, Member};
use crate::compile::sema::samples::{Counter, HARDWARE, SOFTWARE};
use crate::compile::sema::syscalls::{self, Syscall};
use crate::compile::sema::words;
use crate::compile::sema::{iterators, kprobes};
use crate::compile::syntax::ast;
use crate::host::btf::{Btf, TypeId};
use crate::host::elf::usdt::{Argument, Marker};
use crate::host::elf::{self, Binary};
use crate::host::functions::{self, Function};
use crate::host::tracefs::{Field, Format, Mention};
use crate::pattern::matches;

/// What a list is wanted of.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// `*` stands for anything; all of them if there is none.
    pub pattern: Option<&'w str>,
    /// With their arguments.
    pub arguments: bool,
}

/// A probe, as a script would name it, and its arguments as C would declare them, if they are asked for.
struct Probe<'b> {
    name: String,
    /// A shorter name that patterns match as well.
    short: Option<String>,
    arguments: Box<dyn FnOnce() -> Vec<String> + 'b>,
}

impl<'b> Probe<'b> {
    fn new(name: String, arguments: impl FnOnce() -> Vec<String> + 'b) -> Self {
        Self { name, short: None, arguments: Box::new(arguments) }
    }

    fn bare(name: String) -> Self {
        Self::new(name, Vec::new)
    }
}

impl Wanted<'_> {
    fn matches(self, name: &str) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, name))
    }

    /// Whether probes of a kind can be among them.
    fn may_be(self, kind: &str) -> bool {
        // A `*` may stand for more than the kind.
        self.pattern.is_none_or(|pattern| match pattern.find([':', '*']) {
            Some(at) if pattern[at..].starts_with('*') => kind.starts_with(&pattern[..at]),
            Some(at) => pattern[..at] == *kind,
            None => pattern == kind,
        })
    }
}

/// A pattern with its kind of probe written out.
pub fn without_alias(pattern: &str) -> String {
    let (kind, rest) = match pattern.find(':') {
        Some(at) => pattern.split_at(at),
        None => (pattern, ""),
    };
    let full = match kind {
        "BEGIN" => "begin",
        "END" => "end",
        "h" => "hardware",
        "i" => "interval",
        "it" => "iter",
        "p" => "profile",
        "rt" => "rawtracepoint",
        "s" => "software",
        "t" => "tracepoint",
        kind => kprobes::kind(kind).map_or(kind, |kind| kind.name),
    };
    format!("{full}{rest}")
}

/// The pattern of the probes that a script's specification stands for.
pub fn pattern_of(spec: &ast::ProbeSpec) -> String {
    let fields: Vec<&str> = spec.fields.iter().map(|field| field.text.as_str()).collect();
    let pattern = without_alias(&fields.join(":"));
    // A list has these without the number.
    match pattern.split(':').collect::<Vec<_>>()[..] {
        [kind @ ("hardware" | "interval" | "profile" | "software"), unit, _] => format!("{kind}:{unit}:"),
        [kind @ ("hardware" | "software"), event] => format!("{kind}:{event}:"),
        _ => pattern,
    }
}

/// Whether a pattern is for the kernel's types.
pub fn means_types(pattern: &str) -> bool {
    ["struct ", "union ", "enum "].iter().any(|keyword| pattern.starts_with(keyword))
}

/// The lines for types of the kernel: their names, or their definitions.
pub fn definitions(pattern: &str, whole: bool, types: &Btf) -> String {
    let mut found: Vec<(String, TypeId)> = types.definitions().filter(|(name, _)| matches(pattern, name)).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup_by(|a, b| a.0 == b.0);
    let line = |(name, id)| match whole {
        true => format!("vmlinux: {};\n\n", types.definition(id)),
        false => format!("{name}\n"),
    };
    found.into_iter().map(line).collect()
}

/// Which of tracefs' tracepoints may be wanted.
pub fn formats(wanted: Wanted<'_>) -> Vec<Mention> {
    if !wanted.may_be("tracepoint") {
        return Vec::new();
    }
    let mention = |category: &str, event: &str| Mention { category: category.to_owned(), event: event.to_owned() };
    vec![match wanted.pattern.map(|pattern| pattern.split(':').collect::<Vec<_>>()).as_deref() {
        Some(["tracepoint", category, event]) => mention(category, event),
        _ => mention("*", "*"),
    }]
}

/// The lines for what is wanted, of all kinds but those that are in files.
pub fn lines(wanted: Wanted<'_>, types: Option<&Btf>, formats: &[Format]) -> String {
    let mut text = String::new();
    let mut add = |kind: &str, probes: &mut dyn Iterator<Item = Probe<'_>>| {
        if !wanted.may_be(kind) {
            return;
        }
        let is_wanted = |probe: &Probe<'_>| {
            wanted.matches(&probe.name) || probe.short.as_ref().is_some_and(|short| wanted.matches(short))
        };
        for probe in probes.filter(is_wanted) {
            text += &probe.name;
            text.push('\n');
            if wanted.arguments {
                (probe.arguments)().iter().for_each(|argument| text += &format!("    {argument}\n"));
            }
        }
    };
    add("begin", &mut ["begin"].into_iter().map(|name| Probe::bare(name.to_owned())));
    add("end", &mut ["end"].into_iter().map(|name| Probe::bare(name.to_owned())));
    // As many again as there are kprobes, of the same names: only where they are asked for.
    let asked = |kind: &str| wanted.pattern.is_some_and(|pattern| pattern.split(':').next() == Some(kind));
    for kind in ["fentry", "fexit"].into_iter().filter(|kind| asked(kind)) {
        add(kind, &mut kernel_calls(kind, wanted, types).into_iter());
    }
    add("hardware", &mut counters("hardware", &HARDWARE).into_iter());
    add("interval", &mut clocks("interval"));
    add("iter", &mut iterators(types).into_iter());
    add("kprobe", &mut kernel_functions("kprobe", wanted, types).into_iter());
    if asked("kretprobe") {
        add("kretprobe", &mut kernel_functions("kretprobe", wanted, types).into_iter());
    }
    add("profile", &mut clocks("profile"));
    add("rawtracepoint", &mut raw_tracepoints(types).into_iter());
    add("self", &mut ["self:signal:SIGUSR1"].into_iter().map(|name| Probe::bare(name.to_owned())));
    add("software", &mut counters("software", &SOFTWARE).into_iter());
    add("tracepoint", &mut tracepoints(types, formats).into_iter());
    text
}

/// The lines for functions of a program or library.
pub fn functions<'b>(provider: &str, binary: &Binary, functions: impl Iterator<Item = &'b elf::Function>) -> String {
    let path = binary.path.display();
    functions.map(|function| format!("{provider}:{path}:{}\n", function.name)).collect()
}

/// The lines for probes that authors have put into a file.
pub fn markers(markers: &[(String, &Marker)], arguments: bool) -> String {
    let mut text = String::new();
    for (name, marker) in markers {
        text += &format!("{name}\n");
        for (index, argument) in marker.arguments.iter().enumerate().filter(|_| arguments) {
            text += &match argument {
                Ok(Argument { size, signed, .. }) => {
                    let sign = if *signed { "" } else { "u" };
                    format!("    {sign}int{}_t arg{index}\n", 8 * size)
                }
                Err(_) => format!("    unsupported arg{index}\n"),
            };
        }
    }
    text
}

/// A number is wanted behind the second colon.
fn clocks<'b>(kind: &str) -> impl Iterator<Item = Probe<'b>> {
    ["hz", "ms", "s", "us"].into_iter().map(move |unit| Probe::bare(format!("{kind}:{unit}:")))
}

fn counters<'b>(kind: &str, counters: &[Counter]) -> Vec<Probe<'b>> {
    let names: Vec<&str> =
        counters.iter().flat_map(|counter| [counter.name].into_iter().chain(counter.alias)).collect();
    let mut names: Vec<String> = names.into_iter().map(|name| format!("{kind}:{name}:")).collect();
    names.sort_unstable();
    names.into_iter().map(Probe::bare).collect()
}

/// The kernel's functions, with the arguments that the kernel's types give them.
fn kernel_functions<'b>(kind: &str, wanted: Wanted<'_>, types: Option<&'b Btf>) -> Vec<Probe<'b>> {
    // There are tens of thousands.
    if !wanted.may_be(kind) {
        return Vec::new();
    }
    let mut names: Vec<String> = functions::probeable(types).into_iter().map(|function| function.name).collect();
    names.sort_unstable();
    names.dedup();
    let probe = |name: String| {
        let full = format!("{kind}:{name}");
        let exit = kind == "kretprobe";
        Probe::new(full, move || match types.and_then(|types| Some((types, types.function(&name).ok()?))) {
            Some((types, function)) if exit => result(types, function).into_iter().collect(),
            Some((types, function)) => parameters(types, function, 0),
            None => Vec::new(),
        })
    };
    names.into_iter().map(probe).collect()
}

/// The kernel's functions whose types are known, with their arguments and, at returns, their results.
fn kernel_calls<'b>(kind: &str, wanted: Wanted<'_>, types: Option<&'b Btf>) -> Vec<Probe<'b>> {
    let Some(types) = types.filter(|_| wanted.may_be(kind)) else { return Vec::new() };
    let exit = kind == "fexit";
    let described = functions::described(types);
    let probe = |function: Function| {
        let full = format!("{kind}:{}:{}", function.module(), function.name);
        let ty = function.ty?;
        Some(Probe::new(full, move || {
            let result = if exit { result(types, ty) } else { None };
            parameters(types, ty, 0).into_iter().chain(result).collect()
        }))
    };
    described.into_iter().filter_map(probe).collect()
}

/// What the kernel can go over, with what programs are given.
fn iterators(types: Option<&Btf>) -> Vec<Probe<'_>> {
    let Some(types) = types else { return Vec::new() };
    let probe = |(name, function)| Probe::new(format!("iter:{name}"), move || parameters(types, function, 0));
    iterators::all(types).into_iter().map(probe).collect()
}

/// All raw tracepoints that the kernel's types tell of.
fn raw_tracepoints(types: Option<&Btf>) -> Vec<Probe<'_>> {
    let Some(types) = types else {
        let syscalls =
            [("sys_enter", ["struct pt_regs * regs", "long id"]), ("sys_exit", ["struct pt_regs * regs", "long ret"])];
        let probe = |(name, arguments): (&str, [&'static str; 2])| {
            raw_tracepoint(name, move || arguments.map(str::to_owned).to_vec())
        };
        return syscalls.into_iter().map(probe).collect();
    };
    let probe = |(name, function)| raw_tracepoint(name, move || parameters(types, function, 1));
    words::raw_tracepoints(types).into_iter().map(probe).collect()
}

/// One of the kernel's own, which scripts may name without `vmlinux`.
fn raw_tracepoint<'b>(name: &str, arguments: impl FnOnce() -> Vec<String> + 'b) -> Probe<'b> {
    let full = Probe::new(format!("rawtracepoint:vmlinux:{name}"), arguments);
    Probe { short: Some(format!("rawtracepoint:{name}")), ..full }
}

/// What a function returns, if it returns anything.
fn result(types: &Btf, function: TypeId) -> Option<String> {
    words::result_type(types, function).map(|result| types.declaration(result, "retval"))
}

/// The parameters of a function but for the first `skip`.
fn parameters(types: &Btf, function: TypeId, skip: usize) -> Vec<String> {
    let parameters = words::parameters(types, function, skip).into_iter();
    parameters.map(|parameter| types.declaration(parameter.ty, parameter.name)).collect()
}

/// The tracepoints of the catalogue that this kernel has, those of system calls, and what tracefs knows besides.
fn tracepoints<'b>(types: Option<&'b Btf>, formats: &'b [Format]) -> Vec<Probe<'b>> {
    let mut probes = Vec::new();
    if let Some(types) = types {
        let there = words::raw_tracepoints(types);
        let is_there = |name: &str| there.binary_search_by_key(&name, |&(known, _)| known).is_ok();
        for row in catalogue::all().iter().filter(|row| is_there(row.name)) {
            let declared = move |member: Member<'_>| match member.text {
                true => format!("__data_loc char[] {}", member.name),
                false => types.declaration(member.ty, member.name),
            };
            let fields = move || row.members(types).into_iter().map(declared).collect();
            probes.push(Probe::new(format!("tracepoint:{}", row.full_name()), fields));
        }
    }
    let raw = [("sys_enter", ["long id", "unsigned long args[6]"]), ("sys_exit", ["long id", "long ret"])];
    probes.extend(raw.into_iter().map(|(name, arguments)| {
        Probe::new(format!("tracepoint:raw_syscalls:{name}"), move || arguments.map(str::to_owned).to_vec())
    }));
    probes.extend(syscalls::all().iter().flat_map(of_syscall));
    let known: HashSet<String> = probes.iter().map(|probe| probe.name.clone()).collect();
    let described = formats.iter().map(|format| {
        let fields = move || format.fields.iter().map(Field::declaration).collect();
        Probe::new(format!("tracepoint:{}", format.full_name()), fields)
    });
    probes.extend(described.filter(|probe| !known.contains(&probe.name)));
    probes.sort_by(|a, b| a.name.cmp(&b.name));
    probes
}

fn of_syscall<'b>(syscall: &'static Syscall) -> Vec<Probe<'b>> {
    let Some(name) = syscall.tracepoint else { return Vec::new() };
    let number = || "int __syscall_nr".to_owned();
    let entered = move || {
        let parameters = syscall.parameters().map(|parameter| format!("{} {}", parameter.ty, parameter.name));
        [number()].into_iter().chain(parameters).collect()
    };
    vec![
        Probe::new(format!("tracepoint:syscalls:sys_enter_{name}"), entered),
        Probe::new(format!("tracepoint:syscalls:sys_exit_{name}"), move || vec![number(), "long ret".to_owned()]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(pattern: &str, arguments: bool) -> String {
        lines(Wanted { pattern: Some(pattern), arguments }, None, &[])
    }

    #[test]
    fn a_system_call_with_its_arguments() {
        let expected = "\
tracepoint:syscalls:sys_enter_openat
    int __syscall_nr
    int dfd
    const char * filename
    int flags
    umode_t mode
";
        assert_eq!(listed("tracepoint:*:sys_enter_openat", true), expected);
        assert_eq!(listed("*raw_syscalls:sys_exit", false), "tracepoint:raw_syscalls:sys_exit\n");
    }

    #[test]
    fn clocks_and_counters_want_a_number() {
        assert_eq!(listed("interval:*", false), "interval:hz:\ninterval:ms:\ninterval:s:\ninterval:us:\n");
        assert_eq!(listed("software:c*", false).lines().next(), Some("software:context-switches:"));
        assert_eq!(listed("*:faults:", false), "software:faults:\n");
        assert_eq!(listed("begin", true), "begin\n");
    }
}
