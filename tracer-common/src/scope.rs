//! Who is traced: the configuration that the scope check of every program reads.
//!
//! It lies in read-only data, so the verifier knows every field and removes the tests that do not apply.

/// What a task must be for its events to count.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScopeKind {
    /// Everything on the machine.
    #[default]
    Host = 0,
    /// In the cgroup (v2) `cgroup_id`, which lies `level` levels below the root, or in a descendant of it.
    Cgroup = 1,
    /// In the pid namespace with inode `pidns_inum`, `pidns_level` levels below the initial one, or in a descendant.
    PidNamespace = 2,
}

/// Which processes inside the scope count.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessFilter {
    /// All of them.
    #[default]
    All = 0,
    /// The threads of process `tgid`, a number of the pid namespace at `pidns_level`.
    Process = 1,
    /// The tasks marked in task storage, and all that they fork.
    Tree = 2,
}

/// Offsets into kernel structures, in bytes, of the running kernel (from its BTF).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelOffsets {
    /// `task_struct.thread_pid`.
    pub task_thread_pid: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `pid.level`.
    pub pid_level: u32,
    /// `pid.numbers`, an array of `upid`.
    pub pid_numbers: u32,
    /// Size of `upid`.
    pub upid_size: u32,
    /// `upid.nr`.
    pub upid_nr: u32,
    /// `upid.ns`.
    pub upid_ns: u32,
    /// `pid_namespace.ns.inum`.
    pub pidns_inum: u32,
}

/// The whole configuration, the symbol `SCOPE` in the runtime's read-only data.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// A [`ScopeKind`].
    pub kind: u32,
    /// A [`ProcessFilter`].
    pub filter: u32,
    /// Id of the cgroup (its inode in cgroupfs).
    pub cgroup_id: u64,
    /// How far that cgroup lies below the root of the v2 hierarchy.
    pub cgroup_level: u32,
    /// Inode of the pid namespace that pids are shown in.
    pub pidns_inum: u32,
    /// How far that namespace lies below the initial one; 0 means that pids need no translation.
    pub pidns_level: u32,
    /// The process that [`ProcessFilter::Process`] asks for.
    pub tgid: u32,
    /// Where the kernel keeps what the checks read.
    pub offsets: KernelOffsets,
}
