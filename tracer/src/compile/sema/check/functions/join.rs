//! `join`, which prints texts that an array points to.

use super::super::operand::{constant, convert};
use super::super::{Argument, Checker};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::policy::Data;
use crate::compile::sema::typed::StmtKind;
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::plan::Record;

/// `join(array)`, `join(array, separator)`.
pub fn join(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Value(array)) = arguments.next() else { return Vec::new() };
    let separator = match arguments.next() {
        Some(Argument::Literal(separator, _)) => separator,
        _ => " ".to_owned(),
    };
    let user = match &array.ty {
        Ty::Unknown => return Vec::new(),
        Ty::Pointer { user, .. } => *user,
        Ty::Int { .. } => true,
        other => {
            let error = Diagnostic::error(array.span(), "`join()` expects the address of an array of texts here");
            checker.report(error.label(format!("this is of type `{other}`")));
            return Vec::new();
        }
    };
    checker.allow(if user { Data::UserMemory } else { Data::KernelMemory }, "reading memory", span);
    let address = convert(array, &Ty::U64);
    let user = constant(&Ty::U64, user.into(), span);
    vec![checker.emit(Record::Join { separator }, vec![address, user])]
}
