//! The arguments of probes: `args.name`, `arg0`, `sarg0`.

use super::operand::{binary, constant, convert};
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::events::{self, Field, Source};
use crate::compile::sema::policy::Data;
use crate::compile::sema::probes::Event;
use crate::compile::sema::typed::{self, Builtin, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::sema::{catalogue, proposing, registers, usdt, words};
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::host::elf::usdt::{Argument, Marker, Operand as Marked};

impl Checker<'_> {
    /// `args.name`.
    pub(super) fn argument(&mut self, name: &ast::Name, span: Span) -> Operand {
        let event = self.event();
        if let (Event::Tracepoint { row, function }, None) = (event, self.raw) {
            return self.field_of_event(catalogue::row(row), function, name, span);
        }
        if let Event::Record { format } = event {
            let target = self.target;
            return self.field_of_record(&target.formats[format], name, span);
        }
        let site = &self.instance().sites[0].name;
        let known = self.known_arguments(event);
        match known.iter().find(|(known, _)| *known == name.text).map(|(_, field)| field.clone()) {
            Some(Field { ty, source: Source::Word(word) }) => {
                let value = match event {
                    Event::KernelFunction { .. } => match self.passed_argument(word, &name.text, span) {
                        Some(value) => value,
                        None => return Operand::unknown(span),
                    },
                    _ => {
                        self.allow(Data::KernelMemory, "arguments", span);
                        Operand::new(Ty::U64, ExprKind::ContextWord(word), span)
                    }
                };
                // Narrower values first lose what is above them, which need not be zero.
                let bits = Ty::int(ty.size().unwrap_or(8) as u8, false);
                let value = Operand { expr: convert(value, &bits), ty: bits, literal: false };
                Operand { expr: convert(value, &ty), ty, literal: false }
            }
            Some(Field { ty, source }) => {
                self.allow(Data::Arguments, "arguments", span);
                match source {
                    Source::Register(register) => Operand::new(ty, ExprKind::SyscallArgument(register), span),
                    Source::Registers => {
                        let register =
                            |n| typed::Expr { kind: ExprKind::SyscallArgument(n), ty: Ty::U64.typed(), span };
                        Operand::new(ty, ExprKind::Tuple((0..6).map(register).collect()), span)
                    }
                    Source::Number | Source::Result => {
                        let builtin =
                            if source == Source::Number { Builtin::SyscallNumber } else { Builtin::SyscallResult };
                        let value = Operand::new(Ty::I64, ExprKind::Builtin(builtin), span);
                        Operand { expr: convert(value, &ty), ty, literal: false }
                    }
                    Source::Word(_) => unreachable!("words are dealt with above"),
                }
            }
            None => {
                let names = known.iter().map(|(name, _)| name.as_str());
                let error = Diagnostic::error(name.span, format!("`{site}` has no argument `{}`", name.text));
                let error = proposing(error, &name.text, names.clone());
                let listed = || names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let error = match error.help.is_empty() {
                    true if known.is_empty() => error.help(match event {
                        Event::KernelFunction { exit: true, .. } => {
                            "arguments are gone when the function returns; keep them in a map at its `kprobe`"
                        }
                        Event::KernelFunction { offset: 1.., .. } => {
                            "arguments have names at the beginning of a function only; use `reg()`"
                        }
                        Event::KernelFunction { .. } => {
                            "it has none, or the kernel does not say what they are: use `arg0`, …"
                        }
                        _ => "probes of this kind have no arguments",
                    }),
                    true => error.help(format!("it has {}", listed())),
                    false => error,
                };
                self.refuse_with(error)
            }
        }
    }

    /// An argument of a function that has just been called, which is in a register.
    fn passed_argument(&mut self, word: u8, name: &str, span: Span) -> Option<Operand> {
        match registers::ARGUMENTS.get(usize::from(word)) {
            Some(&register) => Some(self.register(register, "arguments", span)),
            None => {
                let error = Diagnostic::error(span, format!("`{name}` is not in a register"));
                self.report(error.help("the arguments behind the sixth are on the stack: `sarg0`, …"));
                None
            }
        }
    }

    /// What `args` has at an event.
    fn known_arguments(&mut self, event: Event) -> Vec<(String, Field)> {
        let function = match event {
            Event::RawTracepoint { function } | Event::Tracepoint { function, .. } => Some(function),
            Event::KernelFunction { function, offset: 0, exit: false, .. } => {
                let known = self.target.kernel_functions[function].ty;
                return known.map_or_else(Vec::new, |function| words::arguments(&mut self.types, function, 0));
            }
            Event::KernelCall { function, .. } => {
                let known = self.target.kernel_functions[function].ty;
                return known.map_or_else(Vec::new, |function| words::arguments(&mut self.types, function, 0));
            }
            Event::AnySyscall { raw: true, exit } => self
                .target
                .types
                .as_deref()
                .and_then(|types| words::raw_tracepoint(types, if exit { "sys_exit" } else { "sys_enter" })),
            _ => None,
        };
        match function {
            Some(function) => words::of_raw_tracepoint(&mut self.types, function),
            None => events::fields(event),
        }
    }

    /// `arg0`, …: the arguments of a raw tracepoint or function as numbers.
    pub(super) fn numbered_argument(&mut self, name: &str, index: u32, span: Span) -> Operand {
        match (self.event(), index) {
            (Event::AnySyscall { raw: true, .. }, 2..) => {
                self.refuse(span, format!("this raw tracepoint has two arguments, `{name}` is none of them"))
            }
            // A number or a result; the registers are the kernel's.
            (Event::AnySyscall { raw: true, .. }, index) => {
                let data = if index == 1 { Data::Arguments } else { Data::KernelMemory };
                self.context_word(index as u8, data, name, span)
            }
            (Event::RawTracepoint { function }, index) => {
                match self.target.types.as_deref().map_or(0, |types| words::count(types, function, 1)) {
                    0 => self.refuse(span, format!("this raw tracepoint has no arguments, `{name}` is none of them")),
                    count if index >= count => self
                        .refuse(span, format!("the arguments of this raw tracepoint are `arg0` to `arg{}`", count - 1)),
                    _ => self.context_word(index as u8, Data::KernelMemory, name, span),
                }
            }
            (Event::KernelCall { function, .. }, index) => {
                let function = self.target.kernel_functions[function].ty;
                let types = self.target.types.as_deref();
                let count = types.zip(function).map_or(0, |(types, function)| words::count(types, function, 0));
                match index < count {
                    true => self.context_word(index as u8, Data::Arguments, name, span),
                    false => self.refuse(span, format!("the function has {count} arguments, `{name}` is none of them")),
                }
            }
            (Event::Uprobe { exit: false, .. } | Event::KernelFunction { exit: false, .. }, index) => {
                match registers::ARGUMENTS.get(index as usize) {
                    Some(&register) => self.register(register, &format!("`{name}`"), span),
                    None => {
                        let error = Diagnostic::error(span, format!("`{name}` is not in a register"));
                        self.refuse_with(error.help("the arguments behind the sixth are on the stack: `sarg0`, …"))
                    }
                }
            }
            (Event::Usdt { file, marker }, index) => {
                self.marked_argument(usdt::marker(self.target, file, marker), index, span)
            }
            (event @ (Event::Uprobe { exit: true, .. } | Event::KernelFunction { exit: true, .. }), _) => {
                let entry = if event.in_user_memory() { "uprobe" } else { "kprobe" };
                let message = format!("`{name}` is gone when the function returns; keep it in a map at its `{entry}`");
                self.refuse(span, message)
            }
            _ => self
                .refuse(span, format!("`{name}` can only be used in raw tracepoints and where functions are called")),
        }
    }

    /// What a program's author has given a probe, wherever it lies at this place.
    fn marked_argument(&mut self, marker: &Marker, index: u32, span: Span) -> Operand {
        let Argument { size, signed, operand } = match usdt::argument(marker, index) {
            Ok(argument) => argument,
            Err(reason) => return self.refuse(span, reason),
        };
        let what = format!("`arg{index}`");
        let value = match operand {
            Marked::Constant(value) => Operand::new(Ty::U64, ExprKind::Int(value), span),
            Marked::Register { register, shift } => {
                let whole = self.register(register_of(register), &what, span);
                let distance = constant(&Ty::U64, shift.into(), span);
                match shift {
                    0 => whole,
                    _ => {
                        let expr = binary(typed::BinaryOp::Shr, whole.expr, distance, &Ty::U64, span);
                        Operand { expr, ..whole }
                    }
                }
            }
            Marked::Memory { base, index, offset } => {
                self.allow(Data::UserMemory, &what, span);
                let mut address = constant(&Ty::U64, offset, span);
                for (register, scale) in index.into_iter().chain(base.map(|base| (base, 1))) {
                    let register = self.register(register_of(register), &what, span).expr;
                    let scale = constant(&Ty::U64, scale.into(), span);
                    let scaled = binary(typed::BinaryOp::Mul, register, scale, &Ty::U64, span);
                    address = binary(typed::BinaryOp::Add, scaled, address, &Ty::U64, span);
                }
                Operand::new(Ty::int(size, signed), ExprKind::Read { address: Box::new(address), user: true }, span)
            }
        };
        let ty = Ty::int(size, signed);
        let value = Operand { expr: convert(value, &ty), ty, literal: false };
        // As in bpftrace, whose arguments are all of this type; a negative number stays one when it is made signed.
        Operand { expr: convert(value, &Ty::U64), ty: Ty::U64, literal: false }
    }

    /// What a function of the kernel has returned, of the type that it declares.
    pub(in super::super) fn returned(&mut self, function: usize, span: Span) -> Operand {
        self.allow(Data::Arguments, "`retval`", span);
        let (Some(types), Some(ty)) = (self.target.types.as_deref(), self.target.kernel_functions[function].ty) else {
            return self.refuse(span, "the kernel does not say what the function returns");
        };
        match words::result(&mut self.types, ty) {
            Some(ty_of_result) => {
                let word = words::count(types, ty, 0) as u8;
                let value = Operand::new(Ty::U64, ExprKind::ContextWord(word), span);
                let bits = Ty::int(ty_of_result.size().unwrap_or(8) as u8, false);
                let value = Operand { expr: convert(value, &bits), ty: bits, literal: false };
                Operand { expr: convert(value, &ty_of_result), ty: ty_of_result, literal: false }
            }
            None => self.refuse(span, "the function returns nothing, or what is not a number"),
        }
    }

    /// A word of the context, whatever it means.
    fn context_word(&mut self, word: u8, data: Data, name: &str, span: Span) -> Operand {
        self.allow(data, &format!("`{name}`"), span);
        Operand::new(Ty::U64, ExprKind::ContextWord(word), span)
    }

    /// `sarg0`, …: what the caller has put on the stack, behind the return address.
    pub(super) fn stack_argument(&mut self, name: &str, index: u32, span: Span) -> Operand {
        let event = self.event();
        if !matches!(event, Event::Uprobe { exit: false, .. } | Event::KernelFunction { exit: false, .. }) {
            return self.refuse(span, format!("`{name}` can only be used where functions are called"));
        }
        let user = event.in_user_memory();
        self.allow(if user { Data::UserMemory } else { Data::KernelMemory }, &format!("`{name}`"), span);
        let stack = self.register(registers::STACK, &format!("`{name}`"), span);
        let distance = constant(&Ty::U64, 8 * (i64::from(index) + 1), span);
        let address = Box::new(binary(typed::BinaryOp::Add, stack.expr, distance, &Ty::U64, span));
        Operand::new(Ty::U64, ExprKind::Read { address, user }, span)
    }
}

/// A register by the name that `struct pt_regs` has for it.
fn register_of(name: &str) -> typed::Register {
    registers::by_name(name).expect("operands name registers that there are")
}
