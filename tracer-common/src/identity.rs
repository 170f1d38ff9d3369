//! Who is asking: what a program run in the caller's context tells of it, because a container cannot see it by itself.

/// Deeper than cgroups are nested in practice (systemd, Kubernetes and Docker in Docker together reach some 12).
pub const CGROUP_LEVELS: usize = 32;

/// What the identity program, run by the caller through BPF_PROG_TEST_RUN, finds out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Ids of the caller's cgroup (v2) and those above it: the root's first, 0 after the caller's own.
    pub cgroups: [u64; CGROUP_LEVELS],
    /// How far the caller's pid namespace lies below the initial one.
    pub pidns_level: u64,
}

impl Identity {
    /// The ids, from the root's to the caller's own.
    pub fn lineage(&self) -> &[u64] {
        let depth = self.cgroups.iter().position(|&id| id == 0).unwrap_or(CGROUP_LEVELS);
        &self.cgroups[..depth]
    }
}
