//! Fields of tracepoints that the catalogue does not have, as tracefs describes the records of their events: a program
//! at such a tracepoint is given the record.

use super::operand::{binary, constant, convert};
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::policy::Data;
use crate::compile::sema::proposing;
use crate::compile::sema::typed::{self, BinaryOp, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::host::tracefs::{Field, Format};

impl Checker<'_> {
    /// `args.name` at the tracepoint of this format.
    pub(super) fn field_of_record(&mut self, format: &Format, name: &ast::Name, span: Span) -> Operand {
        self.allow(Data::Arguments, "arguments", span);
        let Some(field) = format.fields.iter().find(|field| field.name == name.text) else {
            let message = format!("`tracepoint:{}` has no field `{}`", format.full_name(), name.text);
            let error = Diagnostic::error(name.span, message);
            let error = proposing(error, &name.text, format.fields.iter().map(|field| field.name.as_str()));
            let listed =
                || format.fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
            let error = match error.help.is_empty() {
                true if format.fields.is_empty() => error.help("it has none"),
                true => error.help(format!("it has {}", listed())),
                false => error,
            };
            return self.refuse_with(error);
        };
        if let Some(kind) =
            field.ty.split_whitespace().next().filter(|word| matches!(*word, "__data_loc" | "__rel_loc"))
        {
            return self.varying(field, kind == "__rel_loc", span);
        }
        let address = Box::new(at(field.offset, span));
        let read = |ty: Ty| Operand::new(ty, ExprKind::Read { address: address.clone(), user: false }, span);
        match (field.count, plain(field)) {
            (Some(_), Some(_)) if field.ty == "char" => {
                let text = ExprKind::ReadStr { address, user: false, length: None };
                Operand::new(Ty::Str(field.size), text, span)
            }
            (Some(count), Some(element)) => read(Ty::Array(Box::new(element), count)),
            (None, Some(ty)) => read(ty),
            (_, None) => self.refuse(span, format!("a value of type `{}` cannot be read", field.ty)),
        }
    }

    /// A field of any length: where it lies, and how long it is, are in two halves of a word.
    fn varying(&mut self, field: &Field, relative: bool, span: Span) -> Operand {
        if !field.ty.ends_with("char[]") {
            return self.refuse(span, format!("a value of type `{}` cannot be read", field.ty));
        }
        let op = |op, a, b| binary(op, a, b, &Ty::U64, span);
        let word = ExprKind::Read { address: Box::new(at(field.offset, span)), user: false };
        let word = convert(Operand::new(Ty::U32, word, span), &Ty::U64);
        let mut distance = op(BinaryOp::BitAnd, word, constant(&Ty::U64, 0xffff, span));
        if relative {
            // From where the word ends.
            let end = constant(&Ty::U64, i64::from(field.offset) + i64::from(field.size), span);
            distance = op(BinaryOp::Add, distance, end);
        }
        let address = Box::new(op(BinaryOp::Add, record(span), distance));
        let text = ExprKind::ReadStr { address, user: false, length: None };
        Operand::new(Ty::Str(self.settings.max_strlen), text, span)
    }
}

/// The type of a field, or of its elements: numbers by their sizes, pointers by what they point to.
fn plain(field: &Field) -> Option<Ty> {
    let size = match field.unit() {
        size @ (1 | 2 | 4 | 8) => size as u8,
        _ => return None,
    };
    let Some(to) = field.ty.strip_suffix('*') else { return Some(Ty::int(size, field.signed)) };
    let to = to.trim().trim_start_matches("const ");
    // A pointer to a pointer is an address.
    let to = if to.ends_with('*') { Ty::U64 } else { Ty::named(to).unwrap_or_else(|| Ty::Named(to.into())) };
    Some(Ty::Pointer { to: Box::new(to), user: false })
}

/// The address of the record.
fn record(span: Span) -> typed::Expr {
    typed::Expr { kind: ExprKind::ContextAddress, ty: Ty::U64.typed(), span }
}

/// An address in the record.
fn at(offset: u32, span: Span) -> typed::Expr {
    binary(BinaryOp::Add, record(span), constant(&Ty::U64, offset.into(), span), &Ty::U64, span)
}
