//! Loops.

use super::maps::{no_number, total};
use super::operand::convert;
use super::{Checker, Domain, MapValue, Operand, UseKind};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::expand::shown;
use crate::compile::sema::typed::{BinaryOp, Expr, ExprKind, LocalId, Stmt, StmtKind, Type};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::Shape;

/// The first Linux with `bpf_loop`.
const SINCE: (u32, u32, u32) = (5, 17, 0);

impl Checker<'_> {
    /// `while (condition) { … }`.
    pub(super) fn while_loop(&mut self, condition: &ast::Expr, body: &ast::Block, span: Span) -> StmtKind {
        self.require_loops(span);
        let condition = self.condition(condition);
        let body = self.turn(|checker| checker.block(body));
        StmtKind::Loop { condition, body, step: Vec::new() }
    }

    /// `for $i : from..to { … }`: both ends are evaluated once, and what the body assigns to `$i` does not matter for the
    /// next turn. Its type is the smallest that holds both ends.
    pub(super) fn for_range(
        &mut self,
        variable: &ast::Name,
        (from, to): (&ast::Expr, &ast::Expr),
        body: &ast::Block,
        span: Span,
    ) -> StmtKind {
        self.require_loops(span);
        let (first, end) = (self.bound(from), self.bound(to));
        self.scopes.push(Vec::new());
        let hidden = |name: &str| format!("{} {name}", variable.text);
        let next = self.hidden_local(&hidden("next"), variable.span);
        let last = self.hidden_local(&hidden("end"), variable.span);
        self.not_in_sight(variable);
        let own = self.declare_local(&variable.text, variable.span);
        let ty = first.ty.promoted(&end.ty).unwrap_or(Ty::I64);
        let mut stmts = Vec::new();
        for (local, bound) in [(next, first), (last, end)] {
            if !bound.ty.is_unknown() {
                let span = bound.span();
                stmts.push(Stmt { kind: StmtKind::SetLocal(local, convert(bound, &Ty::I64)), span });
            }
        }

        let number = |kind: ExprKind| Expr { kind, ty: Type::Data(Shape::I64), span: variable.span };
        let read = |local| Box::new(number(ExprKind::Local(local)));
        let condition = Expr {
            kind: ExprKind::Binary(BinaryOp::Lt, read(next), read(last)),
            ty: Type::Data(Shape::Bool),
            span: variable.span,
        };
        let step = number(ExprKind::LocalAdd { local: next, delta: 1, post: true });
        let body = self.turn(|checker| {
            let mut stmts = Vec::new();
            let operand = Operand::new(Ty::I64, ExprKind::Local(next), variable.span);
            let operand = Operand { expr: convert(operand, &ty), ty, literal: false };
            checker.set_local(own, operand, variable.span, &mut stmts);
            stmts.extend(checker.block(body));
            stmts
        });
        self.scopes.pop();
        let step = vec![Stmt { kind: StmtKind::Expr(step), span }];
        stmts.push(Stmt { kind: StmtKind::Loop { condition, body, step }, span });
        StmtKind::Block(stmts)
    }

    /// `for $entry : @map { … }`.
    pub(super) fn for_each(
        &mut self,
        variable: &ast::Name,
        name: &ast::Name,
        body: &ast::Block,
        span: Span,
    ) -> Option<StmtKind> {
        self.require_loops(span);
        let map = self.map(&name.text, name.span);
        self.keyed(map, true, name.span);
        self.used(map, UseKind::Whole, Domain::Any);
        self.looks_into(map);
        self.maps[map.0 as usize].looped.get_or_insert(name.span);
        let state = &self.maps[map.0 as usize];
        let value = match &state.value {
            MapValue::Unknown => None,
            MapValue::Plain(ty, _) => Some(ty.clone()).filter(|ty| !ty.is_unknown()),
            &MapValue::Aggregation(aggregation, place) => match total(aggregation) {
                Some(ty) => Some(ty),
                None => {
                    self.report(no_number(name.span, &name.text, aggregation, place));
                    return None;
                }
            },
        };
        let entry_type = match (&state.key, value) {
            (Some((key, _)), Some(value)) if !key.is_unknown() => Some(Ty::Tuple(vec![key.clone(), value])),
            _ => None,
        };
        self.scopes.push(Vec::new());
        self.not_in_sight(variable);
        let entry = self.declare_local(&variable.text, variable.span);
        let local = &mut self.locals[self.here][entry.0 as usize];
        (local.assigned, local.fixed) = (true, true);
        if let Some(ty) = entry_type
            && local.ty != ty
        {
            local.ty = ty;
            self.changed = true;
        }
        let body = self.turn(|checker| checker.block(body));
        self.scopes.pop();
        Some(StmtKind::ForEach { map, entry, body })
    }

    /// The variable of a loop is a new one.
    fn not_in_sight(&mut self, variable: &ast::Name) {
        if let Some(known) = self.find_local(&variable.text) {
            let name = shown(&variable.text);
            let error = Diagnostic::error(variable.span, format!("there is a variable `${name}` already"));
            let error = error.also(self.local(known).place, "here").help("give the loop's variable another name");
            self.report(error);
        }
    }

    /// An end of a range.
    fn bound(&mut self, expr: &ast::Expr) -> Operand {
        let operand = self.expr(expr);
        match &operand.ty {
            Ty::Unknown | Ty::Int { .. } => operand,
            other => {
                let error = Diagnostic::error(expr.span, "a range goes from one integer to another")
                    .label(format!("this is of type `{other}`"));
                self.refuse_with(error)
            }
        }
    }

    /// A variable that the script cannot name: 64 bits, signed.
    pub(super) fn hidden_local(&mut self, name: &str, place: Span) -> LocalId {
        self.hidden_local_of(name, Ty::I64, place)
    }

    /// A variable that the script cannot name, of this type.
    pub(super) fn hidden_local_of(&mut self, name: &str, ty: Ty, place: Span) -> LocalId {
        let id = self.declare_local(name, place);
        let local = self.local_mut(id);
        (local.ty, local.assigned) = (ty, true);
        id
    }

    /// The body of a loop. What is printed in one turn may be changed in the next, or not at all.
    fn turn(&mut self, body: impl FnOnce(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
        self.printed.clear();
        self.loops += 1;
        let stmts = body(self);
        self.loops -= 1;
        self.printed.clear();
        stmts
    }

    fn require_loops(&mut self, span: Span) {
        if self.target.kernel < SINCE {
            self.error(span, "loops need Linux 5.17 or later; `unroll` repeats a block on any");
        }
    }
}
