//! What the machine calls users and cgroups.

use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::procfs::{self, Mount};

/// The name of a user in /etc/passwd.
pub fn user(uid: u32) -> Option<String> {
    user_in(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

fn user_in(passwd: &str, uid: u32) -> Option<String> {
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    passwd.lines().find_map(name)
}

/// The paths of a cgroup in the hierarchies that are mounted here and whose name matches a pattern (`*` for anything):
/// `unified:/a,cpu:/b`. The hierarchy of v2 is called `unified`, and comes first.
pub fn cgroup_paths(id: u64, hierarchies: &str) -> String {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let named = |Mount { point, .. }: Mount, name: Option<&str>| {
        let point = PathBuf::from(point);
        let name = name.map_or_else(
            || point.file_name().map(|name| name.to_string_lossy().into_owned()),
            |name| Some(name.to_owned()),
        );
        Some((name?, point))
    };
    let unified =
        procfs::mounts(&mountinfo, "cgroup2").into_iter().take(1).filter_map(|mount| named(mount, Some("unified")));
    let mut others: Vec<_> =
        procfs::mounts(&mountinfo, "cgroup").into_iter().filter_map(|mount| named(mount, None)).collect();
    // A hierarchy may be mounted in several places.
    others.sort();
    others.dedup_by(|(a, _), (b, _)| a == b);
    let path = |(name, point): (String, PathBuf)| {
        let folder = matches(hierarchies, &name).then(|| folder_of(&point, id)).flatten()?;
        let below = folder.strip_prefix(&point).ok()?;
        Some(format!("{name}:/{}", below.display()))
    };
    unified.chain(others).filter_map(path).collect::<Vec<_>>().join(",")
}

/// The folder with this inode in a tree of cgroups.
fn folder_of(root: &Path, inode: u64) -> Option<PathBuf> {
    if fs::metadata(root).ok()?.ino() == inode {
        return Some(root.to_owned());
    }
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        // A cgroup that has gone since it was listed has nothing in it.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|ty| ty.is_dir())) {
            if entry.ino() == inode {
                return Some(entry.path());
            }
            pending.push(entry.path());
        }
    }
    None
}

/// Whether a name matches a pattern, in which `*` stands for anything.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\nmail:x:8:8::/var/mail:/bin/false\n";
        assert_eq!(user_in(passwd, 8).as_deref(), Some("mail"));
        assert_eq!(user_in(passwd, 0).as_deref(), Some("root"));
        assert_eq!(user_in(passwd, 9), None);
    }

    #[test]
    fn patterns_stand_for_any_number_of_characters() {
        assert!(matches("*", "unified") && matches("cpu*", "cpu") && matches("c*u*t", "cpuacct") && matches("", ""));
        assert!(!matches("cpu", "cpuset") && !matches("*x", "cpu") && !matches("c*set", "cpu"));
    }
}
