//! The texts of /proc and /sys → values. Text in, data out; nothing here opens a file.

use serde::Serialize;

/// A set of capabilities, as the kernel's bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(pub u64);

/// The capabilities that tracing asks for, with their bits (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[repr(u8)]
pub enum Capability {
    /// Everything that the two below allow, and much more.
    SysAdmin = 21,
    /// Kernel memory in programs; tracing programs and perf events (5.8).
    Perfmon = 38,
    /// bpf(2): maps and programs (5.8).
    Bpf = 39,
}

impl Capability {
    /// As the kernel's headers name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

impl CapabilitySet {
    /// Whether it has the capability itself.
    pub fn has(self, capability: Capability) -> bool {
        self.0 >> (capability as u8) & 1 != 0
    }

    /// Whether it allows what the capability allows: CAP_SYS_ADMIN stands in for the younger two.
    pub fn allows(self, capability: Capability) -> bool {
        self.has(capability) || self.has(Capability::SysAdmin)
    }
}

/// What `Seccomp:` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// Nothing is filtered.
    #[default]
    Off,
    /// read, write and exit only; a program that could be asked this cannot be in this mode.
    Strict,
    /// A filter is in force.
    Filter,
}

/// What matters of /proc/self/status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Effective user id.
    pub uid: u32,
    /// Capabilities in force.
    pub effective: CapabilitySet,
    /// Capabilities that a program run by root of the same container would have.
    pub bounding: CapabilitySet,
    /// Whether system calls are filtered.
    pub seccomp: Seccomp,
    /// Whether set-user-id programs and file capabilities have no effect.
    pub no_new_privileges: bool,
}

/// Reads /proc/self/status; `None` if a capability line is missing or no number.
pub fn status(text: &str) -> Option<Status> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let set = |name| u64::from_str_radix(field(name)?, 16).ok().map(CapabilitySet);
    Some(Status {
        // Real, effective, saved, file system.
        uid: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
        effective: set("CapEff")?,
        bounding: set("CapBnd")?,
        // Absent where the kernel has no seccomp.
        seccomp: match field("Seccomp") {
            Some("2") => Seccomp::Filter,
            Some("1") => Seccomp::Strict,
            _ => Seccomp::Off,
        },
        no_new_privileges: field("NoNewPrivs") == Some("1"),
    })
}

/// Where a process is in the cgroup hierarchies, as /proc/PID/cgroup says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CgroupPaths {
    /// Its path in the v2 hierarchy, seen from the reader's cgroup-namespace root; `None` where v2 was never mounted.
    pub unified: Option<String>,
    /// Its paths in the v1 hierarchies.
    pub legacy: Vec<String>,
}

/// Reads /proc/PID/cgroup: lines of `hierarchy:controllers:path`.
pub fn cgroup_paths(text: &str) -> CgroupPaths {
    let mut paths = CgroupPaths::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(hierarchy), Some(_), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        match hierarchy {
            "0" => paths.unified = Some(path.to_owned()),
            _ => paths.legacy.push(path.to_owned()),
        }
    }
    paths
}

/// A mount of one file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Which folder of the file system is mounted.
    pub root: String,
    /// Where.
    pub point: String,
}

/// The mounts of a type of file system in /proc/PID/mountinfo, oldest first.
pub fn mounts(mountinfo: &str, file_system: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        if tail.split(' ').next() != Some(file_system) {
            return None;
        }
        let mut fields = head.split(' ').skip(3);
        Some(Mount { root: unescape(fields.next()?), point: unescape(fields.next()?) })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// Undoes the kernel's escapes: `\040` for a space, and likewise for tabs, newlines and backslashes.
fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        match rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                result.push(byte as char);
                rest = &rest[at + 4..];
            }
            None => {
                result.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    result + rest
}

/// The number in the target of a /proc/self/ns link: `pid:[4026531836]`.
pub fn namespace(link: &str) -> Option<u32> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// How many CPUs a list like `0-3,8` names.
pub fn cpu_count(list: &str) -> Option<u32> {
    let mut count = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    Some(count)
}

/// The version that begins /proc/sys/kernel/osrelease: `6.1.0-18-cloud-amd64`.
pub fn kernel_version(release: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

/// The choice in brackets: `none [integrity] confidentiality`.
pub fn chosen(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

#[cfg(test)]
mod tests;
