//! `iter:task`, `iter:task_file`, `iter:task_vma`: all tasks that there are, all their open files, all that they have mapped.
//! The kernel calls the program once for each, when user space asks it to.
//!
//! What there is to go over is in the kernel's types: `struct bpf_iter__NAME` is what the program is given as `ctx`, and the
//! function `bpf_iter_NAME` stands for it. The event is about the task that the kernel has come to, and never about the
//! current one, which is ctrace itself. What belongs to no task can be gone over where the scope is the machine.

use super::probes::{Event, Site};
use super::{proposing, words};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::btf::{Btf, Type, TypeId};

/// Before the name: the structure that programs are given.
const CONTEXT: &str = "bpf_iter__";
/// Before the name: the function that stands for the program.
const FUNCTION: &str = "bpf_iter_";
/// What wants to be told where to begin: a map, a cgroup.
const OF_SOMETHING: [&str; 4] = ["bpf_map_elem", "bpf_sk_storage_map", "cgroup", "sockmap"];

/// The place that a specification stands for.
pub fn expand(spec: &ast::ProbeSpec, rest: &[ast::Name], target: &Target) -> Result<Site, Diagnostic> {
    let name = match rest {
        [name] => name,
        [name, pin] => {
            let error = Diagnostic::error(pin.span, format!("`iter:{}` cannot be pinned", name.text));
            return Err(error
                .label("it would stay in the kernel when ctrace has ended, for others to read")
                .help(format!("write `iter:{}`, which is gone over once", name.text)));
        }
        _ => {
            return Err(Diagnostic::error(spec.span, "`iter` needs to know what to go over").help("write `iter:task`"));
        }
    };
    let Some(types) = target.types.as_deref() else {
        return Err(Diagnostic::error(spec.span, "this kernel does not show its types (BTF), and `iter` goes by them"));
    };
    if name.text.contains('*') {
        return Err(
            Diagnostic::error(name.span, "`iter` takes no wildcards").help("`ctrace -l 'iter:*'` lists what there is")
        );
    }
    let Some(function) = function(types, &name.text) else {
        let error = Diagnostic::error(name.span, format!("the kernel cannot go over `{}`", name.text));
        let known = all(types);
        return Err(proposing(error, &name.text, known.iter().map(|&(name, _)| name)));
    };
    if task_word(types, function).is_none() && !target.sees_everybody() {
        return Err(Diagnostic::error(
            name.span,
            format!("`iter:{}` cannot be used for a part of the machine", name.text),
        )
        .label("what it goes over belongs to no task")
        .help("`--scope host` traces the machine"));
    }
    Ok(Site { name: format!("iter:{}", name.text), event: Event::Iterator { function }, span: spec.span })
}

/// What this kernel can go over, with the functions that stand for the programs, in order of names.
pub fn all(types: &Btf) -> Vec<(&str, TypeId)> {
    let named = types.functions().filter_map(|(name, id)| Some((name.strip_prefix(FUNCTION)?, id)));
    let mut all: Vec<_> = named.filter(|&(name, id)| stands_for_programs(types, name, id)).collect();
    all.sort_unstable();
    all
}

/// The function that stands for the programs of what is called so.
fn function(types: &Btf, name: &str) -> Option<TypeId> {
    let function = types.function(&format!("{FUNCTION}{name}")).ok()?;
    stands_for_programs(types, name, function).then_some(function)
}

/// Functions that do something else are called alike. They have other parameters, or give something else than a number.
fn stands_for_programs(types: &Btf, name: &str, function: TypeId) -> bool {
    let gives_number =
        || words::result_type(types, function).is_some_and(|result| matches!(types.ty(result), Ok(Type::Int { .. })));
    !OF_SOMETHING.contains(&name) && words::names(types, function, 0).first() == Some(&"meta") && gives_number()
}

/// The name of what a function stands for.
pub fn name(types: &Btf, function: TypeId) -> Option<&str> {
    match types.ty(function) {
        Ok(Type::Function { name, .. }) => name.strip_prefix(FUNCTION),
        _ => None,
    }
}

/// The structure that a program is given: the function's parameters, a word each.
pub fn context(types: &Btf, function: TypeId) -> Option<String> {
    Some(format!("struct {CONTEXT}{}", name(types, function)?))
}

/// The word of the context that is the task, if what is gone over belongs to one.
pub fn task_word(types: &Btf, function: TypeId) -> Option<u8> {
    let words = words::names(types, function, 0);
    words.iter().position(|name| *name == "task").map(|word| word as u8)
}

/// Where `struct bpf_iter_meta` has the file that what programs write goes to.
pub fn output_offset(types: &Btf) -> Option<u32> {
    let meta = types.composite("bpf_iter_meta").ok()?;
    Some(types.field(meta, "seq").ok()?.offset())
}
