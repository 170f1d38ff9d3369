//! What is wrong with a script, where, and what to do: data here, turned into text in one place.

use super::source::{Source, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The script is refused.
    Error,
    /// The script runs, but perhaps not as meant.
    Warning,
}

/// One finding about a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where; [`Span::NOWHERE`] if it is not about a part of the text.
    pub span: Span,
    /// What stands under the caret; may be empty.
    pub label: String,
    /// Other places that belong to it, each with its text ("opened here").
    pub also: Vec<(Span, String)>,
    /// What to do about it ("did you mean …?"), one line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            label: String::new(),
            also: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Whether the script can run all the same.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// The same with a text under the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with one more place marked.
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also.push((span, label.into()));
        self
    }

    /// The same with one more line of help.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// As text: message, source line, caret, help. Ends without a newline.
    pub fn render(&self, source: &Source, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let primary = (self.span, &self.label, AnnotationKind::Primary);
        let also = self.also.iter().map(|(span, label)| (*span, label, AnnotationKind::Context));
        // Each file is shown once, that of the finding first.
        let mut files: Vec<(Span, Snippet<'_, _>)> = Vec::new();
        for (span, label, kind) in std::iter::once(primary).chain(also).filter(|(span, ..)| *span != Span::NOWHERE) {
            let (name, file) = source.file_at(span.start);
            let within = |at: u32| (at.min(file.end) - file.start) as usize;
            let annotation = kind.span(within(span.start)..within(span.end)).label(label);
            match files.iter_mut().find(|(known, _)| *known == file) {
                Some((_, snippet)) => *snippet = snippet.clone().annotation(annotation),
                None => {
                    let snippet = Snippet::source(&source.text[file.range()]).path(name);
                    files.push((file, snippet.annotation(annotation)));
                }
            }
        }
        let group = Group::with_title(level.primary_title(&self.message));
        let mut group = files.into_iter().fold(group, |group, (_, snippet)| group.element(snippet));
        for help in &self.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// Several findings as text, an empty line between them. Ends without a newline.
pub fn render_all(diagnostics: &[Diagnostic], source: &Source, color: bool) -> String {
    let rendered: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(source, color)).collect();
    rendered.join("\n\n")
}

/// The candidate that `word` was most likely meant to be: at most a third of its letters differ (one, for words of
/// fewer than six). The first of several equally near wins.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters = letters(word);
    let mut allowed = (word.chars().count() / 3).max(1);
    let mut best: Option<&str> = None;
    for candidate in candidates {
        if candidate == word {
            return None;
        }
        // There may be tens of thousands: most are out of the question at a glance.
        let glance = candidate.len().abs_diff(word.len()) <= 4 * allowed // not even with four-byte letters
            && differing(&letters, candidate) <= 2 * allowed;
        if !(glance || allowed > 0 && word.eq_ignore_ascii_case(candidate)) {
            continue;
        }
        // Only what is nearer still is better: the first of several equally near wins.
        if let Some(distance @ 1..) = edit_distance(word, candidate, allowed) {
            best = Some(candidate);
            allowed = distance - 1;
        }
    }
    best
}

/// How often each byte stands in a text, by its lowest bits.
fn letters(text: &str) -> [i32; 64] {
    let mut counts = [0; 64];
    text.bytes().for_each(|byte| counts[usize::from(byte & 63)] += 1);
    counts
}

/// How many letters are in one text and not in the other, at least: replacing one makes up for two.
fn differing(letters: &[i32; 64], candidate: &str) -> usize {
    let mut counts = *letters;
    candidate.bytes().for_each(|byte| counts[usize::from(byte & 63)] -= 1);
    counts.iter().map(|count| count.unsigned_abs() as usize).sum()
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour (optimal string alignment), if
/// no more than `most`. Letters that differ only in case count as one, however many there are.
fn edit_distance(a: &str, b: &str, most: usize) -> Option<usize> {
    if most > 0 && a.eq_ignore_ascii_case(b) {
        return Some(1);
    }
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        // A swap may come back from the row before.
        if row.iter().chain(&last).all(|&distance| distance > most) {
            return None;
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&distance| distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_candidate_within_a_third_is_proposed() {
        let names = ["printf", "print", "count", "sum", "sys_enter_openat"];
        assert_eq!(did_you_mean("prinft", names), Some("printf"));
        assert_eq!(did_you_mean("cuont", names), Some("count"));
        assert_eq!(did_you_mean("Sum", names), Some("sum"));
        assert_eq!(did_you_mean("sys_enter_opennat", names), Some("sys_enter_openat"));
        assert_eq!(did_you_mean("sam", names), Some("sum"));
        assert_eq!(did_you_mean("avg", names), None);
        assert_eq!(did_you_mean("print", names), None, "the word itself is no proposal");
    }

    #[test]
    fn several_places_are_shown_in_one_finding() {
        let source = Source::new("-e", "BEGIN {\n  exit(\n");
        let diagnostic = Diagnostic::error(Span::new(15, 15), "this block is never closed")
            .label("expected `}`")
            .also(Span::new(6, 7), "opened here")
            .help("add `}`");
        assert_eq!(
            render_all(&[diagnostic.clone(), diagnostic], &source, false),
            "\
error: this block is never closed
 --> -e:2:8
  |
1 | BEGIN {
  |       - opened here
2 |   exit(
  |        ^ expected `}`
  |
  = help: add `}`

error: this block is never closed
 --> -e:2:8
  |
1 | BEGIN {
  |       - opened here
2 |   exit(
  |        ^ expected `}`
  |
  = help: add `}`"
        );
    }
}
