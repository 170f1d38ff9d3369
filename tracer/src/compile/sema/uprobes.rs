//! Probes in programs and libraries: `uprobe:PATH:FUNCTION`, `…:FUNCTION+OFFSET`, `…:ADDRESS`, and `uretprobe`.
//!
//! The files have been looked at before analysis: [`mentions`] says at which, and the target tells what is in them.

use std::collections::BTreeSet;

use super::probes::{Event, Site};
use super::{proposing, usdt};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::elf::{self, Binary, Function, Mention, Wanted, matching};

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
    let is_file = !path.is_empty() && (!path.contains('*') || path.contains('/'));
    let wanted = || Wanted::Function(function.to_owned());
    is_file.then(|| (provider, Mention { path: path.to_owned(), wanted: wanted() }, function.to_owned()))
}

/// The functions that a pattern means.
pub fn functions<'b>(pattern: &'b str, binary: &'b Binary) -> impl Iterator<Item = &'b Function> {
    binary.functions.iter().filter(move |function| !function.indirect && function.is_meant(pattern))
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
    let meant = |name: &str| match path.text.contains('*') {
        true => matching::is_meant(&path.text, name),
        false => *name == path.text,
    };
    let files = target.binaries.iter().enumerate().filter(|(_, (name, _))| meant(name));
    let known: Vec<(usize, &Binary)> =
        files.filter_map(|(file, (_, binary))| Some((file, binary.as_ref().ok()?))).collect();
    let (place, wanted) = (In { spec, path, last, exit, provider }, wanted);
    match (&known[..], target.binaries.get(&path.text)) {
        (_, Some(Err(reason))) => Err(Diagnostic::error(path.span, reason.clone())),
        ([], _) if path.text.contains('*') => {
            Err(Diagnostic::error(path.span, format!("no file that `{}` matches has code for this machine", path.text)))
        }
        ([], _) => Err(Diagnostic::error(path.span, format!("nothing is known of {}", path.text))),
        (&[(file, binary)], _) => place.expand(&wanted, file, binary),
        (several, _) => {
            // Those that do not have it are not what is meant.
            let found = several.iter().filter_map(|&(file, binary)| place.expand(&wanted, file, binary).ok());
            let sites: Vec<Site> = found.flatten().collect();
            if sites.is_empty() {
                let count = several.len();
                let message = format!("none of the {count} files that `{}` matches has `{wanted}`", path.text);
                return Err(Diagnostic::error(last.span, message));
            }
            Ok(sites)
        }
    }
}

/// A specification, to be looked up in a file.
struct In<'s> {
    spec: &'s ast::ProbeSpec,
    path: &'s ast::Name,
    last: &'s ast::Name,
    exit: bool,
    provider: &'static str,
}

impl In<'_> {
    /// The places in a file, at least one.
    fn expand(&self, wanted: &str, file: usize, binary: &Binary) -> Result<Vec<Site>, Diagnostic> {
        let Self { spec, path, last, exit, provider } = *self;
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
            .label(
                "Go moves stacks while functions run, and the return address that the kernel puts there would be lost",
            )
            .help("probe the function's return instructions: `uprobe:PATH:FUNCTION+OFFSET`"));
        }

        if let Some(address) = elf::address(wanted) {
            let Some(offset) = binary.offset(address) else {
                return refuse(format!("there is no code at {wanted} in {}", path.text));
            };
            if exit {
                return refuse("a place that returns is a function: give its name".into());
            }
            // What lies in no function that is known can only be taken at its word.
            if let Some(known) = binary.function_at(address) {
                self.check_beginning(wanted, address, known, binary)?;
            }
            return Ok(vec![site(wanted, offset)]);
        }
        if let Some((name, distance)) = wanted.split_once('+') {
            if exit {
                return refuse("a function returns as a whole: an offset means nothing there".into());
            }
            let Some(distance) = elf::address(distance) else {
                return refuse(format!("`{distance}` is not an offset in bytes"));
            };
            let Some(known) = binary.named(name) else { return Err(no_function(last, path, name, binary)) };
            if distance >= known.size {
                return refuse(format!("`{name}` is {} bytes long", known.size));
            }
            let address = known.address.wrapping_add(distance);
            self.check_beginning(wanted, address, known, binary)?;
            let Some(offset) = binary.offset(address) else {
                return refuse(format!("nothing is known of the code of `{name}`"));
            };
            return Ok(vec![site(wanted, offset)]);
        }

        let pattern = wanted.strip_prefix("cpp:").unwrap_or(wanted);
        let exact = binary.function(pattern).map(|function| vec![function]);
        let functions =
            exact.unwrap_or_else(|| binary.functions.iter().filter(|function| function.is_meant(pattern)).collect());
        if let ([function], false) = (&functions[..], pattern.contains('*'))
            && function.indirect
        {
            return Err(Diagnostic::error(
                last.span,
                format!(
                    "`{pattern}` is chosen among implementations when the library is loaded, and is not called itself"
                ),
            )
            .help(format!("probe the implementations: `*{pattern}*`")));
        }
        let sites = functions.iter().filter(|function| !function.indirect);
        let sites: Vec<Site> =
            sites.filter_map(|function| Some(site(&function.name, binary.offset(function.address)?))).collect();
        if sites.is_empty() { Err(no_function(last, path, pattern, binary)) } else { Ok(sites) }
    }

    /// That an instruction begins at an address: a breakpoint anywhere else would change what the program does.
    fn check_beginning(
        &self,
        wanted: &str,
        address: u64,
        function: &Function,
        binary: &Binary,
    ) -> Result<(), Diagnostic> {
        let Some(starts) = binary.instructions.get(&function.name) else {
            let message = format!("nothing is known of the code of `{}`", function.name);
            return Err(Diagnostic::error(self.last.span, message));
        };
        if starts.contains(&address) {
            return Ok(());
        }
        let before = starts.range(..address).next_back();
        let near = before.into_iter().chain(starts.range(address..).next());
        let near: Vec<String> = near.map(|start| format!("`{}+{}`", function.name, start - function.address)).collect();
        Err(Diagnostic::error(self.last.span, format!("no instruction begins at `{wanted}`"))
            .help(format!("instructions near it begin at {}", near.join(" and "))))
    }
}

/// The fields behind the path, of which a name of C++ or Rust has several.
fn function_name(fields: &[ast::Name]) -> String {
    fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(":")
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
