//! A tree as the text of a script.

use std::fmt::{self, Display, Formatter};

use super::tree::{Aggregation, Clause, Entry, Expr, Holds, Kind, Probe, Script, Stmt};
use super::types::{MEMBERS, Ty};

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.clauses.iter().try_for_each(|clause| write_clause(self, clause, f))
    }
}

fn write_clause(script: &Script, clause: &Clause, f: &mut Formatter<'_>) -> fmt::Result {
    match clause.probe {
        Probe::Begin => f.write_str("BEGIN")?,
        Probe::End => f.write_str("END")?,
        Probe::Event(probe) => f.write_str(probe)?,
    }
    if let Some(predicate) = &clause.predicate {
        write!(f, " /{predicate}/")?;
    }
    f.write_str(" {\n")?;
    write_block(script, &clause.body, 1, f)?;
    f.write_str("}\n")
}

fn write_block(script: &Script, block: &[Stmt], depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    block.iter().try_for_each(|stmt| write_stmt(script, stmt, depth, f))
}

fn write_stmt(script: &Script, stmt: &Stmt, depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let indent = "    ".repeat(depth);
    let braces = |f: &mut Formatter<'_>, block: &[Stmt]| {
        f.write_str(" {\n")?;
        write_block(script, block, depth + 1, f)?;
        write!(f, "{indent}}}")
    };
    f.write_str(&indent)?;
    match stmt {
        Stmt::Set(local, value) => write!(f, "$v{local} = {value};")?,
        Stmt::Change(local, op, value) => write!(f, "$v{local} {}= {value};", op.symbol())?,
        Stmt::SetEntry(entry, value) => write!(f, "{entry} = {value};")?,
        Stmt::ChangeEntry(entry, op, value) => write!(f, "{entry} {}= {value};", op.symbol())?,
        Stmt::Aggregate(entry, argument) => {
            let Holds::Aggregation(aggregation) = script.maps[entry.map].value else {
                unreachable!("aggregations are assigned to maps of aggregations")
            };
            write!(f, "{entry} = {}(", name(aggregation))?;
            if let Some(argument) = argument {
                write!(f, "{argument}")?;
            }
            if let Aggregation::Linear { min, max, step } = aggregation {
                write!(f, ", {min}, {max}, {step}")?;
            }
            f.write_str(");")?;
        }
        Stmt::Delete(entry) => match &entry.key {
            Some(key) => write!(f, "delete(@m{}, {key});", entry.map)?,
            None => write!(f, "delete(@m{});", entry.map)?,
        },
        Stmt::Clear(map) => write!(f, "clear(@m{map});")?,
        Stmt::Zero(map) => write!(f, "zero(@m{map});")?,
        Stmt::PrintMap(map) => write!(f, "print(@m{map});")?,
        Stmt::Print(value) => write!(f, "print({value});")?,
        Stmt::Printf(pieces) => {
            f.write_str("printf(\"")?;
            for (text, conversion, _) in pieces {
                write!(f, "{text}%{}{}", conversion.field, conversion.letter)?;
            }
            f.write_str("\\n\"")?;
            for (_, _, value) in pieces {
                write!(f, ", {value}")?;
            }
            f.write_str(");")?;
        }
        Stmt::Count(counted) => write!(f, "{counted};")?,
        Stmt::If(condition, then, otherwise) => {
            write!(f, "if ({condition})")?;
            braces(f, then)?;
            if !otherwise.is_empty() {
                f.write_str(" else")?;
                braces(f, otherwise)?;
            }
        }
        Stmt::While(counter, turns, body) => {
            writeln!(f, "$v{counter} = (int64)0; while ($v{counter} < {turns}) {{ $v{counter}++;")?;
            write_block(script, body, depth + 1, f)?;
            write!(f, "{indent}}}")?;
        }
        Stmt::Range(local, from, to, body) => {
            write!(f, "for $v{local} : {from}..{to}")?;
            braces(f, body)?;
        }
        Stmt::ForEach(local, map, body) => {
            write!(f, "for $v{local} : @m{map}")?;
            braces(f, body)?;
        }
        Stmt::Unroll(times, body) => {
            write!(f, "unroll({times})")?;
            braces(f, body)?;
        }
        Stmt::Break => f.write_str("break;")?,
        Stmt::Continue => f.write_str("continue;")?,
        Stmt::Return => f.write_str("return;")?,
    }
    f.write_str("\n")
}

fn name(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Count => "count",
        Aggregation::Sum { .. } => "sum",
        Aggregation::Min { .. } => "min",
        Aggregation::Max { .. } => "max",
        Aggregation::Avg { .. } => "avg",
        Aggregation::Stats { .. } => "stats",
        Aggregation::Hist => "hist",
        Aggregation::Linear { .. } => "lhist",
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "@m{}[{key}]", self.map),
            None => write!(f, "@m{}", self.map),
        }
    }
}

/// Whatever stands inside of something else is in parentheses: what binds tighter is tested elsewhere.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Number(number) if *number < 0 => write!(f, "({number})"),
            Kind::Number(number) => write!(f, "{number}"),
            Kind::Truth(truth) => write!(f, "{truth}"),
            Kind::Text(text) => write!(f, "\"{text}\""),
            Kind::Opaque(text) => f.write_str(text),
            Kind::Local(local) => write!(f, "$v{local}"),
            Kind::Entry(entry) => write!(f, "{entry}"),
            Kind::HasKey(Entry { map, key }) => match key {
                Some(key) => write!(f, "has_key(@m{map}, {key})"),
                None => unreachable!("only maps with keys are asked for one"),
            },
            Kind::CountLocal(local, up, before) => count(f, format_args!("$v{local}"), *up, *before),
            Kind::CountEntry(entry, up, before) => count(f, format_args!("{entry}"), *up, *before),
            Kind::Unary(op, operand) => write!(f, "({op}{operand})"),
            Kind::Binary(op, a, b) => write!(f, "({a} {} {b})", op.symbol()),
            Kind::Ternary(condition, then, otherwise) => write!(f, "({condition} ? {then} : {otherwise})"),
            Kind::OrElse(first, otherwise) => write!(f, "({first} ?: {otherwise})"),
            Kind::Cast(operand) => match &self.ty {
                Ty::Int(int) => write!(f, "(({}){operand})", int.name()),
                Ty::Bool => write!(f, "((bool){operand})"),
                Ty::Str(size) => write!(f, "((string[{size}]){operand})"),
                Ty::Tuple(_) | Ty::Record(_) => unreachable!("what has parts is not cast"),
            },
            Kind::Tuple(parts) => {
                f.write_str("(")?;
                for (index, part) in parts.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    if let Ty::Record(_) = self.ty {
                        write!(f, "{} = ", MEMBERS[index])?;
                    }
                    write!(f, "{part}")?;
                }
                f.write_str(")")
            }
            Kind::Part(whole, index) if matches!(whole.ty, Ty::Record(_)) => write!(f, "{whole}.{}", MEMBERS[*index]),
            Kind::Part(whole, index) => write!(f, "{whole}.{index}"),
            Kind::Call(function, arguments) => {
                write!(f, "{}(", function.name())?;
                for (index, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Kind::Entries(map) => write!(f, "len(@m{map})"),
            Kind::Compare(a, b, length) => write!(f, "strncmp({a}, {b}, {length})"),
            Kind::Block(block, value) => {
                f.write_str("({\n")?;
                write_block(&Script::default(), block, 2, f)?;
                write!(f, "        {value} }})")
            }
        }
    }
}

fn count(f: &mut Formatter<'_>, target: fmt::Arguments<'_>, up: bool, before: bool) -> fmt::Result {
    let sign = if up { "++" } else { "--" };
    if before { write!(f, "{target}{sign}") } else { write!(f, "{sign}{target}") }
}
