//! What a script prints when its `BEGIN` and `END` probes run, and nothing else does.

use std::collections::BTreeMap;

use super::aggregate::Seen;
use super::tree::{Aggregation, Binary, Conversion, Entry, Expr, Function, Holds, Kind, Probe, Script, Stmt};
use super::types::{Int, MEMBERS, Ty};

/// The lines by which the end of a script is told from what it has printed.
const END: &str = "\n\n";

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Int(i128),
    Bool(bool),
    Text(String),
    Tuple(Vec<Value>),
    Record(Vec<Value>),
}

/// An entry of a map.
#[derive(Clone, Debug)]
enum Slot {
    Plain(Value),
    Aggregation(Seen),
}

/// What user space does when it comes to it: after all probes of a kind have run.
enum Record {
    Text(String),
    Print(usize),
    Clear(usize),
    Zero(usize),
}

/// How a statement ends.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
    Return,
}

/// What the script prints to stdout.
pub fn interpret(script: &Script) -> String {
    let mut machine = Machine {
        script,
        maps: vec![BTreeMap::new(); script.maps.len()],
        locals: vec![Value::Int(0); script.locals.len()],
        records: Vec::new(),
    };
    let mut printed = String::new();
    for probe in [Probe::Begin, Probe::End] {
        for clause in script.clauses.iter().filter(|clause| clause.probe == probe) {
            let runs = clause.predicate.as_ref().is_none_or(|predicate| machine.truth(predicate));
            if runs {
                machine.block(&clause.body);
            }
        }
        printed += &machine.take_records();
    }
    printed += END;
    let mut maps: Vec<usize> = (0..script.maps.len()).collect();
    maps.sort_by_key(|map| format!("@m{map}"));
    maps.into_iter().for_each(|map| printed += &machine.map(map));
    printed
}

struct Machine<'s> {
    script: &'s Script,
    maps: Vec<BTreeMap<Value, Slot>>,
    locals: Vec<Value>,
    records: Vec<Record>,
}

impl Machine<'_> {
    fn take_records(&mut self) -> String {
        let mut printed = String::new();
        for record in std::mem::take(&mut self.records) {
            match record {
                Record::Text(text) => printed += &text,
                Record::Print(map) if self.maps[map].is_empty() => printed += &self.nothing(map),
                Record::Print(map) => printed += &self.map(map),
                Record::Clear(map) => self.maps[map].clear(),
                Record::Zero(map) => self.maps[map].values_mut().for_each(|slot| match slot {
                    Slot::Plain(value) => *value = Value::Int(0),
                    Slot::Aggregation(seen) => *seen = Seen::default(),
                }),
            }
        }
        printed
    }

    /// What `print` shows of a map that holds nothing: without a key, the value that it would be read as.
    fn nothing(&self, map: usize) -> String {
        let declared = &self.script.maps[map];
        match &declared.value {
            _ if declared.key.is_some() => String::new(),
            Holds::Aggregation(Aggregation::Hist | Aggregation::Linear { .. }) => String::new(),
            Holds::Plain(ty) => format!("@m{map}: {}\n", shown(&empty(ty))),
            Holds::Aggregation(aggregation) => format!("@m{map}:{}", Seen::default().print(*aggregation)),
        }
    }

    fn map(&self, map: usize) -> String {
        let declared = &self.script.maps[map];
        let rank = |slot: &Slot| match (slot, &declared.value) {
            (Slot::Plain(Value::Int(number)), _) => *number,
            (Slot::Aggregation(seen), Holds::Aggregation(aggregation)) => seen.rank(*aggregation),
            _ => 0,
        };
        let mut entries: Vec<(&Value, &Slot)> = self.maps[map].iter().collect();
        entries.sort_by_key(|&(key, slot)| (rank(slot), key));
        let mut text = String::new();
        for (key, slot) in entries {
            text += &format!("@m{map}");
            match key {
                _ if declared.key.is_none() => {}
                Value::Tuple(parts) => text += &format!("[{}]", list(parts)),
                single => text += &format!("[{}]", shown(single)),
            }
            text.push(':');
            text += &match (slot, &declared.value) {
                (Slot::Plain(value), _) => format!(" {}\n", shown(value)),
                (Slot::Aggregation(seen), Holds::Aggregation(aggregation)) => seen.print(*aggregation),
                (Slot::Aggregation(_), Holds::Plain(_)) => unreachable!("a plain map holds plain values"),
            };
        }
        text
    }

    fn block(&mut self, block: &[Stmt]) -> Flow {
        for stmt in block {
            let flow = self.stmt(stmt);
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    fn stmt(&mut self, stmt: &Stmt) -> Flow {
        match stmt {
            Stmt::Set(local, value) => {
                let value = self.value(value);
                self.locals[*local] = self.taken(value, &self.script.locals[*local]);
            }
            Stmt::Change(local, op, value) => {
                let ty = &self.script.locals[*local];
                let before = Expr::local(*local, ty.clone());
                let value = self.binary(*op, &before, value, None);
                self.locals[*local] = self.taken(value, ty);
            }
            Stmt::SetEntry(entry, value) => {
                let key = self.key(entry);
                let value = self.value(value);
                self.put(entry.map, key, value);
            }
            Stmt::ChangeEntry(entry, op, value) => {
                let before = Expr { ty: self.plain(entry.map), kind: Kind::Entry(entry.clone()) };
                let value = self.binary(*op, &before, value, None);
                let key = self.key(entry);
                self.put(entry.map, key, value);
            }
            Stmt::Aggregate(entry, argument) => {
                let key = self.key(entry);
                let argument = argument.as_ref().map_or(0, |argument| self.number(argument));
                let Holds::Aggregation(aggregation) = self.script.maps[entry.map].value else {
                    unreachable!("aggregations are assigned to maps of aggregations")
                };
                let slot = self.maps[entry.map].entry(key).or_insert(Slot::Aggregation(Seen::default()));
                if let Slot::Aggregation(seen) = slot {
                    seen.add(aggregation, argument);
                }
            }
            Stmt::Delete(entry) => {
                let key = self.key(entry);
                self.maps[entry.map].remove(&key);
            }
            Stmt::Clear(map) => self.records.push(Record::Clear(*map)),
            Stmt::Zero(map) => self.records.push(Record::Zero(*map)),
            Stmt::PrintMap(map) => self.records.push(Record::Print(*map)),
            Stmt::Print(value) => {
                let text = shown(&self.value(value)) + "\n";
                self.records.push(Record::Text(text));
            }
            Stmt::Printf(pieces) => {
                let mut line = String::new();
                for (text, conversion, value) in pieces {
                    line += text;
                    line += &formatted(conversion, &self.value(value));
                }
                self.records.push(Record::Text(line + "\n"));
            }
            Stmt::Count(counted) => {
                self.value(counted);
            }
            Stmt::If(condition, then, otherwise) => {
                let taken = if self.truth(condition) { then } else { otherwise };
                return self.block(taken);
            }
            Stmt::While(counter, turns, body) => {
                return self.turns(*counter, (1..=i128::from(*turns)).map(Value::Int).collect(), body);
            }
            Stmt::Range(local, from, to, body) => {
                let (from, to) = (self.number(from), self.number(to));
                return self.turns(*local, (from..to).map(Value::Int).collect(), body);
            }
            Stmt::ForEach(local, map, body) => {
                let entries = self.maps[*map].iter().filter_map(|(key, slot)| match slot {
                    Slot::Plain(value) => Some(Value::Tuple(vec![key.clone(), value.clone()])),
                    Slot::Aggregation(seen) => {
                        let number = Value::Int(seen.number(self.aggregation(*map)?)?);
                        Some(Value::Tuple(vec![key.clone(), number]))
                    }
                });
                let entries = entries.collect();
                return self.turns(*local, entries, body);
            }
            Stmt::Unroll(times, body) => {
                for _ in 0..*times {
                    let flow = self.block(body);
                    if flow != Flow::Next {
                        return flow;
                    }
                }
            }
            Stmt::Break => return Flow::Break,
            Stmt::Continue => return Flow::Continue,
            Stmt::Return => return Flow::Return,
        }
        Flow::Next
    }

    fn turns(&mut self, local: usize, values: Vec<Value>, body: &[Stmt]) -> Flow {
        for value in values {
            self.locals[local] = value;
            match self.block(body) {
                Flow::Next | Flow::Continue => {}
                Flow::Break => break,
                Flow::Return => return Flow::Return,
            }
        }
        Flow::Next
    }

    fn plain(&self, map: usize) -> Ty {
        match &self.script.maps[map].value {
            Holds::Plain(ty) => ty.clone(),
            Holds::Aggregation(_) => unreachable!("a plain map is asked for"),
        }
    }

    fn aggregation(&self, map: usize) -> Option<Aggregation> {
        match self.script.maps[map].value {
            Holds::Plain(_) => None,
            Holds::Aggregation(aggregation) => Some(aggregation),
        }
    }

    fn put(&mut self, map: usize, key: Value, value: Value) {
        let value = self.taken(value, &self.plain(map));
        self.maps[map].insert(key, Slot::Plain(value));
    }

    /// A value as a place of this type keeps it.
    fn taken(&self, value: Value, ty: &Ty) -> Value {
        match (value, ty) {
            (Value::Int(number), Ty::Int(int)) => Value::Int(int.cut(number)),
            (Value::Tuple(parts), Ty::Tuple(types)) => {
                Value::Tuple(parts.into_iter().zip(types).map(|(part, ty)| self.taken(part, ty)).collect())
            }
            (Value::Record(parts), Ty::Record(types)) => {
                Value::Record(parts.into_iter().zip(types).map(|(part, ty)| self.taken(part, ty)).collect())
            }
            (value, _) => value,
        }
    }

    fn key(&mut self, entry: &Entry) -> Value {
        match (&entry.key, &self.script.maps[entry.map].key) {
            (Some(key), Some(ty)) => {
                let key = self.value(key);
                self.taken(key, ty)
            }
            _ => Value::Tuple(Vec::new()),
        }
    }

    fn number(&mut self, expr: &Expr) -> i128 {
        match self.value(expr) {
            Value::Int(number) => number,
            Value::Bool(truth) => i128::from(truth),
            value => unreachable!("a number is asked for, not {value:?}"),
        }
    }

    fn truth(&mut self, expr: &Expr) -> bool {
        self.number(expr) != 0
    }

    fn value(&mut self, expr: &Expr) -> Value {
        match &expr.kind {
            Kind::Number(number) => Value::Int(*number),
            Kind::Truth(truth) => Value::Bool(*truth),
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Opaque(text) => unreachable!("{text} is not known here"),
            Kind::Local(local) => self.locals[*local].clone(),
            Kind::Entry(entry) => {
                let key = self.key(entry);
                match self.maps[entry.map].get(&key) {
                    Some(Slot::Plain(value)) => value.clone(),
                    Some(Slot::Aggregation(seen)) => {
                        let number = self.aggregation(entry.map).and_then(|aggregation| seen.number(aggregation));
                        Value::Int(number.expect("only such are read"))
                    }
                    None => empty(&expr.ty),
                }
            }
            Kind::HasKey(entry) => {
                let key = self.key(entry);
                Value::Bool(self.maps[entry.map].contains_key(&key))
            }
            &Kind::CountLocal(local, up, before) => {
                let old = Expr::local(local, expr.ty.clone());
                let old = self.number(&old);
                let new = int(&expr.ty).cut(old + if up { 1 } else { -1 });
                self.locals[local] = Value::Int(new);
                Value::Int(if before { old } else { new })
            }
            Kind::CountEntry(entry, up, before) => {
                let key = self.key(entry);
                let old = match self.maps[entry.map].get(&key) {
                    Some(Slot::Plain(Value::Int(number))) => *number,
                    _ => 0,
                };
                let new = int(&expr.ty).cut(old + if *up { 1 } else { -1 });
                self.put(entry.map, key, Value::Int(new));
                Value::Int(if *before { old } else { new })
            }
            Kind::Unary('!', operand) => Value::Bool(!self.truth(operand)),
            Kind::Unary(op, operand) => {
                let own = operand.own_int().expect("an integer is asked for");
                let number = own.cut(self.number(operand));
                let result = if own.signed { Int::I64 } else { own };
                Value::Int(result.cut(if *op == '-' { -number } else { !number }))
            }
            Kind::Binary(Binary::And, a, b) => Value::Bool(self.truth(a) && self.truth(b)),
            Kind::Binary(Binary::Or, a, b) => Value::Bool(self.truth(a) || self.truth(b)),
            Kind::Binary(op, a, b) => self.binary(*op, a, b, Some(&expr.ty)),
            Kind::Ternary(condition, then, otherwise) => {
                let value = if self.truth(condition) { self.value(then) } else { self.value(otherwise) };
                self.taken(value, &expr.ty)
            }
            Kind::OrElse(first, otherwise) => {
                let value = self.value(first);
                let value = self.taken(value, &expr.ty);
                if value != empty(&expr.ty) {
                    return value;
                }
                let value = self.value(otherwise);
                self.taken(value, &expr.ty)
            }
            Kind::Cast(operand) => match &expr.ty {
                Ty::Int(int) => Value::Int(int.cut(self.number(operand))),
                Ty::Bool => Value::Bool(self.truth(operand)),
                Ty::Str(_) | Ty::Tuple(_) | Ty::Record(_) => self.value(operand),
            },
            Kind::Tuple(parts) => {
                let parts = parts.iter().map(|part| self.value(part)).collect();
                let whole = if let Ty::Record(_) = expr.ty { Value::Record(parts) } else { Value::Tuple(parts) };
                self.taken(whole, &expr.ty)
            }
            Kind::Part(whole, index) => match self.value(whole) {
                Value::Tuple(parts) | Value::Record(parts) => parts[*index].clone(),
                value => unreachable!("a tuple is asked for, not {value:?}"),
            },
            Kind::Compare(a, b, length) => {
                let [a, b] = [self.value(a), self.value(b)].map(|value| match value {
                    Value::Text(text) => text.into_bytes(),
                    value => unreachable!("a text is asked for, not {value:?}"),
                });
                // What lies behind a text's end is zero in both.
                let at = |text: &[u8], index: usize| text.get(index).copied().unwrap_or(0);
                Value::Int(i128::from((0..*length as usize).any(|index| at(&a, index) != at(&b, index))))
            }
            Kind::Call(function, arguments) => {
                let values: Vec<Value> = arguments.iter().map(|argument| self.value(argument)).collect();
                called(*function, &values, &expr.ty)
            }
            Kind::Entries(map) => Value::Int(self.maps[*map].len() as i128),
            Kind::Block(block, value) => {
                self.block(block);
                self.value(value)
            }
        }
    }

    /// An operator; without a type, the result's is found from the operands.
    fn binary(&mut self, op: Binary, a: &Expr, b: &Expr, ty: Option<&Ty>) -> Value {
        let values = (self.value(a), self.value(b));
        let (Value::Int(left), Value::Int(right)) = values else {
            return Value::Bool((values.0 == values.1) == (op == Binary::Eq));
        };
        let large = a.is_large() || b.is_large();
        let (a, b) = (int(&a.ty), int(&b.ty));
        if Binary::RELATIONS.contains(&op) {
            let common = a.promoted(b);
            let (left, right) = (common.cut(left), common.cut(right));
            return Value::Bool(match op {
                Binary::Eq => left == right,
                Binary::Ne => left != right,
                Binary::Lt => left < right,
                Binary::Le => left <= right,
                Binary::Gt => left > right,
                _ => left >= right,
            });
        }
        let result = ty.map_or(op.result(a, b), int);
        let operands = if large && matches!(op, Binary::Div | Binary::Mod) { Int::U64 } else { result };
        let (left, right) = (operands.cut(left), operands.cut(right));
        Value::Int(result.cut(match op {
            Binary::Add => left + right,
            Binary::Sub => left - right,
            Binary::Mul => left.wrapping_mul(right),
            // As in bpftrace, a division by zero gives 1.
            Binary::Div => left.checked_div(right).unwrap_or(1),
            Binary::Mod => left.checked_rem(right).unwrap_or(1),
            Binary::BitAnd => left & right,
            Binary::BitOr => left | right,
            Binary::BitXor => left ^ right,
            Binary::Shl => left << (right & 63),
            // Zeros come in, whatever the sign.
            Binary::Shr => Int::U64.cut(left) >> (right & 63),
            _ => unreachable!("the others are dealt with above"),
        }))
    }
}

/// What a function gives.
fn called(function: Function, values: &[Value], ty: &Ty) -> Value {
    let place = |text: &str, wanted: &str| text.find(wanted).map_or(-1, |place| place as i128);
    match (function, values) {
        (Function::Strlen, [Value::Text(text)]) => Value::Int(text.len() as i128),
        (Function::Strstr, [Value::Text(text), Value::Text(wanted)]) => Value::Int(place(text, wanted)),
        (Function::Strcontains, [Value::Text(text), Value::Text(wanted)]) => Value::Bool(place(text, wanted) >= 0),
        (Function::StrConcat, [Value::Text(a), Value::Text(b)]) => Value::Text(format!("{a}{b}")),
        (Function::Bswap, [Value::Int(number)]) => {
            let int = int(ty);
            let swapped = (Int::U64.cut(*number) as u64).swap_bytes() >> (64 - 8 * int.bytes);
            Value::Int(swapped.into())
        }
        _ => unreachable!("{function:?} of {values:?}"),
    }
}

fn int(ty: &Ty) -> Int {
    ty.int().expect("an integer is asked for")
}

/// What a map gives for a key that it does not have.
fn empty(ty: &Ty) -> Value {
    match ty {
        Ty::Int(_) => Value::Int(0),
        Ty::Bool => Value::Bool(false),
        Ty::Str(_) => Value::Text(String::new()),
        Ty::Tuple(parts) => Value::Tuple(parts.iter().map(empty).collect()),
        Ty::Record(parts) => Value::Record(parts.iter().map(empty).collect()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Text(text) => text.clone(),
        Value::Tuple(parts) => format!("({})", list(parts)),
        Value::Record(parts) => {
            let members = MEMBERS.iter().zip(parts).map(|(name, part)| format!(".{name} = {}", shown(part)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn list(parts: &[Value]) -> String {
    parts.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn formatted(conversion: &Conversion, value: &Value) -> String {
    let number = match value {
        Value::Int(number) => *number,
        Value::Bool(truth) => i128::from(*truth),
        Value::Text(_) | Value::Tuple(_) | Value::Record(_) => 0,
    };
    let letter = conversion.letter.trim_start_matches(['l', 'h']);
    let bytes = match conversion.letter.len() - letter.len() {
        0 => 4,
        _ if conversion.letter.starts_with('l') => 8,
        1 => 2,
        _ => 1,
    };
    let unsigned = Int { bytes, signed: false, literal: false }.cut(number);
    let text = match letter {
        "d" => Int { bytes, signed: true, literal: false }.cut(number).to_string(),
        "u" => unsigned.to_string(),
        "x" => format!("{unsigned:x}"),
        "X" => format!("{unsigned:X}"),
        "o" => format!("{unsigned:o}"),
        _ => shown(value),
    };
    match conversion.field {
        "7" => format!("{text:>7}"),
        "-5" => format!("{text:<5}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::make;
    use super::*;

    #[test]
    fn no_choices_make_the_simplest_script() {
        let script = make::script(&[]);
        assert_eq!(script.to_string(), "BEGIN {\n    printf(\" %ld\\n\", 0);\n}\n");
        assert_eq!(interpret(&script), " 0\n\n\n");
    }
}
