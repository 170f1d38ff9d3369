//! Variables of the program that is probed.
//!
//! Where a file's code lies in a process is known at the probe itself: the instruction that is executed there is one whose
//! place in the file is known. What lies between the two is how far the file was moved, and all its symbols with it.

use super::super::operand::{binary, constant};
use super::super::{Argument, Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::policy::Data;
use crate::compile::sema::probes::Event;
use crate::compile::sema::typed::{BinaryOp, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::sema::{proposing, registers, usdt};
use crate::compile::source::Span;
use crate::host::elf::Binary;

/// `uaddr("symbol")`: where a symbol of the probed program or library lies in the process. Of a variable of 1, 2, 4 or 8 bytes it
/// is a pointer to a number of that size.
pub fn uaddr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(Argument::Literal(symbol, at)) = arguments.into_iter().next() else { return Operand::unknown(span) };
    let target = checker.target;
    let (file, offset) = match checker.event() {
        Event::Uprobe { file, exit: false, offset } => (file, offset),
        Event::Usdt { file, marker } => (file, usdt::marker(target, file, marker).offset),
        Event::Uprobe { exit: true, .. } => {
            let error = Diagnostic::error(span, "`uaddr()` cannot be used where a function returns");
            return checker
                .refuse_with(error.help("keep the address by thread where it is called: `@address[tid] = uaddr(…)`"));
        }
        _ => return checker.refuse(span, "`uaddr()` can only be used in functions of programs and at their probes"),
    };
    let Some(Ok(file)) = target.binaries.values().nth(file) else { return Operand::unknown(span) };
    let Some(known) = file.addresses.get(&symbol) else {
        let path = file.path.display();
        let error = Diagnostic::error(at, format!("there is no symbol `{symbol}` in {path}"));
        let names = file.functions.iter().map(|function| function.name.as_str());
        return checker.refuse_with(proposing(error, &symbol, names));
    };
    let Some(here) = address_of(file, offset) else {
        return checker.refuse(span, "the place of this probe is not in the code of its file");
    };
    checker.allow(Data::Arguments, "`uaddr`", span);
    let ip = registers::by_name("ip").expect("the instruction pointer is a register");
    let ip = checker.register(ip, "`uaddr`", span);
    let distance = known.address.wrapping_sub(here) as i64;
    let expr = binary(BinaryOp::Add, ip.expr, constant(&Ty::U64, distance, span), &Ty::U64, span);
    let size = match known.size {
        size @ (1 | 2 | 4 | 8) => size as u8,
        _ => 8,
    };
    let ty = Ty::Pointer { to: Box::new(Ty::int(size, false)), user: true };
    let kind = ExprKind::Convert(Box::new(expr));
    Operand::new(ty, kind, span)
}

/// The address of what lies there in the file, before the file is moved anywhere.
fn address_of(file: &Binary, offset: u64) -> Option<u64> {
    let inside = file.code.iter().find(|segment| (segment.offset..segment.offset + segment.size).contains(&offset))?;
    Some(inside.address + (offset - inside.offset))
}
