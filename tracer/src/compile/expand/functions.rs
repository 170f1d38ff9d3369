//! A call of a function → a block that does the same.
//!
//! `fn add($a : int64, $b : int64) : int64 { return $a + $b; }` called as `add(x, y)` becomes
//! `{ let $a.1 : int64 = x; let $b.1 : int64 = y; let $add().1 : int64; $add().1 = $a.1 + $b.1; $add().1 }`: arguments are
//! values, evaluated once, and a function's variables are its own. Maps are everybody's.
//!
//! `return` ends the function and not the clause. Where what follows can go into the branch that does not return, it does;
//! else a variable notes that the function has returned, and what follows looks at it. Loops are left with `break`.

use super::walk::{Walk, walk_expr};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;
use crate::compile::syntax::ast::{
    Block, Expr, ExprKind, Function, Iterable, Name, Stmt, StmtKind, TypeNameKind, UnaryOp,
};

/// The body of a function, as statements alone: as in a block, an expression at the end is the value.
pub fn body(function: &Function) -> Block {
    let mut body = function.body.clone();
    if let Some(value) = body.value.take() {
        let span = value.span;
        let kind = if is_void(function) { StmtKind::Expr(*value) } else { StmtKind::Return(Some(*value)) };
        body.statements.push(Stmt { kind, span });
    }
    body
}

/// The block that stands for the `number`th call, and what is wrong with the function.
///
/// `body` is the function's ([`body`]), in which all calls have been replaced already.
pub fn inlined(
    function: &Function,
    mut body: Block,
    arguments: Vec<Expr>,
    number: usize,
    call: Span,
) -> (Block, Vec<Diagnostic>) {
    let end = Span { start: body.span.end.saturating_sub(1), ..body.span };
    let mut own = Own { number, diagnostics: Vec::new() };
    own.block(&mut body);
    let diagnostics = own.diagnostics;
    let mut returns = Returns { function, number, loops: 0, flagged: false, needs_flag: false, diagnostics };
    if !is_void(function) && !always_returns(&body.statements) {
        let name = &function.name.text;
        let error = Diagnostic::error(end, format!("`{name}` can end without returning a value"));
        returns.diagnostics.push(error.also(function.returns.span, "this is what it returns"));
    }
    let rewritten = returns.list(body.statements);

    let mut statements = Vec::new();
    for ((name, ty), argument) in function.parameters.iter().zip(arguments) {
        let name = Name { text: format!("{}.{number}", name.text), span: name.span };
        let span = argument.span;
        let kind = StmtKind::Let { name, ty: Some(ty.clone()), value: Some(argument) };
        statements.push(Stmt { kind, span });
    }
    let mut value = None;
    if !is_void(function) {
        let name = Name { text: returns.result(), span: function.returns.span };
        value = Some(Box::new(Expr { kind: ExprKind::Variable(name.text.clone()), span: call }));
        let kind = StmtKind::Let { name, ty: Some(function.returns.clone()), value: None };
        statements.push(Stmt { kind, span: function.returns.span });
    }
    if returns.needs_flag {
        statements.push(returns.set_flag(false, function.name.span));
    }
    statements.extend(rewritten);
    (Block { statements, value, span: call }, returns.diagnostics)
}

/// Whether a function gives no value.
fn is_void(function: &Function) -> bool {
    function.returns.kind == TypeNameKind::Named("void".into())
}

/// Whether every way through the statements ends in a `return`.
fn always_returns(statements: &[Stmt]) -> bool {
    statements.iter().any(|stmt| match &stmt.kind {
        StmtKind::Return(_) => true,
        StmtKind::If { then, otherwise: Some(otherwise), .. } => {
            always_returns(&then.statements) && always_returns(&otherwise.statements)
        }
        StmtKind::Block(block) => always_returns(&block.statements),
        _ => false,
    })
}

/// Whether there is a `return` in the statements.
fn returns(statements: &[Stmt]) -> bool {
    statements.iter().any(|stmt| match &stmt.kind {
        StmtKind::Return(_) => true,
        StmtKind::If { then, otherwise, .. } => {
            returns(&then.statements) || otherwise.as_ref().is_some_and(|block| returns(&block.statements))
        }
        StmtKind::Block(body)
        | StmtKind::While { body, .. }
        | StmtKind::Unroll { body, .. }
        | StmtKind::For { body, .. } => returns(&body.statements),
        _ => false,
    })
}

/// Gives a function's variables names that no other call has, and looks for what cannot be.
struct Own {
    number: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Own {
    fn named(&self, name: &str) -> String {
        format!("{name}.{}", self.number)
    }
}

impl Walk for Own {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Variable(name) = &mut expr.kind {
            *name = self.named(name);
        }
        let blocks = match &expr.kind {
            ExprKind::Block(block) => vec![block],
            ExprKind::If { then, otherwise, .. } => vec![then, otherwise],
            _ => Vec::new(),
        };
        if blocks.iter().any(|block| returns(&block.statements)) {
            let error = Diagnostic::error(expr.span, "a block that gives a value cannot end the function");
            self.diagnostics.push(error.label("there is a `return` in it"));
        }
        walk_expr(self, expr);
    }

    fn variable_name(&mut self, name: &mut Name) {
        name.text = self.named(&name.text);
    }
}

/// Replaces `return`.
struct Returns<'a> {
    function: &'a Function,
    number: usize,
    /// How many loops of the function there are around the statement at hand.
    loops: u32,
    /// Something follows that must not be done once the function has returned.
    flagged: bool,
    /// Whether it has been noted anywhere that the function has returned.
    needs_flag: bool,
    diagnostics: Vec<Diagnostic>,
}

impl Returns<'_> {
    /// The variable that the result is in.
    fn result(&self) -> String {
        format!("{}().{}", self.function.name.text, self.number)
    }

    fn flag(&self, span: Span) -> Expr {
        let name = format!("{} has returned.{}", self.function.name.text, self.number);
        Expr { kind: ExprKind::Variable(name), span }
    }

    fn set_flag(&self, value: bool, span: Span) -> Stmt {
        let value = Expr { kind: ExprKind::Bool(value), span };
        Stmt { kind: StmtKind::Assign { target: self.flag(span), op: None, value }, span }
    }

    /// Statements that are followed by nothing that `flagged` does not know of.
    fn list(&mut self, statements: Vec<Stmt>) -> Vec<Stmt> {
        let mut done = Vec::new();
        let mut rest = statements.into_iter();
        while let Some(stmt) = rest.next() {
            if !returns(std::slice::from_ref(&stmt)) {
                done.push(stmt);
                continue;
            }
            let span = stmt.span;
            match stmt.kind {
                StmtKind::Return(value) => {
                    self.leave(value, span, &mut done);
                    return done; // nothing gets any further
                }
                StmtKind::If { condition, then, otherwise } => {
                    let otherwise = otherwise.unwrap_or_else(|| Block { span, ..Block::default() });
                    let (first, second) = (always_returns(&then.statements), always_returns(&otherwise.statements));
                    if first || second {
                        let rest: Vec<Stmt> = rest.collect();
                        let (then, otherwise) = match (first, second) {
                            (true, false) => (then, followed(otherwise, rest)),
                            (false, true) => (followed(then, rest), otherwise),
                            _ => (then, otherwise),
                        };
                        let (then, otherwise) = (self.block(then), Some(self.block(otherwise)));
                        done.push(Stmt { kind: StmtKind::If { condition, then, otherwise }, span });
                        return done;
                    }
                    let (then, otherwise) = self.noting(|own| (own.block(then), Some(own.block(otherwise))));
                    done.push(Stmt { kind: StmtKind::If { condition, then, otherwise }, span });
                }
                StmtKind::Block(block) => {
                    let block = self.noting(|own| own.block(block));
                    done.push(Stmt { kind: StmtKind::Block(block), span });
                }
                StmtKind::Unroll { count, body } => {
                    let body = self.noting(|own| own.block(body));
                    let body = if self.loops > 0 { body } else { self.unless_returned(body.statements, body.span) };
                    done.push(Stmt { kind: StmtKind::Unroll { count, body }, span });
                }
                StmtKind::While { condition, body } => {
                    let body = self.in_loop(body);
                    done.push(Stmt { kind: StmtKind::While { condition, body }, span });
                    self.break_on(span, &mut done);
                }
                StmtKind::For { variable, iterable, body } => {
                    let body = self.in_loop(body);
                    let iterable: Iterable = iterable;
                    done.push(Stmt { kind: StmtKind::For { variable, iterable, body }, span });
                    self.break_on(span, &mut done);
                }
                kind => done.push(Stmt { kind, span }),
            }
            // Inside of loops, `break` has been done.
            if self.loops == 0 {
                let rest: Vec<Stmt> = rest.collect();
                if !rest.is_empty() {
                    let rest = self.list(rest);
                    done.extend(self.unless_returned(rest, span).statements);
                }
                return done;
            }
        }
        done
    }

    fn block(&mut self, block: Block) -> Block {
        Block { statements: self.list(block.statements), ..block }
    }

    /// What is inside of something that is followed by more: it must note that it returns.
    fn noting<T>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.flagged, true);
        let result = inside(self);
        self.flagged = outer;
        result
    }

    fn in_loop(&mut self, body: Block) -> Block {
        self.loops += 1;
        let body = self.noting(|own| own.block(body));
        self.loops -= 1;
        body
    }

    /// Behind a loop that may have returned: leaves the next one, too.
    fn break_on(&mut self, span: Span, into: &mut Vec<Stmt>) {
        if self.loops > 0 {
            let statements = vec![Stmt { kind: StmtKind::Break, span }];
            let then = Block { statements, value: None, span };
            into.push(Stmt { kind: StmtKind::If { condition: self.flag(span), then, otherwise: None }, span });
        }
    }

    /// `if (!returned) { … }`
    fn unless_returned(&mut self, statements: Vec<Stmt>, span: Span) -> Block {
        let operand = Box::new(self.flag(span));
        let condition = Expr { kind: ExprKind::Unary { op: UnaryOp::Not, operand }, span };
        let then = Block { statements, value: None, span };
        let guarded = Stmt { kind: StmtKind::If { condition, then, otherwise: None }, span };
        Block { statements: vec![guarded], value: None, span }
    }

    /// `return value`.
    fn leave(&mut self, value: Option<Expr>, span: Span, into: &mut Vec<Stmt>) {
        let name = &self.function.name.text;
        let also = |error: Diagnostic| error.also(self.function.returns.span, "this is what it returns");
        match (value, is_void(self.function)) {
            (Some(value), false) => {
                let target = Expr { kind: ExprKind::Variable(self.result()), span: value.span };
                into.push(Stmt { kind: StmtKind::Assign { target, op: None, value }, span });
            }
            (Some(value), true) => {
                let error = Diagnostic::error(value.span, format!("`{name}` returns no value"));
                self.diagnostics.push(also(error));
            }
            (None, false) => {
                let error = Diagnostic::error(span, format!("`{name}` must return a value here"));
                self.diagnostics.push(also(error));
            }
            (None, true) => {}
        }
        if self.flagged {
            self.needs_flag = true;
            into.push(self.set_flag(true, span));
        }
        if self.loops > 0 {
            into.push(Stmt { kind: StmtKind::Break, span });
        }
    }
}

/// A block with more behind it.
fn followed(block: Block, rest: Vec<Stmt>) -> Block {
    let span = block.span;
    let mut statements = vec![Stmt { kind: StmtKind::Block(block), span }];
    statements.extend(rest);
    Block { statements, value: None, span }
}
