//! Comparisons of what is kept as a number with the text that it is shown as: probes, system calls, errors, signals.

use super::operand::{bool_literal, constant, convert};
use super::operators::{compare, negate_if};
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::typed::{self, ExprKind, Stmt, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::sema::{proposing, syscalls};
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::{Naming, numbers};

impl Checker<'_> {
    /// `probe == "…"`: each probe has its own clause here, so it is known.
    pub(super) fn probe_equality(&mut self, op: ast::BinaryOp, text: &Operand, span: Span) -> Operand {
        let ExprKind::Str(text) = &text.expr.kind else {
            return self.not_yet(span, "comparisons of `probe` with a text that is not written out");
        };
        let equal = self.instance().sites[0].name == *text;
        bool_literal(equal == (op == ast::BinaryOp::Eq), span)
    }

    /// `syscall_name(n) == "read"`: the numbers are compared.
    pub(super) fn syscall_equality(&mut self, op: ast::BinaryOp, name: Operand, text: &Operand, span: Span) -> Operand {
        let ExprKind::Str(known) = &text.expr.kind else {
            return self.not_yet(span, "comparisons of a system call's name with a text that is not written out");
        };
        let Some(syscall) = syscalls::by_name(known) else {
            let names = syscalls::all().iter().map(|syscall| syscall.name);
            let error = Diagnostic::error(text.span(), format!("there is no system call `{known}`"));
            return self.refuse_with(proposing(error, known, names));
        };
        let number = constant(&Ty::Syscall, syscall.number.into(), text.span());
        compare(op, name.expr, number, span)
    }

    /// `strerror(n) == "No such file or directory"`: the number is looked for among those that are called so.
    pub(super) fn name_equality(
        &mut self,
        op: ast::BinaryOp,
        naming: &Naming,
        name: Operand,
        text: &Operand,
        span: Span,
    ) -> Operand {
        let ExprKind::Str(known) = &text.expr.kind else {
            let what = format!("comparisons of an {} with a text that is not written out", name.ty);
            return self.not_yet(span, &what);
        };
        let (called, names): (_, Vec<&str>) = match naming {
            // An error is called the same with either sign.
            Naming::Error => {
                let numbers = numbers::errors_called(known);
                let both = numbers.into_iter().flat_map(|number| [number, -number]);
                (both.collect::<Vec<i64>>(), numbers::error_names().collect())
            }
            _ => (numbers::signals_called(known), numbers::signal_names().collect()),
        };
        if called.is_empty() {
            let warning = Diagnostic::warning(text.span(), format!("no {} is `{known}`", name.ty));
            self.report(proposing(warning, known, names));
        }
        let number = typed::Expr { kind: ExprKind::Convert(Box::new(name.expr)), ty: Ty::I64.typed(), span };
        let (kept, number) = self.kept(Operand { ty: Ty::I64, expr: number, literal: false }, span);
        let any = called.into_iter().map(|value| {
            let value = constant(&Ty::I64, value, text.span());
            compare(ast::BinaryOp::Eq, number.expr.clone(), value, span).expr
        });
        let either = |a: typed::Expr, b: typed::Expr| {
            let kind = ExprKind::Or(Box::new(a), Box::new(b));
            typed::Expr { kind, ty: Ty::Bool.typed(), span }
        };
        let equal = any.reduce(either).unwrap_or_else(|| constant(&Ty::Bool, 0, span));
        let value = negate_if(op == ast::BinaryOp::Ne, equal, span).expr;
        Operand::new(Ty::Bool, ExprKind::Block(vec![kept], Box::new(value)), span)
    }

    /// Keeps a value in a variable of the compiler's own, to use it several times: what does so, and the variable.
    fn kept(&mut self, value: Operand, span: Span) -> (Stmt, Operand) {
        let ty = value.ty.clone();
        let id = self.hidden_local_of("value.kept", ty.clone(), span);
        let expr = convert(value, &ty);
        (Stmt { kind: StmtKind::SetLocal(id, expr), span }, Operand::new(ty, ExprKind::Local(id), span))
    }
}
