//! Maps: their keys' and values' types, how they are used, and reading them.

use super::operand::convert;
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::proposing;
use crate::compile::sema::typed::{self, Builtin, ExprKind, Selector};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::{Aggregation, MapId, Series, Shape};

/// What is known of a map.
#[derive(Clone, Debug)]
pub struct MapState {
    /// As the script names it, with the `@`.
    pub name: String,
    /// Where it is first mentioned.
    pub place: Span,
    /// Whether it has keys, and where that was decided; `None` as long as no entry of it is used.
    pub keyed: Option<(bool, Span)>,
    /// The type of its keys, and where the first one is.
    pub key: Option<(Ty, Span)>,
    /// What it holds.
    pub value: MapValue,
    /// Names for the parts of the key, from the first use of an entry; empty where the script uses none.
    pub headings: Vec<String>,
    /// All uses, in script order.
    pub uses: Vec<Use>,
    /// Whether the script reads entries, asks for them or deletes them.
    pub looked_into: bool,
    /// Whether anything is put into it.
    pub filled: bool,
    /// Where a loop first goes over it.
    pub looped: Option<Span>,
}

/// What a map holds.
#[derive(Clone, Debug, PartialEq)]
pub enum MapValue {
    /// Nothing has been assigned so far.
    Unknown,
    /// Values of this type; where the first one was assigned.
    Plain(Ty, Span),
    /// An aggregation; the first call of its function.
    Aggregation(Aggregation, Span),
}

/// One use of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// What is done.
    pub kind: UseKind,
    /// What is known of the key.
    pub domain: Domain,
    /// In a probe that fires in tasks of the scope.
    pub in_task: bool,
    /// In a probe whose programs never interrupt one another in the same thread.
    pub in_turn: bool,
    /// In an `end` probe, unconditionally.
    pub at_end: bool,
}

/// What is done with a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseKind {
    /// An entry is read, written, counted up or asked for.
    Entry,
    /// An entry is deleted.
    Delete,
    /// `clear(@x)`.
    Clear,
    /// Anything else with the whole map: `print`, `zero`, `len`.
    Whole,
}

/// What is known of the values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The current thread's id.
    Tid,
    /// The current CPU.
    Cpu,
    /// The number of a probe.
    Probe,
    /// The number of a system call: -1 where the kernel has forgotten it, else no more than this.
    Syscall(u32),
    /// Nothing.
    Any,
}

/// Numbers of system calls are less than this, 32-bit programs' included, for years to come.
const SYSCALL_NUMBERS: u32 = 511;

impl Checker<'_> {
    /// `@x`, `@x[key]` as a value.
    pub(super) fn map_value(&mut self, name: &str, key: Option<&ast::Expr>, span: Span) -> Operand {
        let (map, key) = self.entry(name, key, span);
        match self.maps[map.0 as usize].value.clone() {
            MapValue::Unknown => Operand::unknown(span),
            MapValue::Plain(ty, _) => Operand::new(ty, ExprKind::MapGet { map, key: key.map(Box::new) }, span),
            MapValue::Aggregation(aggregation, place) => match total(aggregation) {
                Some(ty) => {
                    self.looks_into(map);
                    Operand::new(ty, ExprKind::MapGet { map, key: key.map(Box::new) }, span)
                }
                None => self.refuse_with(no_number(span, name, aggregation, place)),
            },
        }
    }

    /// The map of which a value is the number that an aggregation has come to, if it is one.
    pub(super) fn aggregation_read(&self, value: &Operand) -> Option<(&MapState, Aggregation, Span)> {
        let ExprKind::MapGet { map, .. } = value.expr.kind else { return None };
        let state = &self.maps[map.0 as usize];
        match state.value {
            MapValue::Aggregation(aggregation, place) => Some((state, aggregation, place)),
            _ => None,
        }
    }

    /// An entry of a map that is about to be used: the map and the key, in the map's type.
    pub(super) fn entry(&mut self, name: &str, key: Option<&ast::Expr>, span: Span) -> (MapId, Option<typed::Expr>) {
        let map = self.map(name, span);
        let key = key.map(|key| (self.expr(key), headings(key)));
        (map, self.entry_of(map, key, span))
    }

    /// The same for a key that has been checked, with the names of its parts.
    pub(super) fn entry_of(
        &mut self,
        map: MapId,
        key: Option<(Operand, Vec<String>)>,
        span: Span,
    ) -> Option<typed::Expr> {
        self.keyed(map, key.is_some(), span);
        let domain = key.as_ref().map_or(Domain::Any, |(key, _)| self.domain(&key.expr));
        self.used(map, UseKind::Entry, domain);
        key.and_then(|(key, headings)| self.key(map, key, headings))
    }

    /// The map of this name, without a look at its entries; it is made if need be.
    pub(super) fn map(&mut self, name: &str, place: Span) -> MapId {
        let full = format!("@{name}");
        let at = self.maps.iter().position(|map| map.name == full).unwrap_or_else(|| {
            self.maps.push(MapState {
                name: full,
                place,
                keyed: None,
                key: None,
                value: MapValue::Unknown,
                headings: Vec::new(),
                uses: Vec::new(),
                looked_into: false,
                filled: false,
                looped: None,
            });
            self.changed = true;
            self.maps.len() - 1
        });
        let id = MapId(at as u32);
        self.maps_of_clause.insert(id);
        id
    }

    /// Notes that programs look at what is in a map, for which an aggregation is kept whole in the kernel.
    pub(super) fn looks_into(&mut self, map: MapId) {
        self.maps[map.0 as usize].looked_into = true;
    }

    /// Notes a use of a map.
    pub(super) fn used(&mut self, map: MapId, kind: UseKind, domain: Domain) {
        let event = self.event();
        let unconditional = self.scopes.len() == 2 && self.instance().probe.predicate.is_none() && !self.left;
        let at_end = event == super::Event::End && unconditional;
        self.maps[map.0 as usize].uses.push(Use {
            kind,
            domain,
            in_task: event.has_subject(),
            in_turn: event.is_in_turn(),
            at_end,
        });
    }

    /// The last use of a map deletes the entry.
    pub(super) fn deletes(&mut self, map: MapId) {
        self.looks_into(map);
        if let Some(last) = self.maps[map.0 as usize].uses.last_mut() {
            last.kind = UseKind::Delete;
        }
    }

    pub(super) fn keyed(&mut self, map: MapId, keyed: bool, span: Span) {
        let state = &mut self.maps[map.0 as usize];
        match state.keyed {
            None => {
                state.keyed = Some((keyed, span));
                self.changed = true;
            }
            Some((before, place)) if before != keyed => {
                let (now, then) = if keyed { ("with", "without") } else { ("without", "with") };
                let error = Diagnostic::error(span, format!("`{}` is used {now} a key here", state.name))
                    .also(place, format!("used {then} a key before"));
                self.report(error);
            }
            Some(_) => {}
        }
    }

    /// Takes a key into the type of the map's keys.
    fn key(&mut self, map: MapId, key: Operand, headings: Vec<String>) -> Option<typed::Expr> {
        let span = key.span();
        if key.ty.is_unknown() {
            return None;
        }
        if key.ty.shape().is_none() {
            self.error(span, format!("a key of a map cannot be of type `{}`", key.ty));
            return None;
        }
        let state = &mut self.maps[map.0 as usize];
        if state.headings.is_empty() {
            state.headings = headings;
        }
        let (ty, place) = state.key.get_or_insert_with(|| {
            self.changed = true;
            (key.ty.clone(), span)
        });
        match Checker::widen(&mut self.changed, ty, &key.ty) {
            Some(ty) => Some(convert(key, &ty)),
            None => {
                let error = Diagnostic::error(
                    span,
                    format!("`{}` is used with a key of type `{}`, but has keys of type `{ty}`", state.name, key.ty),
                )
                .also(*place, format!("`{ty}` here"));
                self.report(error);
                None
            }
        }
    }

    /// Takes a value into the type of a plain map's values; `None` after an error.
    pub(super) fn value(&mut self, map: MapId, value: Operand, span: Span) -> Option<typed::Expr> {
        self.maps[map.0 as usize].filled = true;
        if value.ty.is_unknown() {
            return None;
        }
        let state = &mut self.maps[map.0 as usize];
        if value.ty.shape().is_none() {
            let message = format!("a value of type `{}` cannot be assigned to a map", value.ty);
            self.error(value.span(), message);
            return None;
        }
        match &mut state.value {
            empty @ MapValue::Unknown => {
                *empty = MapValue::Plain(value.ty.clone(), span);
                self.changed = true;
                Some(value.expr)
            }
            MapValue::Plain(ty, place) => match Checker::widen(&mut self.changed, ty, &value.ty) {
                Some(ty) => {
                    self.warn_of_sign(&value, &ty);
                    Some(convert(value, &ty))
                }
                None => {
                    let message = format!("type mismatch: `{}` cannot hold a value of type `{}`", state.name, value.ty);
                    let error = Diagnostic::error(value.span(), message)
                        .label(format!("`{}`", value.ty))
                        .also(*place, format!("`{}` has values of type `{ty}`", state.name));
                    self.report(error);
                    None
                }
            },
            MapValue::Aggregation(aggregation, place) => {
                let message =
                    format!("type mismatch: `{}` is an aggregation, nothing else can be assigned", state.name);
                let error = Diagnostic::error(value.span(), message)
                    .label(format!("`{}`", value.ty))
                    .also(*place, format!("`{}` here", function(*aggregation)));
                self.report(error);
                None
            }
        }
    }

    /// Takes an aggregation into the map's; `None` after an error.
    pub(super) fn aggregation(&mut self, map: MapId, aggregation: Aggregation, span: Span) -> Option<Aggregation> {
        let state = &mut self.maps[map.0 as usize];
        match &mut state.value {
            empty @ MapValue::Unknown => {
                *empty = MapValue::Aggregation(aggregation, span);
                self.changed = true;
                Some(aggregation)
            }
            MapValue::Aggregation(known, place) => match merged(*known, aggregation) {
                Some(merged) => {
                    self.changed |= merged != *known;
                    *known = merged;
                    Some(merged)
                }
                None => {
                    let message = if function(*known) == function(aggregation) {
                        let what = if matches!(known, Aggregation::Series(_)) { "intervals" } else { "buckets" };
                        format!("`{}` has one `{}` with other {what} already", state.name, function(*known))
                    } else {
                        format!(
                            "type mismatch: `{}` is a `{}` here and a `{}` elsewhere",
                            state.name,
                            function(aggregation),
                            function(*known)
                        )
                    };
                    let error = Diagnostic::error(span, message).also(*place, format!("`{}` here", function(*known)));
                    self.report(error);
                    None
                }
            },
            MapValue::Plain(ty, place) => {
                let error = Diagnostic::error(
                    span,
                    format!(
                        "type mismatch: `{}` is a `{}` here and holds plain values elsewhere",
                        state.name,
                        function(aggregation)
                    ),
                )
                .also(*place, format!("a value of type `{ty}` here"));
                self.report(error);
                None
            }
        }
    }

    /// Maps that are only ever counted up or read hold numbers; whether there were any.
    pub(super) fn settle_counters(&mut self) -> bool {
        let mut settled = false;
        for map in &mut self.maps {
            if map.value == MapValue::Unknown && map.keyed.is_some() {
                map.value = MapValue::Plain(Ty::I8, map.place);
                settled = true;
            }
        }
        settled
    }

    /// A map of which no entry is ever used is a mistake, as is a loop over one that is never filled. To look at an entry of such
    /// a map is no error, as in bpftrace, but hardly meant.
    pub(super) fn check_maps_are_defined(&mut self) {
        let names = |but: &MapState| -> Vec<&str> {
            self.maps.iter().filter(|map| map.filled && map.name != but.name).map(|map| map.name.as_str()).collect()
        };
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for map in &self.maps {
            match map.looped.filter(|_| !map.filled).or(map.keyed.is_none().then_some(map.place)) {
                Some(place) => {
                    let error = Diagnostic::error(place, format!("undefined map `{}`", map.name));
                    let error = proposing(error, &map.name, names(map));
                    errors.push(match error.help.is_empty() {
                        true => error.label("nothing is ever assigned to it"),
                        false => error,
                    });
                }
                None if !map.filled => {
                    let warning = Diagnostic::warning(map.place, format!("nothing is ever assigned to `{}`", map.name));
                    warnings.push(proposing(warning, &map.name, names(map)));
                }
                None => {}
            }
        }
        self.diagnostics.extend(errors);
        // Where the script is wrong, what fills the map may not have been understood.
        if self.diagnostics.iter().all(Diagnostic::is_warning) {
            self.diagnostics.extend(warnings);
        }
    }

    /// What is known of the values of an expression.
    fn domain(&self, expr: &typed::Expr) -> Domain {
        match &expr.kind {
            ExprKind::Builtin(Builtin::Tid) => Domain::Tid,
            ExprKind::Builtin(Builtin::Cpu) => Domain::Cpu,
            ExprKind::Builtin(Builtin::Probe) => Domain::Probe,
            ExprKind::Builtin(Builtin::SyscallNumber) => Domain::Syscall(match self.instance().selector() {
                Selector::Always | Selector::Cookie => SYSCALL_NUMBERS,
                Selector::Syscalls(numbers) => numbers.last().copied().unwrap_or(0),
            }),
            ExprKind::Convert(inner) => match (self.domain(inner), &expr.ty) {
                (Domain::Syscall(_), typed::Type::Data(Shape::Int { size: 4, signed: false })) => Domain::Any, // -1
                (domain, typed::Type::Data(Shape::Int { size: 4 | 8, .. } | Shape::Syscall)) => domain,
                _ => Domain::Any,
            },
            _ => Domain::Any,
        }
    }
}

/// What the script calls the parts of a key.
fn headings(key: &ast::Expr) -> Vec<String> {
    let name = |expr: &ast::Expr| match &expr.kind {
        ast::ExprKind::Identifier(name) | ast::ExprKind::Variable(name) => name.clone(),
        ast::ExprKind::Field { field, .. } | ast::ExprKind::Arrow { field, .. }
            if field.text.starts_with(|c: char| c.is_alphabetic()) =>
        {
            field.text.clone()
        }
        _ => String::new(),
    };
    match &key.kind {
        ast::ExprKind::Tuple(parts) => parts.iter().map(name).collect(),
        _ => vec![name(key)],
    }
}

/// One aggregation for both, which differ in nothing but signedness.
fn merged(a: Aggregation, b: Aggregation) -> Option<Aggregation> {
    use Aggregation as A;
    Some(match (a, b) {
        (A::Sum { signed }, A::Sum { signed: other }) => A::Sum { signed: signed || other },
        (A::Avg { signed }, A::Avg { signed: other }) => A::Avg { signed: signed || other },
        (A::Min { signed }, A::Min { signed: other }) => A::Min { signed: signed || other },
        (A::Max { signed }, A::Max { signed: other }) => A::Max { signed: signed || other },
        (A::Stats { signed }, A::Stats { signed: other }) => A::Stats { signed: signed || other },
        (A::Series(one), A::Series(other)) => {
            let both = Series { signed: one.signed || other.signed, ..one };
            if both != (Series { signed: both.signed, ..other }) {
                return None;
            }
            A::Series(both)
        }
        (a, b) if a == b => a,
        _ => return None,
    })
}

/// The type of the number that an aggregation has come to; `None` if it is more than a number.
pub(super) fn total(aggregation: Aggregation) -> Option<Ty> {
    match aggregation {
        Aggregation::Count => Some(Ty::I64),
        Aggregation::Sum { signed }
        | Aggregation::Avg { signed }
        | Aggregation::Min { signed }
        | Aggregation::Max { signed } => Some(if signed { Ty::I64 } else { Ty::U64 }),
        Aggregation::Stats { .. }
        | Aggregation::Hist { .. }
        | Aggregation::Linear { .. }
        | Aggregation::Hdr
        | Aggregation::Series(_) => None,
    }
}

/// What is said where such a one stands as a value.
pub(super) fn no_number(span: Span, name: &str, aggregation: Aggregation, place: Span) -> Diagnostic {
    let function = function(aggregation);
    Diagnostic::error(span, format!("what `@{name}` holds is not a number: it is a `{function}`"))
        .also(place, format!("a `{function}` from here on"))
        .help("it can be printed, cleared, zeroed and deleted")
}

/// The function that makes an aggregation.
pub fn function(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Count => "count()",
        Aggregation::Sum { .. } => "sum()",
        Aggregation::Avg { .. } => "avg()",
        Aggregation::Min { .. } => "min()",
        Aggregation::Max { .. } => "max()",
        Aggregation::Stats { .. } => "stats()",
        Aggregation::Hist { .. } => "hist()",
        Aggregation::Linear { .. } => "lhist()",
        Aggregation::Hdr => "hdr()",
        Aggregation::Series(_) => "tseries()",
    }
}
