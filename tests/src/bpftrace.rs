//! bpftrace in the place of ctrace: in a root of its own, told who a case's processes are.
//!
//! bpftrace sees the whole machine, and a case its own cgroup. So each probe of a script that could see others gets a
//! predicate on that cgroup, and bpftrace itself runs outside of it: `-c CMD` enters it before it becomes the command.
//! For the rest a case's line runs as it stands, with programs of its names in PATH:
//!
//! | program | is |
//! |---|---|
//! | `ctrace` | a shell script that gives its arguments to bpftrace |
//! | `bpftrace/ctrace` | bpftrace's program, under the name that cases know |
//! | `peer` | the test program; it is also what enters the case's cgroup and becomes the command |

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cgroup::Cgroup;
use crate::process;

/// How long bpftrace may take for a case; starting takes half a second of it.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Runs the rest of the arguments in a mount namespace with tracefs, and, unless the first argument is empty, in that root
/// with this machine's /proc, /sys, /dev and /tmp. All mounts are gone with the process.
const IN_NAMESPACE: &str = r#"
set -e
root=$1; shift
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
[ -n "$root" ] || exec "$@"
for dir in proc sys dev tmp; do mount --rbind /$dir "$root/$dir"; done
exec chroot "$root" "$@"
"#;

/// Where scripts and programs lie, inside of the root and outside.
const SHARED: &str = "/tmp";

/// What is on the command line and means the same or nothing to bpftrace is passed on or left out. It would cut a command at
/// every blank, quoted or not; one that cannot be run is its own to refuse. The process of `-p` enters the case's cgroup.
const CTRACE: &str = r#"#!/bin/sh
left=$#
while [ $left -gt 0 ]; do
    word=$1; shift; left=$((left - 1))
    case $word in
    -c)
        what=$1
        program=$(command -v "${1%% *}")
        if [ -f "$program" ] && [ -x "$program" ]; then
            printf %s "$1" > "$FOLDER/words-$$"
            what="$FOLDER/peer enter=$SCOPE words=$FOLDER/words-$$"
        fi
        set -- "$@" -c "$what"; shift; left=$((left - 1)) ;;
    -p)
        [ ! -d "/proc/$1" ] || echo "$1" > "$SCOPE/cgroup.procs"
        set -- "$@" -p "$1"; shift; left=$((left - 1)) ;;
    --strict) ;;
    --scope) [ "$1" = host ] || set -- "$@" "$word" "$1"; shift; left=$((left - 1)) ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec "$FOLDER/bpftrace/ctrace" --traceable-functions "$FOLDER/functions" "$@"
"#;

/// A command whose arguments are a command to run in `root`, which may be empty: then in this machine's own.
pub fn in_root(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", IN_NAMESPACE, "sh"]).arg(root);
    command
}

/// bpftrace, ready to run cases. The folder with its programs is removed with it.
#[derive(Debug)]
pub struct Bpftrace {
    root: PathBuf,
    folder: PathBuf,
}

impl Bpftrace {
    /// Makes the programs; `root` is the tree that bpftrace is installed in.
    pub fn new(root: &Path, peer: &Path) -> Result<Self> {
        ensure!(env::temp_dir() == Path::new(SHARED), "temporary files must lie in {SHARED}, not elsewhere by TMPDIR");
        let folder = Path::new(SHARED).join(format!("ctrace-compare-{}", std::process::id()));
        fs::create_dir_all(folder.join("bpftrace"))?;
        let made = Self { root: root.to_owned(), folder };
        let bpftrace = root.join("usr/bin/bpftrace");
        fs::copy(&bpftrace, made.folder.join("bpftrace/ctrace"))
            .with_context(|| format!("cannot copy {}", bpftrace.display()))?;
        fs::copy(peer, made.folder.join("peer"))?;
        // It knows a raw tracepoint by a function of the kernel, and looks for those where not every machine lets it.
        fs::write(made.folder.join("functions"), functions()?)?;
        let ctrace = made.folder.join("ctrace");
        fs::write(&ctrace, CTRACE)?;
        fs::set_permissions(&ctrace, fs::Permissions::from_mode(0o755))?;
        Ok(made)
    }

    /// PATH with its programs first.
    pub fn path(&self) -> Result<OsString> {
        let system = env::var_os("PATH").unwrap_or_default();
        let root_only = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let folders = [self.folder.clone()].into_iter().chain(env::split_paths(&system)).chain(root_only);
        Ok(env::join_paths(folders)?)
    }

    /// A command that starts in `cgroup` as `line`, with bpftrace called ctrace and what it starts in `scope`.
    pub fn command(&self, cgroup: &Cgroup, scope: &Cgroup, line: &str) -> Command {
        let words = in_root(&self.root);
        let words =
            [words.get_program()].into_iter().chain(words.get_args()).map(|word| quote(&word.to_string_lossy()));
        let typed = words.collect::<Vec<_>>().join(" ");
        let mut command = process::command(cgroup, &format!("exec {typed} sh -c {}", quote(line)));
        command.env("FOLDER", &self.folder).env("SCOPE", scope.path());
        command
    }
}

/// The names of the kernel's functions, one a line.
fn functions() -> Result<String> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("cannot read the kernel's symbols")?;
    let names = symbols.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "t" | "T", name] => Some(format!("{name}\n")),
        _ => None,
    });
    Ok(names.collect())
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("left behind: {}: {error}", self.folder.display());
        }
    }
}

/// The predicate that only holds for processes of `scope`.
pub fn predicate(scope: &Cgroup) -> Result<String> {
    Ok(format!("cgroup == {}", fs::metadata(scope.path())?.ino()))
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
