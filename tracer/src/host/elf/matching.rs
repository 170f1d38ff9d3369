//! Patterns of paths, `/usr/lib/*/libc.so*`: which files they mean. A `*` stands for any text without a `/`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::open::{self, Root};
use crate::pattern::matches;

/// Most files, and folders at a level, that a pattern is followed to: there are some thousand libraries in a system.
const MOST: usize = 4096;

/// Whether a pattern means a file: all of its path, or, of a pattern without a `/`, its name.
pub fn is_meant(pattern: &str, path: &str) -> bool {
    if !pattern.contains('/') {
        return matches(pattern, path.rsplit('/').next().unwrap_or(path));
    }
    let (patterns, names) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == names.clone().count()
        && patterns.zip(names).all(|(pattern, name)| matches(pattern, name))
}

/// The regular files that a pattern with a `/` means, in the order of their paths. What has several, by links, is one file:
/// its code is probed once.
pub fn files(pattern: &str, root: &Root) -> Vec<String> {
    let Some(parts) = pattern.strip_prefix('/') else { return Vec::new() };
    let mut paths = vec![PathBuf::from("/")];
    for part in parts.split('/').filter(|part| !part.is_empty()) {
        paths = match part.contains('*') {
            false => paths.into_iter().map(|folder| folder.join(part)).collect(),
            true => paths.into_iter().flat_map(|folder| entries(&folder, part, root)).take(MOST).collect(),
        };
    }
    paths.sort();
    let mut seen = BTreeSet::new();
    let new = |path: &PathBuf| {
        // Whatever else matches: folders, what may not be read.
        let status = open::open(path, root).and_then(|file| open::status(path, &file));
        status.is_ok_and(|status| seen.insert((status.dev(), status.ino())))
    };
    paths.into_iter().filter(new).filter_map(|path| path.into_os_string().into_string().ok()).collect()
}

/// What in a folder has a name that matches; those that begin with a dot do if the pattern does.
fn entries(folder: &Path, pattern: &str, root: &Root) -> Vec<PathBuf> {
    // What is no folder has none.
    let names = open::names(folder, root).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let meant = names.filter(|name| matches(pattern, name) && (!name.starts_with('.') || pattern.starts_with('.')));
    meant.map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_what_is_between_two_slashes() {
        assert!(is_meant("/usr/lib/*/libc.so*", "/usr/lib/x86_64-linux-gnu/libc.so.6"));
        assert!(!is_meant("/usr/lib/*/libc.so*", "/usr/lib/a/b/libc.so.6"));
        assert!(!is_meant("/usr/lib/*", "/usr/lib") && !is_meant("/usr/*", "/usr/lib/libc.so.6"));
        assert!(is_meant("libc*", "/usr/lib/libc.so.6") && !is_meant("libc*", "/libc/a.out"));
    }

    #[test]
    fn a_pattern_finds_each_file_once_and_nothing_but_files() {
        let folder = std::env::temp_dir().join(format!("ctrace-matching-{}", std::process::id()));
        for name in ["a/one", "b/one", "b/.one", "c/two", "b/on/one"] {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("ours");
            std::fs::write(path, "x").expect("ours");
        }
        std::os::unix::fs::symlink("../a/one", folder.join("c/one")).expect("ours");
        let found = |pattern: &str| -> Vec<String> {
            let found = files(&format!("{}/{pattern}", folder.display()), &Root::Own);
            found.iter().map(|path| path.replace(&format!("{}/", folder.display()), "")).collect()
        };
        assert_eq!(found("*/one"), ["a/one", "b/one"], "c/one is a/one");
        assert_eq!(found("*/on*"), ["a/one", "b/one"], "b/on is a folder");
        assert_eq!(found("b/.*"), ["b/.one"]);
        assert_eq!(found("c/*"), ["c/one", "c/two"]);
        assert_eq!(found("nothing*/one"), [""; 0]);
        assert_eq!(files("./*", &Root::Own), [""; 0], "whose folder is meant is said by nobody");
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}
