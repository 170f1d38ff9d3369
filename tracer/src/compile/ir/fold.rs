//! What is known about an instruction from its operands alone: constants, and identities of arithmetic.
//!
//! One place for the arithmetic of the IR: the builder and the passes fold with it, so it is also the definition that
//! tests compare generated code with.

use super::{BinaryOp, CompareOp, Inst, Value, Width};

/// What an instruction comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// A number.
    Const(i64),
    /// A value that is there already.
    Same(Value),
}

/// `a op b`.
pub fn binary(op: BinaryOp, a: i64, b: i64) -> i64 {
    let (ua, ub) = (a as u64, b as u64);
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::UDiv => ua.checked_div(ub).unwrap_or(0) as i64,
        BinaryOp::UMod => ua.checked_rem(ub).unwrap_or(ua) as i64,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a.wrapping_shl(b as u32),
        BinaryOp::Shr => ua.wrapping_shr(b as u32) as i64,
        BinaryOp::Sar => a.wrapping_shr(b as u32),
    }
}

/// Whether `a op b` holds.
pub fn compare(op: CompareOp, a: i64, b: i64) -> bool {
    let (ua, ub) = (a as u64, b as u64);
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::ULt => ua < ub,
        CompareOp::ULe => ua <= ub,
        CompareOp::UGt => ua > ub,
        CompareOp::UGe => ua >= ub,
        CompareOp::SLt => a < b,
        CompareOp::SLe => a <= b,
        CompareOp::SGt => a > b,
        CompareOp::SGe => a >= b,
    }
}

/// The low `width` of `value`, extended.
pub fn extend(value: i64, width: Width, signed: bool) -> i64 {
    match (width, signed) {
        (Width::B1, true) => i64::from(value as i8),
        (Width::B2, true) => i64::from(value as i16),
        (Width::B4, true) => i64::from(value as i32),
        (Width::B1, false) => i64::from(value as u8),
        (Width::B2, false) => i64::from(value as u16),
        (Width::B4, false) => i64::from(value as u32),
        (Width::B8, _) => value,
    }
}

/// What `inst` comes down to, if it does. `definition` gives the instruction behind an operand.
pub fn fold<'a>(inst: &Inst, definition: impl Fn(Value) -> Option<&'a Inst>) -> Option<Folded> {
    let constant = |value| match definition(value) {
        Some(Inst::Const(number)) => Some(*number),
        _ => None,
    };
    match *inst {
        Inst::Binary { op, a, b } => match (constant(a), constant(b)) {
            (Some(a), Some(b)) => Some(Folded::Const(binary(op, a, b))),
            (_, Some(n)) => right_identity(op, a, n),
            _ if a == b => match op {
                BinaryOp::Sub | BinaryOp::Xor => Some(Folded::Const(0)),
                BinaryOp::And | BinaryOp::Or => Some(Folded::Same(a)),
                _ => None,
            },
            _ => None,
        },
        Inst::Compare { op, a, b } => match (constant(a), constant(b)) {
            (Some(a), Some(b)) => Some(Folded::Const(compare(op, a, b).into())),
            _ if a == b => Some(Folded::Const(compare(op, 0, 0).into())),
            (None, Some(0)) if op == CompareOp::Ne && matches!(definition(a), Some(Inst::Compare { .. })) => {
                Some(Folded::Same(a))
            }
            _ => None,
        },
        Inst::Extend { value, width, signed } => match definition(value) {
            Some(Inst::Const(n)) => Some(Folded::Const(extend(*n, width, signed))),
            Some(Inst::Load { width: loaded, .. }) if !signed && *loaded <= width => Some(Folded::Same(value)),
            Some(Inst::Extend { width: inner, signed: inner_signed, .. })
                if *inner <= width && (*inner_signed == signed || (!inner_signed && *inner < width)) =>
            {
                Some(Folded::Same(value))
            }
            Some(Inst::Compare { .. }) => Some(Folded::Same(value)),
            _ if width == Width::B8 => Some(Folded::Same(value)),
            _ => None,
        },
        _ => None,
    }
}

/// `a op n` where `n` leaves `a` as it is, or nothing of it.
fn right_identity(op: BinaryOp, a: Value, n: i64) -> Option<Folded> {
    match (op, n) {
        (
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Or
            | BinaryOp::Xor
            | BinaryOp::Shl
            | BinaryOp::Shr
            | BinaryOp::Sar
            | BinaryOp::UMod,
            0,
        )
        | (BinaryOp::Mul | BinaryOp::UDiv, 1)
        | (BinaryOp::And, -1) => Some(Folded::Same(a)),
        (BinaryOp::Mul | BinaryOp::And | BinaryOp::UDiv, 0) | (BinaryOp::UMod, 1) => Some(Folded::Const(0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BPF's own definitions: Documentation/bpf/standardization/instruction-set.rst, "Arithmetic instructions".
    #[test]
    fn division_by_zero_gives_zero_and_the_dividend() {
        assert_eq!(binary(BinaryOp::UDiv, 7, 0), 0);
        assert_eq!(binary(BinaryOp::UMod, 7, 0), 7);
        assert_eq!(binary(BinaryOp::UDiv, -1, 2), i64::MAX);
    }

    #[test]
    fn shifts_use_the_low_six_bits() {
        assert_eq!(binary(BinaryOp::Shl, 1, 65), 2);
        assert_eq!(binary(BinaryOp::Shr, -1, 63), 1);
        assert_eq!(binary(BinaryOp::Sar, -8, 1), -4);
    }

    #[test]
    fn extension_keeps_the_low_bytes() {
        assert_eq!(extend(0x1_8000_0001, Width::B4, true), -0x7fff_ffff);
        assert_eq!(extend(0x1_8000_0001, Width::B4, false), 0x8000_0001);
        assert_eq!(extend(255, Width::B1, true), -1);
    }

    #[test]
    fn an_extension_to_what_the_value_is_already_is_dropped() {
        let insts = [
            Inst::Load { pointer: Value(9), offset: 0, width: Width::B4 },
            Inst::Extend { value: Value(0), width: Width::B4, signed: true },
            Inst::Extend { value: Value(0), width: Width::B2, signed: false },
        ];
        let folded = |value, width, signed| {
            fold(&Inst::Extend { value: Value(value), width, signed }, |v| insts.get(v.0 as usize))
        };
        assert_eq!(folded(0, Width::B4, false), Some(Folded::Same(Value(0))));
        assert_eq!(folded(0, Width::B4, true), None);
        assert_eq!(folded(1, Width::B4, true), Some(Folded::Same(Value(1))));
        assert_eq!(folded(1, Width::B4, false), None);
        assert_eq!(folded(2, Width::B4, true), Some(Folded::Same(Value(2))), "a u16 is an i32 already");
        assert_eq!(folded(2, Width::B2, true), None);
    }
}
