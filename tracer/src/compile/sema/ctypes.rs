//! C types: from the kernel's BTF, and from definitions in the script, which come first.
//!
//! In: both, as they are. Out: [`Ty`]s. A structure that is pointed to is known by its name or number only, and looked
//! into when a member is asked for; one that is a value is laid out whole.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::types::{Enumeration, Field, Record, Ty};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast::{self, DefinitionKind, TypeNameKind};
use crate::host::btf::{self, Btf, TypeId};
use crate::plan::Bits;

/// Structures nest no deeper than this by value.
const MAX_NESTING: u32 = 32;

/// All C types that a script may name.
pub struct Types<'a> {
    btf: Option<&'a Btf>,
    /// Of the kernel, as far as they have been laid out.
    kernel: HashMap<TypeId, Arc<Record>>,
    /// Of the script, by name: `struct foo`, `union foo`.
    records: HashMap<String, Arc<Record>>,
    /// Of the script, by name: `enum foo`.
    enums: HashMap<String, Arc<Enumeration>>,
    /// Of the script.
    enumerators: HashMap<String, (Arc<Enumeration>, i64)>,
    /// What has been asked of the kernel's types by name, and the answers: it goes through all of them, and a wildcard asks
    /// the same for each of hundreds of probes.
    found: RefCell<HashMap<String, Option<TypeId>>>,
    /// The same for enumerators.
    found_enumerators: HashMap<String, Option<(TypeId, i64)>>,
}

impl<'a> Types<'a> {
    /// Lays out the script's definitions; with everything that is wrong with them.
    pub fn new(btf: Option<&'a Btf>, definitions: &[ast::Definition]) -> (Self, Vec<Diagnostic>) {
        let mut types = Self {
            btf,
            kernel: HashMap::new(),
            records: HashMap::new(),
            enums: HashMap::new(),
            enumerators: HashMap::new(),
            found: RefCell::default(),
            found_enumerators: HashMap::new(),
        };
        let errors = definitions.iter().filter_map(|definition| types.define(definition).err()).collect();
        (types, errors)
    }

    /// The kernel's types.
    pub fn btf(&self) -> Option<&'a Btf> {
        self.btf
    }

    /// A type of the kernel's; `None` where its description is damaged.
    pub fn of_kernel(&mut self, id: TypeId) -> Option<Ty> {
        self.of_btf(id, 0)
    }

    fn define(&mut self, definition: &ast::Definition) -> Result<(), Diagnostic> {
        let tag = &definition.name.text;
        match &definition.kind {
            DefinitionKind::Struct(members) => {
                let record = self.layout(format!("struct {tag}"), members, false, definition.packed)?;
                self.records.insert(record.name.clone(), Arc::new(record));
            }
            DefinitionKind::Union(members) => {
                let record = self.layout(format!("union {tag}"), members, true, definition.packed)?;
                self.records.insert(record.name.clone(), Arc::new(record));
            }
            DefinitionKind::Enum(items) => {
                let mut names = Vec::new();
                let mut next = 0;
                for (name, value) in items {
                    if let Some(value) = value {
                        next = self.constant(value, &names).ok_or_else(|| {
                            Diagnostic::error(value.span, "the value of an enumerator must be a number that is known")
                        })?;
                    }
                    names.push((next, name.text.clone()));
                    next = next.wrapping_add(1);
                }
                let enumeration = Arc::new(Enumeration::new(format!("enum {tag}"), names));
                for (value, name) in &enumeration.names {
                    self.enumerators.insert(name.clone(), (enumeration.clone(), *value));
                }
                self.enums.insert(enumeration.name.clone(), enumeration);
            }
        }
        Ok(())
    }

    /// The value of an enumerator, from numbers and enumerators before it.
    fn constant(&self, expr: &ast::Expr, before: &[(i64, String)]) -> Option<i64> {
        use ast::{BinaryOp as B, ExprKind as E, UnaryOp as U};
        Some(match &expr.kind {
            &E::Integer { value, .. } => value as i64,
            E::Identifier(name) => match before.iter().find(|(_, known)| known == name) {
                Some((value, _)) => *value,
                None => self.enumerators.get(name)?.1,
            },
            E::Unary { op: U::Negate, operand } => self.constant(operand, before)?.wrapping_neg(),
            E::Unary { op: U::BitNot, operand } => !self.constant(operand, before)?,
            E::Binary { op, left, right, .. } => {
                let (a, b) = (self.constant(left, before)?, self.constant(right, before)?);
                match op {
                    B::Add => a.wrapping_add(b),
                    B::Sub => a.wrapping_sub(b),
                    B::Mul => a.wrapping_mul(b),
                    B::BitOr => a | b,
                    B::BitAnd => a & b,
                    B::Shl => a.checked_shl(u32::try_from(b).ok()?)?,
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    /// Lays members out as C does.
    fn layout(
        &mut self,
        name: String,
        members: &[ast::Member],
        union: bool,
        packed: bool,
    ) -> Result<Record, Diagnostic> {
        let mut fields: Vec<Field> = Vec::new();
        let (mut end, mut size, mut align) = (0u32, 0u32, 1u32); // `end` in bits
        let too_large = |span| Diagnostic::error(span, format!("`{name}` is too large"));
        for member in members {
            let span = member.ty.span;
            let ty = self.by_value(&member.ty)?;
            let ty_size = ty.size().ok_or_else(|| Diagnostic::error(span, format!("`{ty}` has no size here")))?;
            let bits = u32::checked_mul(ty_size, 8).ok_or_else(|| too_large(span))?;
            let natural = if packed { 1 } else { ty.align() };
            align = align.max(natural);
            let start = if union { 0 } else { end };
            let (at, width) = match member.bits {
                None => (start.checked_next_multiple_of(8 * natural).ok_or_else(|| too_large(span))?, bits),
                Some(0) => (start.next_multiple_of(bits), 0),
                Some(width) if width > bits || !(ty.is_number() || matches!(ty, Ty::Enum { .. })) => {
                    return Err(Diagnostic::error(span, format!("`{ty}` cannot have a bit-field of {width} bits")));
                }
                // It must not lie across a boundary of its type.
                Some(width) if !packed && start / bits != (start + width - 1) / bits => {
                    (start.next_multiple_of(bits), width)
                }
                Some(width) => (start, width),
            };
            end = at.checked_add(width).filter(|&end| end < 1 << 24).ok_or_else(|| too_large(span))?;
            size = size.max(end.div_ceil(8));
            match (&member.name, &ty) {
                (None, Ty::Record(inner)) => fields.extend(inner.fields.iter().map(|field| field.moved(at / 8))),
                (None, _) => {}
                (Some(_), _) if member.bits == Some(0) => {}
                (Some(name), _) => fields.push(match member.bits {
                    None => Field { name: name.text.clone(), offset: at / 8, bits: None, ty },
                    Some(width) => bit_field(&name.text, at, width as u8, ty),
                }),
            }
        }
        Ok(Record { size: size.next_multiple_of(align), name, align, fields })
    }

    /// A type of which there is a value here, so that its size must be known.
    fn by_value(&mut self, name: &ast::TypeName) -> Result<Ty, Diagnostic> {
        let unknown = |what: &str| {
            let error = Diagnostic::error(name.span, format!("the type `{what}` is not known"));
            error.help("define it before, or run where the kernel shows its types (BTF)")
        };
        match &name.kind {
            TypeNameKind::Pointer(to) => Ok(Ty::Pointer { to: Box::new(self.pointed_to(to)), user: false }),
            TypeNameKind::Array(of, length) => {
                let length = u32::try_from(length.unwrap_or(0)).map_err(|_| unknown("array"))?;
                if length > 0 && matches!(&of.kind, TypeNameKind::Named(name) if name == "char") {
                    return Ok(Ty::Str(length));
                }
                Ok(Ty::Array(Box::new(self.by_value(of)?), length))
            }
            TypeNameKind::Named(text) => {
                let named = Ty::named(text).or_else(|| self.resolve(&Ty::Named(text.clone())));
                named.ok_or_else(|| unknown(text))
            }
            TypeNameKind::Struct(tag) => self.tagged("struct", tag).ok_or_else(|| unknown(&format!("struct {tag}"))),
            TypeNameKind::Union(tag) => self.tagged("union", tag).ok_or_else(|| unknown(&format!("union {tag}"))),
            TypeNameKind::Enum(tag) => match self.tagged("enum", tag) {
                // Where it is a member it is as wide as in C.
                Some(Ty::Enum { of, .. }) => Ok(Ty::Enum { of, size: 4 }),
                _ => Err(unknown(&format!("enum {tag}"))),
            },
            TypeNameKind::Sized(..) | TypeNameKind::Tuple(_) | TypeNameKind::TypeOf(_) => {
                Err(Diagnostic::error(name.span, "a C structure cannot hold this"))
            }
        }
    }

    fn tagged(&mut self, keyword: &str, tag: &str) -> Option<Ty> {
        self.resolve(&Ty::Named(format!("{keyword} {tag}")))
    }

    /// What a pointer points to: structures by their name only.
    pub fn pointed_to(&mut self, name: &ast::TypeName) -> Ty {
        match &name.kind {
            TypeNameKind::Struct(tag) => Ty::Named(format!("struct {tag}")),
            TypeNameKind::Union(tag) => Ty::Named(format!("union {tag}")),
            TypeNameKind::Enum(tag) => Ty::Named(format!("enum {tag}")),
            TypeNameKind::Named(text) => Ty::named(text).unwrap_or_else(|| Ty::Named(text.clone())),
            TypeNameKind::Pointer(to) => Ty::Pointer { to: Box::new(self.pointed_to(to)), user: false },
            _ => self.by_value(name).unwrap_or_else(|_| Ty::Named("void".into())),
        }
    }

    /// What stands behind a name; `None` if it is not known, or declared only.
    pub fn resolve(&mut self, ty: &Ty) -> Option<Ty> {
        match ty {
            Ty::Named(name) => self.named(name),
            Ty::Btf(id, _) => self.of_btf(TypeId(*id), 0).filter(|ty| !matches!(ty, Ty::Named(_) | Ty::Btf(..))),
            other => Some(other.clone()),
        }
    }

    fn named(&mut self, name: &str) -> Option<Ty> {
        if let Some(record) = self.records.get(name) {
            return Some(Ty::Record(record.clone()));
        }
        if let Some(of) = self.enums.get(name) {
            return Some(Ty::Enum { of: of.clone(), size: 8 });
        }
        let id = self.find(name)?;
        let ty = self.resolve(&Ty::Btf(id.0, name.into()))?;
        Some(match ty {
            Ty::Enum { of, .. } => Ty::Enum { of, size: 8 }, // as bpftrace has it
            other => other,
        })
    }

    /// The kernel's type of this name.
    fn find(&self, name: &str) -> Option<TypeId> {
        let btf = self.btf?;
        let look = || match name.split_once(' ') {
            Some(("struct" | "union", tag)) => btf.composite(tag).ok(),
            Some(("enum", tag)) => btf.enumeration(tag).ok(),
            _ => btf.typedef(name).ok(),
        };
        *self.found.borrow_mut().entry(name.to_owned()).or_insert_with(look)
    }

    /// Where a member of a structure lies, and of what type it is; anonymous members are looked into.
    pub fn member(&mut self, structure: &Ty, name: &str) -> Option<Field> {
        let id = match structure {
            Ty::Record(record) => return record.field(name).cloned(),
            Ty::Named(known) => match self.records.get(known) {
                Some(record) => return record.field(name).cloned(),
                None => self.find(known)?,
            },
            Ty::Btf(id, _) => TypeId(*id),
            _ => return None,
        };
        let btf = self.btf?;
        let id = btf.resolve(id).ok()?;
        let field = btf.field(id, name).ok()?;
        let ty = self.of_btf(field.ty, 0)?;
        Some(match field.bits {
            None => Field { name: name.into(), offset: field.offset(), bits: None, ty },
            Some(width) => bit_field(name, field.bit_offset, width, ty),
        })
    }

    /// The names of a structure's members, for proposals; nothing if there is no such structure.
    pub fn members(&mut self, structure: &Ty) -> Option<Vec<String>> {
        match self.resolve(structure)? {
            Ty::Record(record) => Some(record.fields.iter().map(|field| field.name.clone()).collect()),
            _ => None,
        }
    }

    /// The type and value of an enumerator, the script's or the kernel's.
    pub fn enumerator(&mut self, name: &str) -> Option<(Ty, i64)> {
        if let Some((of, value)) = self.enumerators.get(name) {
            return Some((Ty::Enum { of: of.clone(), size: 8 }, *value));
        }
        let btf = self.btf?;
        let found = match self.found_enumerators.get(name) {
            Some(&found) => found,
            None => *self.found_enumerators.entry(name.to_owned()).or_insert(btf.enumerator(name)),
        };
        let (id, value) = found?;
        match self.of_btf(id, 0)? {
            Ty::Enum { of, .. } => Some((Ty::Enum { of, size: 8 }, value)),
            _ => None,
        }
    }

    /// A type of the kernel; `None` where its description is damaged.
    fn of_btf(&mut self, id: TypeId, nesting: u32) -> Option<Ty> {
        if nesting > MAX_NESTING {
            return None;
        }
        let btf = self.btf?;
        let resolved = btf.resolve(id).ok()?;
        Some(match btf.ty(resolved).ok()? {
            btf::Type::Int { name: "_Bool" | "bool", size: 1, .. } => Ty::Bool,
            btf::Type::Int { size: size @ (1 | 2 | 4 | 8), signed, .. } => Ty::int(size as u8, signed),
            // No operator takes these: they are shown as bytes.
            btf::Type::Int { size, .. } | btf::Type::Float { size } => Ty::Array(Box::new(Ty::int(1, false)), size),
            btf::Type::Pointer(to) => Ty::Pointer { to: Box::new(self.behind(to, nesting + 1)?), user: false },
            btf::Type::Array { element, len } => {
                let of = btf.resolve(element).ok()?;
                if len > 0 && matches!(btf.ty(of).ok()?, btf::Type::Int { name: "char", .. }) {
                    return Some(Ty::Str(len));
                }
                Ty::Array(Box::new(self.of_btf(of, nesting + 1)?), len)
            }
            btf::Type::Composite { name, size, union } => {
                if let Some(record) = self.kernel.get(&resolved) {
                    return Some(Ty::Record(record.clone()));
                }
                let name = format!("{} {name}", if union { "union" } else { "struct" });
                let record = Arc::new(self.expanded(resolved, name, size, nesting)?);
                self.kernel.insert(resolved, record.clone());
                Ty::Record(record)
            }
            btf::Type::Enum { name, size, .. } => {
                let names = btf.enumerators(resolved).map(|(name, value)| (value, name.to_owned())).collect();
                Ty::Enum { of: Arc::new(Enumeration::new(format!("enum {name}"), names)), size: size as u8 }
            }
            btf::Type::Forward { name } => Ty::Named(format!("struct {name}")),
            _ => Ty::Named("void".into()),
        })
    }

    /// What a pointer of the kernel's points to.
    fn behind(&mut self, to: TypeId, nesting: u32) -> Option<Ty> {
        let btf = self.btf?;
        let resolved = btf.resolve(to).ok()?;
        match btf.ty(resolved).ok()? {
            btf::Type::Composite { name, union, .. } => {
                Some(Ty::Btf(resolved.0, format!("{} {name}", if union { "union" } else { "struct" })))
            }
            btf::Type::Array { .. } => Some(Ty::Btf(resolved.0, "array".into())),
            _ => self.of_btf(resolved, nesting),
        }
    }

    fn expanded(&mut self, id: TypeId, name: String, size: u32, nesting: u32) -> Option<Record> {
        let btf = self.btf?;
        let mut fields = Vec::new();
        let mut align = 1;
        for (named, field) in btf.members(id) {
            let ty = self.of_btf(field.ty, nesting + 1)?;
            align = align.max(ty.align());
            match (named.name, &ty) {
                ("", Ty::Record(inner)) => {
                    fields.extend(inner.fields.iter().map(|inner| inner.moved(field.offset())));
                }
                ("", _) => {}
                (name, _) => fields.push(match field.bits {
                    None => Field { name: name.into(), offset: field.offset(), bits: None, ty },
                    Some(width) => bit_field(name, field.bit_offset, width, ty),
                }),
            }
        }
        // A packed structure may lie anywhere.
        while !size.is_multiple_of(align) {
            align /= 2;
        }
        Some(Record { name, size, align, fields })
    }
}

/// A bit-field: it lies in an integer of its type, unless it is packed across that one's end.
fn bit_field(name: &str, bit_offset: u32, width: u8, ty: Ty) -> Field {
    let size = ty.size().filter(|size| size.is_power_of_two() && *size <= 8).unwrap_or(8);
    let aligned = bit_offset / (8 * size) * size;
    let offset = if bit_offset - 8 * aligned + u32::from(width) <= 8 * size { aligned } else { bit_offset / 8 };
    let bits = Bits { shift: (bit_offset - 8 * offset) as u8, width };
    Field { name: name.into(), offset, bits: Some(bits), ty }
}
