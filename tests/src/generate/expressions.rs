//! Choices → expressions, of the type that is asked for.

use super::make::Maker;
use super::tree::{Binary, Entry, Expr, Function, Holds, Kind, Stmt};
use super::types::{Int, Ty};

/// Small numbers, and those at which arithmetic is likely to go wrong.
#[rustfmt::skip]
const NUMBERS: [i128; 22] = [
    0, 1, 2, 3, 5, 7, 10, 31, 63, 64, 100, 127, 128, 255, 1000, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) + 17,
    (1 << 63) - 1, (1 << 64) - 1,
];

/// The most bytes of two texts put together.
const LONGEST: usize = 1024;

const TEXTS: [&str; 8] = ["", "a", "b", "ab", "peer", "a b", "abcdefgh", "a-text_of some length, 40 bytes in all.."];

impl Maker<'_> {
    /// Any integer.
    pub(super) fn int(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return self.int_leaf();
        }
        match self.pick(15) {
            0 => self.int_leaf(),
            1..=5 => self.arithmetic(depth - 1),
            6 => {
                let value = self.in_own_bytes(depth - 1);
                let op = if self.chance(2) { '-' } else { '~' };
                let signed = value.own_int().is_none_or(|own| own.signed);
                Expr { ty: Ty::Int(if signed { Int::I64 } else { Int::U64 }), kind: Kind::Unary(op, Box::new(value)) }
            }
            7 | 8 => {
                let to = self.int_type();
                let value = if self.chance(4) { self.boolean(depth - 1) } else { self.int(depth - 1) };
                value.cast(Ty::Int(to))
            }
            9 => {
                let (then, otherwise) = (self.int(depth - 1), self.int(depth - 1));
                let ty = then.ty.promoted(&otherwise.ty);
                let condition = self.condition(depth - 1);
                Expr::ternary(condition, then, otherwise, ty)
            }
            10 => {
                let (first, otherwise) = (self.int(depth - 1), self.int(depth - 1));
                let ty = first.ty.promoted(&otherwise.ty);
                Expr { ty, kind: Kind::OrElse(Box::new(first), Box::new(otherwise)) }
            }
            11 => self.block_value(depth - 1),
            12 => self.int_called(depth - 1).unwrap_or_else(|| self.int_leaf()),
            _ => self.int_place(depth - 1).unwrap_or_else(|| self.int_leaf()),
        }
    }

    /// A number, a variable, or what the kernel knows.
    fn int_leaf(&mut self) -> Expr {
        let kind = self.pick(4);
        if kind == 1
            && let Some(opaque) = self.opaque_int()
        {
            return opaque;
        }
        if kind > 1
            && let Some(local) = self.local(|ty| matches!(ty, Ty::Int(_)))
        {
            return local;
        }
        let number = self.of(&NUMBERS);
        Expr::number(if number > 0 && number <= 1 << 63 && self.chance(4) { -number } else { number })
    }

    /// A map's entry or a part of a tuple.
    fn int_place(&mut self, depth: u32) -> Option<Expr> {
        if self.chance(3) {
            return self.part(|ty| matches!(ty, Ty::Int(_)));
        }
        self.map_value(depth, |ty| matches!(ty, Ty::Int(_)))
    }

    /// What a function says of a text, of a number, or of a map.
    fn int_called(&mut self, depth: u32) -> Option<Expr> {
        let (ty, kind) = match self.pick(4) {
            0 => (Int::U64, Kind::Call(Function::Strlen, vec![self.text_place()?])),
            1 => (Int::I64, Kind::Call(Function::Strstr, vec![self.text_place()?, self.text(depth)])),
            2 => {
                let value = self.in_own_bytes(depth);
                let int = Int { signed: false, literal: false, ..value.own_int()? };
                (int, Kind::Call(Function::Bswap, vec![value]))
            }
            _ => (Int::I64, Kind::Entries(self.keyed_map()?)),
        };
        Some(Expr { ty: Ty::Int(ty), kind })
    }

    /// A text that is not written out.
    fn text_place(&mut self) -> Option<Expr> {
        let found = self.local(|ty| matches!(ty, Ty::Str(_)));
        found.or_else(|| self.map_value(0, |ty| matches!(ty, Ty::Str(_)))).or_else(|| self.opaque_text())
    }

    fn arithmetic(&mut self, depth: u32) -> Expr {
        let op = self.of(&Binary::ARITHMETIC);
        let mut a = self.int(depth);
        let mut b = self.int(depth);
        match op {
            Binary::Shl | Binary::Shr => b = Expr::number(self.pick(64) as i128),
            // A division by a zero that is written out is refused.
            Binary::Div | Binary::Mod if matches!(b.written_out().kind, Kind::Number(0)) => b = Expr::number(3),
            _ => {}
        }
        if a.is_literal() && b.is_literal() {
            a = a.cast(Ty::Int(self.int_type()));
        }
        let (a_int, b_int) = (a.ty.int().expect("an integer"), b.ty.int().expect("an integer"));
        Expr { ty: Ty::Int(op.result(a_int, b_int)), kind: Kind::Binary(op, Box::new(a), Box::new(b)) }
    }

    /// An integer that is not written out.
    fn not_literal(&mut self, depth: u32) -> Expr {
        let value = self.int(depth);
        if value.is_literal() { value.cast(Ty::Int(self.int_type())) } else { value }
    }

    /// The same, of which is clear how many bytes it has for those who ask.
    fn in_own_bytes(&mut self, depth: u32) -> Expr {
        let value = self.not_literal(depth);
        if value.hides_complement() { value.cast(Ty::Int(self.int_type())) } else { value }
    }

    /// A block with a variable of its own.
    fn block_value(&mut self, depth: u32) -> Expr {
        let ty = Ty::Int(self.int_type());
        let value = self.exact(&ty, depth);
        let local = self.declare(ty, false);
        let result = self.int(depth);
        self.forget(local);
        Expr { ty: result.ty.clone(), kind: Kind::Block(vec![Stmt::Set(local, value)], Box::new(result)) }
    }

    /// True or false.
    pub(super) fn boolean(&mut self, depth: u32) -> Expr {
        let bool = |kind| Expr { ty: Ty::Bool, kind };
        if depth == 0 {
            let truth = self.chance(2);
            return self.local(|ty| *ty == Ty::Bool).unwrap_or(bool(Kind::Truth(truth)));
        }
        match self.pick(10) {
            0..=3 => {
                let op = self.of(&Binary::RELATIONS);
                let (mut a, b) = (self.int(depth - 1), self.int(depth - 1));
                if a.is_literal() && b.is_literal() {
                    a = a.cast(Ty::Int(self.int_type()));
                }
                bool(Kind::Binary(op, Box::new(a), Box::new(b)))
            }
            4 => {
                let op = if self.chance(2) { Binary::And } else { Binary::Or };
                let (a, b) = (self.condition(depth - 1), self.condition(depth - 1));
                bool(Kind::Binary(op, Box::new(a), Box::new(b)))
            }
            5 => {
                let value = self.not_literal(depth - 1);
                bool(Kind::Unary('!', Box::new(value)))
            }
            6 => self.texts_compared(depth - 1),
            7 => self.not_literal(depth - 1).cast(Ty::Bool),
            8 => match self.keyed_map() {
                Some(map) => {
                    let entry = self.entry(map, depth - 1);
                    bool(Kind::HasKey(entry))
                }
                None => self.boolean(0),
            },
            _ => {
                let found = self.map_value(depth - 1, |ty| *ty == Ty::Bool);
                found.or_else(|| self.part(|ty| *ty == Ty::Bool)).unwrap_or_else(|| self.boolean(0))
            }
        }
    }

    fn texts_compared(&mut self, depth: u32) -> Expr {
        let (mut a, b) = (self.text(depth), self.text(depth));
        if a.is_literal() && b.is_literal() {
            // What is found out at once is as good as `true` or `false`.
            let Some(text) = self.local(|ty| matches!(ty, Ty::Str(_))) else { return self.boolean(0) };
            a = text;
        }
        let kind = if self.chance(4) {
            let Some(a) = self.text_place() else { return self.boolean(0) };
            Kind::Call(Function::Strcontains, vec![a, b])
        } else if self.chance(3) {
            let length = 1 + self.pick(8) as u32;
            let compared = Kind::Compare(Box::new(a), Box::new(b), length);
            let compared = Expr { ty: Ty::Int(Int::U64), kind: compared };
            Kind::Binary(Binary::Eq, Box::new(compared), Box::new(Expr::number(0)))
        } else {
            let op = if self.chance(2) { Binary::Eq } else { Binary::Ne };
            Kind::Binary(op, Box::new(a), Box::new(b))
        };
        Expr { ty: Ty::Bool, kind }
    }

    /// What can be tested.
    pub(super) fn condition(&mut self, depth: u32) -> Expr {
        if self.chance(3) { self.int(depth) } else { self.boolean(depth) }
    }

    /// Any text.
    pub(super) fn text(&mut self, depth: u32) -> Expr {
        let found = match self.pick(7) {
            1 | 2 => self.local(|ty| matches!(ty, Ty::Str(_))),
            3 => self.opaque_text(),
            4 if depth > 0 => {
                let (then, otherwise) = (self.text(depth - 1), self.text(depth - 1));
                let ty = then.ty.promoted(&otherwise.ty);
                let condition = self.condition(depth - 1);
                Some(Expr::ternary(condition, then, otherwise, ty))
            }
            6 if depth > 0 => self.text_place().map(|a| {
                let b = self.text(depth - 1);
                let (Ty::Str(a_size), Ty::Str(b_size)) = (&a.ty, &b.ty) else { unreachable!("they are texts") };
                let ty = Ty::Str((a_size + b_size - 1).min(LONGEST));
                Expr { ty, kind: Kind::Call(Function::StrConcat, vec![a, b]) }
            }),
            5 => {
                let found = self.map_value(depth.saturating_sub(1), |ty| matches!(ty, Ty::Str(_)));
                found.or_else(|| self.part(|ty| matches!(ty, Ty::Str(_))))
            }
            _ => None,
        };
        found.unwrap_or_else(|| Expr::text(self.of(&TEXTS)))
    }

    /// A value of exactly this type.
    pub(super) fn exact(&mut self, ty: &Ty, depth: u32) -> Expr {
        match ty {
            Ty::Int(_) => {
                let value = self.int(depth);
                if value.ty == *ty { value } else { value.cast(ty.clone()) }
            }
            Ty::Bool => self.boolean(depth),
            Ty::Str(size) => {
                let value = self.text(depth);
                if value.ty == *ty { value } else { Expr::text("0123456789".repeat(10)[..size - 1].to_owned()) }
            }
            Ty::Tuple(parts) | Ty::Record(parts) => {
                let parts = parts.iter().map(|part| self.exact(part, depth.saturating_sub(1))).collect();
                Expr { ty: ty.clone(), kind: Kind::Tuple(parts) }
            }
        }
    }

    /// A value that a place of this type takes as it is.
    pub(super) fn within(&mut self, ty: &Ty, depth: u32) -> Expr {
        match ty {
            Ty::Int(_) => {
                let value = self.int(depth);
                if value.ty.promoted(ty) == *ty { value } else { value.cast(ty.clone()) }
            }
            Ty::Str(size) => {
                let value = self.text(depth);
                if matches!(value.ty, Ty::Str(own) if own <= *size) { value } else { Expr::text("a") }
            }
            _ => self.exact(ty, depth),
        }
    }

    /// An entry of a map; keys are few, so that they meet.
    pub(super) fn entry(&mut self, map: usize, depth: u32) -> Entry {
        let key = self.script.maps[map].key.clone().map(|ty| Box::new(self.key(&ty, depth)));
        Entry { map, key }
    }

    fn key(&mut self, ty: &Ty, depth: u32) -> Expr {
        match ty {
            Ty::Int(int) if self.chance(2) => {
                let (value, few) = (Box::new(self.int(depth).cast(ty.clone())), Box::new(Expr::number(3)));
                let result = Ty::Int(Binary::BitAnd.result(*int, Int::of_literal(3)));
                Expr { ty: result, kind: Kind::Binary(Binary::BitAnd, value, few) }.cast(ty.clone())
            }
            Ty::Int(_) => Expr::number(self.pick(4) as i128),
            Ty::Tuple(parts) => {
                let parts = parts.iter().map(|part| self.key(part, depth)).collect();
                // The type of the whole is the map's: its parts are taken into it one by one.
                Expr { ty: ty.clone(), kind: Kind::Tuple(parts) }
            }
            _ => self.within(ty, depth),
        }
    }

    /// The value of a map that holds such: a plain one, or the number that an aggregation has come to, which is written with a
    /// cast, for it is not assigned to a map without one.
    fn map_value(&mut self, depth: u32, such: impl Fn(&Ty) -> bool) -> Option<Expr> {
        let map = self.a_map(|map| map.value.number_or_plain().is_some_and(|ty| such(&ty)))?;
        let holds = self.script.maps[map].value.clone();
        let (ty, entry) = (holds.number_or_plain()?, self.entry(map, depth));
        let value = Expr { ty: ty.clone(), kind: Kind::Entry(entry) };
        Some(if let Holds::Plain(_) = holds { value } else { value.cast(ty) })
    }

    /// A part of a tuple in a variable.
    fn part(&mut self, such: impl Fn(&Ty) -> bool + Copy) -> Option<Expr> {
        let tuple = self.local(|ty| ty.parts().is_some_and(|parts| parts.iter().any(such)))?;
        let parts = tuple.ty.parts()?.to_vec();
        let fitting = (0..parts.len()).filter(|&index| such(&parts[index])).collect::<Vec<_>>();
        let index = self.one_of(&fitting)?;
        Some(Expr { ty: parts[index].clone(), kind: Kind::Part(Box::new(tuple), index) })
    }
}
