//! What stands outside of all blocks: config, imports, preprocessor lines, types, maps, macros, functions, probes.

use super::super::ast::{
    Block, ConfigEntry, Expr, ExprKind, Function, Import, Macro, MacroParameter, MapDeclaration, Probe, ProbeSpec,
};
use super::super::conditionals::split_directive;
use super::super::token::TokenKind;
use super::Parser;
use super::statements::BlockUse;
use crate::compile::diagnostics::{Diagnostic, did_you_mean};
use crate::compile::source::Span;

/// Words that items other than probes begin with.
const ITEM_WORDS: [&str; 8] = ["config", "import", "struct", "union", "enum", "let", "macro", "fn"];

impl Parser<'_> {
    /// The whole script.
    pub(super) fn items(&mut self) {
        while !self.is(TokenKind::End) {
            let progress = self.progress();
            // Each has a height of its own.
            self.measured(Self::item);
            self.must_have_advanced(progress);
        }
    }

    fn item(&mut self) {
        self.recovering = false;
        match self.kind() {
            TokenKind::Directive => self.directive(),
            TokenKind::Semicolon => {
                self.bump();
            }
            TokenKind::Word => match self.text() {
                "config" => self.config(),
                "import" => self.root_import(),
                "struct" | "union" | "enum" => self.definition(),
                "let" => self.map_declaration(),
                "macro" => self.macro_definition(),
                "fn" => self.function(),
                _ => self.unexpected_item(),
            },
            TokenKind::SpecField | TokenKind::Colon | TokenKind::LBrace | TokenKind::Slash => self.probe(),
            TokenKind::RBrace => {
                let error = Diagnostic::error(self.span(), "this `}` closes nothing");
                self.report(error);
                self.bump();
            }
            _ => self.unexpected_item(),
        }
    }

    fn unexpected_item(&mut self) {
        let error = match self.text() {
            "typedef" => Diagnostic::error(self.span(), "`typedef` is not part of the language")
                .help("write `struct name { … }` and use it as `struct name`"),
            _ => self.expected_here("a probe or a definition", ""),
        };
        self.report(error);
        self.bump();
        self.skip_past_item();
    }

    /// Goes behind the next brace that closes an item, or to the next item.
    fn skip_past_item(&mut self) {
        while !matches!(self.kind(), TokenKind::End | TokenKind::SpecField | TokenKind::Directive) {
            if self.is(TokenKind::LBrace) {
                self.skip_balanced();
                return;
            }
            if self.bump().kind == TokenKind::Semicolon {
                return;
            }
        }
    }

    /// `specs /predicate/ { … }`
    fn probe(&mut self) {
        if self.statement_ahead() {
            return self.misplaced_statement();
        }
        let start = self.span();
        let specs = self.probe_specs();
        if is_part_of_specs(self.kind()) && !self.first_on_line(0) && !self.skip_bad_specs(&specs) {
            return;
        }
        let predicate = if self.is(TokenKind::Slash) { self.predicate() } else { None };
        if !self.is(TokenKind::LBrace) {
            return self.missing_action(specs.first().map_or(start, |spec| spec.span));
        }
        let body = self.block(BlockUse::Action);
        if !specs.is_empty() {
            self.script.probes.push(Probe { specs, predicate, body, span: self.since(start) });
        }
    }

    /// What stands here was lexed as a probe, but has what statements have and probes have not, and on its line
    /// nothing that a probe must have.
    fn statement_ahead(&self) -> bool {
        if !self.is(TokenKind::SpecField) || !self.text().contains(['(', '@', '$', '=']) {
            return false;
        }
        for n in 0.. {
            match self.kind_at(n) {
                TokenKind::Colon | TokenKind::LBrace | TokenKind::Slash => return false,
                TokenKind::Semicolon | TokenKind::End => return true,
                _ if n > 0 && self.first_on_line(n) => return true,
                _ => {}
            }
        }
        true
    }

    /// Reports a statement outside of all blocks, and goes behind it or to the next line.
    fn misplaced_statement(&mut self) {
        self.report(
            Diagnostic::error(self.span(), "statements stand inside a probe's braces")
                .help("to run something at once, write BEGIN { … }"),
        );
        self.bump();
        while !self.is(TokenKind::End) && !self.first_on_line(0) {
            if self.bump().kind == TokenKind::Semicolon {
                return;
            }
        }
    }

    /// At something that cannot follow the specifications of a probe: reports it and goes behind it. `false`: it was
    /// meant to be another item, which has been skipped.
    fn skip_bad_specs(&mut self, specs: &[ProbeSpec]) -> bool {
        let mut error = self.expected_here("`{`, `/` or `,`", "after a probe");
        let only_word = specs.first().filter(|spec| spec.fields.len() == 1).map(|spec| spec.fields[0].text.as_str());
        let meant = only_word.and_then(|word| did_you_mean(word, ITEM_WORDS));
        if let Some(meant) = meant {
            error = error.help(format!("did you mean `{meant}`?"));
        } else if matches!(only_word, Some("function" | "func" | "def")) {
            error = error.help("a function is written fn name($a : int64) : int64 { … }");
        } else if !self.is(TokenKind::Comma) {
            error = error.help("a field with blank space stands between double quotes: uprobe:\"/a b\":f");
        }
        self.report(error);
        while is_part_of_specs(self.kind()) {
            self.bump();
        }
        if meant.is_some() {
            self.skip_past_item();
        }
        meant.is_none()
    }

    fn missing_action(&mut self, spec: Span) {
        self.report(
            Diagnostic::error(spec, "this probe has no action")
                .label("expected `{` after it")
                .help("an action that does nothing is written { }"),
        );
        if self.item_begins_at(0) {
            self.restart_item();
        }
    }

    /// `/condition/`
    fn predicate(&mut self) -> Option<Expr> {
        let opened = self.bump().span;
        if self.is(TokenKind::Slash) {
            let span = self.span();
            self.report(Diagnostic::error(opened.to(span), "this predicate is empty"));
            self.bump();
            return None;
        }
        let condition = self.condition();
        if !self.eat(TokenKind::Slash) {
            let error = self.expected_here("`/`", "at the end of the predicate").also(opened, "it begins here");
            self.report(error);
            while !matches!(self.kind(), TokenKind::LBrace | TokenKind::RBrace | TokenKind::End) {
                self.bump();
            }
        }
        Some(condition)
    }

    /// `config = { name = value; … }`
    fn config(&mut self) {
        let keyword = self.bump().span;
        if let Some(first) = self.script.config.first() {
            let first = first.name.span;
            self.report_value(Diagnostic::error(keyword, "a second config block").also(first, "the first one is here"));
        } else if let Some(probe) = self.script.probes.first() {
            let probe = probe.specs[0].span;
            self.report_value(
                Diagnostic::error(keyword, "config must stand before all probes").also(probe, "the first probe"),
            );
        }
        self.expect(TokenKind::Assign, "after `config`");
        let opened = self.span();
        if !self.expect(TokenKind::LBrace, "") {
            return self.skip_past_item();
        }
        while !matches!(self.kind(), TokenKind::RBrace | TokenKind::End) {
            let progress = self.progress();
            match self.config_entry() {
                Some(entry) => self.script.config.push(entry),
                None => self.skip_statement(),
            }
            self.must_have_advanced(progress);
        }
        self.expect_closing(TokenKind::RBrace, opened);
    }

    fn config_entry(&mut self) -> Option<ConfigEntry> {
        self.recovering = false;
        let name = self.expect_name("the name of a setting", "")?;
        if !self.expect(TokenKind::Assign, "after the name") {
            return None;
        }
        let span = self.span();
        let value = match self.kind() {
            TokenKind::Word if !matches!(self.text(), "true" | "false") => {
                Expr { kind: ExprKind::String(self.take_name().text), span }
            }
            TokenKind::Word | TokenKind::Integer | TokenKind::String => self.primary(),
            _ => {
                self.expected("a number, a string, a word or true or false", "");
                return None;
            }
        };
        if !self.eat(TokenKind::Semicolon) && !self.is(TokenKind::RBrace) {
            let error = Diagnostic::error(self.after_last(), "expected `;` between settings");
            self.report(error);
            self.eat(TokenKind::Comma);
        }
        Some(ConfigEntry { name, value })
    }

    fn root_import(&mut self) {
        if let Some(probe) = self.script.probes.first() {
            let (keyword, probe) = (self.span(), probe.specs[0].span);
            self.report_value(
                Diagnostic::error(keyword, "imports must stand before all probes").also(probe, "the first probe"),
            );
        }
        match self.import() {
            Some(import) => self.script.imports.push(import),
            None => return self.skip_past_item(),
        }
        if !self.eat(TokenKind::Semicolon) {
            let error = Diagnostic::error(self.after_last(), "expected `;` after the import");
            self.report(error);
        }
    }

    /// `import "path"`, without what follows.
    pub(super) fn import(&mut self) -> Option<Import> {
        let start = self.bump().span;
        if !self.is(TokenKind::String) {
            let mut error = self.expected_here("a string", "after `import`");
            if let Some(word) = self.word_at(0) {
                let path = self.text[self.span().range().start..].split([' ', ';', '\n']).next().unwrap_or(word);
                error = error.help(format!("write import \"{path}\";"));
            }
            self.report(error);
            return None;
        }
        let span = self.span();
        let path = self.string_value();
        Some(Import { path, span: start.to(span) })
    }

    /// `let @name = kind(size);`
    fn map_declaration(&mut self) {
        let start = self.bump().span;
        if !self.is(TokenKind::Map) {
            let mut error = self.expected_here("a map", "after `let`");
            if self.is(TokenKind::Variable) {
                error = error.help("outside of probes, `let` declares maps: let @name = hash(100);");
            }
            self.report(error);
            return self.skip_past_item();
        }
        let name = self.take_name();
        self.expect(TokenKind::Assign, "after the map");
        let Some(kind) = self.expect_name("the kind of map", "") else { return self.skip_past_item() };
        let opened = self.span();
        if !self.expect(TokenKind::LParen, "with the number of entries") {
            return self.skip_past_item();
        }
        let size = (!self.is(TokenKind::RParen)).then(|| self.expression());
        self.expect_closing(TokenKind::RParen, opened);
        self.script.maps.push(MapDeclaration { name, kind, size, span: self.since(start) });
    }

    /// `macro name($a, @b, c) { … }`
    fn macro_definition(&mut self) {
        let start = self.bump().span;
        let Some(name) = self.expect_name("a name", "for the macro") else { return self.skip_past_item() };
        let parameters = self.parameter_list(|parser| match parser.kind() {
            TokenKind::Variable => Some(MacroParameter::Variable(parser.take_name())),
            TokenKind::Map => Some(MacroParameter::Map(parser.take_name())),
            TokenKind::Word => Some(MacroParameter::Expression(parser.take_name())),
            _ => {
                parser.expected("a parameter ($variable, @map or name)", "");
                None
            }
        });
        let Some(parameters) = parameters else { return self.skip_past_item() };
        let body = self.block(BlockUse::Value);
        self.script.macros.push(Macro { name, parameters, body, span: self.since(start) });
    }

    /// `fn name($a : type) : type { … }`
    fn function(&mut self) {
        let start = self.bump().span;
        let Some(name) = self.expect_name("a name", "for the function") else { return self.skip_past_item() };
        let parameters = self.parameter_list(|parser| {
            if !parser.is(TokenKind::Variable) {
                parser.expected("a parameter ($name : type)", "");
                return None;
            }
            let name = parser.take_name();
            parser.expect(TokenKind::Colon, "and the parameter's type");
            Some((name, parser.type_name()))
        });
        let Some(parameters) = parameters else { return self.skip_past_item() };
        if !self.is(TokenKind::Colon) {
            let error = self.expected_here("`:`", "and the type the function returns");
            self.report(error.help("if it returns nothing, write `: void`"));
            return self.skip_past_item();
        }
        self.bump();
        let returns = self.type_name();
        let body = self.block(BlockUse::Value);
        self.script.functions.push(Function { name, parameters, returns, body, span: self.since(start) });
    }

    /// `(parameter, …)`; `None` if it was not followed by a body that could be parsed.
    fn parameter_list<T>(&mut self, parse: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let opened = self.span();
        if !self.expect(TokenKind::LParen, "after the name") {
            return None;
        }
        let mut parameters = Vec::new();
        while !self.is(TokenKind::RParen) {
            parameters.push(parse(self)?);
            if !self.eat(TokenKind::Comma) {
                break;
            }
        }
        self.expect_closing(TokenKind::RParen, opened).then_some(parameters)
    }

    /// `#include`, `#define` and the like. Conditions have been dealt with before lexing.
    fn directive(&mut self) {
        let line = self.text();
        let span = self.bump().span;
        let (keyword, rest) = split_directive(line);
        match keyword {
            _ if line.starts_with("#!") && self.at == 1 => {}
            "include" => self.warnings.push(
                Diagnostic::warning(span, "headers are not read")
                    .help("kernel types come from the running kernel's BTF; define constants with `#define`"),
            ),
            "define" => self.define(span, rest),
            _ => {
                let known = ["include", "define", "if", "ifdef", "ifndef", "else", "elif", "endif"];
                let mut error = Diagnostic::error(span, format!("`#{keyword}` is not supported"));
                if let Some(meant) = did_you_mean(keyword, known) {
                    error = error.help(format!("did you mean `#{meant}`?"));
                }
                self.report_value(error);
            }
        }
    }

    /// `#define NAME expression` and `#define NAME(a, b) expression` become macros; a name alone is for `#ifdef`.
    fn define(&mut self, span: Span, definition: &str) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if definition.chars().all(is_name) && !definition.starts_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        let range = Span::new(span.range().end - definition.len(), span.range().end);
        let Some((name, parameters, body)) = self.with_code(range, |parser| {
            let name = parser.expect_name("a name", "after `#define`")?;
            // As in C: parameters follow directly, else the parenthesis belongs to the value.
            let has_parameters = parser.is(TokenKind::LParen) && parser.span().start == name.span.end;
            let parameters = if has_parameters {
                parser.parameter_list(|parser| parser.expect_name("a parameter", "").map(MacroParameter::Expression))?
            } else {
                Vec::new()
            };
            let value = parser.expression();
            if !parser.is(TokenKind::End) {
                let error = parser
                    .expected_here("the end of the line", "")
                    .help("a `#define` can hold one expression; for more, use macro name() { … }");
                parser.report(error);
                return None;
            }
            let span = value.span;
            Some((name, parameters, Block { statements: Vec::new(), value: Some(Box::new(value)), span }))
        }) else {
            return;
        };
        self.script.macros.push(Macro { name, parameters, body, span });
    }
}

fn is_part_of_specs(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::SpecField | TokenKind::Colon | TokenKind::Comma)
}
