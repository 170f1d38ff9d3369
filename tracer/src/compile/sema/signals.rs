//! `self:signal:SIGUSR1`: ctrace itself has been sent a signal. User space runs the program, as it does that of an interval.

use super::probes::{Event, Site};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;

/// The place that a specification stands for: that of the only signal that bpftrace has for it.
pub fn expand(spec: &ast::ProbeSpec, rest: &[ast::Name]) -> Result<Site, Diagnostic> {
    const USAGE: &str = "write `self:signal:SIGUSR1`";
    let [what, which] = rest else {
        return Err(Diagnostic::error(spec.span, "`self` needs to know what happens to ctrace").help(USAGE));
    };
    if what.text != "signal" {
        return Err(Diagnostic::error(what.span, format!("`self` has no `{}`", what.text)).help(USAGE));
    }
    if which.text != "SIGUSR1" {
        let error = Diagnostic::error(which.span, format!("`{}` cannot be waited for", which.text));
        return Err(error.help("SIGUSR1 is the signal that scripts may use"));
    }
    Ok(Site { name: "self:signal:SIGUSR1".into(), event: Event::Signal, span: spec.span })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::source::Span;

    fn expand_text(text: &str) -> Result<Site, String> {
        let fields: Vec<ast::Name> =
            text.split(':').map(|field| ast::Name { text: field.into(), span: Span::default() }).collect();
        let spec = ast::ProbeSpec { fields, span: Span::default() };
        expand(&spec, &spec.fields[1..]).map_err(|error| error.message)
    }

    #[test]
    fn there_is_one() {
        let site = expand_text("self:signal:SIGUSR1").unwrap();
        assert_eq!((site.name.as_str(), site.event), ("self:signal:SIGUSR1", Event::Signal));
        assert_eq!(expand_text("self:signal:SIGHUP").unwrap_err(), "`SIGHUP` cannot be waited for");
        assert_eq!(expand_text("self:keypress:space").unwrap_err(), "`self` has no `keypress`");
        assert_eq!(expand_text("self").unwrap_err(), "`self` needs to know what happens to ctrace");
    }
}
