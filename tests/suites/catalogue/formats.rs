//! Whether each row has the fields that tracefs' `format` file has: no more, no fewer, and of the same form; and whether
//! the analysis finds a value for each of them in this kernel's types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use libtest_mimic::{Completion, Trial};
use tracer::compile::sema::catalogue::{self, Member, Row};
use tracer::compile::sema::{analyse, words};
use tracer::compile::source::Source;
use tracer::compile::syntax;
use tracer::compile::target::Target;
use tracer::host::btf::{Btf, Type, TypeId};
use tracer::host::tracefs::{self, Field, Format, Mention};

use super::{failed, gaps};

/// What the kernel has, by its types and by tracefs.
struct Kernel {
    types: Arc<Btf>,
    raw_tracepoints: BTreeSet<String>,
    formats: Vec<Format>,
    /// By event, what hinders a script from having its fields.
    without_value: BTreeMap<&'static str, Vec<String>>,
}

/// One test a row.
pub fn trials(types: Btf) -> Vec<Trial> {
    let mentions: Vec<Mention> = catalogue::all()
        .iter()
        .map(|row| Mention { category: row.category.to_owned(), event: row.name.to_owned() })
        .collect();
    let types = Arc::new(types);
    let kernel = Arc::new(Kernel {
        raw_tracepoints: words::raw_tracepoints(&types).into_iter().map(|(name, _)| name.to_owned()).collect(),
        formats: tracefs::look(&mentions),
        without_value: without_value(&types),
        types,
    });
    let trial = |row: &'static Row| {
        let kernel = Arc::clone(&kernel);
        let test = move || kernel.check(row).map_err(|error| failed(&error));
        Trial::ignorable_test(format!("catalogue/format/{}", row.full_name()), test)
    };
    catalogue::all().iter().map(trial).collect()
}

impl Kernel {
    fn check(&self, row: &Row) -> Result<Completion> {
        let format = self.formats.iter().find(|format| format.full_name() == row.full_name());
        let known = self.raw_tracepoints.contains(row.name);
        ensure!(
            known == format.is_some(),
            "its raw tracepoint is {}in the kernel's types, and its format {}in tracefs",
            if known { "" } else { "not " },
            if format.is_some() { "" } else { "not " },
        );
        let Some(format) = format else { return Ok(Completion::ignored_with("this kernel does not have it")) };
        let members = row.members(&self.types);
        let mut wrong = differences(row, &members, &format.fields, &self.types);
        wrong.extend(self.without_value.get(row.name).into_iter().flatten().cloned());
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        Ok(Completion::Completed)
    }
}

/// Where a row's fields are not those of the format.
fn differences(row: &Row, members: &[Member<'_>], fields: &[Field], types: &Btf) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in fields {
        let name = field.name.as_str();
        match (members.iter().find(|member| member.name == name), gaps::reason(row.name, name)) {
            (None, Some(_)) => {}
            (None, None) => wrong.push(format!("`{}` is missing", field.declaration())),
            (Some(_), Some(_)) => wrong.push(format!("`{name}` is there, and listed as a gap")),
            (Some(member), None) => match (form(types, member), form_of(field)) {
                (Ok(ours), theirs) if ours == theirs => {}
                (ours, theirs) => wrong.push(format!("`{}` is {theirs:?} there, {ours:?} here", field.declaration())),
            },
        }
    }
    let known = |name: &str| fields.iter().any(|field| field.name == name);
    let more = members.iter().filter(|member| !known(member.name));
    wrong.extend(more.map(|member| format!("`{}` is no field of it", member.name)));
    let ours = members.iter().map(|member| member.name).filter(|name| known(name));
    let theirs = fields.iter().map(|field| field.name.as_str());
    if !ours.eq(theirs.filter(|name| members.iter().any(|member| member.name == *name))) {
        wrong.push("the fields are in another order".to_owned());
    }
    wrong
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

fn form(types: &Btf, member: &Member<'_>) -> Result<Form> {
    let size = types.size(member.ty)?;
    let whole: TypeId = types.resolve(member.ty)?;
    let (element, count) = match types.ty(whole)? {
        Type::Array { element, len } => (types.resolve(element)?, Some(len)),
        _ => (whole, None),
    };
    let signed = match types.ty(element)? {
        Type::Int { name, signed, .. } => signed && name != "char",
        Type::Enum { signed, .. } => signed,
        _ => false,
    };
    Ok(Form { size, count, signed: signed && !member.text, text: member.text })
}

/// What hinders a script from having all fields of all events, by event.
fn without_value(types: &Arc<Btf>) -> BTreeMap<&'static str, Vec<String>> {
    let target = Target { types: Some(Arc::clone(types)), ..Target::default() };
    let mut text = String::new();
    // Where in the text each event ends.
    let mut ends = Vec::new();
    for row in catalogue::all() {
        let members = row.members(types);
        let uses: String =
            members.iter().map(|member| format!("@{0}_{1} = args.{1}; ", row.name, member.name)).collect();
        if !members.is_empty() {
            text += &format!("tracepoint:{} {{ {uses}}}\n", row.full_name());
        }
        ends.push((text.len(), row.name));
    }
    let parsed = syntax::parse(&Source::new("test", text));
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    let mut found = BTreeMap::<_, Vec<String>>::new();
    for finding in analyse(&parsed.script, Vec::new(), &target).err().unwrap_or_default() {
        let event = ends.iter().find(|(end, _)| (finding.span.start as usize) < *end);
        let &(_, event) = event.expect("findings are within the script");
        found.entry(event).or_default().push(finding.message);
    }
    found
}
