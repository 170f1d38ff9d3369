//! Contexts that are an array of 64-bit words, one for each argument of a kernel function: those of raw tracepoints, and
//! of probes at the calls and returns of functions (fentry, fexit).
//!
//! What the words are is in the kernel's own types (BTF): names and types come from a function's prototype there.

use super::ctypes::Types;
use super::events::{Field, Source};
use super::types::Ty;
use crate::host::btf::{Btf, Named, Type, TypeId};

/// Before the name of a raw tracepoint: the function that calls its programs. (The `typedef btf_trace_NAME`, which the
/// kernel goes by, has the types of the arguments, but not their names.)
const ITERATOR: &str = "__traceiter_";

/// The function that stands for the raw tracepoint of this name.
pub fn raw_tracepoint(btf: &Btf, name: &str) -> Option<TypeId> {
    btf.function(&format!("{ITERATOR}{name}")).ok()
}

/// The names of all raw tracepoints, with the functions that stand for them, in order of names.
pub fn raw_tracepoints(btf: &Btf) -> Vec<(&str, TypeId)> {
    let mut all: Vec<_> = btf.functions().filter_map(|(name, id)| Some((name.strip_prefix(ITERATOR)?, id))).collect();
    all.sort_unstable();
    all
}

/// The name of the raw tracepoint that this function stands for.
pub fn raw_tracepoint_name(btf: &Btf, function: TypeId) -> Option<&str> {
    match btf.ty(function) {
        Ok(Type::Function { name, .. }) => name.strip_prefix(ITERATOR),
        _ => None,
    }
}

/// The arguments of a raw tracepoint's programs: those of the function that stands for it, but for the first.
pub fn of_raw_tracepoint(types: &mut Types<'_>, function: TypeId) -> Vec<(String, Field)> {
    arguments(types, function, 1)
}

/// The arguments of a function but for the first `skip`, as the words of a context, in order. One that is of a type
/// that is not described is left out; a structure that is passed by value takes as many words as it is long.
pub fn arguments(types: &mut Types<'_>, function: TypeId, skip: usize) -> Vec<(String, Field)> {
    let Some(btf) = types.btf() else { return Vec::new() };
    let Ok(Type::Function { prototype, .. }) = btf.ty(function) else { return Vec::new() };
    let mut word = 0;
    let mut fields = Vec::new();
    for parameter in btf.parameters(prototype).skip(skip) {
        let source = Source::Word(word);
        word += length(btf, parameter.ty) as u8;
        match types.of_kernel(parameter.ty) {
            Some(ty) if is_word(&ty) && !parameter.name.is_empty() => {
                fields.push((parameter.name.to_owned(), Field { ty, source }));
            }
            _ => {}
        }
    }
    fields
}

/// The parameters of a function but for the first `skip`.
pub fn parameters(btf: &Btf, function: TypeId, skip: usize) -> Vec<Named<'_>> {
    match btf.ty(function) {
        Ok(Type::Function { prototype, .. }) => btf.parameters(prototype).skip(skip).collect(),
        _ => Vec::new(),
    }
}

/// The names of a function's arguments but for the first `skip`.
pub fn names(btf: &Btf, function: TypeId, skip: usize) -> Vec<&str> {
    parameters(btf, function, skip).into_iter().map(|parameter| parameter.name).collect()
}

/// The word that an argument of a raw tracepoint is.
pub fn word(btf: &Btf, function: TypeId, argument: &str) -> Option<u8> {
    // Arguments of raw tracepoints are one word each.
    names(btf, function, 1).iter().position(|name| *name == argument).map(|at| at as u8)
}

/// The type of what a function returns, if it is a word or a part of one.
pub fn result(types: &mut Types<'_>, function: TypeId) -> Option<Ty> {
    let btf = types.btf()?;
    types.of_kernel(result_type(btf, function)?).filter(is_word)
}

/// The type of what a function returns; `None` if it returns nothing.
pub fn result_type(btf: &Btf, function: TypeId) -> Option<TypeId> {
    let Ok(Type::Function { prototype, .. }) = btf.ty(function) else { return None };
    let Ok(Type::Prototype { result }) = btf.ty(prototype) else { return None };
    (result != TypeId(0)).then_some(result)
}

/// How many words the arguments of a function but for the first `skip` take.
pub fn count(btf: &Btf, function: TypeId, skip: usize) -> u32 {
    let Ok(Type::Function { prototype, .. }) = btf.ty(function) else { return 0 };
    btf.parameters(prototype).skip(skip).map(|parameter| length(btf, parameter.ty)).sum()
}

fn length(btf: &Btf, ty: TypeId) -> u32 {
    btf.size(ty).map_or(1, |size| size.div_ceil(8).max(1))
}

/// Whether a value of the type is one word or a part of it.
fn is_word(ty: &Ty) -> bool {
    ty.is_number() || matches!(ty, Ty::Bool | Ty::Pointer { .. } | Ty::Enum { .. })
}
