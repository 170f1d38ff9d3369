//! Keeps a script under bpftrace to a scope: a predicate on every probe that could see others.

use tracer::compile::source::Source;
use tracer::compile::syntax;

/// Adds a predicate to every probe that fires for whoever comes by. A script with errors stays as it is: both refuse it.
pub fn with_predicate(text: &str, predicate: &str) -> String {
    let parsed = syntax::parse(&Source::new("case", text));
    let mut insertions = Vec::new();
    if parsed.errors.is_empty() {
        for probe in &parsed.script.probes {
            let by_itself = |kind: &str| ["begin", "end", "interval", "i", "self", "test", "bench"].contains(&kind);
            if probe.specs.iter().all(|spec| by_itself(&spec.fields[0].text.to_lowercase())) {
                continue;
            }
            match &probe.predicate {
                Some(condition) => {
                    insertions.push((condition.span.range().start, format!("{predicate} && (")));
                    insertions.push((condition.span.range().end, ")".to_owned()));
                }
                None => insertions.push((probe.body.span.range().start, format!("/{predicate}/ "))),
            }
        }
    }
    let mut text = text.to_owned();
    insertions.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    insertions.iter().for_each(|(place, what)| text.insert_str(*place, what));
    text
}
