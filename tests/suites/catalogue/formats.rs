//! Whether each row has the fields that tracefs' `format` file has: no more, no fewer, and of the same form; and whether
//! the analysis finds a value for each of them in this kernel's types.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Completion, Trial};
use tracer::compile::sema::catalogue::{self, Row};
use tracer::compile::sema::{analyse, words};
use tracer::compile::source::Source;
use tracer::compile::syntax;
use tracer::compile::target::Target;
use tracer::host::btf::{Btf, Type, TypeId};
use tracer::host::tracefs::{self, Field, Mention};

use super::{failed, gaps};

/// One test a row; `known` is tracefs' list of events.
pub fn trials(types: &Arc<Btf>, known: &str) -> Vec<Trial> {
    let trial = |(at, row): (usize, &'static Row)| {
        let types = Arc::clone(types);
        let listed = known.lines().any(|line| line == row.full_name());
        let test = move || check(at, &types, listed).map_err(|error| failed(&error));
        Trial::ignorable_test(format!("catalogue/format/{}", row.full_name()), test)
    };
    catalogue::all().iter().enumerate().map(trial).collect()
}

fn check(at: usize, types: &Arc<Btf>, listed: bool) -> Result<Completion> {
    let row = catalogue::row(at);
    let known = words::raw_tracepoint(types, row.name).is_some();
    ensure!(
        known == listed,
        "its raw tracepoint is {}in the kernel's types, but {}in tracefs",
        if known { "" } else { "not " },
        if listed { "" } else { "not " },
    );
    if !known {
        return Ok(Completion::ignored_with("this kernel does not have it"));
    }
    let mention = Mention { category: row.category.to_owned(), event: row.name.to_owned() };
    let formats = tracefs::look(&[mention]);
    let format = formats.first().context("its format cannot be read")?;
    let members = row.members(types);
    let mut wrong = Vec::new();
    for field in &format.fields {
        let name = field.name.as_str();
        let gap = gaps::reason(row.name, name);
        match (members.iter().find(|member| member.name == name), gap) {
            (None, Some(_)) => {}
            (None, None) => wrong.push(format!("`{}` is missing", field.declaration())),
            (Some(_), Some(_)) => wrong.push(format!("`{name}` is there, and listed as a gap")),
            (Some(member), None) => {
                let ours = form(types, member.ty, member.text);
                let theirs = form_of(field);
                if ours.as_ref() != Some(&theirs) {
                    wrong.push(format!("`{}` is {theirs:?} there and {ours:?} here", field.declaration()));
                }
            }
        }
    }
    let more = members.iter().filter(|member| !format.fields.iter().any(|field| field.name == member.name));
    wrong.extend(more.map(|member| format!("`{}` is no field of it", member.name)));
    let order = members.iter().map(|member| member.name);
    let there = format.fields.iter().map(|field| field.name.as_str()).filter(|name| order.clone().any(|n| n == *name));
    if !order.clone().eq(there) {
        wrong.push("the fields are in another order".to_owned());
    }
    let names: Vec<&str> = members.iter().map(|member| member.name).collect();
    wrong.extend(without_value(row, types, &names));
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(Completion::Completed)
}

/// What a field looks like in memory.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    /// Bytes, of all elements.
    size: u32,
    /// Elements, of an array.
    count: Option<u32>,
    /// Whether it is a number with a sign.
    signed: bool,
    /// Whether it is a text of any length, which lies elsewhere.
    text: bool,
}

fn form_of(field: &Field) -> Form {
    let text = field.ty.starts_with("__data_loc");
    // Whether plain characters have a sign is the compiler's affair.
    let signed = field.signed && !text && field.ty.trim_start_matches("const ") != "char";
    Form { size: field.size, count: field.count.filter(|_| !text), signed, text }
}

fn form(types: &Btf, ty: TypeId, text: bool) -> Option<Form> {
    let size = types.size(ty).ok()?;
    let (element, count) = match types.ty(types.resolve(ty).ok()?).ok()? {
        Type::Array { element, len } => (types.resolve(element).ok()?, Some(len)),
        _ => (types.resolve(ty).ok()?, None),
    };
    let signed = match types.ty(element).ok()? {
        Type::Int { name, signed, .. } => signed && name != "char",
        Type::Enum { signed, .. } => signed,
        _ => false,
    };
    Some(Form { size, count, signed: signed && !text, text })
}

/// What hinders a script from having these fields.
fn without_value(row: &Row, types: &Arc<Btf>, fields: &[&str]) -> Vec<String> {
    let target = Target { types: Some(Arc::clone(types)), ..Target::default() };
    let uses: String = fields.iter().map(|field| format!("@{field} = args.{field}; ")).collect();
    let text = format!("tracepoint:{} {{ {uses}}}", row.full_name());
    let parsed = syntax::parse(&Source::new("test", text));
    let findings = analyse(&parsed.script, Vec::new(), &target).err().unwrap_or_default();
    findings.into_iter().map(|finding| finding.message).collect()
}
