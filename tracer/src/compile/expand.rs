//! Syntax tree → the same without calls of the script's own macros and functions.
//!
//! A call of a macro becomes the macro's body, in which parameters have been replaced ([`bind`]): `$x` and `@x` by the
//! variable and the map that the call names, others by the expression that it gives, wherever they stand. A macro's own
//! variables are renamed at each call, so that it and its caller do not meet by accident; and the only maps that a macro
//! can reach are those it is given. Macros of one name are told apart by their parameters; the last definition that a
//! call fits is meant.
//!
//! A call of a function becomes a block with the function's body ([`functions`]), so a function may do whatever the
//! clause may that calls it, and no kernel has to support calls.

mod bind;
mod functions;
pub(super) mod walk;

use super::diagnostics::{Diagnostic, Severity};
use super::source::Span;
use super::syntax::ast::{Block, Expr, ExprKind, Function, Macro, MacroParameter, Name, Probe, Script, Stmt, StmtKind};
use bind::Binding;
use walk::{Walk, walk_block, walk_expr, walk_stmt};

/// Most nodes that all probes may have together: macros that double their arguments soon fill any memory.
const MAX_NODES: usize = 1 << 18;

/// How deep expressions and blocks may stand in one another once all calls are replaced. Each level costs stack in every
/// later stage; what the parser lets pass is well below.
const MAX_DEPTH: usize = 1024;

/// A script without calls of its own macros and functions.
pub struct Expanded {
    /// The script; calls that are wrong have become [`ExprKind::Error`].
    pub script: Script,
    /// The functions that no probe calls, each as the action of a probe with the function's span, to be checked and no more.
    pub uncalled: Vec<Probe>,
    /// What is wrong with calls.
    pub diagnostics: Vec<Diagnostic>,
}

/// Replaces all calls. A tree that is too large is only an error.
pub fn expand(mut script: Script) -> Result<Expanded, Vec<Diagnostic>> {
    let macros = std::mem::take(&mut script.macros);
    let functions = std::mem::take(&mut script.functions);
    let mut expander = Expander {
        macros: &macros,
        functions: &functions,
        calls: Vec::new(),
        expansions: 0,
        nodes: 0,
        depth: 0,
        gave_up: false,
        called: vec![false; functions.len()],
        diagnostics: repeated(&macros, &functions),
    };
    if !macros.is_empty() || !functions.is_empty() {
        for probe in &mut script.probes {
            probe.predicate.iter_mut().for_each(|predicate| expander.expr(predicate));
            expander.block(&mut probe.body);
        }
    }
    let uncalled = expander.uncalled();
    let Expander { gave_up, diagnostics, .. } = expander;
    script.functions = functions;
    if gave_up { Err(diagnostics) } else { Ok(Expanded { script, uncalled, diagnostics }) }
}

/// Functions that have the name of another, or of a macro.
fn repeated(macros: &[Macro], functions: &[Function]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (at, function) in functions.iter().enumerate() {
        let before = functions[..at].iter().map(|other| &other.name);
        let known = before.chain(macros.iter().map(|other| &other.name)).find(|name| name.text == function.name.text);
        if let Some(known) = known {
            let error = Diagnostic::error(function.name.span, format!("`{}` is defined already", known.text));
            found.push(error.also(known.span, "here"));
        }
    }
    found
}

struct Expander<'a> {
    macros: &'a [Macro],
    functions: &'a [Function],
    /// What is being expanded, outermost first, and where it was called.
    calls: Vec<(&'a Name, Span)>,
    expansions: usize,
    nodes: usize,
    /// How deep in the tree.
    depth: usize,
    /// The tree is too large; nothing more is looked at.
    gave_up: bool,
    /// Which functions have been called.
    called: Vec<bool>,
    diagnostics: Vec<Diagnostic>,
}

impl Walk for Expander<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if !self.enter(expr.span) {
            return;
        }
        walk_expr(self, expr);
        if let Some(body) = self.expansion(expr) {
            // A body that is nothing but a value stays what it is: a literal can stand where one is wanted.
            *expr = match body {
                Block { statements, value: Some(value), .. } if statements.is_empty() => *value,
                body => Expr { span: expr.span, kind: ExprKind::Block(body) },
            };
        }
        self.depth -= 1;
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        if !self.enter(stmt.span) {
            return;
        }
        if let StmtKind::Expr(expr) = &mut stmt.kind {
            walk_expr(self, expr);
            if let Some(body) = self.expansion(expr) {
                stmt.kind = StmtKind::Block(without_value(body));
            }
        } else {
            walk_stmt(self, stmt);
        }
        self.depth -= 1;
    }
}

impl<'a> Expander<'a> {
    /// Counts a node, and goes a level down; `false` if there is no room for it.
    fn enter(&mut self, span: Span) -> bool {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.give_up(span, format!("with all calls replaced it would have more than {MAX_NODES} nodes"));
        } else if self.depth >= MAX_DEPTH {
            self.give_up(span, format!("with all calls replaced this would stand more than {MAX_DEPTH} levels deep"));
        }
        if !self.gave_up {
            self.depth += 1;
        }
        !self.gave_up
    }

    fn give_up(&mut self, span: Span, why: String) {
        if !self.gave_up {
            self.gave_up = true;
            self.report(Diagnostic::error(span, "macros and functions make this script too large").label(why));
        }
    }

    /// What a call of a macro or function becomes; its arguments have been expanded already.
    fn expansion(&mut self, expr: &mut Expr) -> Option<Block> {
        if self.gave_up {
            return None;
        }
        let (name, is_word) = match &expr.kind {
            ExprKind::Call { name, .. } => (name.text.clone(), false),
            ExprKind::Identifier(name) => (name.clone(), true),
            _ => return None,
        };
        let is_meant =
            |definition: &&Macro| definition.name.text == name && (!is_word || definition.parameters.is_empty());
        let (macros, functions) = (self.macros, self.functions);
        let body = if macros.iter().any(|definition| is_meant(&definition)) {
            let named: Vec<&Macro> = macros.iter().rev().filter(is_meant).collect();
            self.expand_macro(&named, expr)
        } else if let Some(function) = functions.iter().find(|function| !is_word && function.name.text == name) {
            self.expand_function(function, expr)
        } else {
            return None;
        };
        if body.is_none() {
            expr.kind = ExprKind::Error;
        }
        body
    }

    /// `named` are the definitions of that name, the last one first.
    fn expand_macro(&mut self, named: &[&'a Macro], call: &Expr) -> Option<Block> {
        const NOTHING: &[Expr] = &[];
        let arguments = match &call.kind {
            ExprKind::Call { arguments, .. } => arguments.as_slice(),
            _ => NOTHING,
        };
        let Some(&definition) = named.iter().find(|definition| mismatch(definition, arguments).is_none()) else {
            let name = &named[0].name;
            let what = mismatch(named[0], arguments).expect("a definition that does not fit");
            let error =
                Diagnostic::error(call.span, format!("no definition of the macro `{}` fits this call", name.text));
            self.report(error.label(what).also(name.span, "the last definition"));
            return None;
        };
        self.begin(&definition.name, "a macro", call.span)?;
        let mut body = definition.body.clone();
        let sizes = arguments.iter().map(|argument| size(argument.clone())).collect();
        let budget = MAX_NODES - self.nodes;
        let number = self.expansions;
        let mut binding = Binding { definition, arguments, sizes, budget, number, unhygienic: Vec::new() };
        binding.block(&mut body);
        let Binding { unhygienic, budget, .. } = binding;
        for (map, span) in unhygienic {
            let error = Diagnostic::error(span, format!("a macro cannot reach the map `@{map}` of its caller"));
            self.report(error.help("give it to the macro as an argument"));
        }
        if budget == 0 {
            self.give_up(call.span, format!("with all calls replaced it would have more than {MAX_NODES} nodes"));
        }
        self.block(&mut body);
        self.calls.pop();
        Some(body)
    }

    fn expand_function(&mut self, function: &'a Function, call: &mut Expr) -> Option<Block> {
        let ExprKind::Call { arguments, .. } = &mut call.kind else { return None };
        let (takes, given) = (function.parameters.len(), arguments.len());
        let name = &function.name;
        if takes != given {
            let arguments = if takes == 1 { "argument" } else { "arguments" };
            let error =
                Diagnostic::error(call.span, format!("`{}()` takes {takes} {arguments}, not {given}", name.text));
            self.report(error.also(name.span, "defined here"));
            return None;
        }
        let at = self.functions.iter().position(|known| std::ptr::eq(known, function));
        at.into_iter().for_each(|at| self.called[at] = true);
        let arguments = std::mem::take(arguments);
        self.begin(name, "a function", call.span)?;
        let number = self.expansions;
        let mut body = functions::body(function);
        self.block(&mut body);
        let (block, found) = functions::inlined(function, body, arguments, number, call.span);
        self.calls.pop();
        // Not where it was called from: it is wrong in itself.
        self.diagnostics
            .extend(found.into_iter().filter(|found| !self.diagnostics.contains(found)).collect::<Vec<_>>());
        Some(block)
    }

    /// The functions that no probe calls, directly or not, with arguments of which only the types are known.
    fn uncalled(&mut self) -> Vec<Probe> {
        let mut found = Vec::new();
        let called = self.called.clone();
        for (function, _) in self.functions.iter().zip(called).filter(|(_, called)| !called) {
            if self.gave_up {
                break;
            }
            let unknown = |(name, _): &(Name, _)| Expr { kind: ExprKind::Error, span: name.span };
            let arguments = function.parameters.iter().map(unknown).collect();
            let kind = ExprKind::Call { name: function.name.clone(), arguments };
            let mut call = Expr { kind, span: function.name.span };
            if let Some(body) = self.expand_function(function, &mut call) {
                let body = without_value(body);
                found.push(Probe { specs: Vec::new(), predicate: None, body, span: function.span });
            }
        }
        found
    }

    /// Notes a call, unless it is one of what is being expanded already.
    fn begin(&mut self, name: &'a Name, what: &str, span: Span) -> Option<()> {
        if self.calls.iter().any(|(outer, _)| std::ptr::eq(*outer, name)) {
            let chain: Vec<&str> = self.calls.iter().map(|(outer, _)| outer.text.as_str()).collect();
            let chain = format!("{} > {}", chain.join(" > "), name.text);
            let error = Diagnostic::error(span, format!("{what} cannot call itself: {chain}"));
            self.report(error);
            return None;
        }
        self.calls.push((name, span));
        self.expansions += 1;
        Some(())
    }

    /// Reports an error, and where the calls are that have led to it.
    fn report(&mut self, mut error: Diagnostic) {
        for (name, span) in self.calls.iter().rev() {
            error = error.also(*span, format!("in this call of `{}`", name.text));
        }
        debug_assert!(error.severity == Severity::Error, "only errors lead here");
        self.diagnostics.push(error);
    }
}

/// The name of a variable as the script has it: what a call has renamed has a number behind it.
pub fn shown(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// How many nodes an expression has.
fn size(mut expr: Expr) -> usize {
    struct Count(usize);
    impl Walk for Count {
        fn expr(&mut self, expr: &mut Expr) {
            self.0 += 1;
            walk_expr(self, expr);
        }
        fn stmt(&mut self, stmt: &mut Stmt) {
            self.0 += 1;
            walk_stmt(self, stmt);
        }
        fn block(&mut self, block: &mut Block) {
            walk_block(self, block);
        }
    }
    let mut count = Count(0);
    count.expr(&mut expr);
    count.0
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
