//! A call of a macro: parameters are replaced by arguments, types among them, and what is the macro's own is renamed.

use super::walk::{Walk, walk_expr};
use crate::compile::source::Span;
use crate::compile::syntax::ast::{Expr, ExprKind, Macro, MacroParameter, Name, TypeName, TypeNameKind};

/// Replaces parameters by arguments in a macro's body, and renames what is its own.
pub struct Binding<'a> {
    pub definition: &'a Macro,
    pub arguments: &'a [Expr],
    /// How many nodes each argument has.
    pub sizes: Vec<usize>,
    /// How many nodes arguments may still make.
    pub budget: usize,
    /// Of the expansion, for names that no other has.
    pub number: usize,
    /// Maps that are no parameters.
    pub unhygienic: Vec<(String, Span)>,
}

impl Binding<'_> {
    fn position(&self, is_it: impl Fn(&MacroParameter) -> bool) -> Option<usize> {
        self.definition.parameters.iter().position(is_it)
    }

    fn argument(&self, is_it: impl Fn(&MacroParameter) -> bool) -> Option<&Expr> {
        self.position(is_it).map(|index| &self.arguments[index])
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
                let is_it = |it: &MacroParameter| matches!(it, MacroParameter::Expression(own) if own.text == *name);
                if let Some(index) = self.position(is_it) {
                    let left = self.budget.checked_sub(self.sizes[index]);
                    self.budget = left.unwrap_or(0);
                    // Not to be looked into: its names are the caller's.
                    *expr = match left {
                        Some(_) => self.arguments[index].clone(),
                        None => Expr { kind: ExprKind::Error, span },
                    };
                    return;
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn variable_name(&mut self, name: &mut Name) {
        self.variable(&mut name.text);
    }

    fn type_name(&mut self, ty: &mut TypeName) {
        let TypeNameKind::Named(name) = &ty.kind else { return };
        let is_it = |it: &MacroParameter| matches!(it, MacroParameter::Expression(own) if own.text == *name);
        if let Some(Expr { kind: ExprKind::Type(given), .. }) = self.argument(is_it) {
            *ty = (**given).clone();
        }
    }

    fn map_name(&mut self, name: &mut Name) {
        let span = name.span;
        self.map(&mut name.text, span);
    }
}
