//! Choices → a script. Every list of choices makes a well-typed script, and fewer or smaller choices make a simpler one:
//! what shrinks the list shrinks the script.

use std::sync::LazyLock;

use super::tree::{Aggregation, Binary, Clause, Conversion, Entry, Expr, Holds, Kind, Map, Probe, Script, Stmt};
use super::types::{Int, Ty};
use crate::needs::Need;

/// A probe whose programs are loaded, and what they can ask for: integers, and texts.
type Event = (&'static str, &'static [(&'static str, Int)], &'static [&'static str]);

/// Any machine has these.
const EVENTS: &[Event] = &[
    (
        "tracepoint:syscalls:sys_enter_openat",
        &[("((int64)args.dfd)", Int::I64), ("((uint64)args.flags)", Int::U64)],
        &["str(args.filename)"],
    ),
    ("tracepoint:syscalls:sys_exit_read", &[("((int64)args.ret)", Int::I64)], &[]),
    ("tracepoint:raw_syscalls:sys_enter", &[("((int64)args.id)", Int::I64)], &[]),
    ("uprobe:peer:peer_call", &[("((uint64)arg0)", Int::U64), ("((uint64)arg2)", Int::U64)], &["str(arg1)"]),
    ("uretprobe:peer:peer_call", &[("((uint64)retval)", Int::U64)], &[]),
    ("interval:s:100", &[], &[]),
    ("profile:hz:1", &[], &[]),
    ("rawtracepoint:sys_enter", &[("((int64)args.id)", Int::I64)], &[]),
    ("tracepoint:sched:sched_process_exit", &[("((int64)args.pid)", Int::I64)], &[]),
];

/// Those with kprobes have these too.
const KPROBES: &[Event] = &[
    ("kprobe:vfs_read", &[("((uint64)arg0)", Int::U64), ("((uint64)arg2)", Int::U64)], &["str(arg1)"]),
    ("kretprobe:vfs_read", &[("((int64)retval)", Int::I64)], &[]),
];

/// The events of this machine.
fn events() -> &'static [Event] {
    static ALL: LazyLock<Vec<Event>> = LazyLock::new(|| {
        let more = if Need::Kprobes.unmet().is_none() { KPROBES } else { &[] };
        [EVENTS, more].concat()
    });
    &ALL
}

/// What all probes can ask for.
const ANYWHERE: [(&str, Int); 9] = [
    ("pid", Int::U32),
    ("tid", Int::U32),
    ("uid", Int::U64),
    ("gid", Int::U64),
    ("nsecs", Int::U64),
    ("elapsed", Int::U64),
    ("cpu", Int::U64),
    ("rand", Int::U64),
    ("cgroup", Int::U64),
];

/// Makes a script.
pub fn script(choices: &[u32]) -> Script {
    scripts(&[choices])
}

/// Makes a script of several, which have nothing in common: none uses maps and variables of another.
pub fn scripts<C: AsRef<[u32]>>(choices: &[C]) -> Script {
    let mut maker = Maker {
        choices: [].iter(),
        script: Script::default(),
        own: 0,
        visible: Vec::new(),
        event: None,
        loops: 0,
        typed: false,
    };
    for choices in choices {
        maker.choices = choices.as_ref().iter();
        maker.add();
    }
    maker.script
}

/// Makes a script from choices.
pub(super) struct Maker<'a> {
    choices: std::slice::Iter<'a, u32>,
    pub(super) script: Script,
    /// The first of the maps that belong to the script that is being made.
    own: usize,
    /// Variables that can be used here, and whether they may be assigned to.
    visible: Vec<(usize, bool)>,
    /// Index into [`events`], if the clause never runs.
    event: Option<usize>,
    /// How many loops are around that can be left.
    loops: u32,
    /// Whether all maps have their types, so that they can be read.
    typed: bool,
}

impl Maker<'_> {
    /// Adds a script.
    fn add(&mut self) {
        (self.own, self.typed) = (self.script.maps.len(), false);
        for _ in 0..self.pick(6) {
            let map = self.map();
            self.script.maps.push(map);
        }
        let first = self.first();
        self.typed = true;
        self.clause(Probe::Begin, first);
        for _ in 0..self.pick(3) {
            self.clause(Probe::Begin, Vec::new());
        }
        for _ in 0..self.pick(4) {
            let at = self.pick(events().len());
            self.event = Some(at);
            self.clause(Probe::Event(events()[at].0), Vec::new());
        }
        self.event = None;
        if self.chance(3) {
            self.clause(Probe::End, Vec::new());
        }
    }

    /// A number below `end`; 0 when the choices have run out.
    pub(super) fn pick(&mut self, end: usize) -> usize {
        self.choices.next().map_or(0, |&choice| choice as usize % end)
    }

    /// True once in so many times; never when the choices have run out.
    pub(super) fn chance(&mut self, of: usize) -> bool {
        self.pick(of) == of - 1
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }

    pub(super) fn one_of(&mut self, all: &[usize]) -> Option<usize> {
        if all.is_empty() { None } else { Some(self.of(all)) }
    }

    pub(super) fn int_type(&mut self) -> Int {
        let (bytes, signed) = (self.of(&[8, 4, 1, 2]), !self.chance(2));
        Int { bytes, signed, literal: false }
    }

    fn ty(&mut self, depth: u32) -> Ty {
        match self.pick(if depth > 0 { 9 } else { 6 }) {
            0..=2 => Ty::Int(self.int_type()),
            3 => Ty::Bool,
            4 | 5 => Ty::Str(self.of(&[8, 16, 5, 41])),
            6 | 7 => Ty::Tuple(self.types(depth - 1)),
            _ => Ty::Record(self.types(depth - 1)),
        }
    }

    /// The types of what has parts.
    fn types(&mut self, depth: u32) -> Vec<Ty> {
        (0..2 + self.pick(2)).map(|_| self.ty(depth)).collect()
    }

    fn map(&mut self) -> Map {
        let key = (self.pick(4) > 0).then(|| match self.ty(1) {
            // Where keys are printed the parts of a tuple stand in one bracket with them.
            Ty::Record(parts) => Ty::Tuple(parts),
            ty => ty,
        });
        let signed = !self.chance(3);
        let value = match self.pick(16) {
            0..=3 => Holds::Plain(Ty::Int(self.of(&[Int::I64, Int::U64]))),
            4..=6 => Holds::Plain(self.ty(1)),
            7 | 8 => Holds::Aggregation(Aggregation::Count),
            9 => Holds::Aggregation(Aggregation::Sum { signed }),
            10 => Holds::Aggregation(Aggregation::Min { signed }),
            11 => Holds::Aggregation(Aggregation::Max { signed }),
            12 => Holds::Aggregation(Aggregation::Avg { signed }),
            13 => Holds::Aggregation(Aggregation::Stats { signed }),
            14 => Holds::Aggregation(Aggregation::Hist),
            _ => Holds::Aggregation(Aggregation::Linear { min: -10, max: 100, step: 5 + self.pick(20) as i64 }),
        };
        Map { key, value }
    }

    /// Gives every map its types: one use of each with a key and a value of exactly those.
    fn first(&mut self) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        for map in self.own..self.script.maps.len() {
            let key = self.script.maps[map].key.clone().map(|ty| Box::new(self.exact(&ty, 0)));
            let entry = Entry { map, key };
            stmts.push(match self.script.maps[map].value.clone() {
                Holds::Plain(ty) => Stmt::SetEntry(entry, self.exact(&ty, 0)),
                Holds::Aggregation(aggregation) => {
                    let argument = self.argument(aggregation, 0);
                    Stmt::Aggregate(entry, argument)
                }
            });
        }
        stmts
    }

    fn clause(&mut self, probe: Probe, mut body: Vec<Stmt>) {
        self.visible.clear();
        let predicate = (body.is_empty() && self.chance(3)).then(|| self.condition(2));
        let length = 1 + self.pick(12);
        body.extend(self.stmts(length, 2));
        self.script.clauses.push(Clause { probe, predicate, body });
    }

    fn stmts(&mut self, length: usize, depth: u32) -> Vec<Stmt> {
        let outer = self.visible.len();
        let stmts = (0..length).map(|_| self.stmt(depth)).collect();
        self.visible.truncate(outer);
        stmts
    }

    fn stmt(&mut self, depth: u32) -> Stmt {
        match self.pick(26) {
            2..=6 => {
                let ty = self.ty(1);
                let value = self.exact(&ty, 3);
                Stmt::Set(self.declare(ty, true), value)
            }
            7 => match self.assignable(|_| true) {
                Some((local, ty)) => Stmt::Set(local, self.within(&ty, 3)),
                None => self.printf(),
            },
            8 => match self.assignable(|ty| *ty == Ty::Int(Int::I64)) {
                Some((local, _)) => Stmt::Change(local, self.of(&Binary::ARITHMETIC[..4]), self.int(2)),
                None => self.printf(),
            },
            9..=13 => self.update(),
            14 => self.count().unwrap_or_else(|| self.printf()),
            15 => match self.printed() {
                // Without a key, this is a whole map.
                Expr { kind: Kind::Entry(Entry { map, key: None }), .. } => Stmt::PrintMap(map),
                value => Stmt::Print(value),
            },
            16 => self.whole_map(),
            17 => match self.keyed_map() {
                Some(map) => Stmt::Delete(self.entry(map, 1)),
                None => self.printf(),
            },
            18..=23 if depth > 0 => self.nested(depth - 1),
            24 if self.loops > 0 => {
                if self.chance(2) {
                    Stmt::Break
                } else {
                    Stmt::Continue
                }
            }
            25 if self.chance(4) => Stmt::Return,
            _ => self.printf(),
        }
    }

    /// A statement with others inside.
    fn nested(&mut self, depth: u32) -> Stmt {
        match self.pick(6) {
            1 => {
                let counter = self.declare(Ty::Int(Int::I64), false);
                let turns = 1 + self.pick(5) as u32;
                Stmt::While(counter, turns, self.turn(counter, depth))
            }
            2 => {
                let (from, to) = (self.bound(), self.bound());
                let local = self.declare(from.ty.promoted(&to.ty), false);
                Stmt::Range(local, from, to, self.turn(local, depth))
            }
            3 => self.for_each().unwrap_or_else(|| self.printf()),
            4 => {
                let times = 1 + self.pick(3) as u32;
                let length = 1 + self.pick(3);
                // It is no loop that could be left.
                let loops = std::mem::take(&mut self.loops);
                let body = self.stmts(length, depth);
                self.loops = loops;
                Stmt::Unroll(times, body)
            }
            _ => {
                let condition = self.condition(3);
                let (then, otherwise) = (1 + self.pick(4), self.pick(3));
                Stmt::If(condition, self.stmts(then, depth), self.stmts(otherwise, depth))
            }
        }
    }

    /// The body of a loop with a variable of its own.
    fn turn(&mut self, local: usize, depth: u32) -> Vec<Stmt> {
        self.loops += 1;
        let length = 1 + self.pick(4);
        let body = self.stmts(length, depth);
        self.loops -= 1;
        self.forget(local);
        body
    }

    /// A small number, mostly one that is known to be.
    fn bound(&mut self) -> Expr {
        if self.chance(3) {
            let value = Box::new(self.int(1).cast(Ty::Int(Int::I64)));
            let kind = Kind::Binary(Binary::BitAnd, value, Box::new(Expr::number(7)));
            return Expr { ty: Ty::Int(Int::I64), kind };
        }
        Expr::number(self.pick(6) as i128)
    }

    /// Turns over the entries of a map, which come in any order: what they do is summed up.
    fn for_each(&mut self) -> Option<Stmt> {
        let map = self.keyed_map_of_values()?;
        let Map { key: Some(key), value } = self.script.maps[map].clone() else { return None };
        let value = value.number_or_plain()?;
        let total = self.assignable(|ty| *ty == Ty::Int(Int::I64))?.0;
        let pair_type = Ty::Tuple(vec![key.clone(), value.clone()]);
        let local = self.declare(pair_type.clone(), false);
        self.forget(local);
        let pair = Expr::local(local, pair_type);
        let part = |index, ty: &Ty| Expr { ty: ty.clone(), kind: Kind::Part(Box::new(pair.clone()), index) };
        let number = match (&key, &value) {
            (_, Ty::Int(_)) => part(1, &value),
            (Ty::Int(_), _) => part(0, &key),
            _ => Expr::number(1),
        };
        let mut body = vec![Stmt::Change(total, Binary::Add, number.cast(Ty::Int(Int::I64)))];
        if let (Ty::Str(_), true) = (&key, self.chance(2)) {
            let text = self.text(0);
            let equal = Kind::Binary(Binary::Eq, Box::new(part(0, &key)), Box::new(text));
            body = vec![Stmt::If(Expr { ty: Ty::Bool, kind: equal }, body, Vec::new())];
        }
        Some(Stmt::ForEach(local, map, body))
    }

    /// A map is written to.
    fn update(&mut self) -> Stmt {
        let Some(map) = self.a_map(|_| true) else { return self.printf() };
        let entry = self.entry(map, 1);
        match self.script.maps[map].value.clone() {
            Holds::Plain(ty) if ty == Ty::Int(Int::I64) && self.chance(3) => {
                Stmt::ChangeEntry(entry, self.of(&Binary::ARITHMETIC[..4]), self.int(2))
            }
            Holds::Plain(ty) => Stmt::SetEntry(entry, self.within(&ty, 3)),
            Holds::Aggregation(aggregation) => {
                let argument = self.argument(aggregation, 2);
                Stmt::Aggregate(entry, argument)
            }
        }
    }

    fn argument(&mut self, aggregation: Aggregation, depth: u32) -> Option<Expr> {
        let signed = match aggregation {
            Aggregation::Count => return None,
            Aggregation::Sum { signed }
            | Aggregation::Min { signed }
            | Aggregation::Max { signed }
            | Aggregation::Avg { signed }
            | Aggregation::Stats { signed } => signed,
            Aggregation::Hist | Aggregation::Linear { .. } => true,
        };
        Some(self.exact(&Ty::Int(if signed { Int::I64 } else { Int::U64 }), depth))
    }

    /// Something with a whole map.
    fn whole_map(&mut self) -> Stmt {
        let Some(map) = self.a_map(|_| true) else { return self.printf() };
        let summed = matches!(
            self.script.maps[map].value,
            Holds::Aggregation(Aggregation::Count | Aggregation::Sum { .. }) | Holds::Plain(Ty::Int(_))
        );
        match self.pick(4) {
            2 => Stmt::Clear(map),
            3 if summed => Stmt::Zero(map),
            _ => Stmt::PrintMap(map),
        }
    }

    /// `++` or `--`.
    fn count(&mut self) -> Option<Stmt> {
        let before = self.chance(2);
        let counts = |ty: &Ty| matches!(*ty, Ty::Int(Int::I64 | Int::U64));
        if self.chance(2)
            && let Some((local, ty)) = self.assignable(counts)
        {
            let up = ty == Ty::Int(Int::U64) || self.chance(2);
            return Some(Stmt::Count(Expr { ty, kind: Kind::CountLocal(local, up, before) }));
        }
        let map = self.a_map(|map| matches!(&map.value, Holds::Plain(ty) if counts(ty)))?;
        let Holds::Plain(ty) = self.script.maps[map].value.clone() else { return None };
        let up = ty == Ty::Int(Int::U64) || self.chance(2);
        let entry = self.entry(map, 1);
        Some(Stmt::Count(Expr { ty, kind: Kind::CountEntry(entry, up, before) }))
    }

    fn printed(&mut self) -> Expr {
        match self.ty(1) {
            Ty::Int(_) => self.int(3),
            Ty::Bool => self.boolean(2),
            Ty::Str(_) => self.text(2),
            whole @ (Ty::Tuple(_) | Ty::Record(_)) => self.exact(&whole, 2),
        }
    }

    fn printf(&mut self) -> Stmt {
        let length = 1 + self.pick(4);
        let pieces = (0..length).map(|_| {
            let value = self.printed();
            let letters: &[&'static str] = match &value.ty {
                Ty::Int(_) => &["ld", "lu", "lx", "d", "u", "x", "hhd", "hu", "lX", "lo", "s"],
                Ty::Bool => &["d", "s"],
                Ty::Str(_) | Ty::Tuple(_) | Ty::Record(_) => &["s"],
            };
            let conversion = Conversion { letter: self.of(letters), field: self.of(&["", "", "7", "-5"]) };
            (self.of(&[" ", "|", "a=", ", "]).to_owned(), conversion, value)
        });
        Stmt::Printf(pieces.collect())
    }

    /// A new variable; whether it may be assigned to again.
    pub(super) fn declare(&mut self, ty: Ty, assignable: bool) -> usize {
        let local = self.script.locals.len();
        self.script.locals.push(ty);
        self.visible.push((local, assignable));
        local
    }

    /// Takes a variable out of sight.
    pub(super) fn forget(&mut self, local: usize) {
        self.visible.retain(|&(visible, _)| visible != local);
    }

    /// A variable of such a type.
    pub(super) fn local(&mut self, such: impl Fn(&Ty) -> bool) -> Option<Expr> {
        let is_such = |&&(local, _): &&(usize, bool)| such(&self.script.locals[local]);
        let fitting = self.visible.iter().filter(is_such).map(|&(local, _)| local).collect::<Vec<_>>();
        let local = self.one_of(&fitting)?;
        Some(Expr::local(local, self.script.locals[local].clone()))
    }

    fn assignable(&mut self, such: impl Fn(&Ty) -> bool) -> Option<(usize, Ty)> {
        let is_such = |&&(local, assignable): &&(usize, bool)| assignable && such(&self.script.locals[local]);
        let fitting = self.visible.iter().filter(is_such).map(|&(local, _)| local).collect::<Vec<_>>();
        let local = self.one_of(&fitting)?;
        Some((local, self.script.locals[local].clone()))
    }

    /// A map that is such.
    pub(super) fn a_map(&mut self, such: impl Fn(&Map) -> bool) -> Option<usize> {
        let maps = self.script.maps.as_slice();
        let own = if self.typed { self.own..maps.len() } else { 0..0 };
        let fitting = own.filter(|&map| such(&maps[map])).collect::<Vec<_>>();
        self.one_of(&fitting)
    }

    /// A map with keys.
    pub(super) fn keyed_map(&mut self) -> Option<usize> {
        self.a_map(|map| map.key.is_some())
    }

    /// One whose entries are numbers or plain values.
    pub(super) fn keyed_map_of_values(&mut self) -> Option<usize> {
        self.a_map(|map| map.key.is_some() && map.value.number_or_plain().is_some())
    }

    /// What only the kernel knows, where it makes no difference to what is printed.
    pub(super) fn opaque_int(&mut self) -> Option<Expr> {
        let (_, own, _) = events()[self.event?];
        let (text, int) = if self.chance(2) || own.is_empty() { self.of(&ANYWHERE) } else { self.of(own) };
        Some(Expr { ty: Ty::Int(int), kind: Kind::Opaque(text) })
    }

    pub(super) fn opaque_text(&mut self) -> Option<Expr> {
        let (_, _, own) = events()[self.event?];
        let opaque = |text, size| Expr { ty: Ty::Str(size), kind: Kind::Opaque(text) };
        match own.is_empty() || self.chance(2) {
            true => Some(opaque("comm", 16)),
            // As long as no setting makes it.
            false => Some(opaque(self.of(own), 1 << 20)),
        }
    }
}
