//! Syntax tree → typed program and plan: names, types, built-ins, probes, policy.
//!
//! In: what the parser has read, and the facts of the machine. Out: a [`typed::Script`] that lowering can trust, or
//! everything that is wrong with the script.

pub mod builtins;
pub mod catalogue;
mod check;
mod clauses;
pub mod config;
mod constants;
mod ctypes;
mod developer;
mod events;
mod format;
pub mod functions;
pub mod iterators;
pub mod kprobes;
pub mod policy;
pub mod print;
mod probes;
mod programs;
mod registers;
pub mod samples;
mod signals;
mod storage;
mod subjects;
pub mod syscalls;
pub mod tracepoints;
pub mod typed;
mod types;
pub mod uncalled;
pub mod uprobes;
mod usages;
pub mod usdt;
mod watchpoints;
mod whole;
pub mod words;

use crate::compile::diagnostics::{Diagnostic, Severity, did_you_mean};
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::plan::{MapId, Plan, Record, Shape, Value};

/// What analysis hands on.
#[derive(Clone, Debug)]
pub struct Analysed {
    /// The script, ready for lowering.
    pub script: typed::Script,
    /// What is likely not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Analyses a script for a machine. `found` is what has been found wrong with it before. On failure, all errors and
/// warnings, in order of place.
pub fn analyse(script: &ast::Script, found: Vec<Diagnostic>, target: &Target) -> Result<Analysed, Vec<Diagnostic>> {
    let mut diagnostics = found;
    diagnostics.extend(whole::check(script));
    diagnostics.extend(whole::unasked(script, target));
    let (settings, findings) = config::settings(script, &target.environment);
    diagnostics.extend(findings);
    let (instances, probes, errors) = clauses::instances(script, &settings, target);
    diagnostics.extend(errors);
    let checked = check::check(&instances, &script.definitions, &settings, target);
    diagnostics.extend(checked.diagnostics);
    diagnostics.extend(storage::misdeclared(&checked.maps, &settings));
    diagnostics.extend(storage::too_many(&checked.maps));
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    let maps: Vec<_> =
        checked.maps.iter().filter_map(|map| storage::map(map, probes.len(), &settings, target)).collect();
    debug_assert_eq!(maps.len(), checked.maps.len(), "without errors, all types are known");
    let mut print_at_end: Vec<(&str, MapId)> = (0..)
        .zip(&maps)
        .filter(|(_, map)| settings.print_maps_on_exit && storage::printed_at_end(map))
        .map(|(id, map)| (map.name.as_str(), MapId(id)))
        .collect();
    print_at_end.sort(); // by name, as bpftrace does
    let print_at_end = print_at_end.into_iter().map(|(_, map)| map).collect();
    let (programs, plan_programs) = programs::assemble(&instances, checked.clauses, target);
    let syscalls = syscall_names(&maps, &checked.records);
    let plan = Plan {
        probes,
        programs: plan_programs,
        maps,
        records: checked.records,
        print_at_end,
        ring_size: settings.ring_size,
        syscalls,
    };
    Ok(Analysed { script: typed::Script { programs, plan }, warnings: diagnostics })
}

/// The error with a proposal, if one of the candidates is near what was written. Very short words are near everything.
fn proposing<'c>(error: Diagnostic, written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Diagnostic {
    match did_you_mean(written, candidates) {
        Some(near) if written.len() > 2 => error.help(format!("did you mean `{near}`?")),
        _ => error,
    }
}

/// The names of the system calls by number, if any value is shown as such.
fn syscall_names(maps: &[crate::plan::Map], records: &[Record]) -> Vec<Option<String>> {
    let in_maps = maps.iter().any(|map| {
        let value = match &map.value {
            Value::Plain(shape) => names_syscalls(shape),
            Value::Aggregation(_) => false,
        };
        value || map.key.as_ref().is_some_and(names_syscalls)
    });
    let in_records = records.iter().any(|record| match record {
        Record::Printf { arguments, .. } => arguments.iter().any(names_syscalls),
        Record::PrintValue { value } => names_syscalls(value),
        _ => false,
    });
    let table = syscalls::all();
    match table.last() {
        Some(last) if in_maps || in_records => {
            let mut names = vec![None; last.number as usize + 1];
            for syscall in table {
                names[syscall.number as usize] = Some(syscall.name.to_string());
            }
            names
        }
        _ => Vec::new(),
    }
}

fn names_syscalls(shape: &Shape) -> bool {
    match shape {
        Shape::Syscall => true,
        Shape::Tuple(parts) => parts.iter().any(names_syscalls),
        Shape::Array { element, .. } => names_syscalls(element),
        Shape::Record { members, .. } => members.iter().any(|member| names_syscalls(&member.shape)),
        _ => false,
    }
}
