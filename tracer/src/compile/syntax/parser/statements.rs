//! Blocks and statements.

use super::super::ast::{BinaryOp, Block, Expr, ExprKind, Iterable, Stmt, StmtKind};
use super::super::token::TokenKind;
use super::Parser;
use super::expressions::binary_operator;
use super::types::TypeAhead;
use crate::compile::diagnostics::{Diagnostic, did_you_mean};
use crate::compile::source::Span;

/// Words that statements with a block begin with.
const BLOCK_WORDS: [&str; 5] = ["if", "else", "while", "for", "unroll"];

/// What becomes of an expression that a block ends in without a semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockUse {
    /// It is one more statement: the action of a probe, the body of a loop.
    Action,
    /// It is the block's value.
    Value,
}

/// `if condition { … } else { … }`, not yet known to be a statement or a value.
struct IfParts {
    condition: Expr,
    then: Block,
    otherwise: Option<Block>,
    span: Span,
}

/// What an `if` turned out to be.
enum IfForm {
    Value(Expr),
    Statement(Stmt),
}

impl Parser<'_> {
    /// `{ … }`, or an error if none is here.
    pub(super) fn block(&mut self, usage: BlockUse) -> Block {
        if !self.is(TokenKind::LBrace) {
            let mut error = self.expected_here("`{`", "");
            if self.begins_statement() && !self.item_begins() {
                error = error.help("what is done stands between braces, however short: { … }");
            }
            self.report(error);
            if matches!(self.kind(), TokenKind::Word | TokenKind::Variable | TokenKind::Map) && !self.first_on_line(0) {
                self.skip_statement(); // a body without braces
            }
            return Block { span: self.after_last(), ..Block::default() };
        }
        let block = self.nested(Self::block_inner).unwrap_or_default();
        match usage {
            BlockUse::Action => as_action(block),
            BlockUse::Value => block,
        }
    }

    fn block_inner(&mut self) -> Block {
        let opened = self.bump().span;
        let mut block = Block::default();
        while !matches!(self.kind(), TokenKind::RBrace | TokenKind::End) && !self.item_begins() {
            let progress = self.progress();
            if self.is(TokenKind::Semicolon) {
                self.bump(); // an empty statement
            } else {
                let ((), height) = self.measured(|parser| parser.statement(&mut block));
                self.raise(height);
            }
            self.must_have_advanced(progress);
        }
        if self.item_begins() && !self.is(TokenKind::End) {
            self.restart_item();
            let error = Diagnostic::error(self.span(), "expected `}` before the next item")
                .label("this begins a line as items do")
                .also(opened, "this block is still open");
            self.report_value(error);
        } else if !self.eat(TokenKind::RBrace) && !self.comment_swallowed_rest() {
            let error = Diagnostic::error(opened, "this block is never closed").label("no `}` follows");
            self.report_value(error);
        }
        self.level();
        block.span = self.since(opened);
        block
    }

    /// What stands here, where a statement can begin, looks like the beginning of an item instead: a brace is missing.
    fn item_begins(&self) -> bool {
        self.item_begins_at(0)
    }

    /// The same for the `n`th token after the next.
    pub(super) fn item_begins_at(&self, n: usize) -> bool {
        if self.kind_at(n) == TokenKind::SpecField {
            return true;
        }
        let Some(word) = self.word_at(n).filter(|_| self.in_first_column(n)) else { return false };
        let next = (self.kind_at(n + 1), self.kind_at(n + 2));
        match word {
            "BEGIN" | "END" | "begin" | "end" => matches!(next.0, TokenKind::LBrace | TokenKind::Slash),
            "macro" | "fn" => next == (TokenKind::Word, TokenKind::LParen),
            "struct" | "union" | "enum" => next == (TokenKind::Word, TokenKind::LBrace),
            _ => next.0 == TokenKind::Colon,
        }
    }

    /// The script ended in a comment or a text that is never closed, which has been reported.
    fn comment_swallowed_rest(&self) -> bool {
        let Some(last) = self.at.checked_sub(1).map(|last| self.tokens[last]) else { return false };
        let text = &self.text[last.span.range()];
        match last.kind {
            TokenKind::Unknown => true,
            TokenKind::String => text.len() == 1 || !text.ends_with('"'),
            _ => false,
        }
    }

    /// One statement, added to `block`; or the block's value, if it is an expression before the closing brace.
    fn statement(&mut self, block: &mut Block) {
        self.recovering = false;
        self.statement_at = self.at;
        let start = self.span();
        if self.is(TokenKind::Directive) {
            self.report(Diagnostic::error(start, "preprocessor lines must stand outside of all blocks"));
            self.bump();
            return;
        }
        if self.is_of_other_language() {
            return;
        }
        let kind = match self.word_at(0) {
            Some("let") => self.let_statement(),
            Some("while") => self.while_statement(),
            Some("unroll") => self.unroll_statement(),
            Some("for") => self.for_statement(),
            Some("return") => self.return_statement(),
            Some(word @ ("break" | "continue")) => {
                self.bump();
                Some(if word == "break" { StmtKind::Break } else { StmtKind::Continue })
            }
            Some("import") => self.import().map(StmtKind::Import),
            Some("else") => {
                self.report(Diagnostic::error(start, "`else` without an `if` before it"));
                self.bump();
                if self.is_word("if") { None } else { Some(StmtKind::Block(self.block(BlockUse::Action))) }
            }
            Some("_") if self.kind_at(1) == TokenKind::Assign => {
                self.bump();
                self.bump();
                Some(StmtKind::Discard(self.expression()))
            }
            Some("if") => return self.if_statement(block),
            _ => return self.expression_statement(block),
        };
        let Some(kind) = kind else {
            return self.skip_statement();
        };
        let needs_semicolon = !matches!(
            kind,
            StmtKind::While { .. } | StmtKind::Unroll { .. } | StmtKind::For { .. } | StmtKind::Block(_)
        );
        block.statements.push(Stmt { kind, span: self.since(start) });
        if needs_semicolon {
            self.end_statement();
        }
    }

    /// A semicolon, which may be left out before the closing brace.
    fn end_statement(&mut self) {
        if self.eat(TokenKind::Semicolon) || matches!(self.kind(), TokenKind::RBrace | TokenKind::End) {
            return;
        }
        if self.recovering {
            if !self.first_on_line(0) {
                self.skip_statement();
            }
            return;
        }
        if matches!(self.kind(), TokenKind::RParen | TokenKind::RBracket) {
            let error = Diagnostic::error(self.span(), format!("this `{}` closes nothing", self.text()));
            self.report(error);
            self.bump();
            if !self.eat(TokenKind::Semicolon) && !self.begins_statement() {
                self.skip_statement();
            }
            return;
        }
        let mut error = Diagnostic::error(self.after_last(), "expected `;` after this statement");
        let first = &self.text[self.tokens[self.statement_at].span.range()];
        if self.is(TokenKind::LBrace)
            && let Some(meant) = did_you_mean(first, BLOCK_WORDS)
        {
            self.report(error.help(format!("did you mean `{meant}`?")));
            self.block(BlockUse::Action); // for the errors in it
            return;
        } else if let Some(word) = self.last_word()
            && matches!(self.kind(), TokenKind::String | TokenKind::Variable | TokenKind::Map | TokenKind::Integer)
        {
            error = error.help(format!("to call a function, write `{word}(…)`"));
        }
        self.report(error);
        let goes_on = self.first_on_line(0) || self.begins_statement();
        if !goes_on {
            self.skip_statement();
        }
    }

    /// The token taken last, if it is a word.
    fn last_word(&self) -> Option<&str> {
        let last = self.at.checked_sub(1).map(|last| self.tokens[last])?;
        (last.kind == TokenKind::Word).then(|| &self.text[last.span.range()])
    }

    /// The next token can begin a statement that is no mere expression of operators.
    pub(super) fn begins_statement(&self) -> bool {
        matches!(self.kind(), TokenKind::Word | TokenKind::Variable | TokenKind::Map)
    }

    /// Goes to where the next statement can begin: behind a semicolon, to the line after a block, before a closing brace,
    /// to the next item.
    pub(super) fn skip_statement(&mut self) {
        while !matches!(self.kind(), TokenKind::RBrace | TokenKind::End) && !self.item_begins() {
            if self.is(TokenKind::LBrace) {
                self.skip_balanced();
                if self.first_on_line(0) {
                    return;
                }
            } else if self.bump().kind == TokenKind::Semicolon {
                return;
            }
        }
    }

    /// Goes behind the brace that closes the next token, which opens one.
    pub(super) fn skip_balanced(&mut self) {
        let mut open = 0;
        while !self.is(TokenKind::End) {
            match self.bump().kind {
                TokenKind::LBrace => open += 1,
                TokenKind::RBrace => open -= 1,
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
    }

    /// `let $x : type = value`
    fn let_statement(&mut self) -> Option<StmtKind> {
        self.bump();
        if !self.is(TokenKind::Variable) {
            let mut error = self.expected_here("a variable", "after `let`");
            if self.is(TokenKind::Map) {
                error = error.help("maps are declared outside of probes: let @name = hash(100);");
            }
            self.report(error);
            return None;
        }
        let name = self.take_name();
        let ty = self.eat(TokenKind::Colon).then(|| self.type_name());
        let value = self.eat(TokenKind::Assign).then(|| self.expression());
        Some(StmtKind::Let { name, ty, value })
    }

    fn while_statement(&mut self) -> Option<StmtKind> {
        self.bump();
        let condition = self.condition();
        Some(StmtKind::While { condition, body: self.block(BlockUse::Action) })
    }

    fn unroll_statement(&mut self) -> Option<StmtKind> {
        self.bump();
        let count = self.condition();
        Some(StmtKind::Unroll { count, body: self.block(BlockUse::Action) })
    }

    /// `for $x : @map { … }`, `for $x : 0..10 { … }`, the head perhaps in parentheses.
    fn for_statement(&mut self) -> Option<StmtKind> {
        self.bump();
        let opened = self.is(TokenKind::LParen).then(|| self.bump().span);
        if !self.is(TokenKind::Variable) || self.kind_at(1) != TokenKind::Colon {
            let mut error = self.expected_here("`$variable :`", "after `for`");
            if self.kind_at(1) == TokenKind::Assign {
                error = error.help("a counting loop is written for ($i : 0..10) { … }");
            }
            self.report(error);
            self.skip_to_body();
            return self.is(TokenKind::LBrace).then(|| StmtKind::Block(self.block(BlockUse::Action)));
        }
        let variable = self.take_name();
        self.bump();
        let iterable = self.iterable();
        if let Some(opened) = opened
            && !self.expect_closing(TokenKind::RParen, opened)
        {
            self.skip_to_body();
        }
        let body = self.block(BlockUse::Action);
        Some(match iterable {
            Some(iterable) => StmtKind::For { variable, iterable, body },
            None => StmtKind::Block(body),
        })
    }

    fn iterable(&mut self) -> Option<Iterable> {
        let first = self.expression();
        if self.eat(TokenKind::DotDot) {
            return Some(Iterable::Range(first, self.expression()));
        }
        match first.kind {
            ExprKind::Map { name, key: None } => Some(Iterable::Map(super::Name { text: name, span: first.span })),
            ExprKind::Error => None,
            kind => {
                let error = Diagnostic::error(first.span, "`for` goes over a map or a range").label(match kind {
                    ExprKind::Map { .. } => "this is one value of a map; write the map without a key",
                    _ => "expected @map or start..end",
                });
                self.report_value(error);
                None
            }
        }
    }

    /// Goes to the block of a statement whose head could not be parsed.
    pub(super) fn skip_to_body(&mut self) {
        let stops = |kind| matches!(kind, TokenKind::LBrace | TokenKind::RBrace | TokenKind::End);
        while !stops(self.kind()) && !self.item_begins() {
            self.bump();
        }
    }

    fn return_statement(&mut self) -> Option<StmtKind> {
        self.bump();
        let ends = matches!(self.kind(), TokenKind::Semicolon | TokenKind::RBrace | TokenKind::End);
        Some(StmtKind::Return((!ends).then(|| self.expression())))
    }

    /// What stands between `if`, `while` and the like and their block. An `=` in it is nearly always meant to be `==`.
    pub(super) fn condition(&mut self) -> Expr {
        if self.is(TokenKind::LBrace) {
            self.expected("an expression", "before the block");
            return Expr { kind: ExprKind::Error, span: self.after_last() };
        }
        // In `if (x) y` the parentheses are the condition's, and a brace is missing.
        let condition = if self.is(TokenKind::LParen) && self.cast_ahead() == Some(TypeAhead::Possible) {
            let group = self.group();
            let operand = self.postfix(group);
            self.expression_after(operand)
        } else {
            self.expression()
        };
        if let ExprKind::Record(_) = condition.kind {
            self.report_value(
                Diagnostic::error(condition.span, "this makes a record, where a condition is wanted")
                    .help("did you mean `==`?"),
            );
        } else if self.is(TokenKind::Assign) {
            self.report_assignment();
        }
        condition
    }

    /// At an `=` that should not be one: reports it, and takes it and what follows it.
    pub(super) fn report_assignment(&mut self) {
        let error =
            Diagnostic::error(self.span(), "`=` assigns, and is not part of an expression").help("did you mean `==`?");
        self.report(error);
        self.bump();
        self.expression();
    }

    fn if_parts(&mut self) -> IfParts {
        let start = self.bump().span;
        let condition = self.condition();
        let then = self.block(BlockUse::Value);
        let mut otherwise = None;
        if self.eat_word("else") {
            otherwise = Some(if self.is_word("if") {
                self.nested(Self::else_if).unwrap_or_default()
            } else {
                self.block(BlockUse::Value)
            });
        } else if matches!(self.word_at(0), Some("elif" | "elsif" | "elseif")) {
            let error = Diagnostic::error(self.span(), format!("`{}` is not part of the language", self.text()))
                .help("write `else if`");
            self.report(error);
            otherwise = Some(self.nested(Self::else_if).unwrap_or_default());
        }
        IfParts { condition, then, otherwise, span: self.since(start) }
    }

    /// The `if` behind an `else`, as a block that holds nothing else.
    fn else_if(&mut self) -> Block {
        let parts = self.if_parts();
        let span = parts.span;
        match parts.into_value_if_any() {
            IfForm::Value(value) => Block { statements: Vec::new(), value: Some(Box::new(value)), span },
            IfForm::Statement(statement) => Block { statements: vec![statement], value: None, span },
        }
    }

    /// An `if` where a value is wanted.
    pub(super) fn if_expression(&mut self) -> Expr {
        let IfParts { condition, then, otherwise, span } = self.if_parts();
        let otherwise = otherwise.unwrap_or_else(|| {
            self.report_value(
                Diagnostic::error(span, "an `if` whose value is used needs an `else`")
                    .label("what is the value when the condition does not hold?"),
            );
            Block::default()
        });
        Expr { kind: ExprKind::If { condition: Box::new(condition), then, otherwise }, span }
    }

    /// An `if` where a statement can stand: the block's value if it is the last thing in it and has values in all its
    /// arms, an operand if an operator follows, else a statement.
    fn if_statement(&mut self, block: &mut Block) {
        let parts = self.if_parts();
        if self.is(TokenKind::RBrace) || (parts.otherwise.is_some() && binary_operator(self.kind()).is_some()) {
            match parts.into_value_if_any() {
                IfForm::Value(value) => self.finish_expression_statement(block, value),
                IfForm::Statement(statement) => block.statements.push(statement),
            }
        } else {
            block.statements.push(parts.into_statement());
        }
    }

    fn expression_statement(&mut self, block: &mut Block) {
        let is_block = self.is(TokenKind::LBrace);
        let before = self.at;
        let first = if is_block { self.primary() } else { self.expression() };
        if self.at == before {
            // Nothing that could begin an expression; it has been reported.
            self.bump();
            return self.skip_statement();
        }
        self.finish_expression_statement(block, first);
    }

    /// What follows the expression a statement began with: the rest of an assignment, an operator, the end.
    fn finish_expression_statement(&mut self, block: &mut Block, first: Expr) {
        let is_block = matches!(first.kind, ExprKind::If { .. } | ExprKind::Block(_));
        let start = first.span;
        let first = if is_block { self.expression_after(first) } else { first };
        let (is_assignment, op) = assignment_operator(self.kind());
        if is_assignment {
            self.check_target(&first);
            self.bump();
            let value = self.expression();
            if self.is(TokenKind::Assign) {
                let error = Diagnostic::error(self.span(), "an assignment has no value of its own")
                    .help("write two statements: `b = c; a = b;`");
                self.report(error);
                self.skip_statement();
            }
            let kind = StmtKind::Assign { target: first, op, value };
            block.statements.push(Stmt { kind, span: self.since(start) });
            return self.end_statement();
        }
        // A ternary needs no semicolon either: in bpftrace it is an `if`.
        let ends_itself = matches!(first.kind, ExprKind::If { .. } | ExprKind::Block(_) | ExprKind::Ternary { .. });
        if self.is(TokenKind::RBrace) {
            block.value = Some(Box::new(first));
            return;
        }
        if matches!(first.kind, ExprKind::Error) {
            self.skip_statement();
        } else {
            let has_semicolon = self.is(TokenKind::Semicolon);
            block.statements.push(as_statement(first));
            if !ends_itself || has_semicolon {
                self.end_statement();
            }
        }
    }

    /// Reports what cannot be assigned to.
    fn check_target(&mut self, target: &Expr) {
        let error = match &target.kind {
            ExprKind::Variable(_) | ExprKind::Map { .. } | ExprKind::Error => return,
            ExprKind::Field { .. } => Diagnostic::error(target.span, "a field cannot be assigned to")
                .help("tuples, records and structs do not change once made; make a new value and assign that"),
            ExprKind::Identifier(name) => Diagnostic::error(target.span, "this cannot be assigned to")
                .help(format!("variables are written `${name}`, maps `@{name}`")),
            _ => Diagnostic::error(target.span, "this cannot be assigned to").label("expected $variable or @map[key]"),
        };
        self.report_value(error);
    }
}

impl IfParts {
    /// As an expression, if every arm ends in a value; else as a statement.
    fn into_value_if_any(self) -> IfForm {
        match self {
            Self { condition, then, otherwise: Some(otherwise), span }
                if then.value.is_some() && otherwise.value.is_some() =>
            {
                let kind = ExprKind::If { condition: Box::new(condition), then, otherwise };
                IfForm::Value(Expr { kind, span })
            }
            _ => IfForm::Statement(self.into_statement()),
        }
    }

    fn into_statement(self) -> Stmt {
        let Self { condition, then, otherwise, span } = self;
        Stmt { kind: StmtKind::If { condition, then: as_action(then), otherwise: otherwise.map(as_action) }, span }
    }
}

/// The same block with its value, which nobody wants, as one more statement.
fn as_action(mut block: Block) -> Block {
    if let Some(value) = block.value.take() {
        block.statements.push(as_statement(*value));
    }
    block
}

fn as_statement(expr: Expr) -> Stmt {
    let span = expr.span;
    let kind = match expr.kind {
        ExprKind::If { condition, then, otherwise } => {
            StmtKind::If { condition: *condition, then: as_action(then), otherwise: Some(as_action(otherwise)) }
        }
        ExprKind::Block(block) => StmtKind::Block(as_action(block)),
        _ => StmtKind::Expr(expr),
    };
    Stmt { kind, span }
}

/// Whether a token assigns, and the operator of a compound assignment.
fn assignment_operator(kind: TokenKind) -> (bool, Option<BinaryOp>) {
    let op = match kind {
        TokenKind::Assign => return (true, None),
        TokenKind::PlusAssign => BinaryOp::Add,
        TokenKind::MinusAssign => BinaryOp::Sub,
        TokenKind::StarAssign => BinaryOp::Mul,
        TokenKind::SlashAssign => BinaryOp::Div,
        TokenKind::PercentAssign => BinaryOp::Mod,
        TokenKind::AndAssign => BinaryOp::BitAnd,
        TokenKind::OrAssign => BinaryOp::BitOr,
        TokenKind::CaretAssign => BinaryOp::BitXor,
        TokenKind::ShlAssign => BinaryOp::Shl,
        TokenKind::ShrAssign => BinaryOp::Shr,
        _ => return (false, None),
    };
    (true, Some(op))
}
