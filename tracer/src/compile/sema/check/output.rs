//! Functions that have an effect: aggregations, output, whole maps, the end.

use super::calls::{Argument, use_whole};
use super::functions::clock::atomic_time;
use super::maps::{MapValue, UseKind};
use super::operand::{constant, convert, shape_of, truth};
use super::{Checker, Domain, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::builtins::Function;
use crate::compile::sema::format;
use crate::compile::sema::typed::{self, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::plan::{Aggregation, Format, MapId, Place, Record, Severity, Shape, Unit};
use tracer_common::bucket;

/// Most buckets of a `lhist`, as in bpftrace.
const MAX_LINEAR_BUCKETS: i128 = 1000;

impl Checker<'_> {
    /// `@x[key] = function(arguments)`.
    pub(super) fn aggregate(
        &mut self,
        map: MapId,
        key: Option<typed::Expr>,
        function: Function,
        arguments: Vec<Argument<'_>>,
        span: Span,
    ) -> Option<StmtKind> {
        self.maps[map.0 as usize].filled = true;
        let mut arguments = arguments.into_iter();
        let argument = match arguments.next() {
            Some(Argument::Value(operand)) => Some(operand),
            _ => None,
        };
        // What the map holds is known even where the argument is not yet: `@n++; @ = sum(@n)`.
        let unknown = argument.as_ref().is_some_and(|argument| argument.ty.is_unknown());
        let signed = argument.as_ref().is_some_and(|argument| argument.ty.is_signed());
        let (mut numbers, mut word) = (Vec::new(), None);
        for argument in arguments {
            match argument {
                Argument::Number(number, _) => numbers.push(number),
                Argument::Literal(text, at) => word = Some((text, at)),
                _ => {}
            }
        }
        let aggregation = match (function, numbers.as_slice()) {
            (Function::Count, _) => Aggregation::Count,
            (Function::Sum, _) => Aggregation::Sum { signed },
            (Function::Avg, _) => Aggregation::Avg { signed },
            (Function::Min, _) => Aggregation::Min { signed },
            (Function::Max, _) => Aggregation::Max { signed },
            (Function::Stats, _) => Aggregation::Stats { signed },
            (Function::Hdr, _) => Aggregation::Hdr,
            (Function::Hist, bits) => Aggregation::Hist { bits: self.hist_bits(bits.first().copied(), span)? },
            (Function::Lhist, &[min, max, step]) => self.linear(min, max, step, span)?,
            (Function::Series, &[interval, intervals]) => {
                Aggregation::Series(self.series(interval, intervals, word, signed, span)?)
            }
            (Function::Lhist | Function::Series, _) => return None,
        };
        let aggregation = self.aggregation(map, aggregation, span)?;
        self.forget_printed(map);
        if unknown {
            return None;
        }
        let ty = if aggregation.signed() { Ty::I64 } else { Ty::U64 };
        let argument = argument.map(|argument| convert(argument, &ty));
        let weight = matches!(aggregation, Aggregation::Series(_)).then(|| atomic_time(self, span).expr);
        Some(StmtKind::Aggregate { map, key, aggregation, argument, weight })
    }

    fn hist_bits(&mut self, bits: Option<i64>, span: Span) -> Option<u32> {
        let bits = bits.unwrap_or(0);
        let known = u32::try_from(bits).ok().filter(|&bits| bits <= bucket::LOG2_MAX_BITS);
        if known.is_none() {
            self.error(
                span,
                format!("`hist()` cuts each power of two in 2^0 to 2^{}, not 2^{bits}", bucket::LOG2_MAX_BITS),
            );
        }
        known
    }

    fn linear(&mut self, min: i64, max: i64, step: i64, span: Span) -> Option<Aggregation> {
        if step < 1 {
            self.error(span, format!("the step of `lhist()` must be 1 at least, not {step}"));
            return None;
        }
        if min >= max {
            self.error(span, format!("the least value of `lhist()` must be below the greatest ({min} and {max})"));
            return None;
        }
        let steps = (i128::from(max) - i128::from(min)) / i128::from(step);
        if steps > MAX_LINEAR_BUCKETS {
            let message = format!("`lhist()` has {MAX_LINEAR_BUCKETS} buckets at most, and this needs {steps}");
            self.error(span, message);
            return None;
        }
        Some(Aggregation::Linear { min, max, step })
    }
}

/// `printf(format, …)`.
pub fn printf(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    formatted(checker, arguments, span, |format, arguments| Record::Printf { format, arguments })
}

/// `cat(format, …)`.
pub fn cat(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    formatted(checker, arguments, span, |format, arguments| Record::Cat { format, arguments })
}

/// `system(format, …)`.
pub fn system(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    formatted(checker, arguments, span, |format, arguments| Record::System { format, arguments })
}

/// `warnf(format, …)`.
pub fn warnf(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    message(checker, Severity::Warning, arguments, span)
}

/// `errorf(format, …)`.
pub fn errorf(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    message(checker, Severity::Error, arguments, span)
}

fn message(checker: &mut Checker<'_>, severity: Severity, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let place = Place { start: span.start, end: span.end };
    formatted(checker, arguments, span, |format, arguments| Record::Message { severity, place, format, arguments })
}

/// Says something about a place of the script that has one number in it.
pub fn say(checker: &mut Checker<'_>, severity: Severity, text: &str, number: Operand, span: Span) -> Vec<StmtKind> {
    let arguments = vec![Argument::Literal(text.to_owned(), span), Argument::Value(number)];
    message(checker, severity, arguments, span)
}

/// `assert(condition, text)`: ends the script if the condition does not hold.
pub fn assert(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let (Some(Argument::Value(condition)), Some(Argument::Value(text))) = (arguments.next(), arguments.next()) else {
        return Vec::new();
    };
    if condition.ty.is_unknown() || text.ty.is_unknown() {
        return Vec::new();
    }
    if !condition.ty.is_condition() {
        checker.error(condition.span(), format!("a condition cannot be of type `{}`", condition.ty));
        return Vec::new();
    }
    let said = vec![Argument::Literal("assert failed: %s".to_owned(), span), Argument::Value(text)];
    let mut otherwise = message(checker, Severity::Error, said, span);
    let code = Operand { ty: Ty::I64, expr: constant(&Ty::I64, 1, span), literal: true };
    otherwise.extend(exit(checker, vec![Argument::Value(code)], span));
    let otherwise = otherwise.into_iter().map(|kind| typed::Stmt { kind, span }).collect();
    vec![StmtKind::If { condition: truth(condition), then: Vec::new(), otherwise }]
}

/// A record of a format and what fills it in.
fn formatted(
    checker: &mut Checker<'_>,
    arguments: Vec<Argument<'_>>,
    span: Span,
    record: impl FnOnce(Format, Vec<Shape>) -> Record,
) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Literal(text, at)) = arguments.next() else { return Vec::new() };
    let mut operands = Vec::new();
    for argument in arguments {
        match argument {
            Argument::Value(operand) if operand.ty.is_unknown() => return Vec::new(),
            Argument::Value(operand) => operands.push(operand),
            _ => return Vec::new(),
        }
    }
    let Some(format) = parsed(checker, &text, at, &operands, span) else { return Vec::new() };
    let exprs: Vec<typed::Expr> = operands.into_iter().map(|operand| operand.expr).collect();
    match exprs.iter().map(|expr| shape_of(expr).cloned()).collect() {
        Some(shapes) => vec![checker.emit(record(format, shapes), exprs)],
        None => Vec::new(), // reported where the format was checked
    }
}

/// A format, checked against what fills it in; what is wrong with it is reported.
pub(super) fn parsed(
    checker: &mut Checker<'_>,
    text: &str,
    at: Span,
    operands: &[Operand],
    span: Span,
) -> Option<Format> {
    let found: Vec<(Ty, Span)> = operands.iter().map(|operand| (operand.ty.clone(), operand.span())).collect();
    match format::parse(text, at, &found, span) {
        Ok(format) => Some(format),
        Err(errors) => {
            errors.into_iter().for_each(|error| checker.report(error));
            None
        }
    }
}

/// `time()`, `time(format)`.
pub fn time(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, _: Span) -> Vec<StmtKind> {
    let format = match arguments.into_iter().next() {
        Some(Argument::Literal(format, _)) => format,
        _ => "%H:%M:%S\n".to_owned(),
    };
    vec![checker.emit(Record::Time { format }, Vec::new())]
}

/// `print(@x)`, `print(@x, top, div)`, `print(@x[key])`, `print(value)`.
pub fn print(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let Some(first) = arguments.next() else { return Vec::new() };
    let mut numbers = Vec::new();
    for argument in arguments {
        let Argument::Number(number, at) = argument else { return Vec::new() };
        match u32::try_from(number) {
            Ok(number) => numbers.push(number),
            Err(_) => {
                checker.error(at, format!("`print()` takes a number from 0 to {} here", u32::MAX));
                return Vec::new();
            }
        }
    }
    if !numbers.is_empty() && !matches!(first, Argument::Map(..)) {
        checker.error(span, "only a whole map is printed with `top` and `div`");
        return Vec::new();
    }
    match first {
        Argument::Map(map, _) => {
            use_whole(checker, map);
            let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
            checker.prints(map);
            let record = Record::PrintMap { map, top: number(0), div: number(1), emptied: false };
            vec![checker.emit(record, Vec::new())]
        }
        Argument::Entry(name, ..) if checker.is_series(name) => {
            let error = Diagnostic::error(span, format!("an entry of `@{name}`, a `tseries()`, is not printed alone"));
            checker.report(error.help(format!("`print(@{name})` prints all of them")));
            Vec::new()
        }
        Argument::Entry(name, key, at) => {
            let (map, key) = checker.entry(name, key, at);
            use_whole(checker, map);
            vec![checker.emit(Record::PrintEntry { map }, key.into_iter().collect())]
        }
        Argument::Value(operand) if operand.ty.is_unknown() => Vec::new(),
        Argument::Value(operand) => match operand.ty.shape() {
            Some(value) => vec![checker.emit(Record::PrintValue { value }, vec![operand.expr])],
            None => {
                checker.error(span, format!("a value of type `{}` cannot be printed", operand.ty));
                Vec::new()
            }
        },
        Argument::Number(..) | Argument::Literal(..) | Argument::Variable(..) | Argument::Word(..) => {
            unreachable!("not what the row asks for")
        }
    }
}

/// `table(@first, @second, …, top, unit)`, ours.
pub fn table(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut maps: Vec<(MapId, Span)> = Vec::new();
    let mut top = None;
    let mut unit = None;
    for argument in arguments {
        match argument {
            Argument::Map(map, at) if top.is_none() && unit.is_none() => maps.push((map, at)),
            Argument::Value(operand) if top.is_none() && unit.is_none() && operand.literal && operand.ty.is_int() => {
                let typed::ExprKind::Int(number) = operand.expr.kind else { unreachable!("a literal integer") };
                top = u32::try_from(number).ok();
                if top.is_none() {
                    checker.error(operand.expr.span, "`table()` takes a number of rows here, which cannot be negative");
                    return Vec::new();
                }
            }
            Argument::Value(operand) if unit.is_none() => match operand.expr.kind {
                typed::ExprKind::Str(text) if text == "ns" => unit = Some(Unit::Nanoseconds),
                typed::ExprKind::Str(text) if text.is_empty() => unit = Some(Unit::Plain),
                _ => {
                    let error = Diagnostic::error(operand.expr.span, "`table()` does not expect this here");
                    checker.report(
                        error.help("write `table(@map, …)`, then a number of rows, then a unit: \"ns\" or \"\""),
                    );
                    return Vec::new();
                }
            },
            _ => {
                checker.error(span, "`table()` takes maps, then a number of rows, then a unit");
                return Vec::new();
            }
        }
    }
    for &(map, _) in &maps {
        use_whole(checker, map);
        checker.prints(map);
    }
    if !same_keys(checker, &maps) {
        return Vec::new();
    }
    let headings = checker.maps[maps[0].0.0 as usize].headings.clone();
    let record = Record::PrintTable {
        maps: maps.iter().map(|&(map, _)| map).collect(),
        headings,
        top: top.unwrap_or(0),
        unit: unit.unwrap_or(Unit::Nanoseconds),
        emptied: Vec::new(),
    };
    vec![checker.emit(record, Vec::new())]
}

/// Whether all maps are aggregations with the same key; reports what is not.
fn same_keys(checker: &mut Checker<'_>, maps: &[(MapId, Span)]) -> bool {
    let key = |checker: &Checker<'_>, map: MapId| checker.maps[map.0 as usize].key.as_ref().map(|(ty, _)| ty.shape());
    let first = key(checker, maps[0].0);
    for &(map, at) in maps {
        let state = &checker.maps[map.0 as usize];
        let error = match state.value {
            MapValue::Plain(_, place) => Diagnostic::error(at, format!("`{}` is no aggregation", state.name))
                .also(place, "it holds plain values"),
            MapValue::Aggregation(Aggregation::Series(_), place) => {
                Diagnostic::error(at, format!("a `tseries()` is no column of a `table()`: `{}` is one", state.name))
                    .also(place, "here")
            }
            _ if key(checker, map) != first => Diagnostic::error(at, "all maps of a `table()` must have the same key")
                .also(maps[0].1, "unlike this one"),
            _ => continue,
        };
        checker.report(error);
        return false;
    }
    true
}

/// `clear(@x)`.
pub fn clear(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, _: Span) -> Vec<StmtKind> {
    let Some(Argument::Map(map, _)) = arguments.into_iter().next() else { return Vec::new() };
    checker.used(map, UseKind::Clear, Domain::Any);
    let printed = checker.empties(map);
    vec![checker.emit(Record::Clear { map, printed }, Vec::new())]
}

/// `zero(@x)`.
pub fn zero(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, _: Span) -> Vec<StmtKind> {
    let Some(Argument::Map(map, _)) = arguments.into_iter().next() else { return Vec::new() };
    use_whole(checker, map);
    let printed = checker.empties(map);
    vec![checker.emit(Record::Zero { map, printed }, Vec::new())]
}

/// `exit()`, `exit(code)`: nothing after it runs in this probe.
pub fn exit(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let code = match arguments.into_iter().next() {
        Some(Argument::Value(operand)) if operand.ty.is_unknown() => return Vec::new(),
        Some(Argument::Value(operand)) => convert(operand, &Ty::I64),
        _ => constant(&Ty::I64, 0, span),
    };
    checker.leaves();
    vec![checker.emit(Record::Exit, vec![code]), StmtKind::Return]
}
