//! Tracepoints: `tracepoint:CATEGORY:NAME`, `rawtracepoint:NAME` → the places they stand for.
//!
//! Those of system calls come from a table of their own, and become one program with a switch on the call's number. Those
//! of the catalogue are raw tracepoints below: what their fields are is the catalogue's to say. What tracefs knows besides
//! is attached to by its records. Which of them a part of the machine may ask for, [`subjects`] says.

use super::catalogue::{self, Row};
use super::probes::{Event, Site, matches};
use super::{proposing, subjects, syscalls, words};
use crate::compile::diagnostics::{Diagnostic, Severity};
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::tracefs::{Format, Mention};

/// The places of `rawtracepoint:NAME`, at least one.
pub fn expand_raw(spec: &ast::ProbeSpec, rest: &[ast::Name], target: &Target) -> Result<Vec<Site>, Diagnostic> {
    // A kernel module may stand before the name.
    let ([event] | [_, event]) = rest else {
        return Err(
            Diagnostic::error(spec.span, "a raw tracepoint needs a name").help("write `rawtracepoint:sched_switch`")
        );
    };
    let site = |name: &str, happens| Site { name: format!("rawtracepoint:{name}"), event: happens, span: spec.span };
    let syscalls = [("sys_enter", false), ("sys_exit", true)].into_iter();
    let mut sites: Vec<Site> = syscalls
        .filter(|(name, _)| matches(&event.text, name))
        .map(|(name, exit)| site(name, Event::AnySyscall { exit, raw: true }))
        .collect();
    let Some(btf) = target.types.as_deref() else {
        return if sites.is_empty() {
            Err(Diagnostic::error(event.span, format!("nothing is known of the raw tracepoint `{}`", event.text))
                .help("this kernel does not show its types (BTF); without them there are `sys_enter` and `sys_exit`"))
        } else {
            Ok(sites)
        };
    };
    if event.text.contains('*') {
        let known = words::raw_tracepoints(btf).into_iter();
        let named = known.filter(|(name, _)| matches(&event.text, name) && !["sys_enter", "sys_exit"].contains(name));
        let named = named.filter(|(_, function)| subjects::of(*function, target).is_ok());
        sites.extend(named.map(|(name, function)| site(name, Event::RawTracepoint { function })));
    } else if sites.is_empty() {
        let function = words::raw_tracepoint(btf, &event.text);
        if let Some(Err(why)) = function.map(|function| subjects::of(function, target)) {
            return Err(unattributed(event, &format!("rawtracepoint:{}", event.text), why));
        }
        sites.extend(function.map(|function| site(&event.text, Event::RawTracepoint { function })));
    }
    if !sites.is_empty() {
        return Ok(sites);
    }
    if let Some(error) = all_left_out(spec, target) {
        return Err(error);
    }
    if event.text.contains('*') {
        return Err(Diagnostic::error(event.span, format!("no raw tracepoint matches `{}`", event.text)));
    }
    let error = Diagnostic::error(event.span, format!("there is no raw tracepoint `{}`", event.text));
    let known = words::raw_tracepoints(btf);
    Err(proposing(error, &event.text, known.iter().map(|&(name, _)| name)))
}

/// The places of `tracepoint:CATEGORY:NAME`, at least one.
pub fn expand(spec: &ast::ProbeSpec, rest: &[ast::Name], target: &Target) -> Result<Vec<Site>, Diagnostic> {
    let [category, event] = rest else {
        return Err(Diagnostic::error(spec.span, "a tracepoint needs a category and an event")
            .help("write `tracepoint:syscalls:sys_enter_openat`"));
    };
    let mut sites = Vec::new();
    if matches(&category.text, "raw_syscalls") {
        sites.extend(
            [("sys_enter", false), ("sys_exit", true)].into_iter().filter(|(name, _)| matches(&event.text, name)).map(
                |(name, exit)| Site {
                    name: format!("tracepoint:raw_syscalls:{name}"),
                    event: Event::AnySyscall { exit, raw: false },
                    span: spec.span,
                },
            ),
        );
    }
    if matches(&category.text, "syscalls") {
        for syscall in syscalls::all() {
            let Some(name) = syscall.tracepoint else { continue };
            for (prefix, exit) in [("sys_enter_", false), ("sys_exit_", true)] {
                let name = format!("{prefix}{name}");
                if matches(&event.text, &name) {
                    sites.push(Site {
                        name: format!("tracepoint:syscalls:{name}"),
                        event: Event::Syscall { exit, syscall },
                        span: spec.span,
                    });
                }
            }
        }
    }
    let wildcard = [category, event].iter().any(|name| name.text.contains('*'));
    let asked = |row: &&(usize, &Row)| matches(&category.text, row.1.category) && matches(&event.text, row.1.name);
    for (index, row) in catalogue::all().iter().enumerate().filter(|row| asked(&row)) {
        let Some(types) = target.types.as_deref() else {
            return Err(Diagnostic::error(
                event.span,
                format!("nothing is known of the tracepoint `{}`", row.full_name()),
            )
            .help("this kernel does not show its types (BTF); without them there are `syscalls` and `raw_syscalls`"));
        };
        let Some(function) = words::raw_tracepoint(types, row.name) else { continue };
        match subjects::of(function, target) {
            // A wildcard means those that there are here.
            Err(_) if wildcard => continue,
            Err(why) => return Err(unattributed(event, &row.full_name(), why)),
            Ok(_) => {}
        }
        sites.push(Site {
            name: format!("tracepoint:{}", row.full_name()),
            event: Event::Tracepoint { row: index, function },
            span: spec.span,
        });
    }
    for (index, format) in described(category, event, target) {
        if !target.sees_everybody() {
            if wildcard {
                continue;
            }
            return Err(unattributed(event, &format.full_name(), subjects::UNKNOWN));
        }
        sites.push(Site {
            name: format!("tracepoint:{}", format.full_name()),
            event: Event::Record { format: index },
            span: spec.span,
        });
    }
    match sites.is_empty() {
        false => Ok(sites),
        true => Err(all_left_out(spec, target).unwrap_or_else(|| no_tracepoint(category, event, target))),
    }
}

/// The tracepoints that a specification stands for and only tracefs knows.
fn described<'t>(
    category: &ast::Name,
    event: &ast::Name,
    target: &'t Target,
) -> impl Iterator<Item = (usize, &'t Format)> {
    let (category, event) = (category.text.clone(), event.text.clone());
    let types = target.types.as_deref();
    (target.formats.iter().enumerate()).filter(move |(_, format)| {
        let in_catalogue = catalogue::all().iter().any(|row| {
            row.category == format.category
                && row.name == format.event
                && types.is_some_and(|types| words::raw_tracepoint(types, row.name).is_some())
        });
        !in_catalogue && matches(&category, &format.category) && matches(&event, &format.event)
    })
}

/// What a script wants to know of tracefs: the tracepoints that are not in the catalogue.
pub fn mentions(script: &ast::Script) -> Vec<Mention> {
    let specs = script.probes.iter().flat_map(|probe| &probe.specs);
    let wanted = specs.filter_map(|spec| match &spec.fields[..] {
        [kind, category, event] if matches!(kind.text.as_str(), "tracepoint" | "t") => Some((category, event)),
        _ => None,
    });
    let unknown = wanted.filter(|(category, event)| {
        let known = |row: &Row| row.category == category.text && row.name == event.text;
        !matches!(category.text.as_str(), "syscalls" | "raw_syscalls") && !catalogue::all().iter().any(known)
    });
    unknown.map(|(category, event)| Mention { category: category.text.clone(), event: event.text.clone() }).collect()
}

/// What a wildcard would stand for besides, were the scope the machine: one line, as nothing is left out silently.
pub fn left_out(spec: &ast::ProbeSpec, target: &Target) -> Option<Diagnostic> {
    let [kind, rest @ ..] = &spec.fields[..] else { return None };
    if target.sees_everybody() || !rest.iter().any(|name| name.text.contains('*')) {
        return None;
    }
    let types = target.types.as_deref();
    let names: Vec<String> = match (kind.text.as_str(), rest) {
        ("tracepoint" | "t", [category, event]) => {
            let rows = catalogue::all().iter().filter(|row| {
                matches(&category.text, row.category)
                    && matches(&event.text, row.name)
                    && types
                        .and_then(|types| words::raw_tracepoint(types, row.name))
                        .is_some_and(|function| subjects::of(function, target).is_err())
            });
            let described = described(category, event, target).map(|(_, format)| format.full_name());
            rows.map(Row::full_name).chain(described).collect()
        }
        ("rawtracepoint" | "rt", [event] | [_, event]) => words::raw_tracepoints(types?)
            .into_iter()
            .filter(|(name, _)| matches(&event.text, name) && !["sys_enter", "sys_exit"].contains(name))
            .filter(|(_, function)| subjects::of(*function, target).is_err())
            .map(|(name, _)| name.to_owned())
            .collect(),
        _ => return None,
    };
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
    (!names.is_empty()).then(|| {
        let message = format!("{shown}{more} left out: these events belong to no task, or it is not known to which");
        Diagnostic::warning(spec.span, message).help("`--scope host` traces the machine")
    })
}

/// The same where nothing is left.
fn all_left_out(spec: &ast::ProbeSpec, target: &Target) -> Option<Diagnostic> {
    left_out(spec, target).map(|left_out| Diagnostic { severity: Severity::Error, ..left_out })
}

fn unattributed(event: &ast::Name, name: &str, why: &str) -> Diagnostic {
    Diagnostic::error(event.span, format!("`{name}` cannot be traced for a part of the machine"))
        .label(why)
        .help("`--scope host` traces the machine")
}

/// Why nothing has matched, and what may have been meant.
fn no_tracepoint(category: &ast::Name, event: &ast::Name, target: &Target) -> Diagnostic {
    if [category, event].iter().any(|name| name.text.contains('*')) {
        return Diagnostic::error(event.span, format!("no tracepoint matches `{}:{}`", category.text, event.text));
    }
    if let Some(function) = target.types.as_deref().and_then(|types| words::raw_tracepoint(types, &event.text)) {
        if let Err(why) = subjects::of(function, target) {
            return unattributed(event, &format!("{}:{}", category.text, event.text), why);
        }
        let error = Diagnostic::error(
            event.span,
            format!("nothing is known of the fields of the tracepoint `{}:{}`", category.text, event.text),
        );
        return error.help(format!("probe it by its arguments: `rawtracepoint:{}`", event.text));
    }
    let categories = || catalogue::all().iter().map(|row| row.category).chain(["syscalls", "raw_syscalls"]);
    if !categories().any(|known| known == category.text) {
        let error = Diagnostic::error(
            category.span,
            format!("there is no tracepoint `{}:{}`, or nothing is known of it", category.text, event.text),
        );
        return proposing(error, &category.text, categories());
    }
    let error = Diagnostic::error(event.span, format!("there is no tracepoint `{}:{}`", category.text, event.text));
    // The manual's name of a system call whose tracepoints are called otherwise: `stat`, whose are `newstat`'s.
    for prefix in ["sys_enter_", "sys_exit_"] {
        let known = event.text.strip_prefix(prefix).and_then(syscalls::by_name);
        if let Some(tracepoint) = known.and_then(|syscall| syscall.tracepoint) {
            return error.help(format!("the kernel calls it `{prefix}{tracepoint}`"));
        }
        if known.is_some() {
            return error
                .help("the kernel has this number, but no such system call any more, and no tracepoint for it");
        }
    }
    let names: Vec<String> = match category.text.as_str() {
        "raw_syscalls" => vec!["sys_enter".into(), "sys_exit".into()],
        "syscalls" => (syscalls::all().iter().filter_map(|syscall| syscall.tracepoint))
            .flat_map(|name| [format!("sys_enter_{name}"), format!("sys_exit_{name}")])
            .collect(),
        other => (catalogue::all().iter().filter(|row| row.category == other)).map(|row| row.name.to_owned()).collect(),
    };
    proposing(error, &event.text, names.iter().map(String::as_str))
}
