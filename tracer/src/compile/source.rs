//! Source text and positions in it.

use std::fmt;
use std::ops::Range;

/// A script: where it came from, and its text; behind it, the texts of what it imports.
#[derive(Clone, Debug)]
pub struct Source {
    /// A file's path as it was given, `stdin`, `-e` or `tool:NAME`.
    pub name: String,
    /// The whole text, and after it those of the imported files, so that one position tells the file as well.
    pub text: String,
    /// The files that are imported, in the order in which they are to be read: behind those that they import.
    pub imports: Vec<Imported>,
}

/// A file that a script imports.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its path.
    pub name: String,
    /// Where its text is.
    pub span: Span,
}

impl Source {
    /// A script that imports nothing, so far.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), imports: Vec::new() }
    }

    /// Puts the text of an imported file behind all others; tells where it is then.
    pub fn import(&mut self, name: impl Into<String>, text: &str) -> Span {
        self.text.push('\n');
        let span = Span::new(self.text.len(), self.text.len() + text.len());
        self.text.push_str(text);
        self.imports.push(Imported { name: name.into(), span });
        span
    }

    /// Where the script's own text is.
    pub fn own(&self) -> Span {
        let others = self.imports.iter().map(|imported| imported.span.range().start - 1);
        let end = others.min().unwrap_or(self.text.len());
        Span::new(0, end)
    }

    /// The file that a position is in: its name, and where its text is.
    pub fn file_at(&self, position: u32) -> (&str, Span) {
        let is_in = |span: Span| (span.start..=span.end).contains(&position);
        let imported = self.imports.iter().find(|imported| is_in(imported.span));
        imported.map_or((&self.name, self.own()), |imported| (&imported.name, imported.span))
    }

    /// The line of a position in its file, and the byte in that line; both count from 1.
    pub fn line_and_column(&self, position: u32) -> (u32, u32) {
        let (_, file) = self.file_at(position);
        let before = self.text.get(file.range().start..position as usize).unwrap_or(&self.text[file.range()]);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() as u32 + 1, (before.len() - line_start) as u32 + 1)
    }
}

/// A range of bytes of the source text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Of what is not about any part of the text.
    pub const NOWHERE: Span = Span { start: u32::MAX, end: u32::MAX };

    /// The span from `start` to before `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// As an index into the text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_tells_the_file() {
        let mut source = Source::new("main", "import \"a\";\nBEGIN { }");
        let end = source.text.len();
        source.import("a", "x\ny");
        source.import("b", "");
        assert_eq!(source.own(), Span::new(0, end));
        assert_eq!(source.file_at(end as u32), ("main", Span::new(0, end)));
        let y = source.text.rfind('y').expect("it is there") as u32;
        assert_eq!(source.file_at(y), ("a", Span::new(end + 1, end + 4)));
        assert_eq!((source.line_and_column(y), source.line_and_column(14)), ((2, 1), (2, 3)));
        assert_eq!(source.file_at(source.text.len() as u32).0, "b");
    }
}
