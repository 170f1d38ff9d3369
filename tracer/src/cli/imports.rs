//! The files that a script imports, read and put behind its text.
//!
//! `import "name.bt";` names a file, or a folder, which stands for all scripts in it. It is looked for beside the file that
//! imports it, then beside the script that is run. A file is read once, however often it is imported; what it imports
//! comes before it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::{Source, Span};
use crate::compile::syntax::{self, MAX_SOURCE, ast::Import};

/// Most files that a script may import.
const MAX_FILES: usize = 256;

/// Endings of files in C or made from it, which only a C compiler can make something of.
const OF_C: [&str; 5] = [".h", ".c", ".o", ".hpp", ".so"];

/// What bpftrace's standard library is made of, as far as scripts can import it. What it has is built in here.
const LIBRARY: [&str; 9] = [
    "stdlib",
    "stdlib/map",
    "stdlib/process",
    "stdlib/stack",
    "stdlib/strings",
    "stdlib/system",
    "stdlib/task",
    "stdlib/test",
    "stdlib/usdt",
];

/// Reads all that a script imports, directly or not. On failure, what is wrong with which import.
pub fn load(source: &mut Source) -> Result<(), Vec<Diagnostic>> {
    let folder = Path::new(&source.name).parent().map_or_else(PathBuf::new, Path::to_owned);
    let own = source.own();
    let seen = fs::canonicalize(&source.name).into_iter().collect();
    let mut loader = Loader { source, folder: folder.clone(), seen, finished: Vec::new(), errors: Vec::new() };
    loader.imports_of(own, &folder);
    let Loader { finished, errors, .. } = loader;
    if !errors.is_empty() {
        return Err(errors);
    }
    source.imports = finished.into_iter().map(|index| source.imports[index].clone()).collect();
    Ok(())
}

struct Loader<'s> {
    source: &'s mut Source,
    /// Of the script that is run.
    folder: PathBuf,
    /// The files that have been read, or are being read.
    seen: HashSet<PathBuf>,
    /// Those whose imports have been read as well, as indices of the source's files.
    finished: Vec<usize>,
    errors: Vec<Diagnostic>,
}

impl Loader<'_> {
    /// Reads what the file at `span` imports; the file lies in `folder`.
    fn imports_of(&mut self, span: Span, folder: &Path) {
        for import in syntax::imports(self.source, span) {
            if let Err(error) = self.import(&import, folder) {
                self.errors.push(error);
            }
        }
    }

    fn import(&mut self, import: &Import, folder: &Path) -> Result<(), Diagnostic> {
        let name = &import.path;
        if OF_C.iter().any(|ending| name.ends_with(ending)) {
            let error = Diagnostic::error(import.span, format!("`{name}` is C, and ctrace has no C compiler"));
            return Err(error.help(
                "kernel types come from the running kernel's BTF; other types and constants can be \
                                   defined in the script",
            ));
        }
        let mut places = vec![folder.join(name), self.folder.join(name)];
        places.dedup();
        let Some(path) = places.iter().find(|place| place.exists()) else {
            if LIBRARY.contains(&name.trim_end_matches('/')) {
                return Ok(());
            }
            let places: Vec<_> = places.iter().map(|place| format!("`{}`", place.display())).collect();
            let error = Diagnostic::error(import.span, format!("there is no file or folder `{name}` to import"))
                .help(format!("looked for {}", places.join(", then for ")));
            return Err(error);
        };
        let files = if path.is_dir() { scripts_in(path) } else { Ok(vec![path.clone()]) };
        let refuse = |error: io::Error| Diagnostic::error(import.span, format!("cannot import `{name}`: {error}"));
        for file in files.map_err(refuse)? {
            self.file(&file, import.span).map_err(refuse)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, import: Span) -> io::Result<()> {
        if !self.seen.insert(fs::canonicalize(path)?) {
            return Ok(());
        }
        if self.source.imports.len() >= MAX_FILES {
            return Err(io::Error::other(format!("more than {MAX_FILES} files are imported")));
        }
        let text = read(path, MAX_SOURCE.saturating_sub(self.source.text.len()))?;
        let index = self.source.imports.len();
        let span = self.source.import(path.display().to_string(), &text);
        let before = self.errors.len();
        self.imports_of(span, path.parent().unwrap_or(Path::new("")));
        for error in &mut self.errors[before..] {
            error.also.push((import, "imported from here".to_owned()));
        }
        self.finished.push(index);
        Ok(())
    }
}

/// The scripts in a folder, by name.
fn scripts_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bt") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file of at most so many bytes. What is no plain file is not opened: it might never end.
fn read(path: &Path, most: usize) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut text = String::new();
    File::open(path)?.take(most as u64 + 1).read_to_string(&mut text)?;
    if text.len() > most {
        return Err(io::Error::other(format!("a script and all that it imports may have {MAX_SOURCE} bytes")));
    }
    Ok(text)
}
