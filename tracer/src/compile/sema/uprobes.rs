//! Probes in programs and libraries: `uprobe:PATH:FUNCTION`, `…:FUNCTION+OFFSET`, `…:ADDRESS`, and `uretprobe`.
//!
//! The files have been looked at before analysis: [`mentions`] says at which, and the target tells what is in them.

use std::collections::BTreeSet;

use super::probes::{Event, Site, matches};
use super::{proposing, usdt};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::elf::{Binary, Function, Mention, Wanted};

/// Whether this is a kind of probe in programs and libraries, and if so, whether it is where functions return.
pub fn kind(name: &str) -> Option<bool> {
    match name {
        "uprobe" | "u" => Some(false),
        "uretprobe" | "ur" => Some(true),
        _ => None,
    }
}

/// What a script wants to know of files; `symbols` are those whose addresses it wants in each.
pub fn mentions(script: &ast::Script, symbols: &[String]) -> Vec<Mention> {
    let specs = script.probes.iter().flat_map(|probe| &probe.specs);
    let wanted = specs.filter_map(|spec| match &spec.fields[..] {
        [name, path, function @ ..] if kind(&name.text).is_some() && !path.text.is_empty() => {
            Some(Mention { path: path.text.clone(), wanted: Wanted::Function(function_name(function)) })
        }
        _ => usdt::mention(spec),
    });
    let mut mentions: Vec<Mention> = wanted.collect();
    let paths: BTreeSet<String> = mentions.iter().map(|mention| mention.path.clone()).collect();
    // What a pattern stands for is only known once the process has been looked at.
    let paths = paths.into_iter().filter(|path| !path.is_empty() && !path.contains('*'));
    for path in paths {
        let address = |symbol: &String| Mention { path: path.clone(), wanted: Wanted::Address(symbol.clone()) };
        mentions.extend(symbols.iter().map(address));
    }
    mentions
}

/// The kind of probe and the functions that a pattern of `-l` asks for, if it is one for programs and libraries.
pub fn pattern(text: &str) -> Option<(&'static str, Mention, String)> {
    let (provider, rest) = text.split_once(':')?;
    let provider = if kind(provider)? { "uretprobe" } else { "uprobe" };
    let (path, function) = rest.split_once(':').unwrap_or((rest, "*"));
    let is_file = !path.is_empty() && !path.contains('*');
    let wanted = || Wanted::Function(function.to_owned());
    is_file.then(|| (provider, Mention { path: path.to_owned(), wanted: wanted() }, function.to_owned()))
}

/// The functions that a pattern means.
pub fn functions<'b>(pattern: &'b str, binary: &'b Binary) -> impl Iterator<Item = &'b Function> {
    binary.functions.iter().filter(move |function| !function.indirect && is_meant(pattern, function))
}

/// The places of a specification, at least one.
pub fn expand(spec: &ast::ProbeSpec, exit: bool, target: &Target) -> Result<Vec<Site>, Diagnostic> {
    let provider = if exit { "uretprobe" } else { "uprobe" };
    let [_, path, function @ ..] = &spec.fields[..] else {
        return Err(usage(spec, provider));
    };
    let wanted = function_name(function);
    let Some(last) = function.last().filter(|_| !wanted.is_empty() && !path.text.is_empty()) else {
        return Err(usage(spec, provider));
    };
    let file = target.binaries.keys().position(|name| *name == path.text);
    let binary = match file.and_then(|_| target.binaries.get(&path.text)) {
        Some(Ok(binary)) => binary,
        Some(Err(reason)) => return Err(Diagnostic::error(path.span, reason.clone())),
        None => return Err(Diagnostic::error(path.span, format!("nothing is known of {}", path.text))),
    };
    let file = file.unwrap_or_default();
    let site = |name: &str, offset| Site {
        name: format!("{provider}:{}:{name}", binary.path.display()),
        event: Event::Uprobe { file, exit, offset },
        span: spec.span,
    };
    let refuse = |message: String| Err(Diagnostic::error(last.span, message));
    if exit && binary.go {
        return Err(Diagnostic::error(
            spec.span,
            format!("{} is a Go program: its functions cannot be probed where they return", path.text),
        )
        .label("Go moves stacks while functions run, and the return address that the kernel puts there would be lost")
        .help("probe the function's return instructions: `uprobe:PATH:FUNCTION+OFFSET`"));
    }

    if let Some(address) = number(&wanted) {
        return match binary.offset(address) {
            Some(_) if exit => refuse("a place that returns is a function: give its name".into()),
            Some(offset) => Ok(vec![site(&wanted, offset)]),
            None => refuse(format!("there is no code at {wanted} in {}", path.text)),
        };
    }
    if let Some((name, distance)) = wanted.split_once('+') {
        if exit {
            return refuse("a function returns as a whole: an offset means nothing there".into());
        }
        let Some(distance) = number(distance) else {
            return refuse(format!("`{distance}` is not an offset in bytes"));
        };
        let Some(known) = binary.function(name) else { return Err(no_function(last, path, name, binary)) };
        let address = known.address.wrapping_add(distance);
        let starts = binary.instructions.get(name);
        return match (binary.offset(address), starts) {
            (Some(offset), Some(starts)) if starts.contains(&address) => Ok(vec![site(&wanted, offset)]),
            _ if distance >= known.size => refuse(format!("`{name}` is {} bytes long", known.size)),
            (_, Some(starts)) => {
                let before = starts.range(..address).next_back().map(|start| start - known.address);
                let after = starts.range(address..).next().map(|start| start - known.address);
                let near: Vec<String> =
                    before.into_iter().chain(after).map(|near| format!("`{name}+{near}`")).collect();
                Err(Diagnostic::error(last.span, format!("no instruction begins at `{wanted}`"))
                    .help(format!("instructions near it begin at {}", near.join(" and "))))
            }
            (_, None) => refuse(format!("nothing is known of the code of `{name}`")),
        };
    }

    let pattern = wanted.strip_prefix("cpp:").unwrap_or(&wanted);
    let exact = binary.function(pattern).map(|function| vec![function]);
    let functions =
        exact.unwrap_or_else(|| binary.functions.iter().filter(|function| is_meant(pattern, function)).collect());
    if let ([function], false) = (&functions[..], pattern.contains('*'))
        && function.indirect
    {
        return Err(Diagnostic::error(
            last.span,
            format!("`{pattern}` is chosen among implementations when the library is loaded, and is not called itself"),
        )
        .help(format!("probe the implementations: `*{pattern}*`")));
    }
    let sites = functions.iter().filter(|function| !function.indirect);
    let sites: Vec<Site> =
        sites.filter_map(|function| Some(site(&function.name, binary.offset(function.address)?))).collect();
    if sites.is_empty() { Err(no_function(last, path, pattern, binary)) } else { Ok(sites) }
}

/// The fields behind the path, of which a name of C++ or Rust has several.
fn function_name(fields: &[ast::Name]) -> String {
    fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(":")
}

/// Whether a pattern is a function's symbol or its name, with or without the types of its parameters.
fn is_meant(pattern: &str, function: &Function) -> bool {
    matches(pattern, &function.name)
        || function.demangled.as_deref().is_some_and(|name| {
            matches(pattern, name) || name.split_once('(').is_some_and(|(name, _)| matches(pattern, name))
        })
}

/// `123`, `0x7b`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn usage(spec: &ast::ProbeSpec, provider: &str) -> Diagnostic {
    Diagnostic::error(spec.span, format!("`{provider}` needs a program or library and a function"))
        .help(format!("write `{provider}:/path/to/program:function`"))
}

fn no_function(at: &ast::Name, path: &ast::Name, name: &str, binary: &Binary) -> Diagnostic {
    if binary.functions.is_empty() {
        return Diagnostic::error(path.span, format!("{} has no symbols", path.text))
            .help("give the address of an instruction instead of a function's name");
    }
    if name.contains('*') {
        return Diagnostic::error(at.span, format!("no function of {} matches `{name}`", path.text));
    }
    let error = Diagnostic::error(at.span, format!("there is no function `{name}` in {}", path.text));
    proposing(
        error,
        name,
        binary.functions.iter().map(|function| function.demangled.as_deref().unwrap_or(&function.name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::source::Span;
    use crate::host::elf::Segment;

    /// What is said of a specification in a program of one function, made by the Go compiler.
    fn said(text: &str) -> Result<Vec<String>, String> {
        let function =
            Function { name: "main.main".into(), demangled: None, address: 0x1010, size: 16, indirect: false };
        let code = vec![Segment { address: 0x1000, offset: 0, size: 0x100 }];
        let binary = Binary { path: "/go".into(), functions: vec![function], code, go: true, ..Binary::default() };
        let target = Target { binaries: [("/go".to_owned(), Ok(binary))].into(), ..Target::default() };
        let fields = text.split(':').map(|field| ast::Name { text: field.into(), span: Span::default() }).collect();
        let spec = ast::ProbeSpec { fields, span: Span::default() };
        let sites = expand(&spec, kind(&spec.fields[0].text) == Some(true), &target);
        sites.map(|sites| sites.into_iter().map(|site| site.name).collect()).map_err(|error| error.message)
    }

    #[test]
    fn functions_of_go_are_probed_where_they_are_called_and_not_where_they_return() {
        assert_eq!(said("uprobe:/go:main.main"), Ok(vec!["uprobe:/go:main.main".to_owned()]));
        assert_eq!(
            said("uretprobe:/go:main.main").unwrap_err(),
            "/go is a Go program: its functions cannot be probed where they return"
        );
    }
}
