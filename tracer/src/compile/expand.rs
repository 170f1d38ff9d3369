//! Syntax tree → the same without calls of macros.
//!
//! A call becomes the macro's body, in which parameters have been replaced: `$x` and `@x` by the variable and the map that the
//! call names, others by the expression that it gives, wherever they stand. A macro's own variables are renamed at each call,
//! so that it and its caller do not meet by accident; and the only maps that a macro can reach are those it is given.
//!
//! Macros of one name are told apart by their parameters; the last definition that a call fits is meant.

pub(super) mod walk;

use super::diagnostics::Diagnostic;
use super::source::Span;
use super::syntax::ast::{Block, Expr, ExprKind, Macro, MacroParameter, Name, Script, Stmt, StmtKind};
use walk::{Walk, walk_block, walk_expr, walk_stmt};

/// Most nodes that all probes may have together: macros that double their arguments soon fill any memory.
const MAX_NODES: usize = 1 << 18;

/// Replaces all calls. On failure, what is wrong with them.
pub fn expand(mut script: Script) -> Result<Script, Vec<Diagnostic>> {
    let macros = std::mem::take(&mut script.macros);
    if macros.is_empty() {
        return Ok(script);
    }
    let mut expander =
        Expander { macros: &macros, calls: Vec::new(), expansions: 0, nodes: 0, diagnostics: Vec::new() };
    for probe in &mut script.probes {
        probe.predicate.iter_mut().for_each(|predicate| expander.expr(predicate));
        expander.block(&mut probe.body);
    }
    script.functions.iter_mut().for_each(|function| expander.block(&mut function.body));
    if expander.diagnostics.is_empty() { Ok(script) } else { Err(expander.diagnostics) }
}

struct Expander<'a> {
    macros: &'a [Macro],
    /// The macros whose bodies are being expanded, outermost first, and where they were called.
    calls: Vec<(&'a Macro, Span)>,
    expansions: usize,
    nodes: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Walk for Expander<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.give_up(expr.span);
        }
        walk_expr(self, expr);
        if let Some(body) = self.expansion(expr) {
            // A body that is nothing but a value stays what it is: a literal can stand where one is wanted.
            *expr = match body {
                Block { statements, value: Some(value), .. } if statements.is_empty() => *value,
                body => Expr { span: expr.span, kind: ExprKind::Block(body) },
            };
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        let StmtKind::Expr(expr) = &mut stmt.kind else { return walk_stmt(self, stmt) };
        walk_expr(self, expr);
        match self.expansion(expr) {
            Some(body) => stmt.kind = StmtKind::Block(without_value(body)),
            None => self.nodes += 1,
        }
    }

    fn block(&mut self, block: &mut Block) {
        walk_block(self, block);
    }
}

impl<'a> Expander<'a> {
    /// What a call of a macro becomes; its arguments have been expanded already.
    fn expansion(&mut self, expr: &Expr) -> Option<Block> {
        const NOTHING: &[Expr] = &[];
        let (name, arguments) = match &expr.kind {
            ExprKind::Call { name, arguments } => (name.text.as_str(), arguments.as_slice()),
            ExprKind::Identifier(name) => (name.as_str(), NOTHING),
            _ => return None,
        };
        let is_word = matches!(expr.kind, ExprKind::Identifier(_));
        let named = self.macros.iter().rev().filter(|definition| definition.name.text == name);
        let mut named = named.filter(|definition| !is_word || definition.parameters.is_empty()).peekable();
        named.peek()?;
        let fitting = named.clone().find(|definition| mismatch(definition, arguments).is_none());
        let Some(definition) = fitting else {
            self.report_mismatch(name, expr.span, arguments, named.next()?);
            return None;
        };
        if self.calls.iter().any(|(outer, _)| std::ptr::eq(*outer, definition)) {
            let chain: Vec<&str> = self.calls.iter().map(|(outer, _)| outer.name.text.as_str()).collect();
            let chain = format!("{} > {name}", chain.join(" > "));
            self.report(Diagnostic::error(expr.span, format!("a macro cannot call itself: {chain}")));
            return None;
        }
        self.calls.push((definition, expr.span));
        self.expansions += 1;
        let mut body = definition.body.clone();
        let mut binding = Binding { definition, arguments, number: self.expansions, unhygienic: Vec::new() };
        binding.block(&mut body);
        for (map, span) in binding.unhygienic {
            let error = Diagnostic::error(span, format!("a macro cannot reach the map `@{map}` of its caller"));
            self.report(error.help("give it to the macro as an argument"));
        }
        self.block(&mut body);
        self.calls.pop();
        Some(body)
    }

    fn report_mismatch(&mut self, name: &str, span: Span, arguments: &[Expr], nearest: &Macro) {
        let what = mismatch(nearest, arguments).expect("a definition that does not fit");
        let error = Diagnostic::error(span, format!("no definition of the macro `{name}` fits this call"));
        self.report(error.label(what).also(nearest.name.span, "the last definition"));
    }

    /// Reports an error, and where the calls are that have led to it.
    fn report(&mut self, mut error: Diagnostic) {
        for (definition, span) in self.calls.iter().rev() {
            error = error.also(*span, format!("in this call of `{}`", definition.name.text));
        }
        self.diagnostics.push(error);
    }

    fn give_up(&mut self, span: Span) {
        if self.nodes == MAX_NODES + 1 {
            self.report(Diagnostic::error(span, "the macros make this script too large"));
        }
    }
}

/// Why a call does not fit a definition.
fn mismatch(definition: &Macro, arguments: &[Expr]) -> Option<String> {
    let (expected, given) = (definition.parameters.len(), arguments.len());
    if expected != given {
        return Some(format!("{given} arguments, and it takes {expected}"));
    }
    definition.parameters.iter().zip(arguments).find_map(|(parameter, argument)| match (parameter, &argument.kind) {
        (MacroParameter::Expression(_), _)
        | (MacroParameter::Variable(_), ExprKind::Variable(_))
        | (MacroParameter::Map(_), ExprKind::Map { key: None, .. }) => None,
        (MacroParameter::Variable(name), _) => Some(format!("it takes a variable for `${}`", name.text)),
        (MacroParameter::Map(name), _) => Some(format!("it takes a map for `@{}`", name.text)),
    })
}

/// A body that stands as a statement: what it gives is not wanted.
fn without_value(mut body: Block) -> Block {
    if let Some(value) = body.value.take() {
        let kind = match value.kind {
            ExprKind::Block(block) => StmtKind::Block(without_value(block)),
            ExprKind::Call { .. } | ExprKind::Unary { .. } | ExprKind::Ternary { .. } => StmtKind::Expr(*value),
            _ => StmtKind::Discard(*value),
        };
        body.statements.push(Stmt { span: body.span, kind });
    }
    body
}

/// Replaces parameters by arguments in a macro's body, and renames what is its own.
struct Binding<'a> {
    definition: &'a Macro,
    arguments: &'a [Expr],
    /// Of the expansion, for names that no other has.
    number: usize,
    /// Maps that are no parameters.
    unhygienic: Vec<(String, Span)>,
}

impl Binding<'_> {
    fn argument(&self, is_it: impl Fn(&MacroParameter) -> bool) -> Option<&Expr> {
        self.definition.parameters.iter().position(is_it).map(|index| &self.arguments[index])
    }

    fn variable(&self, name: &mut String) {
        let argument = self.argument(|it| matches!(it, MacroParameter::Variable(own) if own.text == *name));
        *name = match argument.map(|argument| &argument.kind) {
            Some(ExprKind::Variable(given)) => given.clone(),
            _ => format!("{name}.{}", self.number),
        };
    }

    fn map(&mut self, name: &mut String, span: Span) {
        let argument = self.argument(|it| matches!(it, MacroParameter::Map(own) if own.text == *name));
        match argument.map(|argument| &argument.kind) {
            Some(ExprKind::Map { name: given, .. }) => *name = given.clone(),
            _ => self.unhygienic.push((name.clone(), span)),
        }
    }
}

impl Walk for Binding<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Variable(name) => self.variable(name),
            ExprKind::Map { name, .. } => self.map(name, span),
            ExprKind::Identifier(name) => {
                let argument = self.argument(|it| matches!(it, MacroParameter::Expression(own) if own.text == *name));
                if let Some(argument) = argument {
                    // Not to be looked into: its names are the caller's.
                    *expr = argument.clone();
                    return;
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        walk_stmt(self, stmt);
    }

    fn block(&mut self, block: &mut Block) {
        walk_block(self, block);
    }

    fn variable_name(&mut self, name: &mut Name) {
        self.variable(&mut name.text);
    }

    fn map_name(&mut self, name: &mut Name) {
        let span = name.span;
        self.map(&mut name.text, span);
    }
}
