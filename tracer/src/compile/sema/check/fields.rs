//! Fields of the catalogue's events: `args.next_comm` is what the catalogue has for it, an expression over the raw
//! tracepoint's arguments, checked as if the script had it, and made into what the event's record would hold.

use super::operand::{binary, constant, convert, truth_value};
use super::{Checker, Operand};
use crate::compile::diagnostics::{Diagnostic, Severity};
use crate::compile::expand::walk::{Walk, walk_block, walk_expr, walk_stmt};
use crate::compile::sema::catalogue::{Member, Row};
use crate::compile::sema::policy::Data;
use crate::compile::sema::proposing;
use crate::compile::sema::typed::{self, ExprKind, Question};
use crate::compile::sema::types::Ty;
use crate::compile::source::{Source, Span};
use crate::compile::syntax::{self, ast};
use crate::host::btf::TypeId;

impl Checker<'_> {
    /// `args.name` at an event of the catalogue.
    pub(super) fn field_of_event(
        &mut self,
        row: &'static Row,
        function: TypeId,
        name: &ast::Name,
        span: Span,
    ) -> Operand {
        self.allow(Data::Arguments, "arguments", span);
        let Some(types) = self.types.btf() else {
            return self.refuse(span, "this kernel does not show its types");
        };
        let members = self.members.entry(row.name).or_insert_with(|| row.members(types)).clone();
        let Some(member) = members.iter().find(|member| member.name == name.text) else {
            let error =
                Diagnostic::error(name.span, format!("`tracepoint:{}` has no field `{}`", row.full_name(), name.text));
            let error = proposing(error, &name.text, members.iter().map(|member| member.name));
            let listed = || members.iter().map(|member| format!("`{}`", member.name)).collect::<Vec<_>>().join(", ");
            let error = match error.help.is_empty() {
                true if members.is_empty() => error.help("nothing is known of its fields in this kernel"),
                true => error.help(format!("it has {}", listed())),
                false => error,
            };
            return self.refuse_with(error);
        };
        let argument = format!("args.{}", member.name);
        let known = row.expressions(member.name).map(str::to_owned);
        let candidates: Vec<String> = known.chain([argument]).collect();
        let outer = self.raw.replace(function);
        let found = candidates.into_iter().find_map(|text| self.try_expression(&text, member, span));
        self.raw = outer;
        found.unwrap_or_else(|| {
            self.refuse(span, format!("this kernel does not have `{}` where it is known to be", member.name))
        })
    }

    /// The value of one of the catalogue's expressions as the field; `None` if this kernel's types do not allow it.
    fn try_expression(&mut self, text: &str, member: &Member<'_>, span: Span) -> Option<Operand> {
        let expression = expression(text, span)?;
        let before = self.diagnostics.len();
        let operand = self.expr(&expression);
        let wrong = self.diagnostics[before..].iter().any(|finding| finding.severity == Severity::Error);
        self.diagnostics.truncate(before);
        if wrong || operand.ty.is_unknown() {
            return None;
        }
        if member.text {
            return Some(operand);
        }
        let declared = self.types.of_kernel(member.ty)?;
        as_declared(operand, declared)
    }

    /// What the catalogue's expressions can call besides the language's functions; `None` if this is none of them.
    pub(super) fn function_of_catalogue(&mut self, name: &str, arguments: &[ast::Expr], span: Span) -> Option<Operand> {
        let [argument] = arguments else { return None };
        self.raw?;
        let mut ask = |question, ty: Ty| {
            let address = convert(self.expr(argument), &Ty::U64);
            Operand::new(ty, ExprKind::Ask(question, Box::new(address)), span)
        };
        Some(match name {
            "task_pid" => ask(Question::TaskId, Ty::U32),
            "pid_number" => ask(Question::PidNumber, Ty::U32),
            "letters" => ask(Question::RequestLetters, Ty::U64),
            "shown" => {
                let in_scope = ask(Question::InScope, Ty::Bool).expr;
                // The tasks that run where there is nothing to do have the number 0.
                let pid = format!("args.{}.pid == 0", argument_name(argument)?);
                let idle = self.expr(&expression(&pid, span)?);
                let or = ExprKind::Or(Box::new(in_scope), Box::new(truth_value(idle)));
                Operand::new(Ty::Bool, or, span)
            }
            "swapped" => {
                let value = convert(self.expr(argument), &Ty::U64);
                let op = |op, a, b| binary(op, a, b, &Ty::U64, span);
                let eight = || constant(&Ty::U64, 8, span);
                let high = op(typed::BinaryOp::Shl, value.clone(), eight());
                let low = op(typed::BinaryOp::Shr, value, eight());
                let both = op(typed::BinaryOp::BitOr, high, low);
                Operand::new(Ty::U64, op(typed::BinaryOp::BitAnd, both, constant(&Ty::U64, 0xffff, span)).kind, span)
            }
            "mapped" => {
                let value = convert(self.expr(argument), &Ty::U64);
                let byte = |value: typed::Expr| {
                    convert(Operand { ty: Ty::U64, expr: value, literal: false }, &Ty::int(1, false))
                };
                let known = [0; 10].into_iter().chain([0xff; 2]).map(|byte| constant(&Ty::int(1, false), byte, span));
                let own = (0..4).map(|at| {
                    let shift = constant(&Ty::U64, 8 * at, span);
                    byte(binary(typed::BinaryOp::Shr, value.clone(), shift, &Ty::U64, span))
                });
                let bytes = known.chain(own).collect();
                Operand::new(Ty::Array(Box::new(Ty::int(1, false)), 16), ExprKind::Tuple(bytes), span)
            }
            _ => return None,
        })
    }
}

/// `args.next` → `next`.
fn argument_name(argument: &ast::Expr) -> Option<&str> {
    match &argument.kind {
        ast::ExprKind::Field { field, .. } | ast::ExprKind::Arrow { field, .. } => Some(&field.text),
        _ => None,
    }
}

/// The value as the record would hold it: cut or filled up to its type.
fn as_declared(operand: Operand, declared: Ty) -> Option<Operand> {
    let Operand { ty, mut expr, .. } = operand;
    let span = expr.span;
    if ty == declared {
        return Some(Operand { ty, expr, literal: false });
    }
    let scalar = |ty: &Ty| ty.is_number() || matches!(ty, Ty::Pointer { .. } | Ty::Enum { .. });
    let through_bits =
        |expr: typed::Expr| typed::Expr { kind: ExprKind::Convert(Box::new(expr)), ty: declared.typed(), span };
    let expr = match (&ty, &declared) {
        // Text that is read where it is wanted, and no longer than it may be.
        (Ty::Str(_), Ty::Str(_)) if matches!(expr.kind, ExprKind::ReadStr { .. }) => {
            expr.ty = declared.typed();
            expr
        }
        (Ty::Str(from), Ty::Str(to)) if from <= to => convert(Operand { ty, expr, literal: false }, &declared),
        // Letters in a number; bytes of an address.
        (Ty::Int { .. }, Ty::Str(size)) if *size >= 8 => through_bits(expr),
        (Ty::Int { size, .. }, Ty::Array(_, _)) if declared.size() == Some(u32::from(*size)) => through_bits(expr),
        (from, to) if scalar(from) && scalar(to) => convert(Operand { ty, expr, literal: false }, &declared),
        _ => return None,
    };
    Some(Operand { ty: declared, expr, literal: false })
}

/// An expression of the catalogue, as if it stood in the script; `None` if it is none.
fn expression(text: &str, span: Span) -> Option<ast::Expr> {
    let source = Source::new("catalogue", format!("begin {{ print({text}); }}"));
    let parsed = syntax::parse(&source);
    if !parsed.errors.is_empty() {
        return None;
    }
    let mut probes = parsed.script.probes;
    let statement = probes.first_mut()?.body.statements.pop();
    let value = probes.first_mut()?.body.value.take().map(|value| *value);
    let call = match (statement.map(|statement| statement.kind), value) {
        (Some(ast::StmtKind::Expr(call) | ast::StmtKind::Discard(call)), _) => call,
        (_, Some(call)) => call,
        _ => return None,
    };
    let ast::ExprKind::Call { mut arguments, .. } = call.kind else { return None };
    let mut expression = arguments.pop()?;
    At(span).expr(&mut expression);
    Some(expression)
}

/// Places all of an expression where it is used.
struct At(Span);

impl Walk for At {
    fn expr(&mut self, expr: &mut ast::Expr) {
        expr.span = self.0;
        if let ast::ExprKind::Field { field, .. } | ast::ExprKind::Arrow { field, .. } = &mut expr.kind {
            field.span = self.0;
        }
        walk_expr(self, expr);
    }

    fn stmt(&mut self, stmt: &mut ast::Stmt) {
        walk_stmt(self, stmt);
    }

    fn block(&mut self, block: &mut ast::Block) {
        walk_block(self, block);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::compile::sema::catalogue;
    use crate::compile::target::Target;
    use crate::host::btf::Btf;

    #[test]
    fn every_expression_of_the_catalogue_is_one() {
        for row in catalogue::all() {
            for text in row.all_expressions() {
                assert!(expression(text, Span::default()).is_some(), "{}: {text}", row.name);
            }
        }
    }

    #[test]
    fn the_fields_of_this_kernels_events_have_values() {
        let types = Arc::new(Btf::of_kernel().unwrap());
        let target = Target { types: Some(types.clone()), ..Target::default() };
        let mut wrong = Vec::new();
        let mut events = 0;
        for row in catalogue::all() {
            events += u32::from(!row.members(&types).is_empty());
            let fields = row.members(&types).into_iter().map(|member| format!("@{0} = args.{0};", member.name));
            let text = format!("tracepoint:{} {{ {} }}", row.full_name(), fields.collect::<String>());
            if row.members(&types).is_empty() {
                continue;
            }
            let parsed = syntax::parse(&Source::new("test", text));
            if let Err(findings) = crate::compile::sema::analyse(&parsed.script, Vec::new(), &target) {
                wrong.push(format!("{}: {findings:#?}", row.name));
            }
        }
        assert!(events > 40, "{events}");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn an_expression_stands_where_it_is_used() {
        let span = Span { start: 7, end: 9 };
        let expression = expression("args.p.comm", span).unwrap();
        assert_eq!(expression.span, span);
        assert!(
            matches!(expression.kind, ast::ExprKind::Field { field, .. } if field.span == span && field.text == "comm")
        );
    }
}
