//! Calls: their arguments by the table, and the functions that give values.

use super::maps::{MapValue, UseKind, no_number, total};
use super::operand::{bool_literal, constant, convert, string};
use super::{Checker, Domain, Operand, stacks};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::builtins::{self, Becomes, Parameter, Row};
use crate::compile::sema::policy::Data;
use crate::compile::sema::probes::Event;
use crate::compile::sema::proposing;
use crate::compile::sema::registers;
use crate::compile::sema::typed::{self, Builtin, ExprKind, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::sema::usages::usage;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::MapId;

/// An argument, as its parameter asks for it.
pub enum Argument<'e> {
    /// A value.
    Value(Operand),
    /// A number that is written out.
    Number(i64, Span),
    /// A text that is written out.
    Literal(String, Span),
    /// A variable that is assigned to.
    Variable(&'e str, Span),
    /// A word.
    Word(String, Span),
    /// A map.
    Map(MapId, Span),
    /// An entry of a map that has not been evaluated.
    Entry(&'e str, Option<&'e ast::Expr>, Span),
}

impl<'a> Checker<'a> {
    /// A call where a value is wanted.
    pub(super) fn call(&mut self, name: &ast::Name, arguments: &[ast::Expr], span: Span) -> Operand {
        if name.text == "str"
            && let Some(text) = self.text_of_positional(arguments, span)
        {
            return text;
        }
        if arguments.is_empty() && builtins::word(&name.text).is_some() {
            return self.word(&name.text, span);
        }
        if let Some(value) = self.function_of_catalogue(&name.text, arguments, span) {
            return value;
        }
        let Some(row) = builtins::function(&name.text) else {
            let error = Diagnostic::error(name.span, format!("unknown function `{}()`", name.text));
            let error = proposing(error, &name.text, builtins::functions());
            for argument in arguments {
                self.expr(argument);
            }
            return self.refuse_with(error);
        };
        self.allow_action(row.data, row.action, &format!("`{}`", row.name), span);
        if let (&Becomes::Expression(check), "bswap", [argument]) = (&row.becomes, row.name, arguments)
            && matches!(argument.kind, ast::ExprKind::Unary { op: ast::UnaryOp::BitNot | ast::UnaryOp::Negate, .. })
        {
            let number = self.in_own_bytes(argument);
            return check(self, vec![Argument::Value(number)], span);
        }
        let Some(arguments) = self.arguments(row, arguments, span) else {
            return Operand::unknown(span);
        };
        match &row.becomes {
            Becomes::Expression(check) => check(self, arguments, span),
            Becomes::Value { .. } => unreachable!("a word without arguments"),
            Becomes::Statement(_) if row.name == "delete" => delete_if_there(self, arguments, span),
            Becomes::Statement(_) => {
                let error = Diagnostic::error(span, format!("`{}()` gives no value", row.name));
                self.refuse_with(error)
            }
            Becomes::Aggregation(_) => {
                let error = Diagnostic::error(span, format!("`{}()` can only be assigned to a map", row.name));
                self.refuse_with(error.help(format!("write `@ = {}(…)`", row.name)))
            }
        }
    }

    /// The arguments of a call, each as its parameter asks for it; `None` after an error.
    pub(super) fn arguments<'e>(
        &mut self,
        row: &Row,
        arguments: &'e [ast::Expr],
        span: Span,
    ) -> Option<Vec<Argument<'e>>> {
        if !arguments.is_empty() && matches!(row.becomes, Becomes::Value { .. }) {
            self.not_yet(span, &format!("arguments of `{}`", row.name));
            return None;
        }
        let most = if row.variadic { usize::MAX } else { row.parameters.len() };
        let given = arguments.len();
        if given < row.required || given > most {
            let error = Diagnostic::error(span, format!("`{}()` takes {}, not {given}", row.name, takes(row)));
            self.report(match usage(row.name) {
                Some(usage) => error.help(format!("write `{usage}`")),
                None => error,
            });
            return None;
        }
        let parameters = row.parameters.iter().chain(row.parameters.last().into_iter().cycle());
        // All of them are checked, so that several errors are found at once.
        let arguments: Vec<Option<Argument>> = arguments
            .iter()
            .zip(parameters)
            .map(|(argument, &parameter)| self.argument_of(row, argument, parameter))
            .collect();
        arguments.into_iter().collect()
    }

    fn argument_of<'e>(&mut self, row: &Row, argument: &'e ast::Expr, parameter: Parameter) -> Option<Argument<'e>> {
        let span = argument.span;
        let wrong = |checker: &mut Self, expected: &str, found: Option<&Ty>| {
            let error = Diagnostic::error(span, format!("`{}()` expects {expected} here", row.name));
            checker.report(match found {
                Some(ty) => error.label(format!("this is of type `{ty}`")),
                None => error,
            });
            None
        };
        if let (ast::ExprKind::Map { name, key }, Parameter::Map | Parameter::MapOrValue | Parameter::Entry) =
            (&argument.kind, parameter)
        {
            match key {
                _ if parameter == Parameter::Entry => return Some(Argument::Entry(name, key.as_deref(), span)),
                None => return Some(Argument::Map(self.map(name, span), span)),
                Some(_) if parameter == Parameter::Map => return wrong(self, "a map without a key", None),
                Some(_) => {}
            }
        }
        match parameter {
            Parameter::Variable => {
                return match &argument.kind {
                    ast::ExprKind::Variable(name) => Some(Argument::Variable(name, span)),
                    _ => wrong(self, "a variable", None),
                };
            }
            Parameter::Map => return wrong(self, "a map", None),
            Parameter::Entry => return wrong(self, "a map", None),
            Parameter::Literal => {
                return match &argument.kind {
                    ast::ExprKind::String(text) => Some(Argument::Literal(text.clone(), span)),
                    _ => {
                        let operand = self.expr(argument);
                        match operand.expr.kind {
                            ExprKind::Str(text) => Some(Argument::Literal(text, span)),
                            _ => wrong(self, "a text that is written out", None),
                        }
                    }
                };
            }
            Parameter::WordOrNumber if let ast::ExprKind::Identifier(word) = &argument.kind => {
                return Some(Argument::Word(word.clone(), span));
            }
            Parameter::MapOrValue if self.is_aggregation_entry(argument) => {
                let ast::ExprKind::Map { name, key } = &argument.kind else { unreachable!("an entry of a map") };
                return Some(Argument::Entry(name, key.as_deref(), span));
            }
            Parameter::Value
            | Parameter::MapOrValue
            | Parameter::Integer
            | Parameter::Text
            | Parameter::WordOrNumber
            | Parameter::Number => {}
        }
        let operand = self.expr(argument);
        let ty = operand.ty.clone();
        if ty.is_unknown() {
            let written_out = matches!(parameter, Parameter::Number | Parameter::WordOrNumber);
            return if written_out { None } else { Some(Argument::Value(operand)) };
        }
        match parameter {
            Parameter::Integer if matches!(ty, Ty::Enum { .. }) => {
                Some(Argument::Value(super::operand::decay(operand)))
            }
            Parameter::Integer if !ty.is_int() => wrong(self, "an integer", Some(&ty)),
            Parameter::Text if !matches!(ty, Ty::Str(_)) => wrong(self, "a text", Some(&ty)),
            Parameter::Number | Parameter::WordOrNumber => match operand.expr.kind {
                ExprKind::Int(value) if operand.literal && ty.is_int() => Some(Argument::Number(value, span)),
                _ => wrong(self, "a number that is written out", None),
            },
            _ => Some(Argument::Value(operand)),
        }
    }

    /// Whether an expression is an entry of a map that is known to be an aggregation, and one that is more than a number: what
    /// is a number is read by the program, at that moment.
    fn is_aggregation_entry(&self, expr: &ast::Expr) -> bool {
        let ast::ExprKind::Map { name, key: Some(_) } = &expr.kind else { return false };
        let known = self.maps.iter().find(|map| map.name[1..] == **name);
        known.is_some_and(|map| match map.value {
            MapValue::Aggregation(aggregation, _) => total(aggregation).is_none(),
            _ => false,
        })
    }

    /// `str($1)` is the text that was given, `str($1, 3)` its beginning.
    fn text_of_positional(&mut self, arguments: &[ast::Expr], span: Span) -> Option<Operand> {
        let (index, skipped) = positional_and_offset(arguments.first()?)?;
        let text = self.positional_text(index).unwrap_or_default();
        let text = text.get(skipped..).unwrap_or_default().to_string();
        let Some(length) = arguments.get(1) else { return Some(string(&text, span)) };
        let length = self.expr(length);
        match length.expr.kind {
            ExprKind::Int(length) if arguments.len() == 2 && length >= 0 => {
                let end =
                    text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= length as usize);
                Some(string(&text[..end.last().unwrap_or(0)], span))
            }
            _ => Some(self.refuse(span, "`str($n)` takes at most a length that is written out")),
        }
    }
}

/// `$1`, or `$1 + 2` for what follows its second letter.
fn positional_and_offset(expr: &ast::Expr) -> Option<(u32, usize)> {
    match &expr.kind {
        ast::ExprKind::Positional(index) => Some((*index, 0)),
        ast::ExprKind::Binary { op: ast::BinaryOp::Add, left, right, .. } => match (&left.kind, &right.kind) {
            (ast::ExprKind::Positional(index), &ast::ExprKind::Integer { value, .. }) => {
                Some((*index, usize::try_from(value).ok()?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// "one argument", "2 to 3 arguments", …
fn takes(row: &Row) -> String {
    let arguments = |n: usize| match n {
        0 => "no arguments".to_string(),
        1 => "one argument".to_string(),
        n => format!("{n} arguments"),
    };
    match (row.required, row.parameters.len()) {
        (least, _) if row.variadic => format!("at least {}", arguments(least)),
        (least, most) if least == most => arguments(most),
        (0, most) => format!("up to {}", arguments(most)),
        (least, most) => format!("{least} to {}", arguments(most)),
    }
}

/// The values among the arguments, where the row has nothing else.
fn values(arguments: Vec<Argument<'_>>) -> impl Iterator<Item = Operand> {
    arguments.into_iter().filter_map(|argument| match argument {
        Argument::Value(operand) => Some(operand),
        _ => None,
    })
}

/// `cpid`: the process that `-c` has started; 0 if there is none, with a warning.
pub fn cpid(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let pid = checker.target.command_pid.unwrap_or_else(|| {
        let message = "`cpid` is 0: it is the pid of the command of `-c`, and there is none";
        checker.report(Diagnostic::warning(span, message).help("run with `-c COMMAND`"));
        0
    });
    Operand::new(Ty::U64, ExprKind::Int(pid.into()), span)
}

/// `getopt("name")`, `getopt("name", default)`, `getopt("name", default, "description")`: what was given as `--name` or
/// `--name=value`. Its type is the default's, and it is known when the script is compiled.
pub fn getopt(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Literal(name, _)) = arguments.next() else { return Operand::unknown(span) };
    let default = match arguments.next() {
        Some(Argument::Value(default)) => default,
        _ => bool_literal(false, span),
    };
    if !default.literal {
        return checker.refuse(default.span(), "the default of an option must be written out");
    }
    let given = checker.target.named.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let Some(given) = given else {
        let expr = typed::Expr { span, ..default.expr };
        return match default.ty {
            Ty::Int { .. } => {
                Operand { expr: convert(Operand { expr, ..default }, &Ty::I64), ty: Ty::I64, literal: true }
            }
            ty => Operand { ty, expr, literal: true },
        };
    };
    let wrong =
        |expected: &str, given: &str| Diagnostic::error(span, format!("`--{name}` takes {expected}, not `{given}`"));
    match (&default.ty, given) {
        (Ty::Bool, None) => bool_literal(true, span),
        (Ty::Bool, Some(given)) => match given.as_str() {
            "true" | "1" => bool_literal(true, span),
            "false" | "0" => bool_literal(false, span),
            other => checker.refuse_with(wrong("`true` or `false`", other)),
        },
        (Ty::Int { .. }, given) => match given.unwrap_or_default().parse::<i64>() {
            Ok(number) => Operand { literal: true, ..Operand::new(Ty::I64, ExprKind::Int(number), span) },
            Err(_) => checker.refuse_with(Diagnostic::error(span, format!("`--{name}` takes a number"))),
        },
        (_, Some(given)) => string(&given, span),
        (_, None) => checker.refuse_with(Diagnostic::error(span, format!("`--{name}` takes a text"))),
    }
}

/// `retval`: what a system call returned.
pub fn retval(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    match checker.event() {
        Event::AnySyscall { exit: true, .. } | Event::Syscall { exit: true, .. } => {
            checker.allow(Data::Arguments, "`retval`", span);
            Operand::new(Ty::I64, ExprKind::Builtin(Builtin::SyscallResult), span)
        }
        Event::Uprobe { exit: true, .. } | Event::KernelFunction { exit: true, .. } => {
            checker.register(registers::RESULT, "`retval`", span)
        }
        Event::KernelCall { exit: true, function, .. } => checker.returned(function, span),
        _ => checker.refuse(span, "`retval` can only be used where a system call or a function returns"),
    }
}

/// `reg("ax")`: a register of the process.
pub fn reg(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(Argument::Literal(name, at)) = arguments.into_iter().next() else { return Operand::unknown(span) };
    let event = checker.event();
    let has_registers =
        matches!(event, Event::Uprobe { .. } | Event::Usdt { .. } | Event::Sample(_) | Event::KernelFunction { .. });
    if !has_registers {
        let places = "functions of programs, libraries and the kernel, and in samples";
        return checker.refuse(span, format!("`reg` can only be used in {places}"));
    }
    match registers::by_name(&name) {
        Some(register) => checker.register(register, "`reg`", span),
        None => {
            let error = Diagnostic::error(at, format!("there is no register `{name}`"));
            checker.refuse_with(error.help(format!("there are {}", registers::names().collect::<Vec<_>>().join(", "))))
        }
    }
}

/// `curtask`: the address of the current task.
pub fn curtask(_: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let ty = Ty::Pointer { to: Box::new(Ty::Named("struct task_struct".into())), user: false };
    Operand::new(ty, ExprKind::Builtin(Builtin::CurrentTask), span)
}

/// `syscall_name(n)`.
pub fn syscall_name(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    match values(arguments).next() {
        Some(number) if !number.ty.is_unknown() => {
            let number = Operand { expr: convert(number, &Ty::I64), ty: Ty::I64, literal: false };
            Operand { expr: convert(number, &Ty::Syscall), ty: Ty::Syscall, literal: false }
        }
        _ => Operand::unknown(span),
    }
}

/// `str(address)`, `str(address, length)`.
pub fn str(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = values(arguments);
    let Some(address) = arguments.next() else { return Operand::unknown(span) };
    let length = arguments.next();
    let user = match &address.ty {
        Ty::Unknown => return Operand::unknown(span),
        Ty::Str(_) => return beginning(checker, address, length, span),
        Ty::Probe => return string(&checker.instance().sites[0].name.clone(), span),
        Ty::Int { .. } if address.literal => match address.expr.kind {
            // What is written out is text, as a positional parameter would be.
            ExprKind::Int(number) => return string(&number.to_string(), span),
            _ => unreachable!("a literal integer"),
        },
        Ty::Int { .. } => checker.event().in_user_memory(),
        Ty::Pointer { user, .. } => *user,
        other => {
            let error = Diagnostic::error(span, "`str()` expects an address or a text");
            return checker.refuse_with(error.label(format!("this is of type `{other}`")));
        }
    };
    checker.allow(if user { Data::UserMemory } else { Data::KernelMemory }, "reading text from memory", span);
    let longest = checker.settings.max_strlen;
    let (size, length) = match length {
        None => (longest, None),
        Some(length) => match length.expr.kind {
            ExprKind::Int(negative) if length.literal && negative < 0 => {
                return checker.refuse(length.span(), format!("a length cannot be negative ({negative})"));
            }
            // As in bpftrace, the NUL counts among the bytes that are read, though there is room for one more.
            ExprKind::Int(bytes) if bytes + 1 < i64::from(longest) => {
                (bytes as u32 + 1, Some(Box::new(convert(length, &Ty::U64))))
            }
            ExprKind::Int(_) if length.literal => {
                let message = format!("the length is cut to {} bytes, the most that a text can have", longest - 1);
                checker.report(Diagnostic::warning(length.span(), message));
                (longest, None)
            }
            _ => (longest, Some(Box::new(convert(length, &Ty::U64)))),
        },
    };
    let address = match address.ty {
        Ty::Int { .. } => convert(address, &Ty::U64),
        _ => address.expr,
    };
    Operand::new(Ty::Str(size), ExprKind::ReadStr { address: Box::new(address), user, length }, span)
}

/// `str(text, length)`: so much of a text as of what lies at an address; of one that is written out, a byte more, as in bpftrace.
fn beginning(checker: &mut Checker<'_>, text: Operand, length: Option<Operand>, span: Span) -> Operand {
    let Some(length) = length.filter(|length| !length.ty.is_unknown()) else { return text };
    let bytes = match length.expr.kind {
        ExprKind::Int(bytes) if length.literal && bytes >= 0 => u32::try_from(bytes).unwrap_or(u32::MAX),
        _ => return checker.refuse(length.span(), "how much of a text is taken must be written out, as a number"),
    };
    match &text.expr.kind {
        ExprKind::Str(whole) => {
            let ends = whole.char_indices().map(|(at, c)| at + c.len_utf8());
            let end = ends.take_while(|&end| end <= bytes as usize).last().unwrap_or(0);
            string(&whole[..end], span)
        }
        _ if bytes > text.ty.size().unwrap_or_default() => text,
        _ => Operand::new(Ty::Str(bytes + 1), ExprKind::Call(typed::Function::TakeText, vec![text.expr]), span),
    }
}

/// `strncmp(a, b, n)`: 0 if the first n characters are equal.
pub fn strncmp(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let (Some(Argument::Value(a)), Some(Argument::Value(b)), Some(Argument::Number(length, at))) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Operand::unknown(span);
    };
    if a.ty.is_unknown() || b.ty.is_unknown() {
        return Operand::new(Ty::U64, ExprKind::Int(0), span);
    }
    let Some(length) = u32::try_from(length).ok().filter(|&length| length <= 1024) else {
        return checker.refuse(at, format!("`strncmp()` compares 0 to 1024 characters, not {length}"));
    };
    if let (ExprKind::Str(a), ExprKind::Str(b)) = (&a.expr.kind, &b.expr.kind) {
        let head = |text: &str| text.bytes().take(length as usize).collect::<Vec<u8>>();
        let differ = head(a) != head(b);
        return Operand { ty: Ty::U64, expr: constant(&Ty::U64, differ.into(), span), literal: true };
    }
    if length == 0 {
        return Operand { ty: Ty::U64, expr: constant(&Ty::U64, 0, span), literal: true };
    }
    let equal = ExprKind::StrEqual { a: Box::new(a.expr), b: Box::new(b.expr), length: Some(length) };
    let equal = typed::Expr { kind: equal, ty: Ty::Bool.typed(), span };
    let differ = Operand::new(Ty::Bool, ExprKind::Unary(typed::UnaryOp::Not, Box::new(equal)), span);
    Operand { expr: convert(differ, &Ty::U64), ty: Ty::U64, literal: false }
}

/// `has_key(@x, key)`.
pub fn has_key(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let (Some(Argument::Map(map, _)), Some(Argument::Value(key))) = (arguments.next(), arguments.next()) else {
        return Operand::unknown(span);
    };
    checker.looks_into(map);
    // A task's storage does not tell an entry that was deleted from one that is zero.
    checker.used(map, UseKind::Whole, Domain::Any);
    match checker.entry_of(map, Some((key, Vec::new())), span) {
        Some(key) => Operand::new(Ty::Bool, ExprKind::HasKey { map, key: Some(Box::new(key)) }, span),
        None => bool_literal(false, span),
    }
}

/// `delete(@x[key])`, `delete(@x, key)`, `delete(@x)`.
pub fn delete(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Entry(name, key, at)) = arguments.next() else { return Vec::new() };
    let (map, key) = match (key, arguments.next()) {
        (key, None) => checker.entry(name, key, at),
        (None, Some(Argument::Value(key))) => {
            let map = checker.map(name, at);
            (map, checker.entry_of(map, Some((key, Vec::new())), at))
        }
        _ => {
            checker.error(span, "`delete()` takes one entry: `delete(@x[key])` or `delete(@x, key)`");
            return Vec::new();
        }
    };
    checker.deletes(map);
    checker.forget_printed(map);
    vec![StmtKind::Delete { map, key }]
}

/// `delete(…)` where it is asked whether there was such an entry.
fn delete_if_there(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let stmts = delete(checker, arguments, span);
    let Some(StmtKind::Delete { map, key }) = stmts.into_iter().next() else { return Operand::unknown(span) };
    checker.used(map, UseKind::Whole, Domain::Any);
    let (keep, key) = match key {
        Some(key) => {
            let (keep, read) = checker.kept_key(map, key, span);
            (vec![keep], Some(read))
        }
        None => (Vec::new(), None),
    };
    let boxed = |key: &Option<typed::Expr>| key.clone().map(Box::new);
    let there = Operand::new(Ty::Bool, ExprKind::HasKey { map, key: boxed(&key) }, span).expr;
    let delete = typed::Stmt { kind: StmtKind::Delete { map, key }, span };
    let done = Operand::new(Ty::Bool, ExprKind::Block(vec![delete], Box::new(bool_literal(true, span).expr)), span);
    let both = Operand::new(Ty::Bool, ExprKind::And(Box::new(there), Box::new(done.expr)), span);
    Operand::new(Ty::Bool, ExprKind::Block(keep, Box::new(both.expr)), span)
}

/// `find(@x, key, $value)`: whether there is such a key; `$value` is what it holds then.
pub fn find(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let (Some(Argument::Map(map, _)), Some(Argument::Value(key)), Some(Argument::Variable(name, at))) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Operand::unknown(span);
    };
    let value = match &checker.maps[map.0 as usize].value {
        MapValue::Plain(ty, _) => ty.clone(),
        MapValue::Unknown => return Operand::new(Ty::Bool, ExprKind::Int(0), span),
        &MapValue::Aggregation(aggregation, place) => match total(aggregation) {
            Some(ty) => ty,
            None => {
                let name = checker.maps[map.0 as usize].name[1..].to_owned();
                return checker.refuse_with(no_number(span, &name, aggregation, place));
            }
        },
    };
    checker.looks_into(map);
    checker.used(map, UseKind::Whole, Domain::Any);
    let Some(key) = checker.entry_of(map, Some((key, Vec::new())), span) else { return Operand::unknown(span) };
    let (keep, key) = checker.kept_key(map, key, span);
    let boxed = || Some(Box::new(key.clone()));
    let there = Operand::new(Ty::Bool, ExprKind::HasKey { map, key: boxed() }, span);
    let found = Operand::new(value, ExprKind::MapGet { map, key: boxed() }, span);
    let local = checker.find_local(name).unwrap_or_else(|| checker.declare_local(name, at));
    let mut set = Vec::new();
    checker.set_local(local, found, span, &mut set);
    let set = Operand::new(Ty::Bool, ExprKind::Block(set, Box::new(bool_literal(true, span).expr)), span);
    let both = Operand::new(Ty::Bool, ExprKind::And(Box::new(there.expr), Box::new(set.expr)), span);
    Operand::new(Ty::Bool, ExprKind::Block(vec![keep], Box::new(both.expr)), span)
}

impl Checker<'_> {
    /// Evaluates a key once, to be used more than once.
    fn kept_key(&mut self, map: MapId, key: typed::Expr, span: Span) -> (typed::Stmt, typed::Expr) {
        let ty = self.maps[map.0 as usize].key.as_ref().map_or(Ty::U64, |(ty, _)| ty.clone());
        let local = self.hidden_local_of("the key", ty.clone(), span);
        let read = Operand::new(ty, ExprKind::Local(local), span).expr;
        (typed::Stmt { kind: StmtKind::SetLocal(local, key), span }, read)
    }
}

/// `len(@x)`: how many keys a map has; of an array, how many elements.
pub fn len(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    match arguments.into_iter().next() {
        Some(Argument::Map(map, at)) => {
            use_whole(checker, map);
            checker.keyed(map, true, at);
            checker.looks_into(map);
            Operand::new(Ty::I64, ExprKind::Call(typed::Function::Entries(map), Vec::new()), span)
        }
        Some(Argument::Value(operand)) if operand.ty.is_unknown() => Operand::unknown(span),
        Some(Argument::Value(operand)) => match operand.ty {
            Ty::Stack(_) => stacks::frames(operand, span),
            Ty::Array(_, length) => {
                Operand { ty: Ty::I64, expr: constant(&Ty::I64, length.into(), span), literal: true }
            }
            other => {
                let error = Diagnostic::error(span, "`len()` expects a map, an array or a stack");
                let error = error.label(format!("this is of type `{other}`"));
                checker.refuse_with(if matches!(other, Ty::Str(_)) {
                    error.help("`strlen()` is the length of a text")
                } else {
                    error
                })
            }
        },
        _ => Operand::unknown(span),
    }
}

/// `kptr(p)`: an address of the kernel.
pub fn kptr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    address_of(checker, arguments, false, span)
}

/// `uptr(p)`: an address of the process.
pub fn uptr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    address_of(checker, arguments, true, span)
}

fn address_of(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, user: bool, span: Span) -> Operand {
    let Some(address) = values(arguments).next() else { return Operand::unknown(span) };
    match address.ty.clone() {
        Ty::Unknown => Operand::unknown(span),
        Ty::Pointer { to, .. } => Operand { ty: Ty::Pointer { to, user }, ..address },
        Ty::Int { .. } => {
            let ty = Ty::Pointer { to: Box::new(Ty::U64), user };
            Operand { expr: convert(address, &ty), ty, literal: false }
        }
        other => {
            let error = Diagnostic::error(span, "an address is expected here");
            checker.refuse_with(error.label(format!("this is of type `{other}`")))
        }
    }
}

/// A use of a whole map by a function that does not look at entries.
pub fn use_whole(checker: &mut Checker<'_>, map: MapId) {
    checker.used(map, UseKind::Whole, Domain::Any);
}
