//! Expressions: names, literals, access to arguments and tuples, conversions.

use std::sync::Arc;

use super::Checker;
use super::operand::{Operand, bool_literal, constant, convert, integer, negated, string, truth, truth_value};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::expand::shown;
use crate::compile::sema::builtins::{self, Becomes};
use crate::compile::sema::constants;
use crate::compile::sema::policy::Data;
use crate::compile::sema::proposing;
use crate::compile::sema::typed::{self, Builtin, ExprKind, Register};
use crate::compile::sema::types::{Record, Ty};
use crate::compile::source::Span;
use crate::compile::syntax::ast;

/// Most parts of a tuple or record.
const MAX_PARTS: usize = 1024;

/// The language's own types, for proposals.
pub(super) const TYPE_NAMES: [&str; 10] =
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string"];

impl Checker<'_> {
    /// Any expression that gives a value.
    pub fn expr(&mut self, expr: &ast::Expr) -> Operand {
        let span = expr.span;
        if !self.enter(span) {
            return Operand::unknown(span);
        }
        use ast::ExprKind as E;
        match &expr.kind {
            &E::Integer { value, .. } => integer(value, span), // suffixes mean nothing, as in bpftrace
            E::String(text) => string(text, span),
            &E::Bool(value) => bool_literal(value, span),
            E::Identifier(name) => self.word(name, span),
            E::Variable(name) => self.variable(name, span),
            E::Map { name, key } => self.map_value(name, key.as_deref(), span),
            &E::Positional(index) => self.positional(index, span),
            E::PositionalCount => integer(self.target.positional.len() as u64, span),
            E::Call { name, arguments } => self.call(name, arguments, span),
            E::Unary { op, operand } => self.unary(*op, operand, span),
            E::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, span),
            E::Ternary { condition, then, otherwise } => self.ternary(condition, then.as_deref(), otherwise, span),
            E::Cast { ty, operand } => self.cast(ty, operand, span),
            E::Field { base, field } | E::Arrow { base, field } => self.field(base, field, span),
            E::Index { base, index } => self.index(base, index, span),
            E::Tuple(parts) => self.tuple(parts, span),
            E::Comptime(operand) => {
                let operand = self.expr(operand);
                if !operand.literal && !operand.ty.is_unknown() {
                    return self.refuse(span, "this is not known when the script is compiled");
                }
                operand
            }
            E::Record(parts) => self.record(parts, span),
            E::Block(block) => self.block_value(block),
            E::If { condition, then, otherwise } => {
                let branch = |block: &ast::Block| ast::Expr { kind: E::Block(block.clone()), span: block.span };
                self.ternary(condition, Some(&branch(then)), &branch(otherwise), span)
            }
            E::TypeQuery { query, of } => self.type_query(query, of, span),
            E::Type(_) => {
                let error = Diagnostic::error(span, "a type is no value");
                self.refuse_with(error.help("types are given to macros, cast to, and asked for their size"))
            }
            E::Error => Operand::unknown(span), // the parser has reported it
        }
    }

    /// An expression of the language that is refused so far; `what` is a plural.
    pub fn not_yet(&mut self, span: Span, what: &str) -> Operand {
        self.refuse(span, format!("{what} are not supported yet"))
    }

    /// What `if`, `?:`, predicates and `!` test.
    pub fn condition(&mut self, expr: &ast::Expr) -> typed::Expr {
        truth(self.tested(expr))
    }

    /// The same, before it is made a truth.
    pub fn tested(&mut self, expr: &ast::Expr) -> Operand {
        let operand = self.expr(expr);
        if !operand.ty.is_condition() {
            let error = Diagnostic::error(expr.span, format!("a condition cannot be of type `{}`", operand.ty))
                .label("expected a number");
            self.report(error);
        }
        operand
    }

    /// A number; an error if it is something else.
    pub fn number(&mut self, expr: &ast::Expr) -> Operand {
        let operand = self.expr(expr);
        if !operand.ty.is_number() && !operand.ty.is_unknown() {
            let error = Diagnostic::error(expr.span, "a number is expected here");
            return self.refuse_with(error.label(format!("this is of type `{}`", operand.ty)));
        }
        operand
    }

    fn variable(&mut self, name: &str, span: Span) -> Operand {
        let Some(id) = self.find_local(name) else {
            let shown_name = format!("${}", shown(name));
            let error = Diagnostic::error(span, format!("undefined or undeclared variable `{shown_name}`"));
            // Inside of a macro or function, only its own variables are to be had.
            let of_call = |name: &str| name.strip_prefix(shown(name)).map(str::to_owned);
            let in_sight = self.scopes.iter().flatten().filter(|(known, _)| of_call(known) == of_call(name));
            let in_sight: Vec<String> = in_sight.map(|(known, _)| format!("${}", shown(known))).collect();
            let error = proposing(error, &shown_name, in_sight.iter().map(String::as_str));
            return self.refuse_with(error);
        };
        let local = self.local_mut(id);
        local.used.get_or_insert(span);
        let (ty, assigned) = (local.ty.clone(), local.assigned);
        if !assigned {
            self.report(Diagnostic::warning(
                span,
                format!("`${}` is used before anything is assigned to it", shown(name)),
            ));
        }
        Operand::new(ty, ExprKind::Local(id), span)
    }

    /// `pid`, `args`, `true`: a word without a sigil.
    pub(super) fn word(&mut self, name: &str, span: Span) -> Operand {
        if name == "args" {
            return Operand::new(Ty::Args, ExprKind::Int(0), span);
        }
        if name == "ctx" {
            return self.context(span);
        }
        if let Some(index) = numbered("arg", name) {
            return self.numbered_argument(name, index, span);
        }
        if let Some(index) = numbered("sarg", name) {
            return self.stack_argument(name, index, span);
        }
        let Some(row) = builtins::word(name) else {
            if let Some((ty, value)) = self.types.enumerator(name) {
                return Operand { literal: true, ..Operand::new(ty, ExprKind::Int(value), span) };
            }
            if let Some(value) = constants::value(name) {
                return integer(value as u64, span);
            }
            let error = if builtins::function(name).is_some() {
                Diagnostic::error(span, format!("`{name}` is a function")).help(format!("write `{name}(…)`"))
            } else {
                let error = Diagnostic::error(span, format!("unknown identifier `{name}`"));
                proposing(error, name, builtins::words())
            };
            return self.refuse_with(error);
        };
        self.allow_action(row.data, row.action, &format!("`{name}`"), span);
        match &row.becomes {
            Becomes::Value { builtin, kernel, ty } => {
                let value = Operand::new(kernel.clone(), ExprKind::Builtin(*builtin), span);
                Operand { expr: convert(value, ty), ty: ty.clone(), literal: false }
            }
            Becomes::Expression(check) => check(self, Vec::new(), span),
            Becomes::Statement(_) | Becomes::Aggregation(_) => self.refuse(span, format!("`{name}` gives no value")),
        }
    }

    /// A register of the process.
    pub fn register(&mut self, register: Register, what: &str, span: Span) -> Operand {
        self.allow(Data::Arguments, what, span);
        Operand::new(Ty::U64, ExprKind::Builtin(Builtin::Register(register)), span)
    }

    /// `$1`: a number where it can be read as one, else text; `str($1)` is text always.
    fn positional(&mut self, index: u32, span: Span) -> Operand {
        let Some(text) = self.positional_text(index) else {
            self.report(Diagnostic::warning(span, format!("`${index}` was not given: it is 0")));
            return Operand { ty: Ty::I64, expr: constant(&Ty::I64, 0, span), literal: true };
        };
        let text = text.to_string();
        let (digits, negative) = text.strip_prefix('-').map_or((text.as_str(), false), |digits| (digits, true));
        let value = match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        match value {
            Ok(value) if negative => negated(value, span),
            Ok(value) => integer(value, span),
            Err(_) => string(&text, span),
        }
    }

    /// What was given for `$index`.
    pub fn positional_text(&self, index: u32) -> Option<&str> {
        let at = usize::try_from(index).ok()?.checked_sub(1)?;
        self.target.positional.get(at).map(String::as_str)
    }

    fn tuple(&mut self, parts: &[ast::Expr], span: Span) -> Operand {
        if parts.len() > MAX_PARTS {
            let error = Diagnostic::error(span, format!("this tuple has {} parts", parts.len()));
            return self.refuse_with(error.help(format!("at most {MAX_PARTS} are possible")));
        }
        let parts: Vec<Operand> = parts.iter().map(|part| self.expr(part)).collect();
        for part in &parts {
            if part.ty.shape().is_none() && !part.ty.is_unknown() {
                self.error(part.span(), format!("a value of type `{}` cannot be part of a tuple", part.ty));
                return Operand::unknown(span);
            }
        }
        let (types, parts) = parts.into_iter().map(|part| (part.ty, part.expr)).unzip();
        Operand::new(Ty::Tuple(types), ExprKind::Tuple(parts), span)
    }

    fn record(&mut self, parts: &[(ast::Name, ast::Expr)], span: Span) -> Operand {
        if parts.len() > MAX_PARTS {
            let error = Diagnostic::error(span, format!("this record has {} members", parts.len()));
            return self.refuse_with(error.help(format!("at most {MAX_PARTS} are possible")));
        }
        let mut fields = Vec::new();
        let mut exprs = Vec::new();
        for (at, (name, value)) in parts.iter().enumerate() {
            if let Some((before, _)) = parts[..at].iter().find(|(before, _)| before.text == name.text) {
                let error = Diagnostic::error(name.span, format!("`{}` is named twice", name.text));
                return self.refuse_with(error.also(before.span, "here first"));
            }
            let value = self.expr(value);
            if value.ty.is_unknown() {
                return Operand::unknown(span);
            }
            if value.ty.shape().is_none() {
                return self.refuse(value.span(), format!("a value of type `{}` cannot be part of a record", value.ty));
            }
            fields.push((name.text.clone(), value.ty));
            exprs.push(value.expr);
        }
        let record = Record::of(fields).expect("all parts have a layout");
        Operand::new(Ty::Record(Arc::new(record)), ExprKind::Tuple(exprs), span)
    }

    fn cast(&mut self, name: &ast::TypeName, operand: &ast::Expr, span: Span) -> Operand {
        let operand = self.expr(operand);
        let Some(ty) = self.type_name(name) else {
            return Operand::unknown(span);
        };
        // An array in memory is where its first element is.
        if let (Ty::Str(_) | Ty::Array(..), Ty::Pointer { to, .. }) = (&operand.ty, &ty)
            && let ExprKind::ReadStr { address, user, .. } | ExprKind::Read { address, user } = operand.expr.kind
        {
            return Operand { ty: Ty::Pointer { to: to.clone(), user }, expr: *address, literal: false };
        }
        match (&operand.ty, &ty) {
            (Ty::Unknown, _) => Operand::unknown(span),
            (&Ty::Pointer { user, .. }, Ty::Pointer { to, .. }) => {
                // Where it points does not change.
                let ty = Ty::Pointer { to: to.clone(), user };
                Operand { expr: convert(operand, &ty), ty, literal: false }
            }
            (from, to) if from == to && self.aggregation_read(&operand).is_some() => operand,
            (from, to) if from.typed() == to.typed() && (from == to || from.is_int()) => {
                let warning = Diagnostic::warning(span, format!("unnecessary cast: this is of type `{from}` already"));
                self.report(warning);
                // It has no longer the sign of what it meets.
                Operand { literal: false, ty, ..operand }
            }
            (Ty::Int { .. } | Ty::Enum { .. }, Ty::Enum { of, .. }) => {
                if let (true, &ExprKind::Int(value)) = (operand.literal, &operand.expr.kind)
                    && of.names.iter().all(|&(known, _)| known != value)
                {
                    return self.refuse(span, format!("no enumerator of `{}` has the value {value}", of.name));
                }
                Operand { literal: operand.literal, expr: convert(operand, &ty), ty }
            }
            (Ty::Int { size, .. }, Ty::Array(of, length)) if of.is_int() => {
                let element = of.size().expect("integers have a size");
                // An array without a length takes that of what it is made from, a number that is written out fits all.
                let length = if *length == 0 { u32::from(*size).div_ceil(element) } else { *length };
                let bytes = element * length;
                if !(u32::from(*size) == bytes || operand.literal && u32::from(*size) <= bytes && bytes <= 8) {
                    return self.refuse(span, format!("cannot cast from `{}` to `{ty}`", operand.ty));
                }
                let number = match bytes {
                    1 | 2 | 4 | 8 => Ty::int(bytes as u8, false),
                    _ => return self.refuse(span, format!("cannot cast from `{}` to `{ty}`", operand.ty)),
                };
                let number = Operand { expr: convert(operand, &number), ty: number, literal: false };
                let ty = Ty::Array(of.clone(), length);
                let kind = ExprKind::Convert(Box::new(number.expr));
                Operand::new(ty, kind, span)
            }
            (Ty::Array(..), Ty::Int { size, .. }) if operand.ty.size() == Some(u32::from(*size)) => {
                Operand::new(ty, ExprKind::Convert(Box::new(operand.expr)), span)
            }
            (Ty::Int { .. } | Ty::Bool | Ty::Enum { .. } | Ty::Pointer { .. } | Ty::Syscall, Ty::Int { .. })
            | (Ty::Int { .. }, Ty::Pointer { .. }) => Operand { expr: convert(operand, &ty), ty, literal: false },
            (Ty::Int { .. } | Ty::Enum { .. } | Ty::Pointer { .. }, Ty::Bool) => {
                Operand { expr: truth_value(operand), ty, literal: false }
            }
            (Ty::Str(from), Ty::Str(to)) if from <= to => Operand { expr: convert(operand, &ty), ty, literal: false },
            (from, to) => {
                let message = format!("cannot cast from `{from}` to `{to}`");
                self.refuse(span, message)
            }
        }
    }

    /// A type as it is written; an error if it cannot be had.
    pub fn type_name(&mut self, name: &ast::TypeName) -> Option<Ty> {
        use ast::TypeNameKind as T;
        match &name.kind {
            T::Named(text) => match Ty::named(text) {
                Some(ty) => Some(ty),
                None if text == "string" => Some(Ty::Str(0)),
                None => {
                    let known = self.types.resolve(&Ty::Named(text.clone()));
                    if known.is_none() {
                        let error = Diagnostic::error(name.span, format!("the type `{text}` is not known"));
                        self.report(proposing(error, text, TYPE_NAMES));
                    }
                    known
                }
            },
            T::Sized(text, size) if text == "string" && (1..=u64::from(self.settings.max_strlen)).contains(size) => {
                Some(Ty::Str(*size as u32))
            }
            T::Sized(text, size) if text == "string" => {
                self.error(
                    name.span,
                    format!("a text of {size} bytes is too long: at most {}", self.settings.max_strlen),
                );
                None
            }
            T::Tuple(parts) => {
                let parts: Vec<Option<Ty>> = parts.iter().map(|part| self.type_name(part)).collect();
                parts.into_iter().collect::<Option<Vec<Ty>>>().map(Ty::Tuple)
            }
            T::Pointer(to) => {
                let to = self.types.pointed_to(to);
                Some(Ty::Pointer { to: Box::new(to), user: self.event().in_user_memory() })
            }
            T::Struct(tag) => self.tagged("struct", tag, name.span),
            T::Union(tag) => self.tagged("union", tag, name.span),
            T::Enum(tag) => self.tagged("enum", tag, name.span),
            T::Array(of, length) => {
                let of = self.type_name(of)?;
                Some(Ty::Array(Box::new(of), u32::try_from(length.unwrap_or(0)).ok()?))
            }
            T::TypeOf(expr) => match &expr.0.kind {
                ast::ExprKind::Type(ty) => self.type_name(ty),
                _ => Some(self.expr(&expr.0).ty),
            },
            T::Sized(..) => {
                self.error(name.span, "a value of this type cannot be declared, or it is not supported yet");
                None
            }
        }
    }

    fn tagged(&mut self, keyword: &str, tag: &str, span: Span) -> Option<Ty> {
        let ty = self.types.resolve(&Ty::Named(format!("{keyword} {tag}")));
        if ty.is_none() {
            self.error(span, format!("the type `{keyword} {tag}` is not known"));
        }
        ty
    }
}

/// `arg0` → 0.
pub fn numbered(prefix: &str, name: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.parse().ok()
}
