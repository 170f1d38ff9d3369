//! Functions that no probe calls: what is wrong with them is told all the same.
//!
//! They are checked as if each were the action of a probe of its own, beside the script's, so that its maps have types. Which
//! kind of probe a function is meant for is not known: it is right if it could stand in any of the script's, or in `begin`.

use super::check;
use super::clauses::{self, Instance};
use super::config;
use super::probes::{self, Event, Site};
use crate::compile::diagnostics::{Diagnostic, Severity};
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::plan::ProbeId;

/// Most kinds of probes that functions are tried in.
const MOST_EVENTS: usize = 8;

/// Errors in `functions`, which are as [`crate::compile::expand::Expanded::uncalled`] has them.
pub fn check(script: &ast::Script, functions: Vec<ast::Probe>, target: &Target) -> Vec<Diagnostic> {
    if functions.is_empty() {
        return Vec::new();
    }
    let (settings, _) = config::settings(script, &target.environment);
    let name = |text: &str| ast::Name { text: text.to_owned(), span: Span::NOWHERE };
    let begin = ast::ProbeSpec { fields: vec![name("begin")], span: Span::NOWHERE };
    let (of_script, _, _) = clauses::instances(script, &settings, target);
    // A place to stand in: that of the first probe that is more than `begin`, if there is one.
    let mut sites: Vec<Site> = Vec::new();
    let more = of_script.iter().map(|instance| instance.sites[0].clone());
    let more = more.filter(|site| !matches!(site.event, Event::Begin | Event::End));
    for site in more.chain(probes::expand(&begin, target).into_iter().flatten()) {
        let known =
            sites.iter().any(|known| std::mem::discriminant(&known.event) == std::mem::discriminant(&site.event));
        if !known && sites.len() < MOST_EVENTS {
            sites.push(site);
        }
    }
    let functions: Vec<ast::Probe> =
        functions.into_iter().map(|function| ast::Probe { specs: vec![begin.clone()], ..function }).collect();
    let mut wrong: Vec<Option<Vec<Diagnostic>>> = vec![None; functions.len()];
    for site in sites {
        let (mut instances, _, _) = clauses::instances(script, &settings, target);
        instances.extend(functions.iter().map(|probe| Instance {
            probe,
            sites: vec![site.clone()],
            ids: vec![ProbeId(0)],
            of_current: true,
        }));
        let found = check::check(&instances, &script.definitions, &settings, target).diagnostics;
        for (function, wrong) in functions.iter().zip(&mut wrong) {
            let inside = |found: &&Diagnostic| {
                let (own, place) = (function.span.range(), found.span.range());
                found.severity == Severity::Error && own.start <= place.start && place.end <= own.end
            };
            let errors: Vec<Diagnostic> = found.iter().filter(inside).cloned().collect();
            match wrong {
                _ if errors.is_empty() => *wrong = Some(errors),
                None => *wrong = Some(errors),
                Some(_) => {}
            }
        }
    }
    wrong.into_iter().flatten().flatten().collect()
}
