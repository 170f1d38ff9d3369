//! Statements.

use super::maps::{MapState, MapValue};
use super::operand::{convert, truth};
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::expand::shown;
use crate::compile::sema::builtins::{self, Becomes};
use crate::compile::sema::typed::{ExprKind, LocalId, Stmt, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::syntax::ast;

/// How often `unroll` may repeat its body, as in bpftrace.
const MAX_UNROLL: i64 = 100;

impl Checker<'_> {
    pub(super) fn block(&mut self, block: &ast::Block) -> Vec<Stmt> {
        self.scopes.push(Vec::new());
        let printed = self.printed.clone();
        let mut stmts = Vec::new();
        let mut left = false;
        for stmt in &block.statements {
            self.reached(&mut left, &stmts, stmt.span);
            self.stmt(stmt, &mut stmts);
        }
        if let Some(value) = &block.value {
            // `{ printf("x") }`: the last statement needs no semicolon.
            self.reached(&mut left, &stmts, value.span);
            self.effect(value, &mut stmts);
        }
        self.scopes.pop();
        // Whoever comes by here may have run this block or not.
        self.printed.retain(|map| printed.contains(map));
        stmts
    }

    /// A block that stands where a value is wanted.
    pub(super) fn block_value(&mut self, block: &ast::Block) -> Operand {
        let Some(value) = &block.value else {
            let error = Diagnostic::error(block.span, "this block gives no value");
            return self.refuse_with(error.help("its value is an expression at its end, without a semicolon"));
        };
        self.scopes.push(Vec::new());
        let mut stmts = Vec::new();
        let mut left = false;
        for stmt in &block.statements {
            self.reached(&mut left, &stmts, stmt.span);
            self.stmt(stmt, &mut stmts);
        }
        self.reached(&mut left, &stmts, value.span);
        let operand = self.expr(value);
        self.scopes.pop();
        if stmts.is_empty() || operand.ty.shape().is_none() {
            return operand;
        }
        Operand::new(operand.ty, ExprKind::Block(stmts, Box::new(operand.expr)), block.span)
    }

    /// Warns of the first statement that comes after one that goes elsewhere.
    fn reached(&mut self, left: &mut bool, before: &[Stmt], span: Span) {
        let leaves =
            matches!(before.last(), Some(Stmt { kind: StmtKind::Return | StmtKind::Break | StmtKind::Continue, .. }));
        if leaves && !*left {
            *left = true;
            self.report(Diagnostic::warning(span, "this is never reached"));
        }
    }

    fn stmt(&mut self, stmt: &ast::Stmt, into: &mut Vec<Stmt>) {
        let span = stmt.span;
        if !self.enter(span) {
            return;
        }
        use ast::StmtKind as S;
        let kind = match &stmt.kind {
            S::Expr(expr) => return self.effect(expr, into),
            S::Discard(expr) => match self.expr(expr) {
                Operand { ty, expr, .. } if ty.shape().is_some() => StmtKind::Expr(expr),
                _ => return,
            },
            S::Let { name, ty, value } => return self.declare(name, ty.as_ref(), value.as_ref(), span, into),
            S::Assign { target, op, value } => return self.assign(target, *op, value, span, into),
            S::If { condition, then, otherwise } if matches!(condition.kind, ast::ExprKind::Comptime(_)) => {
                // The branch that is not taken is not even looked at.
                let operand = self.expr(condition);
                let taken = match operand.expr.kind {
                    ExprKind::Int(0) => otherwise.as_ref(),
                    _ => Some(then),
                };
                StmtKind::Block(taken.map(|block| self.block(block)).unwrap_or_default())
            }
            S::If { condition, then, otherwise } => {
                let tested = self.tested(condition);
                match (tested.literal, &tested.expr.kind) {
                    // As in bpftrace, the branch that is never taken is not looked at either.
                    (true, ExprKind::Int(0)) => {
                        StmtKind::Block(otherwise.as_ref().map(|block| self.block(block)).unwrap_or_default())
                    }
                    (true, ExprKind::Int(_)) => StmtKind::Block(self.block(then)),
                    _ => StmtKind::If {
                        condition: truth(tested),
                        then: self.block(then),
                        otherwise: otherwise.as_ref().map(|block| self.block(block)).unwrap_or_default(),
                    },
                }
            }
            S::Unroll { count, body } => match self.unroll_count(count) {
                Some(count) => {
                    let mut all = Vec::new();
                    for _ in 0..count {
                        all.extend(self.block(body));
                        if self.too_large {
                            break;
                        }
                    }
                    StmtKind::Block(all)
                }
                None => return,
            },
            S::Block(block) => StmtKind::Block(self.block(block)),
            S::Return(value) => {
                if let Some(value) = value {
                    self.number(value); // what the kernel would be told means nothing to these probes
                }
                self.leaves();
                StmtKind::Return
            }
            S::While { condition, body } => self.while_loop(condition, body, span),
            S::For { variable, iterable: ast::Iterable::Range(from, to), body } => {
                self.for_range(variable, (from, to), body, span)
            }
            S::For { variable, iterable: ast::Iterable::Map(map), body } => {
                match self.for_each(variable, map, body, span) {
                    Some(kind) => kind,
                    None => return,
                }
            }
            S::Import(_) => return self.error(span, "`import` stands outside of all probes, before the first of them"),
            S::Break if self.loops > 0 => StmtKind::Break,
            S::Continue if self.loops > 0 => StmtKind::Continue,
            S::Break => return self.error(span, "`break` stands outside of any loop"),
            S::Continue => return self.error(span, "`continue` stands outside of any loop"),
        };
        into.push(Stmt { kind, span });
    }

    fn unroll_count(&mut self, count: &ast::Expr) -> Option<i64> {
        let operand = self.expr(count);
        match operand.expr.kind {
            ExprKind::Int(count) if operand.literal && (1..=MAX_UNROLL).contains(&count) => Some(count),
            _ => {
                let error = Diagnostic::error(count.span, "`unroll` needs to know how often")
                    .label(format!("expected a number from 1 to {MAX_UNROLL} that is written out"));
                self.report(error);
                None
            }
        }
    }

    /// An expression for its effect.
    fn effect(&mut self, expr: &ast::Expr, into: &mut Vec<Stmt>) {
        let span = expr.span;
        if let ast::ExprKind::Call { name, arguments } = &expr.kind
            && let Some(row) = builtins::function(&name.text)
            && let Becomes::Statement(check) = &row.becomes
        {
            self.allow_action(row.data, row.action, &format!("`{}`", name.text), span);
            if let Some(arguments) = self.arguments(row, arguments, span) {
                let kinds = check(self, arguments, span);
                into.extend(kinds.into_iter().map(|kind| Stmt { kind, span }));
            }
            return;
        }
        if let ast::ExprKind::Ternary { condition, then: Some(then), otherwise } = &expr.kind
            && (is_statement(then) || is_statement(otherwise))
        {
            let condition = self.condition(condition);
            let (mut yes, mut no) = (Vec::new(), Vec::new());
            self.effect(then, &mut yes);
            self.effect(otherwise, &mut no);
            into.push(Stmt { kind: StmtKind::If { condition, then: yes, otherwise: no }, span });
            return;
        }
        if let ast::ExprKind::Block(block) = &expr.kind
            && block.value.as_deref().is_none_or(is_statement)
        {
            // What a macro is given to do, rather than a value.
            let kind = StmtKind::Block(self.block(block));
            into.push(Stmt { kind, span });
            return;
        }
        let counts = matches!(
            &expr.kind,
            ast::ExprKind::Unary {
                op: ast::UnaryOp::PreIncrement
                    | ast::UnaryOp::PreDecrement
                    | ast::UnaryOp::PostIncrement
                    | ast::UnaryOp::PostDecrement,
                ..
            }
        );
        let operand = self.expr(expr);
        if !counts && !operand.ty.is_unknown() {
            self.report(Diagnostic::warning(span, "this value is not used"));
        }
        if operand.ty.shape().is_some() {
            into.push(Stmt { kind: StmtKind::Expr(operand.expr), span });
        }
    }

    fn declare(
        &mut self,
        name: &ast::Name,
        ty: Option<&ast::TypeName>,
        value: Option<&ast::Expr>,
        span: Span,
        into: &mut Vec<Stmt>,
    ) {
        let value = value.map(|value| self.expr(value));
        if let Some(known) = self.find_local(&name.text) {
            let error = Diagnostic::error(name.span, format!("`${}` is declared already", shown(&name.text)))
                .also(self.local(known).place, "here")
                .help("a variable cannot be declared again while it is in sight");
            return self.report(error);
        }
        let id = self.declare_local(&name.text, name.span);
        if let Some(ty) = ty.and_then(|ty| self.type_name(ty)) {
            // `string` without a size takes that of what is assigned.
            let fixed = ty != Ty::Str(0);
            let local = self.local_mut(id);
            local.fixed = fixed;
            if local.ty.is_unknown() {
                local.ty = if fixed { ty } else { Ty::Str(1) };
            }
        }
        if let Some(value) = value {
            self.set_local(id, value, span, into);
        }
    }

    fn assign(
        &mut self,
        target: &ast::Expr,
        op: Option<ast::BinaryOp>,
        value: &ast::Expr,
        span: Span,
        into: &mut Vec<Stmt>,
    ) {
        match &target.kind {
            ast::ExprKind::Variable(name) => {
                let value = match op {
                    Some(op) => self.compound(op, target, value, span),
                    None => self.expr(value),
                };
                if op.is_some() && !self.counting {
                    return;
                }
                let id = self.find_local(name).unwrap_or_else(|| self.declare_local(name, target.span));
                self.set_local(id, value, span, into);
            }
            ast::ExprKind::Map { name, key } => {
                let key = key.as_deref();
                if let Some((row, function, arguments)) = aggregation(value) {
                    self.allow_action(row.data, row.action, &format!("`{}`", row.name), value.span);
                    if op.is_some() {
                        return self.error(value.span, format!("`{}()` is assigned with `=`", row.name));
                    }
                    let (map, key) = self.entry(name, key, target.span);
                    if let Some(arguments) = self.arguments(row, arguments, value.span) {
                        let kind = self.aggregate(map, key, function, arguments, value.span);
                        into.extend(kind.map(|kind| Stmt { kind, span }));
                    }
                    return;
                }
                if let Some(delta) = constant_step(op, value) {
                    let operand = self.count_up(target, delta, false, span);
                    into.push(Stmt { kind: StmtKind::Expr(operand.expr), span });
                    return;
                }
                let bare = op.is_none() && matches!(value.kind, ast::ExprKind::Map { .. });
                let value = match op {
                    Some(op) => self.compound(op, target, value, span),
                    None => self.expr(value),
                };
                if op.is_some() && !self.counting {
                    return;
                }
                let (map, key) = self.entry(name, key, target.span);
                if bare {
                    self.refuse_aggregation(&value);
                }
                if let Some(value) = self.value(map, value, span) {
                    into.push(Stmt { kind: StmtKind::SetMap { map, key, value }, span });
                }
            }
            _ => self.error(target.span, "only variables and maps can be assigned to"),
        }
    }

    /// `@y = @x` of an aggregation, which is not what goes on in `@y`: as in bpftrace, who wants its number says so.
    fn refuse_aggregation(&mut self, value: &Operand) {
        let Some((MapState { name, .. }, aggregation, place)) = self.aggregation_read(value) else { return };
        let function = super::maps::function(aggregation);
        let message = format!("an aggregation is not assigned: `{name}` is a `{function}`");
        let error = Diagnostic::error(value.span(), message)
            .also(place, format!("a `{function}` from here on"))
            .help("a cast takes the number that it has come to: `(int64)@…`");
        self.report(error);
    }

    /// `target op= value`.
    fn compound(&mut self, op: ast::BinaryOp, target: &ast::Expr, value: &ast::Expr, span: Span) -> Operand {
        let left = self.expr(target);
        let right = self.expr(value);
        self.operator(op, span, left, right, span)
    }

    pub(super) fn set_local(&mut self, id: LocalId, value: Operand, span: Span, into: &mut Vec<Stmt>) {
        let first = !std::mem::replace(&mut self.local_mut(id).assigned, true);
        if value.ty.is_unknown() {
            return;
        }
        let name = shown(&self.local(id).name).to_owned();
        if value.ty.shape().is_none() {
            return self
                .error(value.span(), format!("a value of type `{}` cannot be assigned to a variable", value.ty));
        }
        let local = &mut self.locals[self.here][id.0 as usize];
        // Whose memory a pointer is for is not part of its declared type.
        if let (true, Ty::Pointer { user: own, .. }, &Ty::Pointer { user, .. }) = (first, &mut local.ty, &value.ty)
            && *own != user
        {
            *own = user;
            self.changed = true;
        }
        // What does not fit a declared type is cut, with a warning; a number that is written out is told from that.
        let cut = local.fixed && !fits(&value, &local.ty) && !value.literal && value.ty.is_int() && local.ty.is_int();
        let ty = if cut {
            Some(local.ty.clone())
        } else if local.fixed {
            fits(&value, &local.ty).then(|| local.ty.clone())
        } else {
            Checker::widen(&mut self.changed, &mut local.ty, &value.ty)
        };
        let (own, place) = (local.ty.clone(), local.place);
        match ty {
            Some(ty) => {
                if cut {
                    let what = format!("a value of type `{}` becomes one of type `{ty}`", value.ty);
                    let warning = Diagnostic::warning(value.span(), format!("{what}, which may change it"));
                    self.report(warning.help("an explicit cast silences this"));
                } else {
                    self.warn_of_sign(&value, &ty);
                }
                into.push(Stmt { kind: StmtKind::SetLocal(id, convert(value, &ty)), span });
            }
            None => {
                let (message, there) = match name.ends_with("()") {
                    true => (
                        format!("`{name}` cannot return a value of type `{}`", value.ty),
                        format!("it returns `{own}`"),
                    ),
                    false => (
                        format!("type mismatch: `${name}` cannot hold a value of type `{}`", value.ty),
                        format!("`${name}` is of type `{own}`"),
                    ),
                };
                let error =
                    Diagnostic::error(value.span(), message).label(format!("`{}`", value.ty)).also(place, there);
                self.report(error);
            }
        }
    }

    /// `++` and `--` on a variable or a map's entry.
    pub(super) fn count_up(&mut self, target: &ast::Expr, delta: i64, post: bool, span: Span) -> Operand {
        let counted = |ty: &Ty| if ty.is_signed() || delta < 0 { Ty::I64 } else { Ty::U64 };
        match &target.kind {
            ast::ExprKind::Variable(name) => {
                let operand = self.expr(target);
                let Some(local) = self.find_local(name) else { return operand };
                match &operand.ty {
                    Ty::Unknown => return operand,
                    Ty::Int { .. } => {}
                    Ty::Pointer { to, .. } => {
                        let delta = delta * self.stride(&to.clone());
                        return Operand::new(operand.ty.clone(), ExprKind::LocalAdd { local, delta, post }, span);
                    }
                    other => {
                        let name = shown(name);
                        let message = format!("`${name}` cannot be counted up or down: it is of type `{other}`");
                        return self.refuse(span, message);
                    }
                }
                let state = &mut self.locals[self.here][local.0 as usize];
                if self.counting && !state.fixed {
                    Checker::widen(&mut self.changed, &mut state.ty, &counted(&operand.ty));
                }
                Operand::new(state.ty.clone(), ExprKind::LocalAdd { local, delta, post }, span)
            }
            ast::ExprKind::Map { name, key } => {
                let (map, key) = self.entry(name, key.as_deref(), target.span);
                let state = &mut self.maps[map.0 as usize];
                state.filled = true;
                let ty = match &mut state.value {
                    MapValue::Unknown => return Operand::unknown(span),
                    MapValue::Plain(ty @ Ty::Int { .. }, _) => {
                        let with = if self.counting { counted(ty) } else { ty.clone() };
                        Checker::widen(&mut self.changed, ty, &with).expect("integers have a common type")
                    }
                    MapValue::Plain(other, place) => {
                        let error = Diagnostic::error(span, format!("`@{name}` cannot be counted up or down"))
                            .also(*place, format!("it has values of type `{other}`"));
                        return self.refuse_with(error);
                    }
                    MapValue::Aggregation(aggregation, place) => {
                        let error = Diagnostic::error(span, format!("`@{name}` cannot be counted up or down"))
                            .also(*place, format!("it is a `{}`", super::maps::function(*aggregation)));
                        return self.refuse_with(error);
                    }
                };
                Operand::new(ty, ExprKind::MapAdd { map, key: key.map(Box::new), delta, post }, span)
            }
            _ => self.refuse(span, "only variables and entries of maps can be counted up or down"),
        }
    }
}

/// `+= 5` and `-= 5` count like `++` and `--` do, which takes one look at the map.
fn constant_step(op: Option<ast::BinaryOp>, value: &ast::Expr) -> Option<i64> {
    let &ast::ExprKind::Integer { value, .. } = &value.kind else { return None };
    let value = i64::try_from(value).ok()?;
    match op {
        Some(ast::BinaryOp::Add) => Some(value),
        Some(ast::BinaryOp::Sub) => Some(-value),
        _ => None,
    }
}

/// Whether an expression is a call that gives no value.
fn is_statement(expr: &ast::Expr) -> bool {
    let name = match &expr.kind {
        ast::ExprKind::Call { name, .. } => name,
        ast::ExprKind::Block(block) => return block.value.as_deref().is_none_or(is_statement),
        _ => return false,
    };
    builtins::function(&name.text).is_some_and(|row| matches!(row.becomes, Becomes::Statement(_)))
}

/// The aggregation that an expression calls: its row, and its arguments.
fn aggregation(expr: &ast::Expr) -> Option<(&'static builtins::Row, builtins::Function, &[ast::Expr])> {
    let ast::ExprKind::Call { name, arguments } = &expr.kind else { return None };
    let row = builtins::function(&name.text)?;
    match row.becomes {
        Becomes::Aggregation(function) => Some((row, function, arguments)),
        _ => None,
    }
}

/// Whether a value can be assigned to a variable whose type was declared: it must not lose anything.
fn fits(value: &Operand, ty: &Ty) -> bool {
    if let (true, ExprKind::Int(number), Ty::Int { size, signed, .. }) = (value.literal, &value.expr.kind, ty) {
        let bits = u32::from(*size) * 8;
        return match (signed, value.ty == Ty::U64) {
            (true, true) => false,
            (true, false) => bits == 64 || (-(1_i64 << (bits - 1))..1_i64 << (bits - 1)).contains(number),
            (false, true) => bits == 64,
            (false, false) => *number >= 0 && (bits == 64 || *number < 1_i64 << bits),
        };
    }
    value.ty.promoted(ty).is_some_and(|both| both.typed() == ty.typed())
}
