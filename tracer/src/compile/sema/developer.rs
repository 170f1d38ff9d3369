//! `bench:NAME`, `test:NAME`: what bpftrace runs in its developers' modes (`--bench`, `--test`) and leaves out otherwise.
//! ctrace has no such modes: it leaves them out, and says so.

use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;

/// Whether it is a probe that only developers' modes run.
pub fn is_kind(name: &str) -> bool {
    matches!(name, "bench" | "BENCH" | "test")
}

/// What is said of such a probe: a warning, unless it has no name.
pub fn left_out(spec: &ast::ProbeSpec) -> Option<Diagnostic> {
    let (kind, rest) = spec.fields.split_first()?;
    if !is_kind(&kind.text) {
        return None;
    }
    let kind = kind.text.to_lowercase();
    let finding = match rest {
        [name] if !name.text.is_empty() => Diagnostic::warning(
            spec.span,
            format!("`{kind}:{}` is left out: nothing here runs `{kind}` probes", name.text),
        )
        .help(format!("bpftrace runs them with `--{kind}`, to try out its own code")),
        _ => Diagnostic::error(spec.span, format!("a `{kind}` probe needs a name")),
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::source::Span;

    fn said(text: &str) -> Option<(bool, String)> {
        let fields = text.split(':').map(|field| ast::Name { text: field.into(), span: Span::default() }).collect();
        let finding = left_out(&ast::ProbeSpec { fields, span: Span::default() })?;
        Some((finding.is_warning(), finding.message))
    }

    #[test]
    fn they_are_left_out_and_want_a_name() {
        let left_out = "`bench:count` is left out: nothing here runs `bench` probes".to_owned();
        assert_eq!(said("BENCH:count"), Some((true, left_out)));
        assert_eq!(said("test:"), Some((false, "a `test` probe needs a name".to_owned())));
        assert_eq!(said("begin"), None);
    }
}
