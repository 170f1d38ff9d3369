//! `ctrace -l`: what is listed, and where it is looked for.

use anyhow::Result;

use super::{ScriptError, render};
use crate::cli::high::{Listed, UsageError};
use crate::cli::list::{self, Wanted};
use crate::compile::sema::{uprobes, usdt};
use crate::compile::source::Source;
use crate::compile::syntax;
use crate::host::btf::Btf;
use crate::host::elf::{self, Binary, Mention, Root};
use crate::host::tracefs;

/// The lines of a list.
pub fn text(what: &Listed, arguments: bool, pid: Option<u32>) -> Result<String> {
    let root = pid.map_or(Root::Own, Root::Process);
    // Without the kernel's types fewer are known.
    let types = Btf::of_kernel().ok();
    let found = |pattern: Option<&str>| matching(pattern, arguments, &root, types.as_ref());
    match what {
        Listed::All => found(None),
        Listed::Matching(pattern) => found(Some(pattern)),
        Listed::Script(source) => patterns(source)?.iter().map(|pattern| found(Some(pattern))).collect(),
    }
}

/// What the probes of a script would match.
fn patterns(source: &Source) -> Result<Vec<String>> {
    let parsed = syntax::parse(source);
    if !parsed.errors.is_empty() {
        return Err(ScriptError(render(&parsed.errors, source)).into());
    }
    let specs = parsed.script.probes.iter().flat_map(|probe| &probe.specs);
    Ok(specs.map(list::pattern_of).collect())
}

/// The lines for a pattern: of probes of a program or library, if it begins with one.
fn matching(pattern: Option<&str>, arguments: bool, root: &Root, types: Option<&Btf>) -> Result<String> {
    if let Some(pattern) = pattern.and_then(usdt::pattern) {
        return of_authors(pattern, arguments, root);
    }
    if let Some((provider, mention, function)) = pattern.and_then(uprobes::pattern) {
        let line = |binary: &Binary| list::functions(provider, binary, uprobes::functions(&function, binary));
        return in_files(&mention, root, line);
    }
    if let Some(pattern) = pattern.filter(|pattern| list::means_types(pattern)) {
        let types = types.ok_or_else(|| UsageError::Other("this kernel does not show its types".to_owned()))?;
        return Ok(list::definitions(pattern, arguments, types));
    }
    let pattern = pattern.map(list::without_alias);
    let wanted = Wanted { pattern: pattern.as_deref(), arguments };
    let formats = tracefs::look(&list::formats(wanted));
    Ok(list::lines(wanted, types, &formats))
}

/// The lines for probes that authors have put into a file, or into those of a process.
fn of_authors((mention, provider, name): (Mention, String, String), arguments: bool, root: &Root) -> Result<String> {
    in_files(&mention, root, |binary| list::markers(&usdt::named(binary, &provider, &name), arguments))
}

/// The lines for each of the files that are mentioned.
fn in_files(mention: &Mention, root: &Root, lines: impl Fn(&Binary) -> String) -> Result<String> {
    let (binaries, _) = elf::look(std::slice::from_ref(mention), root);
    let mut text = String::new();
    for (file, binary) in binaries {
        match binary {
            Ok(binary) => text += &lines(&binary),
            Err(reason) if file == mention.path => return Err(UsageError::Other(reason).into()),
            // Whatever else a pattern matches, or a process has mapped.
            Err(_) => {}
        }
    }
    Ok(text)
}
