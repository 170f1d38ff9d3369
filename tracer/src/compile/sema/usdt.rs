//! Probes that programs' authors have put there: `usdt:PATH:PROVIDER:NAME`, `usdt:PATH:NAME`, and with `-p` files of the
//! process: `usdt:*:NAME`, `usdt::NAME`.
//!
//! A probe has a place wherever the compiler has put its code, and its arguments lie elsewhere at each: places are alike
//! for a clause if those that it names lie in the same registers and at the same distances.

use super::probes::{Event, Site};
use super::proposing;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::elf::usdt::{self, Argument, Marker};
use crate::host::elf::{Binary, Mention, Wanted};
use crate::pattern::matches;

/// Whether this is the kind of these probes.
pub fn is_kind(name: &str) -> bool {
    matches!(name, "usdt" | "U")
}

/// The file whose probes a specification wants.
pub fn mention(spec: &ast::ProbeSpec) -> Option<Mention> {
    match &spec.fields[..] {
        [kind, path, _, ..] if is_kind(&kind.text) => {
            Some(Mention { path: path.text.clone(), wanted: Wanted::Markers })
        }
        _ => None,
    }
}

/// The probes that a pattern of `-l` asks for, if it is one for these: the files, and the pattern of provider and name.
pub fn pattern(text: &str) -> Option<(Mention, String, String)> {
    let (kind, rest) = text.split_once(':')?;
    if !is_kind(kind) {
        return None;
    }
    let (path, rest) = rest.split_once(':').unwrap_or((rest, "*"));
    let (provider, name) = rest.split_once(':').unwrap_or(("*", rest));
    let mention = Mention { path: path.to_owned(), wanted: Wanted::Markers };
    Some((mention, provider.to_owned(), name.to_owned()))
}

/// The probes of a file that are meant, each once: their names, and one of their places.
pub fn named<'b>(binary: &'b Binary, provider: &str, name: &str) -> Vec<(String, &'b Marker)> {
    let meant = binary.markers.iter().filter(|marker| is_meant(marker, provider, name));
    let mut named: Vec<_> = meant.map(|marker| (full_name(binary, marker), marker)).collect();
    named.dedup_by(|a, b| a.0 == b.0);
    named
}

fn is_meant(marker: &Marker, provider: &str, name: &str) -> bool {
    matches(provider, &marker.provider) && matches(name, &marker.name)
}

fn full_name(binary: &Binary, marker: &Marker) -> String {
    format!("usdt:{}:{}:{}", binary.path.display(), marker.provider, marker.name)
}

/// The places of a specification, at least one.
pub fn expand(spec: &ast::ProbeSpec, target: &Target) -> Result<Vec<Site>, Diagnostic> {
    let (path, provider, name) = match &spec.fields[..] {
        [_, path, name] if !name.text.is_empty() => (path, "*", name),
        [_, path, provider, name] if !name.text.is_empty() => {
            (path, if provider.text.is_empty() { "*" } else { provider.text.as_str() }, name)
        }
        _ => {
            return Err(Diagnostic::error(spec.span, "`usdt` needs a program or library and a probe")
                .help("write `usdt:/path/to/program:provider:name`, or `usdt:*:name` with `-p PID`"));
        }
    };
    let any_file = usdt::is_pattern(&path.text);
    if let Some(Err(reason)) = target.binaries.get(&path.text) {
        return Err(Diagnostic::error(path.span, reason.clone()));
    }
    let mut sites = Vec::new();
    let mut candidates: Vec<&str> = Vec::new();
    for (file, (known, binary)) in target.binaries.iter().enumerate() {
        if if any_file { !usdt::is_meant(&path.text, known) } else { *known != path.text } {
            continue;
        }
        // Whatever else a process has mapped.
        let Ok(binary) = binary else { continue };
        for (marker, known) in binary.markers.iter().enumerate() {
            candidates.push(&known.name);
            if is_meant(known, provider, &name.text) {
                let event = Event::Usdt { file, marker };
                sites.push(Site { name: full_name(binary, known), event, span: spec.span });
            }
        }
    }
    if !sites.is_empty() {
        return Ok(sites);
    }
    let place = if any_file { "the process's files" } else { path.text.as_str() };
    if candidates.is_empty() {
        return Err(Diagnostic::error(path.span, format!("there are no probes in {place}"))
            .label("its authors have put none there, or the notes that tell of them are stripped"));
    }
    let wanted = if provider == "*" { name.text.clone() } else { format!("{provider}:{}", name.text) };
    let error = Diagnostic::error(name.span, format!("there is no probe `{wanted}` in {place}"));
    Err(proposing(error, &name.text, candidates))
}

/// The marker of a place.
pub fn marker(target: &Target, file: usize, marker: usize) -> &Marker {
    let binary = target.binaries.values().nth(file).and_then(|binary| binary.as_ref().ok());
    binary.and_then(|binary| binary.markers.get(marker)).expect("analysis has taken it from there")
}

/// Where the argument of a place is, or why it cannot be had.
pub fn argument(marker: &Marker, index: u32) -> Result<Argument, String> {
    match marker.arguments.get(index as usize) {
        Some(Ok(argument)) => Ok(*argument),
        Some(Err(reason)) => Err(format!("`arg{index}` cannot be read: {reason}")),
        None => Err(match marker.arguments.len() {
            0 => "this probe has no arguments".to_owned(),
            1 => "this probe has one argument, `arg0`".to_owned(),
            count => format!("the arguments of this probe are `arg0` to `arg{}`", count - 1),
        }),
    }
}
