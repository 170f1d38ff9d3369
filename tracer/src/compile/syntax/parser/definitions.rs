//! C types: `struct`, `union` and `enum` with their members.
//!
//! A definition inside another becomes one of its own, before the outer one; the member refers to it by name.

use super::super::ast::{
    BinaryOp, Definition, DefinitionKind, Expr, ExprKind, Member, Name, TypeName, TypeNameKind, UnaryOp,
};
use super::super::token::TokenKind;
use super::Parser;
use super::types::is_c_word;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

/// How many expressions are looked at to find the value of a size: names may stand for names, and for themselves.
const MAX_STEPS: u32 = 256;

impl Parser<'_> {
    /// `struct name { … } __attribute__((packed));`
    pub(super) fn definition(&mut self) {
        let keyword = self.span();
        if !self.is_word("enum") && self.kind_at(1) == TokenKind::LBrace {
            self.report_value(Diagnostic::error(keyword, "a type defined here needs a name"));
        }
        self.definition_in("");
        self.eat(TokenKind::Semicolon);
    }

    /// A definition inside the one called `outer`; gives the type it defines.
    fn definition_in(&mut self, outer: &str) -> TypeName {
        let start = self.span();
        let keyword = self.bump();
        let keyword = &self.text[keyword.span.range()];
        let mut packed = self.attributes();
        let name = if self.is(TokenKind::Word) {
            self.take_name()
        } else {
            // Numbered by how many definitions there are: no two get the same.
            let number = self.before.definitions.len() + self.script.definitions.len();
            let text = format!("{outer}.{number}");
            Name { text, span: start }
        };
        packed |= self.attributes();
        let tag = name.text.clone();
        if !self.is(TokenKind::LBrace) {
            self.expected("`{`", "and the members");
            self.skip_statement();
        } else {
            let kind = self.nested(|parser| match keyword {
                "enum" => DefinitionKind::Enum(parser.enumerators()),
                "union" => DefinitionKind::Union(parser.members(&tag)),
                _ => DefinitionKind::Struct(parser.members(&tag)),
            });
            let span = self.since(start);
            packed |= self.attributes();
            if let Some(kind) = kind {
                self.script.definitions.push(Definition { kind, name, packed, span });
            }
        }
        let kind = match keyword {
            "enum" => TypeNameKind::Enum(tag),
            "union" => TypeNameKind::Union(tag),
            _ => TypeNameKind::Struct(tag),
        };
        TypeName { kind, span: self.since(start) }
    }

    /// `{ A, B = 2, }`
    fn enumerators(&mut self) -> Vec<(Name, Option<Expr>)> {
        let opened = self.bump().span;
        let mut enumerators = Vec::new();
        while !matches!(self.kind(), TokenKind::RBrace | TokenKind::End) {
            let Some(name) = self.expect_name("a name", "") else {
                self.skip_statement();
                break;
            };
            let value = self.eat(TokenKind::Assign).then(|| self.expression());
            enumerators.push((name, value));
            if !self.eat(TokenKind::Comma) {
                if self.is(TokenKind::Word) {
                    self.report(Diagnostic::error(self.after_last(), "expected `,` between enumerators"));
                    self.skip_statement();
                }
                break;
            }
        }
        self.expect_closing(TokenKind::RBrace, opened);
        enumerators
    }

    /// `{ type name; … }`
    fn members(&mut self, outer: &str) -> Vec<Member> {
        let opened = self.bump().span;
        let mut members = Vec::new();
        while !matches!(self.kind(), TokenKind::RBrace | TokenKind::End) {
            let progress = self.progress();
            if !self.eat(TokenKind::Semicolon) {
                self.member_line(outer, &mut members);
            }
            self.must_have_advanced(progress);
        }
        self.expect_closing(TokenKind::RBrace, opened);
        members
    }

    /// `type a, *b, c[4], d : 3;`
    fn member_line(&mut self, outer: &str, members: &mut Vec<Member>) {
        self.recovering = false;
        let Some(base) = self.member_type(outer) else { return self.skip_statement() };
        if self.is(TokenKind::Semicolon) && !matches!(base.kind, TypeNameKind::Named(_)) {
            members.push(Member { ty: base, name: None, bits: None });
        } else {
            loop {
                match self.declarator(base.clone()) {
                    Some(member) => members.push(member),
                    None => return self.skip_statement(),
                }
                if !self.eat(TokenKind::Comma) {
                    break;
                }
            }
        }
        self.attributes();
        if !self.eat(TokenKind::Semicolon) {
            let error = Diagnostic::error(self.after_last(), "expected `;` after this member");
            self.report(error);
            if !self.first_on_line(0) {
                self.skip_statement();
            }
        }
    }

    /// The type all declarators of a line share.
    fn member_type(&mut self, outer: &str) -> Option<TypeName> {
        self.qualifiers();
        let start = self.span();
        let Some(word) = self.word_at(0) else {
            self.expected("a member's type", "");
            return None;
        };
        if matches!(word, "struct" | "union" | "enum") {
            let names_type = self.kind_at(1) == TokenKind::Word
                && self.word_at(1) != Some("__attribute__")
                && self.kind_at(2) != TokenKind::LBrace
                && self.word_at(2) != Some("__attribute__");
            let ty = if names_type { self.tagged_type() } else { self.definition_in(outer) };
            self.qualifiers();
            return Some(ty);
        }
        let mut words = vec![word];
        self.bump();
        self.qualifiers();
        while is_c_word(words[0]) && self.word_at(0).is_some_and(is_c_word) {
            words.push(self.text());
            self.bump();
            self.qualifiers();
        }
        Some(TypeName { kind: TypeNameKind::Named(words.join(" ")), span: self.since(start) })
    }

    /// `struct name`, without what may follow a type elsewhere.
    fn tagged_type(&mut self) -> TypeName {
        let start = self.span();
        let keyword = self.bump();
        let tag = self.take_name().text;
        let kind = match &self.text[keyword.span.range()] {
            "struct" => TypeNameKind::Struct(tag),
            "union" => TypeNameKind::Union(tag),
            _ => TypeNameKind::Enum(tag),
        };
        TypeName { kind, span: self.since(start) }
    }

    /// `*name[4]`, `name : 3`, `(*name)(…)`
    fn declarator(&mut self, base: TypeName) -> Option<Member> {
        let start = base.span;
        let mut ty = base;
        let mut pointers = 0;
        while self.eat(TokenKind::Star) {
            self.qualifiers();
            ty = TypeName { kind: TypeNameKind::Pointer(Box::new(ty)), span: self.since(start) };
            pointers += 1;
            if pointers > 16 {
                self.stop(Diagnostic::error(self.span(), "too many pointers to pointers"));
            }
        }
        if self.is(TokenKind::LParen) {
            return self.function_pointer(ty);
        }
        let name = self.is(TokenKind::Word).then(|| self.take_name());
        if name.is_none() && !self.is(TokenKind::Colon) {
            self.expected("the member's name", "");
            return None;
        }
        ty = self.member_arrays(ty, start);
        let bits = if self.eat(TokenKind::Colon) { Some(self.bit_width()?) } else { None };
        Some(Member { ty, name, bits })
    }

    /// `(*name)(parameters)`: what it points to cannot be read, so the type is `void *`.
    fn function_pointer(&mut self, returns: TypeName) -> Option<Member> {
        let opened = self.bump().span;
        self.expect(TokenKind::Star, "and the name of a pointer to a function");
        self.qualifiers();
        let name = self.expect_name("a name", "")?;
        let start = returns.span;
        let span = self.since(start);
        let void = TypeName { kind: TypeNameKind::Named("void".into()), span };
        let pointer = TypeName { kind: TypeNameKind::Pointer(Box::new(void)), span };
        let ty = self.member_arrays(pointer, start);
        self.expect_closing(TokenKind::RParen, opened);
        let opened = self.span();
        self.expect(TokenKind::LParen, "and the function's parameters");
        let mut open = 1;
        while open > 0 && !matches!(self.kind(), TokenKind::Semicolon | TokenKind::RBrace | TokenKind::End) {
            match self.kind() {
                TokenKind::LParen => open += 1,
                TokenKind::RParen => open -= 1,
                _ => {}
            }
            if open > 0 {
                self.bump();
            }
        }
        self.expect_closing(TokenKind::RParen, opened);
        Some(Member { ty, name: Some(name), bits: None })
    }

    /// `[4][2]`: an array of four arrays of two.
    fn member_arrays(&mut self, ty: TypeName, start: Span) -> TypeName {
        let mut sizes = Vec::new();
        while self.is(TokenKind::LBracket) {
            let opened = self.bump().span;
            let size = if self.is(TokenKind::RBracket) {
                None
            } else {
                let size = self.expression();
                Some(self.constant(&size).unwrap_or(0))
            };
            self.expect_closing(TokenKind::RBracket, opened);
            sizes.push(size);
            if sizes.len() > 16 {
                self.stop(Diagnostic::error(self.span(), "too many dimensions"));
            }
        }
        sizes.into_iter().rev().fold(ty, |ty, size| {
            let span = self.since(start);
            TypeName { kind: TypeNameKind::Array(Box::new(ty), size), span }
        })
    }

    fn bit_width(&mut self) -> Option<u32> {
        let width = self.expression();
        let bits = self.constant(&width)?;
        match u32::try_from(bits) {
            Ok(bits) if bits <= 64 => Some(bits),
            _ => {
                self.report_value(Diagnostic::error(width.span, "a bit field has at most 64 bits"));
                None
            }
        }
    }

    /// The value of a size; reports it if it is none.
    fn constant(&mut self, expr: &Expr) -> Option<u64> {
        let value = self.evaluate(expr, &mut { MAX_STEPS });
        if value.is_none() && !matches!(expr.kind, ExprKind::Error) {
            self.report_value(
                Diagnostic::error(expr.span, "the size must be known here")
                    .label("expected a number, an enumerator or a `#define`, or a sum or product of such"),
            );
        }
        value
    }

    /// The value of what C accepts as a size, as far as scripts use it.
    fn evaluate(&self, expr: &Expr, steps: &mut u32) -> Option<u64> {
        *steps = steps.checked_sub(1)?;
        match &expr.kind {
            ExprKind::Integer { value, .. } => Some(*value),
            ExprKind::Unary { op: UnaryOp::Negate, operand } => self.evaluate(operand, steps).map(u64::wrapping_neg),
            ExprKind::Binary { op, left, right, .. } => {
                let left = self.evaluate(left, steps)?;
                let right = self.evaluate(right, steps)?;
                match op {
                    BinaryOp::Add => left.checked_add(right),
                    BinaryOp::Sub => left.checked_sub(right),
                    BinaryOp::Mul => left.checked_mul(right),
                    BinaryOp::Div => left.checked_div(right),
                    BinaryOp::Shl => u32::try_from(right).ok().and_then(|right| left.checked_shl(right)),
                    _ => None,
                }
            }
            ExprKind::Identifier(name) => self.named_constant(name, steps),
            _ => None,
        }
    }

    /// The value of an enumerator or a `#define` seen so far.
    fn named_constant(&self, name: &str, steps: &mut u32) -> Option<u64> {
        let defined = self.script.macros.iter().chain(&self.before.macros).find(|definition| {
            definition.name.text == name && definition.parameters.is_empty() && definition.body.statements.is_empty()
        });
        if let Some(value) = defined.and_then(|definition| definition.body.value.as_deref()) {
            return self.evaluate(value, steps);
        }
        let definitions = self.script.definitions.iter().chain(&self.before.definitions);
        definitions.clone().find_map(|definition| match &definition.kind {
            DefinitionKind::Enum(enumerators) => self.enumerator(enumerators, name, steps),
            _ => None,
        })
    }

    fn enumerator(&self, enumerators: &[(Name, Option<Expr>)], wanted: &str, steps: &mut u32) -> Option<u64> {
        let mut next = Some(0u64);
        for (name, value) in enumerators {
            let this = match value {
                Some(value) => self.evaluate(value, steps),
                None => next,
            };
            if name.text == wanted {
                return this;
            }
            next = this.map(|this| this.wrapping_add(1));
        }
        None
    }

    /// `const`, `volatile`: of no consequence to the layout.
    fn qualifiers(&mut self) {
        while matches!(self.word_at(0), Some("const" | "volatile" | "restrict")) {
            self.bump();
        }
    }

    /// `__attribute__((…))`: whether it packs. Others that change the layout are refused.
    fn attributes(&mut self) -> bool {
        let mut packed = false;
        while self.is_word("__attribute__") {
            self.bump();
            let opened = self.span();
            if !self.expect(TokenKind::LParen, "") {
                return packed;
            }
            let mut open = 1;
            while open > 0 && !self.is(TokenKind::End) {
                match (self.kind(), self.text()) {
                    (TokenKind::LParen, _) => open += 1,
                    (TokenKind::RParen, _) => open -= 1,
                    (_, "packed" | "__packed__") => packed = true,
                    (_, "aligned" | "__aligned__" | "vector_size" | "mode") => {
                        let error = Diagnostic::error(self.span(), "this attribute changes the layout of the type")
                            .label("only `packed` is supported");
                        self.report_value(error);
                    }
                    _ => {}
                }
                self.bump();
            }
            if open > 0 {
                self.report(Diagnostic::error(opened, "this parenthesis is never closed"));
            }
        }
        packed
    }
}
