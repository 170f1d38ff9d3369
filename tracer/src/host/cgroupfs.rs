//! Finding a cgroup (v2) other than the caller's own: by path, by process, by container id.
//!
//! Needs the v2 tree to be mounted where the caller can see it, but for processes that share the caller's cgroups or
//! show their own mount of it (`/proc/PID/root`).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use tracer_common::identity::Identity;

use super::facts::{Facts, container_id};
use super::procfs::{self, Mount};
use super::scope::{Place, ScopeError, components, short};

/// The cgroup of a path in the hierarchy (`/docker/ID`) or in the file system (`/sys/fs/cgroup/docker/ID`).
pub fn of_path(path: &str, identity: &Identity) -> Result<Place, ScopeError> {
    let tree = Tree::visible(identity)?;
    let folder = match Path::new(path).starts_with(&tree.point) {
        true => PathBuf::from(path),
        false => tree.folder(path),
    };
    tree.place(&folder)
}

/// The id of the cgroup (v2) at a path of the file system.
pub fn id(path: &str) -> io::Result<u64> {
    /// CGROUP2_SUPER_MAGIC: include/uapi/linux/magic.h.
    const CGROUP2: i64 = 0x6367_7270;
    if rustix::fs::statfs(path)?.f_type != CGROUP2 {
        return Err(io::Error::other("it is in no file system of cgroups of version 2"));
    }
    Ok(fs::metadata(path)?.ino())
}

/// The cgroup of the container that a process is in.
pub fn of_process(pid: u32, facts: &Facts, identity: &Identity) -> Result<Place, ScopeError> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .map_err(|error| ScopeError::NotFound(format!("no process {pid} here: {error}")))?;
    let path = procfs::cgroup_paths(&text)
        .unified
        .ok_or_else(|| ScopeError::NotFound(format!("process {pid} is in no cgroup (v2): this machine has v1 only")))?;
    let path = up_to_container(&path);

    let own = facts.cgroup.paths.unified.as_deref().unwrap_or("/");
    if let Some(place) = among_own(path, own, identity) {
        return Ok(place);
    }
    match Tree::visible(identity) {
        Ok(tree) if !path.starts_with("/..") => tree.place(&tree.folder(path)),
        _ => through_process(pid, path, own, identity),
    }
}

/// The cgroup of the container whose id begins with `prefix`.
pub fn of_container(prefix: &str, identity: &Identity) -> Result<Place, ScopeError> {
    let tree = Tree::visible(identity)?;
    let mut found: Vec<PathBuf> = Vec::new();
    let mut pending = vec![tree.point.clone()];
    while let Some(folder) = pending.pop() {
        // A cgroup that has gone since it was listed has nothing in it.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|ty| ty.is_dir())) {
            let name = entry.file_name();
            match name.to_str().and_then(container_id) {
                Some(id) if id.starts_with(prefix) => found.push(entry.path()),
                _ => pending.push(entry.path()),
            }
        }
    }
    match found.as_slice() {
        [folder] => tree.place(folder),
        [] => Err(ScopeError::NotFound(format!("no container {prefix}… has a cgroup below {}", tree.point.display()))),
        _ => Err(ScopeError::NotFound(format!("{} containers have an id that begins with {prefix}", found.len()))),
    }
}

/// A mounted part of the v2 hierarchy.
struct Tree {
    /// Where it is mounted.
    point: PathBuf,
    /// Which cgroup is mounted there, as a path in the hierarchy.
    root: String,
    /// How far that one lies below the hierarchy's root.
    level: u32,
}

impl Tree {
    /// The one that the caller sees.
    fn visible(identity: &Identity) -> Result<Self, ScopeError> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let tree = |Mount { root, point }: Mount| {
            let id = fs::metadata(&point).ok()?.ino();
            let level = identity.lineage().iter().position(|&own| own == id)? as u32;
            Some(Self { point: PathBuf::from(point), root, level })
        };
        procfs::mounts(&mounts, "cgroup2").into_iter().find_map(tree).ok_or_else(|| {
            ScopeError::NotFound(
                "the cgroup (v2) tree is not visible here: start the container with \
                 `-v /sys/fs/cgroup:/sys/fs/cgroup:ro --cgroupns host`, or run ctrace on the host"
                    .to_owned(),
            )
        })
    }

    /// The folder of a path in the hierarchy.
    fn folder(&self, path: &str) -> PathBuf {
        let below = path.strip_prefix(&self.root).filter(|below| below.is_empty() || below.starts_with('/'));
        self.point.join(below.unwrap_or(path).trim_start_matches('/'))
    }

    /// The cgroup of a folder.
    fn place(&self, folder: &Path) -> Result<Place, ScopeError> {
        let missing = |why: String| ScopeError::NotFound(format!("no cgroup {}: {why}", folder.display()));
        // Without the `..` in it: how deep it lies is counted.
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| missing(error.to_string()));
        let (folder, point) = (real(folder)?, real(&self.point)?);
        let below = folder.strip_prefix(&point).map_err(|_| missing("not in the cgroup (v2) tree".to_owned()))?;
        let metadata = fs::metadata(&folder).map_err(|error| missing(error.to_string()))?;
        if !metadata.is_dir() {
            return Err(missing("not a folder".to_owned()));
        }
        let level = self.level + below.components().count() as u32;
        Ok(Place { id: metadata.ino(), level, name: short(&format!("/{}", below.display())) })
    }
}

/// A path of /proc/PID/cgroup, up to the folder that is named after a container, if there is one.
fn up_to_container(path: &str) -> &str {
    let Some(id) = container_id(path) else { return path };
    let end = path.find(id).map_or(path.len(), |at| at + id.len());
    path[end..].find('/').map_or(path, |slash| &path[..end + slash])
}

/// The cgroup at `path` if it is the caller's own (at `own`) or above it: those ids are known without looking.
fn among_own(path: &str, own: &str, identity: &Identity) -> Option<Place> {
    let below = own.strip_prefix(path)?;
    if path.starts_with("/..") || !(below.is_empty() || below.starts_with('/') || path == "/") {
        return None;
    }
    let level = identity.lineage().len().checked_sub(1 + components(below))?;
    Some(Place { id: identity.lineage()[level], level: level as u32, name: short(path) })
}

/// The cgroup at `path` of a process with a cgroup namespace of its own, by way of the tree that is mounted there.
fn through_process(pid: u32, path: &str, own: &str, identity: &Identity) -> Result<Place, ScopeError> {
    let missing = || {
        ScopeError::NotFound(format!(
            "the cgroup of process {pid} cannot be seen from here: start this container with \
             `-v /sys/fs/cgroup:/sys/fs/cgroup:ro --cgroupns host`, or run ctrace on the host"
        ))
    };
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).map_err(|_| missing())?;
    let mount = procfs::mounts(&mounts, "cgroup2").pop().ok_or_else(missing)?;
    let folder = PathBuf::from(format!("/proc/{pid}/root{}", mount.point));
    // The process must be right there, not in a cgroup below.
    let members = fs::read_to_string(folder.join("cgroup.procs")).map_err(|_| missing())?;
    if !members.lines().any(|member| member == pid.to_string()) {
        return Err(missing());
    }
    let id = fs::metadata(&folder).map_err(|_| missing())?.ino();

    // Both paths are seen from the caller's cgroup-namespace root, which lies this far below the hierarchy's root.
    let root = identity.lineage().len().checked_sub(1 + components(own)).ok_or_else(missing)?;
    let up = path.split('/').filter(|&name| name == "..").count();
    let level = (root + components(path)).checked_sub(2 * up).ok_or_else(missing)?;
    Ok(Place { id, level: level as u32, name: short(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c0d6f0a9e4d8f8b1f2d0c5a7e9b3c1d2e3f405162738495a6b7c8d9e0f1a2";

    #[test]
    fn path_of_a_process_ends_at_its_container() {
        assert_eq!(up_to_container(&format!("/docker/{ID}/sub/sub")), format!("/docker/{ID}"));
        assert_eq!(up_to_container(&format!("/docker/{ID}")), format!("/docker/{ID}"));
        assert_eq!(
            up_to_container(&format!("/system.slice/docker-{ID}.scope/init.scope")),
            format!("/system.slice/docker-{ID}.scope")
        );
        assert_eq!(up_to_container("/user.slice/session-1.scope"), "/user.slice/session-1.scope");
    }

    #[test]
    fn paths_of_the_hierarchy_lie_below_what_is_mounted() {
        let tree = |root: &str| Tree { point: "/mnt".into(), root: root.into(), level: 1 };
        assert_eq!(tree("/docker").folder("/docker/ab"), Path::new("/mnt/ab"));
        assert_eq!(tree("/docker").folder("/docker2/ab"), Path::new("/mnt/docker2/ab"), "not of this one");
        assert_eq!(tree("/").folder("/docker/ab"), Path::new("/mnt/docker/ab"));
    }

    #[test]
    fn what_is_not_in_the_tree_is_no_cgroup() {
        let tree = Tree { point: "/proc/self".into(), root: "/".into(), level: 0 };
        assert_eq!(tree.place(Path::new("/proc/self/fd")).expect("a folder").level, 1);
        assert_eq!(tree.place(Path::new("/proc/self/fd/../net")).expect("a folder").level, 1);
        let error = tree.place(Path::new("/proc/self/../../etc")).expect_err("elsewhere").to_string();
        assert_eq!(error, "no cgroup /proc/self/../../etc: not in the cgroup (v2) tree");
        assert!(tree.place(Path::new("/proc/self/maps")).is_err());
    }

    #[test]
    fn own_cgroups_are_known_without_a_tree() {
        let mut identity = Identity::default();
        identity.cgroups[..4].copy_from_slice(&[1, 20, 300, 4000]);
        let place = |path| among_own(path, "/a/b/c", &identity).map(|place| (place.id, place.level));
        assert_eq!(place("/a/b/c"), Some((4000, 3)));
        assert_eq!(place("/a"), Some((20, 1)));
        assert_eq!(place("/"), Some((1, 0)));
        assert_eq!(place("/a/bb"), None);
        assert_eq!(place("/a/b/c/d"), None);
    }
}
