//! What the level of privilege does not allow: gathered by the rows of the table, so that each is told once.

use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::policy::{Level, Rule};
use crate::compile::source::Span;

/// How many further places of one refusal are shown.
const MORE_PLACES: usize = 3;

/// The refusals of a script.
#[derive(Default)]
pub struct Refusals {
    all: Vec<Refusal>,
    /// The clause whose probe is refused already: what is in it does not matter any more.
    probe_refused: Option<usize>,
}

/// One row of the table that a script needs and may not use.
struct Refusal {
    rule: &'static Rule,
    what: String,
    /// Where, in the order of the script.
    places: Vec<Span>,
}

impl Refusals {
    /// Notes that `what`, in the clause of this index, falls under a row that wants a higher level.
    pub fn note(&mut self, rule: &'static Rule, what: &str, span: Span, clause: usize) {
        if self.probe_refused == Some(clause) {
            return;
        }
        if what == PROBE {
            self.probe_refused = Some(clause);
        }
        match self.all.iter_mut().find(|known| std::ptr::eq(known.rule, rule) && known.what == what) {
            Some(known) if known.places.contains(&span) => {}
            Some(known) => known.places.push(span),
            None => self.all.push(Refusal { rule, what: what.to_owned(), places: vec![span] }),
        }
    }

    /// As errors. All of them name the level that would do for the whole script.
    pub fn told(self, level: Level) -> Vec<Diagnostic> {
        let wanted = self.all.iter().map(|refusal| refusal.rule.level).max();
        let told = self.all.into_iter().map(|Refusal { rule, what, places }| {
            let message = format!("{what} is not allowed at level `{level}`");
            let mut error = Diagnostic::error(places[0], message).label(rule.summary);
            for place in places.iter().skip(1).take(MORE_PLACES) {
                error = error.also(*place, "the same");
            }
            match places.len().saturating_sub(1 + MORE_PLACES) {
                0 => {}
                more => error = error.help(format!("the same in {more} more places")),
            }
            error.help(format!("run with `--level {}`", wanted.unwrap_or(rule.level)))
        });
        told.collect()
    }
}

/// What the probe itself is called where it is refused.
pub const PROBE: &str = "this probe";
