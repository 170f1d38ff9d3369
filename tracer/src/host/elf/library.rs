//! Libraries by their bare names, as `uprobe:libc:malloc` has them: the one that the process has mapped, or else the one
//! that a dynamic linker would find.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::open::{self, Root};

/// Where dynamic linkers look, besides what `/etc/ld.so.conf` says (ld.so(8), and musl's `/lib:/usr/local/lib:/usr/lib`).
const FOLDERS: [&str; 7] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// The library of this name (`libc`, `libc.so.6`).
pub fn find(name: &str, root: &Root) -> Option<(PathBuf, File)> {
    mapped(root)
        .into_iter()
        .filter(|mapping| is_meant(name, &mapping.path))
        .find_map(|mapping| open_elf(mapping.path, root))
        .or_else(|| folders(root).into_iter().find_map(|folder| find_in(&folder, name, root)))
}

/// A file that a process runs code of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// Its path in the process's file system, or where it was before it was removed.
    pub path: PathBuf,
    /// Where its code is: the name of the entry in `/proc/PID/map_files`, which leads to the file itself whatever its
    /// path leads to by now.
    pub range: String,
}

/// The files that a process runs code of, each once, by their paths.
pub fn mapped(root: &Root) -> Vec<Mapping> {
    let Root::Process(pid) = root else { return Vec::new() };
    // A process that is gone, or that may not be looked at, has none; that is said where its root is opened.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    // One that has another root than ours, but our mounts, is shown with its files' paths from our root on.
    let own_root = fs::read_link(format!("/proc/{pid}/root")).unwrap_or_default();
    let mut mapped: Vec<Mapping> = maps.lines().filter_map(|line| mapping(line, &own_root)).collect();
    mapped.sort();
    mapped.dedup_by(|a, b| a.path == b.path);
    mapped
}

/// A line of `/proc/PID/maps`, if it is of code from a file.
fn mapping(line: &str, root: &Path) -> Option<Mapping> {
    let mut words = line.split(' ');
    let (range, flags) = (words.next()?, words.next()?);
    let path = &line[line.find('/')?..];
    let path = Path::new(path.strip_suffix(" (deleted)").unwrap_or(path));
    // As map_files names it: without zeros in front.
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|bound| u64::from_str_radix(bound, 16).ok());
    flags.contains('x').then_some(Mapping {
        path: path.strip_prefix(root).map_or_else(|_| path.to_owned(), |below| Path::new("/").join(below)),
        range: format!("{:x}-{:x}", start?, end?),
    })
}

/// Whether a file is one that a name means: whatever comes behind `.so`.
fn is_meant(name: &str, path: &Path) -> bool {
    let Some(file) = path.file_name().and_then(|file| file.to_str()) else { return false };
    let of_musl = name == "libc" && (file.starts_with("ld-musl-") || file.starts_with("libc.musl-"));
    file == name || of_musl || file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".so"))
}

fn find_in(folder: &Path, name: &str, root: &Root) -> Option<(PathBuf, File)> {
    let names = open::names(folder, root).ok()?;
    let mut paths: Vec<PathBuf> =
        names.into_iter().map(|name| folder.join(name)).filter(|path| is_meant(name, path)).collect();
    // The names with which programs ask for a library are shorter than those of its files.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    paths.into_iter().find_map(|path| open_elf(path, root))
}

/// `libc.so` may be a text for the linker, and does not count.
fn open_elf(path: PathBuf, root: &Root) -> Option<(PathBuf, File)> {
    let file = open::open(&path, root).ok()?;
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).ok()?;
    (magic == *b"\x7fELF").then_some((path, file))
}

/// Where libraries are, first those that the configuration adds.
fn folders(root: &Root) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let included = open::names(Path::new("/etc/ld.so.conf.d"), root).unwrap_or_default();
    let included = included.into_iter().map(|name| Path::new("/etc/ld.so.conf.d").join(name));
    for file in included.chain(["/etc/ld.so.conf".into()]).filter(|file| file.extension().is_some_and(|e| e == "conf"))
    {
        let text = match open::open(&file, root).map(text) {
            Ok(Ok(text)) => text,
            _ => continue, // there need not be any
        };
        folders.extend(text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from));
    }
    folders.extend(FOLDERS.map(PathBuf::from));
    folders
}

/// A short text.
fn text(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    if file.take(1 << 16).read_to_string(&mut text)? == 1 << 16 {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_a_library_of_any_version_and_of_any_libc() {
        let meant = |name, path: &str| is_meant(name, Path::new(path));
        assert!(meant("libc", "/usr/lib/libc.so.6") && meant("libc.so.6", "/lib/libc.so.6"));
        assert!(meant("libc", "/lib/ld-musl-x86_64.so.1") && meant("libc", "/lib/libc.musl-x86_64.so.1"));
        assert!(!meant("libc", "/lib/libcap.so.2") && !meant("libm", "/lib/ld-musl-x86_64.so.1"));
    }

    #[test]
    fn what_a_process_has_mapped_comes_first() {
        let own = std::env::current_exe().expect("it has a path");
        let name = own.file_name().and_then(|name| name.to_str()).expect("a name");
        let (path, _) = find(name, &Root::Process(std::process::id())).expect("our own program");
        assert_eq!(path, own);
        assert!(find("libnothing", &Root::Own).is_none());
    }

    #[test]
    fn mappings_of_code_have_paths_in_the_process_s_root() {
        let line = |flags: &str, path: &str| format!("00400000-00452000 {flags} 00000000 08:02 173521      {path}");
        let found = |line: &str, root: &str| mapping(line, Path::new(root)).map(|mapping| mapping.path);
        assert_eq!(found(&line("r-xp", "/bin/a b"), "/"), Some("/bin/a b".into()));
        assert_eq!(found(&line("r-xp", "/bin/a (deleted)"), "/"), Some("/bin/a".into()));
        assert_eq!(found(&line("r-xp", "/jail/bin/a"), "/jail"), Some("/bin/a".into()));
        assert_eq!(found(&line("r-xp", "/bin/a"), "/jail"), Some("/bin/a".into()));
        assert_eq!(found(&line("r--p", "/bin/a"), "/"), None);
        assert_eq!(found(&line("r-xp", "[vdso]"), "/"), None);
        let range = mapping(&line("r-xp", "/bin/a"), Path::new("/")).map(|mapping| mapping.range);
        assert_eq!(range.as_deref(), Some("400000-452000"));
    }
}
