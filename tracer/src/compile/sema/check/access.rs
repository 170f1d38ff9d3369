//! Access to parts: members of structures, records and tuples, elements, memory behind pointers, and what is known of
//! types without looking at a value (`sizeof`, `offsetof`).
//!
//! Nothing is read before it is needed: a structure behind a pointer is an address until a member or the whole of it
//! is asked for.

use super::expr::TYPE_NAMES;
use super::operand::{binary, constant, convert, decay, integer, literal_record, string};
use super::{Checker, Operand};
use crate::compile::diagnostics::{Diagnostic, did_you_mean};
use crate::compile::sema::policy::Data;
use crate::compile::sema::typed::{self, ExprKind};
use crate::compile::sema::types::{Field, Ty};
use crate::compile::sema::{builtins, proposing};
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::Bits;

impl Checker<'_> {
    /// `base.name`, `base->name`.
    pub(super) fn field(&mut self, base: &ast::Expr, name: &ast::Name, span: Span) -> Operand {
        let base = self.expr(base);
        if let Some(given) = self.given_to_iterator(&base, name, span) {
            return given;
        }
        self.field_of(base, name, span)
    }

    /// A member of what has been checked already.
    pub(super) fn field_of(&mut self, base: Operand, name: &ast::Name, span: Span) -> Operand {
        match &base.ty {
            Ty::Args => self.argument(name, span),
            Ty::Tuple(parts) => {
                let element = name.text.parse::<usize>().ok();
                let Some((index, ty)) = element.and_then(|index| parts.get(index).map(|ty| (index, ty.clone()))) else {
                    let error = Diagnostic::error(name.span, format!("`{}` has no element `{}`", base.ty, name.text));
                    return self.refuse_with(error.label(format!("it has {} elements, from 0 on", parts.len())));
                };
                Operand::new(ty, ExprKind::Element(Box::new(base.expr), index as u32), span)
            }
            Ty::Unknown => Operand::unknown(span),
            Ty::Record(record) => match record.fields.iter().position(|field| field.name == name.text) {
                Some(index) => {
                    let field = record.fields[index].clone();
                    if let (true, ExprKind::Tuple(parts)) = (base.literal, &base.expr.kind) {
                        return Operand { ty: field.ty, expr: parts[index].clone(), literal: true };
                    }
                    self.member_of(base, index as u32, field, span)
                }
                None => self.no_member(&base.ty.clone(), name),
            },
            Ty::Pointer { to, user } => match self.types.member(to, &name.text) {
                Some(field) => {
                    let user = *user;
                    self.member_at(base.expr, user, field, span)
                }
                None => self.no_member(&to.clone(), name),
            },
            Ty::Int { .. } if base.literal && name.text.bytes().all(|letter| letter.is_ascii_digit()) => {
                let error = Diagnostic::error(span, "there are no floating-point numbers");
                self.refuse_with(error.help("programs in the kernel compute with integers only"))
            }
            other => {
                let error = Diagnostic::error(name.span, format!("`{other}` has no fields"));
                self.refuse_with(error)
            }
        }
    }

    fn no_member(&mut self, of: &Ty, name: &ast::Name) -> Operand {
        let error = match self.types.members(of) {
            Some(members) => {
                let error = Diagnostic::error(name.span, format!("`{of}` has no member `{}`", name.text));
                proposing(error, &name.text, members.iter().map(String::as_str))
            }
            None if matches!(of, Ty::Named(_) | Ty::Btf(..)) => {
                let error = Diagnostic::error(name.span, format!("the type `{of}` is not known"));
                let error = error.label("its members are asked for");
                match self.target.types {
                    Some(_) => error.help("the kernel has no such type: define it in the script"),
                    None => error.help("this kernel does not show its types: define it in the script"),
                }
            }
            None => Diagnostic::error(name.span, format!("`{of}` has no fields")),
        };
        self.refuse_with(error)
    }

    /// A member of a structure that is a value.
    fn member_of(&mut self, base: Operand, index: u32, field: Field, span: Span) -> Operand {
        match base.expr.kind {
            ExprKind::Read { address, user } => self.member_at(*address, user, field, span),
            _ => match field.bits {
                None => Operand::new(field.ty, ExprKind::Element(Box::new(base.expr), index), span),
                Some(bits) => {
                    let unit = integer_of(&field.ty);
                    let whole = Operand::new(unit, ExprKind::Element(Box::new(base.expr), index), span);
                    only(whole, bits, field.ty)
                }
            },
        }
    }

    /// A member of a structure at an address.
    fn member_at(&mut self, address: typed::Expr, user: bool, field: Field, span: Span) -> Operand {
        let address = moved(address, field.offset);
        match field.bits {
            None => self.read_at(address, user, &field.ty, span),
            Some(bits) => {
                let whole = self.read_at(address, user, &integer_of(&field.ty), span);
                only(whole, bits, field.ty)
            }
        }
    }

    /// A value in memory. What pointers there point to is where they are.
    fn read_at(&mut self, address: typed::Expr, user: bool, ty: &Ty, span: Span) -> Operand {
        let data = if user { Data::UserMemory } else { Data::KernelMemory };
        self.allow(data, "reading memory", span);
        let Some(ty) = self.types.resolve(ty) else {
            return self.refuse(span, format!("the type `{ty}` is not known"));
        };
        let address = Box::new(address);
        match ty {
            Ty::Str(_) => Operand::new(ty, ExprKind::ReadStr { address, user, length: None }, span),
            Ty::Pointer { to, .. } => Operand::new(Ty::Pointer { to, user }, ExprKind::Read { address, user }, span),
            ty if ty.shape().is_some() => Operand::new(ty, ExprKind::Read { address, user }, span),
            other => self.refuse(span, format!("a value of type `{other}` cannot be read")),
        }
    }

    /// `base[index]`.
    pub(super) fn index(&mut self, base: &ast::Expr, index: &ast::Expr, span: Span) -> Operand {
        let base = self.expr(base);
        let index = decay(self.expr(index));
        if base.ty.is_unknown() || index.ty.is_unknown() {
            return Operand::unknown(span);
        }
        if !index.ty.is_int() {
            return self.refuse(index.span(), format!("an index cannot be of type `{}`", index.ty));
        }
        let known = match &index.expr.kind {
            ExprKind::Int(value) if index.literal => Some(*value),
            _ => None,
        };
        match (base.ty.clone(), known) {
            (Ty::Array(of, length), known) => {
                let beyond = known.is_some_and(|at| at < 0 || at >= i64::from(length));
                if beyond && (length > 0 || !matches!(base.expr.kind, ExprKind::Read { .. })) {
                    let error = Diagnostic::error(index.span(), "there is no such element");
                    return self.refuse_with(error.label(format!("an array of {length}, from 0 on")));
                }
                match (base.expr.kind, known) {
                    (ExprKind::Read { address, user }, _) => {
                        let base = Operand { ty: Ty::Pointer { to: of, user }, expr: *address, literal: false };
                        self.element_in_memory(base, index, span)
                    }
                    (ExprKind::Tuple(mut parts), Some(at)) => {
                        Operand { ty: *of, expr: parts.swap_remove(at as usize), literal: false }
                    }
                    (kind, Some(at)) => {
                        let base = typed::Expr { kind, ..base.expr };
                        Operand::new(*of, ExprKind::Element(Box::new(base), at as u32), span)
                    }
                    (kind, None) => {
                        let base = typed::Expr { kind, ..base.expr };
                        self.element_at(*of, base, index, span)
                    }
                }
            }
            (Ty::Tuple(parts), Some(at)) => match usize::try_from(at).ok().and_then(|at| parts.get(at)) {
                Some(ty) => Operand::new(ty.clone(), ExprKind::Element(Box::new(base.expr), at as u32), span),
                None => self.refuse(index.span(), format!("`{}` has no element {at}", base.ty)),
            },
            (Ty::Pointer { .. }, _) => self.element_in_memory(base, index, span),
            (Ty::Str(_), _) => self.element_at(Ty::I8, base.expr, index, span),
            (other, _) => self.refuse(span, format!("`{other}` has no elements")),
        }
    }

    /// An element of an array or text that is a value; 0 if there is no such element.
    fn element_at(&mut self, of: Ty, base: typed::Expr, index: Operand, span: Span) -> Operand {
        if !of.is_number() && !matches!(of, Ty::Pointer { .. } | Ty::Enum { .. }) {
            return self.not_yet(span, "indices that are not known when the script is compiled, of such an array,");
        }
        let index = Box::new(convert(index, &Ty::U64));
        Operand::new(of, ExprKind::Index { base: Box::new(base), index }, span)
    }

    /// `pointer[index]`: reads memory.
    fn element_in_memory(&mut self, base: Operand, index: Operand, span: Span) -> Operand {
        let address = self.operator(ast::BinaryOp::Add, span, base, index, span);
        self.read(address, span)
    }

    /// `*pointer`.
    pub(super) fn read(&mut self, pointer: Operand, span: Span) -> Operand {
        let (to, user) = match &pointer.ty {
            Ty::Pointer { to, user } => ((**to).clone(), *user),
            Ty::Int { .. } => (Ty::U64, self.event().in_user_memory()),
            Ty::Args => return pointer, // `*args`, as older scripts write it
            Ty::Unknown => return Operand::unknown(span),
            other => {
                let message = format!("cannot dereference type `{other}`, it is not a pointer");
                return self.refuse(span, message);
            }
        };
        self.read_at(pointer.expr, user, &to, span)
    }

    /// Bytes of what a pointer points to; 1 where that is not known.
    pub(super) fn stride(&mut self, to: &Ty) -> i64 {
        self.types.resolve(to).and_then(|ty| ty.size()).map_or(1, i64::from)
    }

    /// `sizeof(…)`, `offsetof(…)`.
    pub(super) fn type_query(&mut self, query: &ast::TypeQuery, of: &ast::TypeOrExpr, span: Span) -> Operand {
        let ty = match of {
            ast::TypeOrExpr::Type(name) => self.type_name(name),
            ast::TypeOrExpr::Expr(expr) => match &expr.kind {
                ast::ExprKind::Identifier(name) if let Some(ty) = self.types.resolve(&Ty::Named(name.clone())) => {
                    Some(ty)
                }
                ast::ExprKind::Type(name) => self.type_name(name),
                ast::ExprKind::Identifier(name)
                    if did_you_mean(name, TYPE_NAMES).is_some()
                        && !is_value(name)
                        && self.types.enumerator(name).is_none() =>
                {
                    let error = Diagnostic::error(expr.span, format!("the type `{name}` is not known"));
                    self.report(proposing(error, name, TYPE_NAMES));
                    None
                }
                _ => Some(self.expr(expr).ty),
            },
        };
        let Some(mut ty) = ty else { return Operand::unknown(span) };
        if ty.is_unknown() {
            return Operand::unknown(span);
        }
        let bytes = match query {
            // As bpftrace has it: how many bytes there are, then they.
            ast::TypeQuery::SizeOf if let Ty::Buffer(bytes) = ty => Some(4 + bytes),
            ast::TypeQuery::SizeOf => ty.size(),
            ast::TypeQuery::OffsetOf(path) => {
                let mut offset = 0;
                for name in path {
                    let Some(field) = self.types.member(&ty, &name.text) else { return self.no_member(&ty, name) };
                    offset += field.offset + field.bits.map_or(0, |bits| u32::from(bits.shift) / 8);
                    ty = field.ty;
                }
                Some(offset)
            }
            ast::TypeQuery::TypeInfo => return type_info(&ty, span),
        };
        match bytes {
            Some(bytes) => integer(bytes.into(), span),
            None => self.refuse(span, format!("`{ty}` has no size")),
        }
    }
}

/// Whether a word is one of the language's values.
fn is_value(name: &str) -> bool {
    builtins::word(name).is_some() || name == "args"
}

/// What is told of a type: its kind and its name. Numbers of the kernel's types are 0, as they are in bpftrace for most of them.
fn type_info(ty: &Ty, span: Span) -> Operand {
    let kind = match ty {
        Ty::Int { .. } | Ty::Enum { .. } => "int".to_owned(),
        Ty::Bool => "bool".to_owned(),
        Ty::Str(_) => "string".to_owned(),
        Ty::Pointer { .. } => "pointer".to_owned(),
        Ty::Array(..) => "array".to_owned(),
        Ty::Tuple(_) => "tuple".to_owned(),
        Ty::Buffer(_) => "buffer".to_owned(),
        Ty::Record(record) if record.is_literal() => "record".to_owned(),
        Ty::Record(_) => "c_type".to_owned(),
        other => other.to_string(),
    };
    let number = Operand { literal: true, ..Operand::new(Ty::U32, ExprKind::Int(0), span) };
    let parts = [("btf_id", number), ("base_type", string(&kind, span)), ("full_type", string(&ty.to_string(), span))];
    literal_record(parts, span)
}

/// The unsigned integer that a bit-field of this type lies in.
fn integer_of(ty: &Ty) -> Ty {
    Ty::int(ty.size().filter(|size| *size <= 8).unwrap_or(8) as u8, false)
}

/// A bit-field out of the integer that it lies in.
fn only(whole: Operand, bits: Bits, ty: Ty) -> Operand {
    let span = whole.span();
    if whole.ty.is_unknown() {
        return whole;
    }
    let number = |value: i64| constant(&Ty::U64, value, span);
    let op = |op, a, b| binary(op, a, b, &Ty::U64, span);
    let mask = u64::MAX >> (64 - u32::from(bits.width));
    let shifted = op(typed::BinaryOp::Shr, convert(whole, &Ty::U64), number(bits.shift.into()));
    let mut expr = op(typed::BinaryOp::BitAnd, shifted, number(mask as i64));
    if ty.decayed().is_signed() {
        let sign = 1i64 << (bits.width - 1);
        expr = op(typed::BinaryOp::Sub, op(typed::BinaryOp::BitXor, expr, number(sign)), number(sign));
    }
    Operand { expr: convert(Operand { ty: Ty::U64, expr, literal: false }, &ty), ty, literal: false }
}

/// The address so many bytes on.
fn moved(address: typed::Expr, bytes: u32) -> typed::Expr {
    if bytes == 0 {
        return address;
    }
    let (ty, span) = (address.ty.clone(), address.span);
    let number = |bytes: i64| Box::new(typed::Expr { kind: ExprKind::Int(bytes), ty: ty.clone(), span });
    let kind = match address.kind {
        ExprKind::Binary(typed::BinaryOp::Add, base, offset) if let ExprKind::Int(before) = offset.kind => {
            ExprKind::Binary(typed::BinaryOp::Add, base, number(before.wrapping_add(bytes.into())))
        }
        kind => {
            let base = typed::Expr { kind, ty: ty.clone(), span };
            ExprKind::Binary(typed::BinaryOp::Add, Box::new(base), number(bytes.into()))
        }
    };
    typed::Expr { kind, ty, span }
}
