//! Which probes of the script share one typed clause.
//!
//! A clause with many places (`tracepoint:syscalls:sys_enter_*`) is typed once for all of them, with a switch on the
//! system call's number, unless it depends on which place it is: on where the system call keeps an argument of some
//! name and of which type, or on the name of the probe as text.

use std::collections::{HashMap, HashSet};

use super::builtins;
use super::check::numbered;
use super::config::Settings;
use super::events::{self, Field};
use super::probes::{self, Event, Site};
use super::typed::Selector;
use super::{developer, tracepoints, usdt};
use crate::compile::diagnostics::{Diagnostic, Severity};
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::elf::usdt::Argument;
use crate::plan::{Missing, ProbeId};

/// A clause of the script for some of the places that it was written for.
#[derive(Debug)]
pub struct Instance<'a> {
    /// The clause.
    pub probe: &'a ast::Probe,
    /// The places; they are alike for the clause.
    pub sites: Vec<Site>,
    /// The places' names, in the same order.
    pub ids: Vec<ProbeId>,
    /// Whether the clause asks for the current task.
    pub of_current: bool,
}

impl Instance<'_> {
    /// Which events of the program it is for; `sites` are sorted accordingly.
    pub fn selector(&self) -> Selector {
        if let Event::Uprobe { .. } | Event::Usdt { .. } | Event::KernelFunction { .. } | Event::KernelCall { .. } =
            self.sites[0].event
        {
            return if self.sites.len() == 1 { Selector::Always } else { Selector::Cookie };
        }
        let numbers = self.sites.iter().filter_map(|site| match site.event {
            Event::Syscall { syscall, .. } => Some(syscall.number),
            _ => None,
        });
        let numbers: Vec<u32> = numbers.collect();
        if numbers.is_empty() { Selector::Always } else { Selector::Syscalls(numbers) }
    }
}

/// The instances of all clauses in script order, and the names of all probes.
pub fn instances<'a>(
    script: &'a ast::Script,
    settings: &Settings,
    target: &Target,
) -> (Vec<Instance<'a>>, Vec<String>, Vec<Diagnostic>) {
    let mut instances = Vec::new();
    let mut names = Names::default();
    let mut diagnostics = Vec::new();
    for probe in &script.probes {
        let mut sites = places(probe, settings, target, &mut diagnostics);
        // A probe that has several places has one name.
        let mut seen = HashSet::new();
        sites.retain(|site| match site.event {
            Event::Usdt { file, marker } => seen.insert((site.name.clone(), Some((file, marker)))),
            _ => seen.insert((site.name.clone(), None)),
        });
        split(probe, sites, target, &mut names, &mut instances);
    }
    let places: usize = instances.iter().map(|instance: &Instance<'_>| instance.sites.len()).sum();
    if let Some(most) = settings.max_probes.filter(|most| places > *most) {
        let error = Diagnostic::error(Span::NOWHERE, format!("the script has {places} probes, and may have {most}"));
        diagnostics.push(error.help("set `max_probes` to as many, or leave it away"));
    }
    if instances.is_empty() && !script.probes.is_empty() && diagnostics.iter().all(Diagnostic::is_warning) {
        diagnostics.push(Diagnostic::error(Span::NOWHERE, "none of the script's probes is there"));
    }
    (instances, names.list, diagnostics)
}

/// The places that a probe's specifications stand for.
fn places(probe: &ast::Probe, settings: &Settings, target: &Target, diagnostics: &mut Vec<Diagnostic>) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    let mut unmet = Vec::new();
    for spec in &probe.specs {
        if let Some(left_out) = developer::left_out(spec) {
            diagnostics.push(left_out);
            continue;
        }
        match probes::expand(spec, target) {
            Ok(expanded) => {
                sites.extend(expanded.into_iter().map(|site| tolerant(site, settings.missing_probes)));
                diagnostics.extend(tracepoints::left_out(spec, target));
            }
            Err(missing) if probes::looks_for_a_place(spec) => unmet.push((spec, missing)),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    for (spec, missing) in unmet {
        // As in bpftrace, a wildcard may stand for nothing if there is another place.
        let wildcard = spec.fields.iter().any(|field| field.text.contains('*'));
        match settings.missing_probes {
            Missing::Refuse if !wildcard || sites.is_empty() => diagnostics.push(missing),
            Missing::Refuse | Missing::Warn => {
                diagnostics.push(Diagnostic { severity: Severity::Warning, ..missing });
            }
            Missing::Ignore => {}
        }
    }
    sites
}

/// The place, of which the script says what is to be done if the kernel refuses it.
fn tolerant(mut site: Site, asked: Missing) -> Site {
    if let Event::KernelFunction { missing, .. } | Event::KernelCall { missing, .. } = &mut site.event
        && asked != Missing::Refuse
    {
        *missing = asked;
    }
    site
}

/// Groups the places that are alike.
fn split<'a>(
    probe: &'a ast::Probe,
    sites: Vec<Site>,
    target: &Target,
    names: &mut Names,
    instances: &mut Vec<Instance<'a>>,
) {
    let needs = Needs::of(probe);
    let mut groups: Vec<(Likeness, Vec<Site>)> = Vec::new();
    for site in sites {
        let likeness = needs.likeness(&site, target);
        match groups.iter_mut().find(|(known, _)| *known == likeness) {
            Some((_, group)) => group.push(site),
            None => groups.push((likeness, vec![site])),
        }
    }
    for (_, mut sites) in groups {
        sites.sort_by_key(|site| match site.event {
            Event::Syscall { syscall, .. } => syscall.number,
            _ => 0,
        });
        let ids = sites.iter().map(|site| names.id(&site.name)).collect();
        instances.push(Instance { probe, sites, ids, of_current: needs.current });
    }
}

/// The names of all probes, each once.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    ids: HashMap<String, ProbeId>,
}

impl Names {
    fn id(&mut self, name: &str) -> ProbeId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = ProbeId(self.list.len() as u32);
        self.list.push(name.into());
        self.ids.insert(name.into(), id);
        id
    }
}

/// What must be equal for two places to share a typed clause.
#[derive(PartialEq)]
struct Likeness {
    event: EventKind,
    /// The probe's name, where the clause looks at its text.
    name: Option<String>,
    /// The arguments that the clause names.
    fields: Vec<Option<Field>>,
    /// Where those are that it numbers, if they lie elsewhere at each place.
    arguments: Vec<Result<Argument, String>>,
}

#[derive(PartialEq)]
enum EventKind {
    /// All system calls of one direction.
    Syscall { exit: bool },
    /// All places in the code of one file.
    Uprobe { file: usize, exit: bool },
    /// All places that are marked in one file.
    Usdt { file: usize },
    /// All functions of the kernel, if they are probed at their beginnings.
    KernelFunctions { exit: bool },
    /// All calls of functions of the kernel.
    KernelCalls,
    /// Anything else is only like itself.
    Other(Event),
}

/// What a clause wants to know of its place.
#[derive(Default)]
struct Needs {
    name: bool,
    current: bool,
    /// Where it is in its file.
    place: bool,
    fields: Vec<String>,
    arguments: Vec<u32>,
}

impl Needs {
    fn of(probe: &ast::Probe) -> Self {
        let mut needs = Self::default();
        if let Some(predicate) = &probe.predicate {
            needs.expr(predicate);
        }
        needs.block(&probe.body);
        needs
    }

    fn likeness(&self, site: &Site, target: &Target) -> Likeness {
        Likeness {
            event: match site.event {
                event if self.place => EventKind::Other(event),
                Event::Syscall { exit, .. } => EventKind::Syscall { exit },
                Event::Uprobe { file, exit, .. } => EventKind::Uprobe { file, exit },
                Event::Usdt { file, .. } => EventKind::Usdt { file },
                // Arguments by name are each function's own.
                Event::KernelFunction { exit, offset: 0, .. } if self.fields.is_empty() => {
                    EventKind::KernelFunctions { exit }
                }
                // So is what a function returns.
                Event::KernelCall { exit: false, .. } if self.fields.is_empty() => EventKind::KernelCalls,
                other => EventKind::Other(other),
            },
            name: self.name.then(|| site.name.clone()),
            fields: self.fields.iter().map(|name| events::field(site.event, name)).collect(),
            arguments: match site.event {
                Event::Usdt { file, marker } => {
                    let marker = usdt::marker(target, file, marker);
                    self.arguments.iter().map(|&index| usdt::argument(marker, index)).collect()
                }
                _ => Vec::new(),
            },
        }
    }

    fn block(&mut self, block: &ast::Block) {
        block.statements.iter().for_each(|stmt| self.stmt(stmt));
        block.value.iter().for_each(|value| self.expr(value));
    }

    fn stmt(&mut self, stmt: &ast::Stmt) {
        use ast::StmtKind as S;
        match &stmt.kind {
            S::Expr(expr) | S::Discard(expr) => self.expr(expr),
            S::Let { value, .. } | S::Return(value) => value.iter().for_each(|value| self.expr(value)),
            S::Assign { target, value, .. } => {
                self.expr(target);
                self.expr(value);
            }
            S::If { condition, then, otherwise } => {
                self.expr(condition);
                self.block(then);
                otherwise.iter().for_each(|block| self.block(block));
            }
            S::While { condition, body } | S::Unroll { count: condition, body } => {
                self.expr(condition);
                self.block(body);
            }
            S::For { body, iterable, .. } => {
                if let ast::Iterable::Range(from, to) = iterable {
                    self.expr(from);
                    self.expr(to);
                }
                self.block(body);
            }
            S::Block(block) => self.block(block),
            S::Break | S::Continue | S::Import(_) => {}
        }
    }

    fn expr(&mut self, expr: &ast::Expr) {
        use ast::ExprKind as E;
        match &expr.kind {
            E::Field { base, field } | E::Arrow { base, field } => {
                if is_word(base, "args") {
                    self.fields.push(field.text.clone());
                } else {
                    self.expr(base);
                }
            }
            E::Binary { left, right, .. } => {
                self.name |= is_word(left, "probe") || is_word(right, "probe");
                self.expr(left);
                self.expr(right);
            }
            E::Call { name, arguments } => {
                self.name |=
                    name.text.starts_with("str") && arguments.iter().any(|argument| is_word(argument, "probe"));
                self.current |= builtins::asks_for_current(&name.text);
                self.place |= name.text == "uaddr";
                arguments.iter().for_each(|argument| self.expr(argument));
            }
            E::Map { key, .. } => key.iter().for_each(|key| self.expr(key)),
            E::Unary { operand, .. } | E::Cast { operand, .. } | E::Comptime(operand) => self.expr(operand),
            E::Ternary { condition, then, otherwise } => {
                self.expr(condition);
                then.iter().for_each(|then| self.expr(then));
                self.expr(otherwise);
            }
            E::Index { base, index } => {
                self.expr(base);
                self.expr(index);
            }
            E::Tuple(parts) => parts.iter().for_each(|part| self.expr(part)),
            E::Record(parts) => parts.iter().for_each(|(_, part)| self.expr(part)),
            E::Block(block) => self.block(block),
            E::If { condition, then, otherwise } => {
                self.expr(condition);
                self.block(then);
                self.block(otherwise);
            }
            E::TypeQuery { of: ast::TypeOrExpr::Expr(of), .. } => self.expr(of),
            E::Identifier(name) => {
                self.arguments.extend(numbered("arg", name));
                self.current |= builtins::asks_for_current(name);
            }
            E::TypeQuery { .. }
            | E::Integer { .. }
            | E::String(_)
            | E::Bool(_)
            | E::Variable(_)
            | E::Positional(_)
            | E::PositionalCount
            | E::Type(_)
            | E::Error => {}
        }
    }
}

fn is_word(expr: &ast::Expr, word: &str) -> bool {
    matches!(&expr.kind, ast::ExprKind::Identifier(name) if name == word)
}
