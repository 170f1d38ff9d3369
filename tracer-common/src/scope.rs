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

/// Offsets into kernel structures, in bytes, of the running kernel (from its BTF); all 0 where that has none, and only
/// what does without them can be asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelOffsets {
    /// `task_struct.thread_pid`.
    pub task_thread_pid: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `task_struct.real_parent`.
    pub task_real_parent: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
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
    /// `task_struct.cgroups`.
    pub task_cgroups: u32,
    /// `css_set.dfl_cgrp`.
    pub css_set_dfl_cgrp: u32,
    /// `cgroup.level`.
    pub cgroup_level: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `kernfs_node.id`.
    pub kernfs_node_id: u32,
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `cgroup.ancestors`, an array of pointers (from 6.1 on; 0 before, where sub-cgroups of other tasks are not seen).
    pub cgroup_ancestors: u32,
    /// `sock.sk_cgrp_data.cgroup`; 0 where sockets have none.
    pub sock_cgroup: u32,
    /// `sock.__sk_common.skc_state`.
    pub sock_state: u32,
    /// `sk_buff.sk`.
    pub skb_sk: u32,
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

impl Scope {
    /// Whether the check reads the current task's structure that it is given.
    pub fn reads_task(&self) -> bool {
        self.kind == ScopeKind::Cgroup as u32 && self.offsets.task_cgroups != 0
    }

    /// The configuration as it lies in memory.
    pub fn to_bytes(&self) -> [u8; size_of::<Scope>()] {
        let Scope { kind, filter, cgroup_id, cgroup_level, pidns_inum, pidns_level, tgid, offsets } = *self;
        let [cgroup_low, cgroup_high] = [cgroup_id as u32, (cgroup_id >> 32) as u32];
        let words = [kind, filter, cgroup_low, cgroup_high, cgroup_level, pidns_inum, pidns_level, tgid];
        let mut bytes = [0; size_of::<Scope>()];
        let all = words.into_iter().chain(offsets.words());
        for (place, word) in bytes.chunks_exact_mut(4).zip(all) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl KernelOffsets {
    /// The fields in the order of their declaration.
    fn words(&self) -> impl Iterator<Item = u32> + use<> {
        let KernelOffsets {
            task_thread_pid,
            task_group_leader,
            task_real_parent,
            task_mm,
            pid_level,
            pid_numbers,
            upid_size,
            upid_nr,
            upid_ns,
            pidns_inum,
            task_cgroups,
            css_set_dfl_cgrp,
            cgroup_level,
            cgroup_kn,
            kernfs_node_id,
            task_pid,
            task_tgid,
            cgroup_ancestors,
            sock_cgroup,
            sock_state,
            skb_sk,
        } = *self;
        let task = [task_thread_pid, task_group_leader, task_real_parent, task_mm];
        let pid = [pid_level, pid_numbers, upid_size, upid_nr, upid_ns, pidns_inum];
        let cgroup = [task_cgroups, css_set_dfl_cgrp, cgroup_level, cgroup_kn, kernfs_node_id];
        let others = [task_pid, task_tgid, cgroup_ancestors, sock_cgroup, sock_state, skb_sk];
        task.into_iter().chain(pid).chain(cgroup).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn the_bytes_are_those_that_the_kernel_side_reads() {
        let offsets =
            KernelOffsets { task_thread_pid: 5, pidns_inum: 6, kernfs_node_id: 7, ..KernelOffsets::default() };
        let scope = Scope { kind: 1, cgroup_id: 2 << 40, cgroup_level: 3, tgid: 4, offsets, ..Scope::default() };
        let bytes = scope.to_bytes();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let in_offsets = |at: usize| word(offset_of!(Scope, offsets) + at);
        assert_eq!(word(offset_of!(Scope, kind)), 1);
        assert_eq!(word(offset_of!(Scope, cgroup_id) + 4), 2 << 8);
        assert_eq!(word(offset_of!(Scope, cgroup_level)), 3);
        assert_eq!(word(offset_of!(Scope, tgid)), 4);
        assert_eq!(in_offsets(offset_of!(KernelOffsets, task_thread_pid)), 5);
        assert_eq!(in_offsets(offset_of!(KernelOffsets, pidns_inum)), 6);
        assert_eq!(in_offsets(offset_of!(KernelOffsets, kernfs_node_id)), 7);
    }
}
