//! Operands: literals, names, calls, maps, and all that begins with a parenthesis.

use super::super::ast::{BinaryOp, Expr, ExprKind, Name, TypeName, TypeNameKind, TypeOrExpr, TypeQuery};
use super::super::literals;
use super::super::token::TokenKind;
use super::Parser;
use super::statements::BlockUse;
use super::types::TypeAhead;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

/// Words that begin statements, and so never an expression.
const STATEMENT_WORDS: [&str; 9] = ["let", "while", "for", "unroll", "return", "break", "continue", "else", "import"];

impl Parser<'_> {
    /// One operand, without what may follow it.
    pub(super) fn primary(&mut self) -> Expr {
        let start = self.span();
        self.raise(1);
        let kind = match self.kind() {
            TokenKind::LParen => return self.parenthesized(),
            TokenKind::LBrace => ExprKind::Block(self.block(BlockUse::Value)),
            TokenKind::Word => return self.word(),
            TokenKind::Map => self.map(),
            TokenKind::Variable => ExprKind::Variable(self.take_name().text),
            TokenKind::Positional => self.positional(),
            TokenKind::PositionalCount => {
                self.bump();
                ExprKind::PositionalCount
            }
            TokenKind::Integer => self.integer(),
            TokenKind::String => ExprKind::String(self.string_value()),
            TokenKind::Char => {
                let text = self.text();
                let mut errors = Vec::new();
                let value = literals::character(text, start, &mut errors);
                self.finish_quoted(text, errors);
                ExprKind::Integer { value, unsigned: false }
            }
            _ => {
                self.expected("an expression", "");
                self.eat(TokenKind::Unknown);
                ExprKind::Error
            }
        };
        Expr { kind, span: self.since(start) }
    }

    fn integer(&mut self) -> ExprKind {
        let value = literals::integer(self.text(), self.span());
        let kind = match value {
            Ok((value, unsigned)) => ExprKind::Integer { value, unsigned },
            Err(error) => {
                self.report_value(error);
                ExprKind::Error
            }
        };
        self.bump();
        kind
    }

    /// The value of the next token, a string.
    pub(super) fn string_value(&mut self) -> String {
        let text = self.text();
        let mut errors = Vec::new();
        let value = literals::string(text, self.span(), &mut errors);
        self.finish_quoted(text, errors);
        value
    }

    /// Takes a string or a character whose value has been found, with these errors. That it is not closed has been
    /// reported by the lexer.
    fn finish_quoted(&mut self, text: &str, errors: Vec<Diagnostic>) {
        self.bump();
        self.recovering |= !is_closed(text);
        errors.into_iter().for_each(|error| self.report_value(error));
    }

    /// `$1`
    fn positional(&mut self) -> ExprKind {
        let number = self.text()[1..].parse().ok().filter(|number| *number > 0);
        if number.is_none() {
            let error = Diagnostic::error(self.span(), "no such parameter").label("parameters are numbered from $1");
            self.report_value(error);
        }
        self.bump();
        number.map_or(ExprKind::Error, ExprKind::Positional)
    }

    /// `@x`, `@x[key]`, `@x[a, b]`
    fn map(&mut self) -> ExprKind {
        let name = self.take_name().text;
        let mut key = None;
        if self.is(TokenKind::LBracket) {
            let opened = self.bump().span;
            if self.is(TokenKind::RBracket) {
                self.report_value(
                    Diagnostic::error(opened.to(self.span()), "a map's key is missing")
                        .label("expected a key between the brackets")
                        .help(format!("a map without keys is written `@{name}`")),
                );
                self.bump();
                return ExprKind::Error;
            }
            key = Some(Box::new(self.key()));
            self.expect_closing(TokenKind::RBracket, opened);
        }
        ExprKind::Map { name, key }
    }

    /// One expression, or several as a tuple.
    fn key(&mut self) -> Expr {
        let first = self.expression();
        if !self.is(TokenKind::Comma) {
            return first;
        }
        let start = first.span;
        let mut parts = vec![first];
        while self.eat(TokenKind::Comma) {
            parts.push(self.expression());
        }
        self.level();
        Expr { kind: ExprKind::Tuple(parts), span: self.since(start) }
    }

    /// What begins with a word: a keyword's expression, a call, a name.
    fn word(&mut self) -> Expr {
        let start = self.span();
        let word = self.text();
        let kind = match word {
            "if" => return self.nested(Self::if_expression).unwrap_or(Expr { kind: ExprKind::Error, span: start }),
            "sizeof" | "offsetof" | "typeinfo" if self.kind_at(1) == TokenKind::LParen => self.type_query(),
            "typeof" if self.kind_at(1) == TokenKind::LParen => {
                let kind = self.typeof_type();
                self.level();
                ExprKind::Type(Box::new(TypeName { kind, span: self.since(start) }))
            }
            "container_of" if self.kind_at(1) == TokenKind::LParen => self.container_of(),
            "comptime" => {
                self.bump();
                match self.nested(Self::unary) {
                    Some(operand) => {
                        self.level();
                        ExprKind::Comptime(Box::new(operand))
                    }
                    None => ExprKind::Error,
                }
            }
            "true" | "false" => {
                self.bump();
                ExprKind::Bool(word == "true")
            }
            _ if STATEMENT_WORDS.contains(&word) => {
                self.expected("an expression", "");
                ExprKind::Error
            }
            _ => {
                let name = self.take_name();
                if self.is(TokenKind::LParen) { self.call(name) } else { ExprKind::Identifier(name.text) }
            }
        };
        Expr { kind, span: self.since(start) }
    }

    /// `name(arguments)`, from the parenthesis on.
    fn call(&mut self, name: Name) -> ExprKind {
        let opened = self.bump().span;
        let mut arguments = Vec::new();
        let ends = |kind| matches!(kind, TokenKind::RParen | TokenKind::RBrace | TokenKind::Semicolon | TokenKind::End);
        while !ends(self.kind()) {
            arguments.push(self.expression());
            if self.is(TokenKind::Assign) {
                self.report_assignment();
            }
            if !self.eat(TokenKind::Comma) {
                break;
            }
            if self.is(TokenKind::RParen) {
                self.expected("an argument", "after the comma");
            }
        }
        let goes_on = self.begins_statement() || matches!(self.kind(), TokenKind::String | TokenKind::Integer);
        if goes_on && !self.first_on_line(0) {
            let error = self.expected_here("`,` or `)`", "").also(opened, "opened here");
            self.report(error.help("a comma stands between arguments"));
        } else {
            self.expect_closing(TokenKind::RParen, opened);
        }
        self.level();
        ExprKind::Call { name, arguments }
    }

    /// `sizeof(type or expression)`, `offsetof(type or expression, a.b)`, `typeinfo(type or expression)`
    fn type_query(&mut self) -> ExprKind {
        let query = self.take_name().text;
        let opened = self.bump().span;
        let ends = if query == "offsetof" { TokenKind::Comma } else { TokenKind::RParen };
        let of = match self.type_ahead(0) {
            _ if matches!(self.word_at(0), Some("struct" | "union" | "enum")) => TypeOrExpr::Type(self.type_name()),
            Some((TypeAhead::Certain, end)) if self.kind_at(end) == ends => TypeOrExpr::Type(self.type_name()),
            _ => TypeOrExpr::Expr(Box::new(self.expression())),
        };
        let query = match query.as_str() {
            "sizeof" => TypeQuery::SizeOf,
            "typeinfo" => TypeQuery::TypeInfo,
            _ => {
                self.expect(TokenKind::Comma, "and a field");
                let mut fields = Vec::new();
                while let Some(field) = self.expect_name("a field", "") {
                    fields.push(field);
                    if !self.eat(TokenKind::Dot) {
                        break;
                    }
                }
                TypeQuery::OffsetOf(fields)
            }
        };
        self.expect_closing(TokenKind::RParen, opened);
        self.level();
        ExprKind::TypeQuery { query, of }
    }

    /// `container_of(pointer, type, member)`, which is `(type *)((uint8 *)pointer - offsetof(type, member))`.
    fn container_of(&mut self) -> ExprKind {
        let span = self.span();
        self.bump();
        let opened = self.bump().span;
        let pointer = self.expression();
        self.expect(TokenKind::Comma, "and the type of what it is in");
        let ty = self.type_name();
        self.expect(TokenKind::Comma, "and a member");
        let mut members = Vec::new();
        while let Some(member) = self.expect_name("a member", "") {
            members.push(member);
            if !self.eat(TokenKind::Dot) {
                break;
            }
        }
        self.expect_closing(TokenKind::RParen, opened);
        self.level();
        let here = |kind| Box::new(Expr { kind, span });
        let pointer_to = |ty| TypeName { kind: TypeNameKind::Pointer(Box::new(ty)), span };
        let byte = TypeName { kind: TypeNameKind::Named("uint8".to_owned()), span };
        let bytes = ExprKind::Cast { ty: pointer_to(byte), operand: Box::new(pointer) };
        let (query, of) = (TypeQuery::OffsetOf(members), TypeOrExpr::Type(ty.clone()));
        let offset = ExprKind::TypeQuery { query, of };
        let start = ExprKind::Binary { op: BinaryOp::Sub, op_span: span, left: here(bytes), right: here(offset) };
        ExprKind::Cast { ty: pointer_to(ty), operand: here(start) }
    }

    /// A cast, a record, a tuple, or an expression in parentheses.
    fn parenthesized(&mut self) -> Expr {
        if self.cast_ahead().is_some() { self.cast() } else { self.group() }
    }

    /// The same without casts.
    pub(super) fn group(&mut self) -> Expr {
        let start = self.span();
        let opened = self.bump().span;
        if self.eat(TokenKind::RParen) {
            return Expr { kind: ExprKind::Tuple(Vec::new()), span: self.since(start) };
        }
        if self.is(TokenKind::Word) && self.kind_at(1) == TokenKind::Assign {
            return self.record(opened);
        }
        let first = self.expression();
        if self.is(TokenKind::Assign) {
            self.report_assignment();
        }
        if !self.is(TokenKind::Comma) {
            self.expect_closing(TokenKind::RParen, opened);
            return Expr { kind: first.kind, span: self.since(start) };
        }
        let mut parts = vec![first];
        while self.eat(TokenKind::Comma) && !self.is(TokenKind::RParen) {
            parts.push(self.expression());
        }
        self.expect_closing(TokenKind::RParen, opened);
        self.level();
        Expr { kind: ExprKind::Tuple(parts), span: self.since(start) }
    }

    /// `name = value, …)`
    fn record(&mut self, opened: Span) -> Expr {
        let mut fields: Vec<(Name, Expr)> = Vec::new();
        while let Some(name) = self.expect_name("the name of a field", "") {
            self.expect(TokenKind::Assign, "and the field's value");
            if let Some((first, _)) = fields.iter().find(|(field, _)| field.text == name.text) {
                let first = first.span;
                let error = Diagnostic::error(name.span, format!("the field `{}` is given twice", name.text));
                self.report_value(error.also(first, "first here"));
            }
            let value = self.expression();
            fields.push((name, value));
            if !self.eat(TokenKind::Comma) || self.is(TokenKind::RParen) {
                break;
            }
        }
        self.expect_closing(TokenKind::RParen, opened);
        self.level();
        Expr { kind: ExprKind::Record(fields), span: self.since(opened) }
    }

    /// `(type)operand`
    fn cast(&mut self) -> Expr {
        let start = self.bump().span;
        let ty = self.type_name();
        self.expect_closing(TokenKind::RParen, start);
        let Some(operand) = self.nested(Self::unary) else {
            return Expr { kind: ExprKind::Error, span: start };
        };
        self.level();
        let span = start.to(operand.span);
        Expr { kind: ExprKind::Cast { ty, operand: Box::new(operand) }, span }
    }

    /// Whether a cast begins here, and how sure that is.
    ///
    /// `(x) - 1` and the like are subtractions unless `x` is plainly a type: bpftrace reads a cast of `-1` there, which
    /// is never what `(elapsed) - 1` means.
    pub(super) fn cast_ahead(&self) -> Option<TypeAhead> {
        if matches!(self.word_at(1), Some("struct" | "union" | "enum")) {
            return Some(TypeAhead::Certain); // whatever follows: it can be nothing else
        }
        let (sure, end) = self.type_ahead(1)?;
        if self.kind_at(end) != TokenKind::RParen {
            return None;
        }
        let follows = self.kind_at(end + 1);
        let begins_operand = match follows {
            TokenKind::Word => !self.word_at(end + 1).is_some_and(|word| STATEMENT_WORDS.contains(&word)),
            TokenKind::Variable
            | TokenKind::Map
            | TokenKind::Positional
            | TokenKind::PositionalCount
            | TokenKind::Integer
            | TokenKind::String
            | TokenKind::Char
            | TokenKind::LParen
            | TokenKind::Bang
            | TokenKind::Tilde => true,
            TokenKind::Minus | TokenKind::Star | TokenKind::And | TokenKind::PlusPlus | TokenKind::MinusMinus => {
                sure == TypeAhead::Certain
            }
            _ => false,
        };
        begins_operand.then_some(sure)
    }
}

/// Whether a string or a character, with its quotes, has the closing one.
fn is_closed(literal: &str) -> bool {
    let escaped = |text: &str| text.len() - text.trim_end_matches('\\').len();
    let quote = &literal[..1];
    literal[1..].strip_suffix(quote).is_some_and(|inner| escaped(inner) % 2 == 0)
}
