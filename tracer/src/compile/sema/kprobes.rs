//! Probes in functions of the kernel: `kprobe:FUNCTION`, `kprobe:MODULE:FUNCTION`, `…+OFFSET`, and `kretprobe`;
//! `fentry:FUNCTION` and `fexit:FUNCTION`, which are the same by trampolines, with arguments and results of known types.
//!
//! What there is to probe has been looked for before analysis: [`mentions`] says what is wanted, and the target has the
//! functions that are meant. Such an event is attributed to the task that runs when the function is called. For what
//! interrupts do (timers, packets that arrive) that is whoever was interrupted.

use super::probes::{Event, Site};
use super::proposing;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::host::functions::{Function, Mention};
use crate::plan::Missing;

/// A kind of probe in the kernel's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its full name.
    pub name: &'static str,
    /// Whether it is where functions return.
    pub exit: bool,
    /// Whether it is a trampoline, for which the kernel must describe the function (BTF), and not a breakpoint.
    pub typed: bool,
}

/// The kind of this name or alias.
pub fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "kprobe" | "k" => Kind { name: "kprobe", exit: false, typed: false },
        "kretprobe" | "kr" => Kind { name: "kretprobe", exit: true, typed: false },
        "fentry" | "f" | "kfunc" => Kind { name: "fentry", exit: false, typed: true },
        "fexit" | "fr" | "kretfunc" => Kind { name: "fexit", exit: true, typed: true },
        _ => return None,
    })
}

/// What a script wants to know of the kernel's functions.
pub fn mentions(script: &ast::Script) -> Vec<Mention> {
    let specs = script.probes.iter().flat_map(|probe| &probe.specs);
    let wanted = specs.filter_map(|spec| {
        let (kind_name, fields) = spec.fields.split_first()?;
        kind(&kind_name.text)?;
        Some(mention(fields)?.0)
    });
    wanted.collect()
}

/// The kind of probe and the functions that a pattern of `-l` asks for, if it is one for the kernel's functions.
pub fn pattern(text: &str) -> Option<(Kind, Mention)> {
    let (provider, rest) = text.split_once(':').unwrap_or((text, "*"));
    let kind = kind(provider)?;
    let (module, function) = match rest.split_once(':') {
        Some((module, function)) => (Some(module.to_owned()), function),
        None => (None, rest),
    };
    Some((kind, Mention { module, function: function.to_owned() }))
}

/// The function that is meant, and what is written behind its `+`.
fn mention(fields: &[ast::Name]) -> Option<(Mention, Option<&str>)> {
    let (module, function) = match fields {
        [function] => (None, function),
        [module, function] => (Some(module.text.clone()), function),
        _ => return None,
    };
    let (function, offset) = match function.text.split_once('+') {
        Some((function, offset)) => (function, Some(offset)),
        None => (function.text.as_str(), None),
    };
    (!function.is_empty()).then(|| (Mention { module, function: function.to_owned() }, offset))
}

/// The places of a specification, at least one.
pub fn expand(spec: &ast::ProbeSpec, kind: Kind, target: &Target) -> Result<Vec<Site>, Diagnostic> {
    let provider = kind.name;
    let fields = spec.fields.get(1..).unwrap_or_default();
    let (Some((mention, offset)), Some(last)) = (mention(fields), fields.last()) else {
        return Err(Diagnostic::error(spec.span, format!("`{provider}` needs a function of the kernel"))
            .help(format!("write `{provider}:vfs_read` or `{provider}:MODULE:FUNCTION`")));
    };
    let offset = match offset {
        None => 0,
        Some(_) if kind.typed => {
            return Err(Diagnostic::error(last.span, "only calls and returns of whole functions can be traced so")
                .help(format!("write `kprobe:{}`", last.text)));
        }
        Some(_) if kind.exit => {
            return Err(Diagnostic::error(last.span, "a function returns as a whole: an offset means nothing there"));
        }
        Some(text) => {
            number(text).ok_or_else(|| Diagnostic::error(last.span, format!("`{text}` is not an offset in bytes")))?
        }
    };
    let many = mention.function.contains('*') || mention.module.as_deref().is_some_and(|name| name.contains('*'));
    let missing = if many { Missing::Warn } else { Missing::Refuse };
    let site = |(index, function): (usize, &Function)| {
        let shown = kind.typed || mention.module.is_some();
        let module = if shown { format!("{}:", function.module()) } else { String::new() };
        let distance = if offset == 0 { String::new() } else { format!("+{offset}") };
        Site {
            name: format!("{provider}:{module}{}{distance}", function.name),
            event: match kind.typed {
                false => Event::KernelFunction { function: index, exit: kind.exit, offset, missing },
                true => Event::KernelCall { function: index, exit: kind.exit, missing },
            },
            span: spec.span,
        }
    };
    let functions = target.kernel_functions.iter().enumerate();
    let meant: Vec<(usize, &Function)> =
        functions.filter(|(_, function)| mention.means(&function.name, function.module.as_deref())).collect();
    if meant.is_empty() {
        return Err(no_function(last, &mention, target));
    }
    let described = |&(_, function): &(usize, &Function)| !kind.typed || function.ty.is_some();
    if !meant.iter().any(described) {
        let error = format!("the kernel does not say what `{}` takes and returns", mention.function);
        return Err(Diagnostic::error(last.span, error).help("use `kprobe` or `kretprobe`"));
    }
    if offset != 0 && meant.len() > 1 {
        return Err(Diagnostic::error(last.span, "an offset means something in one function only"));
    }
    Ok(meant.into_iter().filter(described).map(site).collect())
}

/// `123`, `0x7b`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn no_function(at: &ast::Name, mention: &Mention, target: &Target) -> Diagnostic {
    let Mention { module, function } = mention;
    let of = module.as_ref().map(|module| format!(" of `{module}`")).unwrap_or_default();
    if function.contains('*') {
        return Diagnostic::error(at.span, format!("no function{of} that can be probed matches `{function}`"));
    }
    let of = if of.is_empty() { " of the kernel".to_owned() } else { of };
    let error = Diagnostic::error(at.span, format!("there is no function `{function}`{of}"));
    let names = target.types.iter().flat_map(|types| types.functions()).map(|(name, _)| name);
    let error = proposing(error, function, names);
    if error.help.is_empty() { error.help("one that is inlined wherever it is called cannot be probed") } else { error }
}
