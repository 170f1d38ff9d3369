//! Operators: precedence as in C, ternaries, prefixes and suffixes.

use super::super::ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp};
use super::super::token::TokenKind;
use super::Parser;
use crate::compile::diagnostics::Diagnostic;

impl Parser<'_> {
    /// An expression, or [`ExprKind::Error`] if none is here.
    pub(super) fn expression(&mut self) -> Expr {
        let start = self.span();
        let (expr, height) = self.measured(|parser| {
            parser.nested(|parser| {
                let operand = parser.unary();
                parser.operators_after(operand)
            })
        });
        self.raise(height);
        expr.unwrap_or(Expr { kind: ExprKind::Error, span: start })
    }

    /// The operators and operands that follow `first`, which has been parsed already.
    pub(super) fn expression_after(&mut self, first: Expr) -> Expr {
        let span = first.span;
        self.nested(|parser| parser.operators_after(first)).unwrap_or(Expr { kind: ExprKind::Error, span })
    }

    fn operators_after(&mut self, first: Expr) -> Expr {
        let condition = self.binary_after(first, 0);
        if self.is(TokenKind::Question) { self.ternary(condition) } else { condition }
    }

    /// `condition ? then : otherwise`, from the question mark on.
    fn ternary(&mut self, condition: Expr) -> Expr {
        let question = self.bump().span;
        let then = if self.is(TokenKind::Colon) { None } else { Some(Box::new(self.expression())) };
        if !self.eat(TokenKind::Colon) {
            let error = self.expected_here("`:`", "and the other value").also(question, "of this `?`");
            self.report(error);
            return condition;
        }
        let otherwise = Box::new(self.expression());
        self.level();
        let span = condition.span.to(otherwise.span);
        Expr { kind: ExprKind::Ternary { condition: Box::new(condition), then, otherwise }, span }
    }

    /// Precedence climbing: takes operators that bind at least as tightly as `least`.
    fn binary_after(&mut self, first: Expr, least: u8) -> Expr {
        let mut left = first;
        while let Some((op, precedence)) = binary_operator(self.kind()).filter(|(_, binds)| *binds >= least) {
            if op == BinaryOp::Div && self.slash_ends_predicate() {
                break;
            }
            let op_span = self.bump().span;
            let (right, height) = self.measured(|parser| {
                let operand = parser.unary();
                parser.binary_after(operand, precedence + 1)
            });
            self.raise(height);
            self.level();
            let span = left.span.to(right.span);
            left = Expr { kind: ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) }, span };
        }
        left
    }

    /// A slash before a brace ends a predicate; so does one before the end or the next probe, where an action is missing.
    fn slash_ends_predicate(&self) -> bool {
        matches!(self.kind_at(1), TokenKind::LBrace | TokenKind::End) || self.item_begins_at(1)
    }

    /// `-x`, `!x`, `*x`, `&x`, `++x` …
    pub(super) fn unary(&mut self) -> Expr {
        let op = match self.kind() {
            TokenKind::Bang => UnaryOp::Not,
            TokenKind::Tilde => UnaryOp::BitNot,
            TokenKind::Minus => UnaryOp::Negate,
            TokenKind::Star => UnaryOp::Dereference,
            TokenKind::And => UnaryOp::AddressOf,
            TokenKind::PlusPlus => UnaryOp::PreIncrement,
            TokenKind::MinusMinus => UnaryOp::PreDecrement,
            _ => {
                let operand = self.primary();
                return self.postfix(operand);
            }
        };
        let op_span = self.bump().span;
        let Some(operand) = self.nested(Self::unary) else {
            return Expr { kind: ExprKind::Error, span: op_span };
        };
        self.level();
        match op {
            UnaryOp::AddressOf if !is_place(&operand) => self.report_value(
                Diagnostic::error(operand.span, "only variables and maps have an address").label("expected $x or @x"),
            ),
            UnaryOp::PreIncrement | UnaryOp::PreDecrement => self.check_counter(&operand),
            _ => {}
        }
        let span = op_span.to(operand.span);
        Expr { kind: ExprKind::Unary { op, operand: Box::new(operand) }, span }
    }

    /// `.field`, `->field`, `[index]`, `++`, `--` behind an operand.
    pub(super) fn postfix(&mut self, operand: Expr) -> Expr {
        let mut expr = operand;
        loop {
            let start = expr.span;
            let kind = match self.kind() {
                TokenKind::Dot | TokenKind::Arrow => match self.field() {
                    Some((TokenKind::Dot, field)) => ExprKind::Field { base: Box::new(expr), field },
                    Some((_, field)) => ExprKind::Arrow { base: Box::new(expr), field },
                    None => return expr,
                },
                TokenKind::LBracket => {
                    let opened = self.bump().span;
                    let index = Box::new(self.expression());
                    self.expect_closing(TokenKind::RBracket, opened);
                    ExprKind::Index { base: Box::new(expr), index }
                }
                TokenKind::PlusPlus | TokenKind::MinusMinus if !is_block(&expr) => {
                    let op = match self.bump().kind {
                        TokenKind::PlusPlus => UnaryOp::PostIncrement,
                        _ => UnaryOp::PostDecrement,
                    };
                    self.check_counter(&expr);
                    ExprKind::Unary { op, operand: Box::new(expr) }
                }
                _ => return expr,
            };
            self.level();
            expr = Expr { kind, span: self.since(start) };
        }
    }

    /// `.` or `->`, and the name or number behind it.
    fn field(&mut self) -> Option<(TokenKind, Name)> {
        let access = self.bump().kind;
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        match self.kind() {
            TokenKind::Word => {}
            TokenKind::Integer if access == TokenKind::Dot && is_number(self.text()) => {}
            _ => {
                self.expected("the name of a field", "");
                return None;
            }
        }
        Some((access, self.take_name()))
    }

    fn check_counter(&mut self, operand: &Expr) {
        if !is_place(operand) {
            self.report_value(
                Diagnostic::error(operand.span, "only variables and map entries can be counted up and down")
                    .label("expected $x or @x[key]"),
            );
        }
    }
}

fn is_place(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Variable(_) | ExprKind::Map { .. } | ExprKind::Error)
}

fn is_block(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Block(_) | ExprKind::If { .. })
}

/// The operator a token stands for between two operands, and how tightly it binds.
pub(super) fn binary_operator(kind: TokenKind) -> Option<(BinaryOp, u8)> {
    Some(match kind {
        TokenKind::OrOr => (BinaryOp::Or, 1),
        TokenKind::AndAnd => (BinaryOp::And, 2),
        TokenKind::Or => (BinaryOp::BitOr, 3),
        TokenKind::Caret => (BinaryOp::BitXor, 4),
        TokenKind::And => (BinaryOp::BitAnd, 5),
        TokenKind::EqualEqual => (BinaryOp::Eq, 6),
        TokenKind::NotEqual => (BinaryOp::Ne, 6),
        TokenKind::Less => (BinaryOp::Lt, 7),
        TokenKind::LessEqual => (BinaryOp::Le, 7),
        TokenKind::Greater => (BinaryOp::Gt, 7),
        TokenKind::GreaterEqual => (BinaryOp::Ge, 7),
        TokenKind::Shl => (BinaryOp::Shl, 8),
        TokenKind::Shr => (BinaryOp::Shr, 8),
        TokenKind::Plus => (BinaryOp::Add, 9),
        TokenKind::Minus => (BinaryOp::Sub, 9),
        TokenKind::Star => (BinaryOp::Mul, 10),
        TokenKind::Slash => (BinaryOp::Div, 10),
        TokenKind::Percent => (BinaryOp::Mod, 10),
        _ => return None,
    })
}
