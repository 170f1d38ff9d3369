//! Checks every clause and turns it into its typed form.
//!
//! Types are inferred to a fixed point: all clauses are checked again and again, each time with the types of variables
//! and maps that the last pass has found, until nothing changes. Types only ever grow, so this ends. What the last pass
//! has found wrong, and what it has built, is the result; before that, anything whose type is not known yet passes.
//!
//! `@x++` and `@x += 1` take the type that assignments have given `@x` before they widen it to 64 bits, so at first only
//! plain assignments count.

mod access;
mod args;
pub(super) mod calls;
mod expr;
mod fields;
mod formats;
pub(super) mod functions;
mod iterators;
mod loops;
mod maps;
mod names;
pub(super) mod naming;
mod operand;
mod operators;
pub(super) mod output;
mod refusals;
mod series;
pub(super) mod stacks;
mod stmt;

pub use calls::Argument;
pub use expr::numbered;
pub use maps::{Domain, MapState, MapValue, Use, UseKind, function};
pub use operand::Operand;

use std::collections::{BTreeSet, HashMap};

use super::catalogue::Member;
use super::clauses::Instance;
use super::config::Settings;
use super::ctypes::Types;
use super::policy::{self, Action, Data};
use super::probes::Event;
use super::typed::{self, LocalId};
use super::types::Ty;
use crate::compile::diagnostics::{Diagnostic, Severity};
use crate::compile::expand::shown;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::btf::TypeId;
use crate::plan::{MapId, Record, RecordId};
use refusals::Refusals;

/// Most expressions and statements of a clause, each as often as `unroll` repeats it: several times what fits into a
/// program.
const MAX_NODES_OF_CLAUSE: u32 = 1 << 16;

/// Most of all clauses together, each as often as its probe has places that are not alike.
const MAX_NODES: u32 = 1 << 20;

/// What checking has found out.
pub struct Checked {
    /// One for each instance.
    pub clauses: Vec<CheckedClause>,
    /// The script's maps, in order of first use.
    pub maps: Vec<MapState>,
    /// What the clauses emit.
    pub records: Vec<Record>,
    /// Errors and warnings, in order of place.
    pub diagnostics: Vec<Diagnostic>,
}

/// The typed form of one instance of a clause.
pub struct CheckedClause {
    /// Its variables.
    pub locals: Vec<typed::Local>,
    /// Its condition.
    pub predicate: Option<typed::Expr>,
    /// Its action.
    pub body: Vec<typed::Stmt>,
    /// The maps that it names.
    pub maps: BTreeSet<MapId>,
}

/// Checks all clauses.
pub fn check(
    instances: &[Instance<'_>],
    definitions: &[ast::Definition],
    settings: &Settings,
    target: &Target,
) -> Checked {
    let (types, errors) = Types::new(target.types.as_deref(), definitions);
    let mut checker = Checker {
        target,
        settings,
        types,
        instances,
        here: 0,
        locals: instances.iter().map(|_| Vec::new()).collect(),
        scopes: Vec::new(),
        maps: Vec::new(),
        records: Vec::new(),
        printed: Vec::new(),
        diagnostics: Vec::new(),
        loops: 0,
        left: false,
        changed: false,
        counting: false,
        raw: None,
        members: HashMap::new(),
        nodes: 0,
        nodes_of_clause: 0,
        maps_of_clause: BTreeSet::new(),
        too_large: false,
        refused: Refusals::default(),
    };
    let clauses = loop {
        let clauses = checker.pass();
        if checker.too_large {
            break clauses;
        }
        if checker.changed {
            continue;
        }
        if checker.counting && !checker.settle_counters() {
            break clauses;
        }
        checker.counting = true;
    };
    checker.diagnostics.extend(errors);
    checker.finish(clauses)
}

/// The state of checking.
pub struct Checker<'a> {
    pub target: &'a Target,
    /// What the script sets for all of itself.
    settings: &'a Settings,
    /// C types.
    types: Types<'a>,
    instances: &'a [Instance<'a>],
    /// The instance that is being checked.
    here: usize,
    /// The variables of each instance; they outlive a pass.
    locals: Vec<Vec<LocalState>>,
    /// Variables in sight, by block, innermost last.
    scopes: Vec<Vec<(String, LocalId)>>,
    /// The maps; their types outlive a pass.
    maps: Vec<MapState>,
    records: Vec<Record>,
    /// Maps that the action has printed on every way to the statement at hand.
    printed: Vec<Printed>,
    diagnostics: Vec<Diagnostic>,
    /// How many loops there are around the statement at hand.
    loops: u32,
    /// Whether there is a way to leave the clause before here.
    left: bool,
    /// Whether this pass has learnt something.
    changed: bool,
    /// Whether `@x++` and `@x += 1` widen types yet.
    counting: bool,
    /// The raw tracepoint whose arguments `args` is about while an expression of the catalogue is checked.
    raw: Option<TypeId>,
    /// The fields of the catalogue's events that have been asked for: to find them takes a look at all of the kernel's types.
    members: HashMap<&'static str, Vec<Member<'a>>>,
    /// How many expressions and statements have been checked in this pass.
    nodes: u32,
    nodes_of_clause: u32,
    /// The maps that the clause at hand has named so far.
    maps_of_clause: BTreeSet<MapId>,
    /// There are too many; nothing more is looked at.
    too_large: bool,
    /// What this pass has found that the level does not allow.
    refused: Refusals,
}

/// A map that has been printed.
#[derive(Clone, Copy, PartialEq)]
struct Printed {
    map: MapId,
    /// The record that does so.
    record: RecordId,
    /// In how many blocks that is; `None` if the clause may have been left since. Whatever stands as deep comes after it for
    /// certain.
    depth: Option<usize>,
}

/// What is known of a variable.
struct LocalState {
    name: String,
    ty: Ty,
    /// Its type was declared, so assignments do not widen it.
    fixed: bool,
    /// Something has been assigned in this pass, so far.
    assigned: bool,
    /// Where its value was first asked for in this pass, so far.
    used: Option<Span>,
    /// Where it was first assigned or declared; this is what tells variables apart.
    place: Span,
}

impl<'a> Checker<'a> {
    /// Checks everything once.
    fn pass(&mut self) -> Vec<CheckedClause> {
        self.changed = false;
        self.nodes = 0;
        self.records.clear();
        self.diagnostics.clear();
        self.refused = Refusals::default();
        for map in &mut self.maps {
            map.uses.clear();
            map.filled = false;
        }
        (0..self.instances.len()).map(|here| self.clause(here)).collect()
    }

    fn clause(&mut self, here: usize) -> CheckedClause {
        self.here = here;
        self.left = false;
        self.nodes_of_clause = 0;
        for local in &mut self.locals[here] {
            local.assigned = false;
            local.used = None;
        }
        let probe = self.instances[here].probe;
        self.allow(Data::Machine, refusals::PROBE, probe.specs[0].span);
        self.scopes.push(Vec::new());
        let predicate = probe.predicate.as_ref().map(|predicate| self.condition(predicate));
        let body = self.block(&probe.body);
        self.scopes.pop();
        let locals = (self.locals[here].iter())
            .map(|local| {
                // One that was only declared is never looked at; it must have some type.
                let ty = if local.ty.is_unknown() { &Ty::I64 } else { &local.ty };
                typed::Local { name: local.name.clone(), ty: ty.typed() }
            })
            .collect();
        CheckedClause { locals, predicate, body, maps: std::mem::take(&mut self.maps_of_clause) }
    }

    /// Counts an expression or statement; `false` if there is no room for it.
    fn enter(&mut self, span: Span) -> bool {
        self.nodes += 1;
        self.nodes_of_clause += 1;
        let limit = match () {
            _ if self.too_large => return false,
            _ if self.nodes_of_clause > MAX_NODES_OF_CLAUSE => MAX_NODES_OF_CLAUSE,
            _ if self.nodes > MAX_NODES => MAX_NODES,
            _ => return true,
        };
        self.too_large = true;
        let what = if limit == MAX_NODES { "the script is" } else { "this action is" };
        let error = Diagnostic::error(span, format!("{what} too large"))
            .label(format!("with this, it has more than {limit} expressions and statements"))
            .help("`unroll` repeats its block, and a probe with many places may be compiled for each of them");
        self.report(error);
        false
    }

    fn finish(mut self, clauses: Vec<CheckedClause>) -> Checked {
        self.check_maps_are_defined();
        self.diagnostics.extend(std::mem::take(&mut self.refused).told(self.target.level));
        let errors = self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        for local in self.locals.iter().flatten() {
            let name = shown(&local.name);
            if !local.assigned && !name.ends_with("()") {
                let warning = format!("nothing is ever assigned to `${name}`");
                self.diagnostics.push(Diagnostic::warning(local.place, warning).label("declared here"));
            }
            if let (Some(used), true, false) = (local.used, local.ty.is_unknown(), errors) {
                let error = Diagnostic::error(used, format!("the type of `${name}` cannot be found out"));
                self.diagnostics.push(error.also(local.place, "declared here").help("declare it with a type"));
            }
        }
        self.diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
        self.diagnostics.dedup(); // a clause with several instances is checked several times
        Checked { clauses, maps: self.maps, records: self.records, diagnostics: self.diagnostics }
    }

    /// Where the clause attaches.
    fn instance(&self) -> &'a Instance<'a> {
        &self.instances[self.here]
    }

    /// What the clause fires on. All sites of an instance are alike but for which system call it is.
    fn event(&self) -> Event {
        self.instance().sites[0].event
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(span, message));
    }

    /// Reports an error; what stands there has no type.
    fn refuse(&mut self, span: Span, message: impl Into<String>) -> Operand {
        self.error(span, message);
        Operand::unknown(span)
    }

    fn refuse_with(&mut self, diagnostic: Diagnostic) -> Operand {
        let span = diagnostic.span;
        self.report(diagnostic);
        Operand::unknown(span)
    }

    /// Reports what the policy does not allow at this level.
    fn allow(&mut self, data: Data, what: &str, span: Span) {
        self.allow_action(data, Action::Report, what, span);
    }

    fn allow_action(&mut self, data: Data, action: Action, what: &str, span: Span) {
        if action == Action::Change && !self.target.allow_unsafe {
            let error = Diagnostic::error(span, format!("{what} changes what is traced"));
            return self.report(error.help("run with `--unsafe` to allow it"));
        }
        // What the catalogue reads is asked for as the field that it is.
        if self.raw.is_some() {
            return;
        }
        match policy::rule_for(self.event().kind(), data, action) {
            Some(rule) if rule.level <= self.target.level => {}
            Some(rule) => self.refused.note(rule, what, span, self.here),
            None => self.error(span, format!("{what} is not possible in a probe of this kind")),
        }
    }

    /// The number of the record that is emitted next.
    fn next_record(&self) -> RecordId {
        RecordId(self.records.len() as u32)
    }

    /// Adds a record and emits it with these arguments.
    fn emit(&mut self, record: Record, arguments: Vec<typed::Expr>) -> typed::StmtKind {
        let id = self.next_record();
        self.records.push(record);
        typed::StmtKind::Emit { record: id, arguments }
    }

    /// Whether the action has printed a map and not changed it since; from here on it has not.
    fn forget_printed(&mut self, map: MapId) -> bool {
        let printed = self.printed.iter().any(|printed| printed.map == map);
        self.printed.retain(|printed| printed.map != map);
        printed
    }

    /// The record that is emitted next prints the map.
    fn prints(&mut self, map: MapId) {
        let printed = Printed { map, record: self.next_record(), depth: Some(self.scopes.len()) };
        self.printed.push(printed);
    }

    /// Here is a way to leave the clause.
    fn leaves(&mut self) {
        self.left = true;
        for printed in &mut self.printed {
            printed.depth = None;
        }
    }

    /// The map is emptied here. Whether the action has just printed it, which it then knows.
    fn empties(&mut self, map: MapId) -> bool {
        let depth = Some(self.scopes.len());
        let last = self.printed.iter().rfind(|printed| printed.map == map && printed.depth == depth);
        // After an error there is no record.
        match last.and_then(|printed| self.records.get_mut(printed.record.0 as usize)) {
            Some(Record::PrintMap { emptied, .. }) => *emptied = true,
            Some(Record::PrintTable { emptied, .. }) => emptied.push(map),
            _ => {}
        }
        self.forget_printed(map)
    }

    fn local(&self, id: LocalId) -> &LocalState {
        &self.locals[self.here][id.0 as usize]
    }

    fn local_mut(&mut self, id: LocalId) -> &mut LocalState {
        &mut self.locals[self.here][id.0 as usize]
    }

    /// The variable in sight that has this name.
    fn find_local(&self, name: &str) -> Option<LocalId> {
        let all = self.scopes.iter().rev().flatten();
        all.clone().find(|(known, _)| known == name).map(|&(_, id)| id)
    }

    /// Makes a variable visible from here to the end of the block.
    fn declare_local(&mut self, name: &str, place: Span) -> LocalId {
        let locals = &mut self.locals[self.here];
        let known = locals.iter().position(|local| local.place == place && local.name == name);
        let at = known.unwrap_or_else(|| {
            locals.push(LocalState {
                name: name.into(),
                ty: Ty::Unknown,
                fixed: false,
                assigned: false,
                used: None,
                place,
            });
            locals.len() - 1
        });
        let id = LocalId(at as u32);
        self.scopes.last_mut().expect("a clause has a scope").push((name.into(), id));
        id
    }

    /// Widens a type to take another in; the wider type, or `None` if there is none.
    fn widen(changed: &mut bool, ty: &mut Ty, with: &Ty) -> Option<Ty> {
        let wider = ty.promoted(with)?;
        if wider != *ty {
            *changed = true;
            *ty = wider.clone();
        }
        Some(wider)
    }
}
