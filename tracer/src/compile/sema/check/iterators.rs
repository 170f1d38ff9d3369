//! `ctx` where the kernel goes over something: what it has come to.

use super::operand::convert;
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::iterators;
use crate::compile::sema::policy::Data;
use crate::compile::sema::probes::Event;
use crate::compile::sema::typed::{self, ExprKind, Question};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::host::btf::TypeId;

impl Checker<'_> {
    /// `ctx`.
    pub(super) fn context(&mut self, span: Span) -> Operand {
        let (Event::Iterator { function }, Some(types)) = (self.event(), self.types.btf()) else {
            let error = Diagnostic::error(span, "`ctx` can only be used in `iter`");
            return self.refuse_with(error.help("use `args`, `arg0`, … or `reg()`"));
        };
        let Some(context) = iterators::context(types, function) else { return Operand::unknown(span) };
        let ty = Ty::Pointer { to: Box::new(Ty::Named(context)), user: false };
        Operand::new(ty, ExprKind::ContextAddress, span)
    }

    /// `ctx.task`, `ctx.task.pid`: a member of the context, or the number of its task as the scope's pid namespace has it;
    /// `None` if it is neither.
    pub(super) fn given_to_iterator(&mut self, base: &Operand, name: &ast::Name, span: Span) -> Option<Operand> {
        let (Event::Iterator { function }, Ty::Pointer { to, .. }) = (self.event(), &base.ty) else { return None };
        match &base.expr.kind {
            ExprKind::ContextAddress => {
                let field = self.types.member(to, &name.text)?;
                let size =
                    field.ty.size().filter(|size| *size <= 8 && field.offset % 8 == 0 && field.bits.is_none())?;
                let word = u8::try_from(field.offset / 8).ok()?;
                self.allow(Data::KernelMemory, "`ctx`", span);
                let value = Operand::new(Ty::U64, ExprKind::ContextWord(word), span);
                let bits = Ty::int(size as u8, false);
                let value = Operand { expr: convert(value, &bits), ty: bits, literal: false };
                Some(Operand { expr: convert(value, &field.ty), ty: field.ty, literal: false })
            }
            kind if context_word(kind).is_some_and(|word| self.is_task(function, word)) => {
                let task = || Box::new(typed::Expr { ty: Ty::U64.typed(), ..base.expr.clone() });
                let number = Ty::int(4, true);
                let value = match name.text.as_str() {
                    "pid" => Operand::new(Ty::U32, ExprKind::Ask(Question::TaskId, task()), span),
                    "tgid" => Operand::new(Ty::U32, ExprKind::Ask(Question::ProcessId, task()), span),
                    _ => return None,
                };
                self.allow(Data::Identity, "the number of a task", span);
                Some(Operand { expr: convert(value, &number), ty: number, literal: false })
            }
            _ => None,
        }
    }

    fn is_task(&self, function: TypeId, word: u8) -> bool {
        self.types.btf().and_then(|types| iterators::task_word(types, function)) == Some(word)
    }
}

/// The word of the context that an expression is, of whatever type.
fn context_word(kind: &ExprKind) -> Option<u8> {
    match kind {
        ExprKind::ContextWord(word) => Some(*word),
        ExprKind::Convert(inner) => context_word(&inner.kind),
        _ => None,
    }
}
