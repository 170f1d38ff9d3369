//! Where the running kernel keeps what the scope check reads.

use tracer_common::scope::KernelOffsets;

use super::btf::{Btf, BtfError, Type};

/// The offsets of this kernel.
pub fn kernel_offsets(btf: &Btf) -> Result<KernelOffsets, BtfError> {
    let offset =
        |structure, path| -> Result<u32, BtfError> { Ok(btf.field(btf.composite(structure)?, path)?.offset()) };
    // What a configuration of the kernel, or an older one, does without.
    let optional = |structure, path| offset(structure, path).unwrap_or_default();
    let numbers = btf.field(btf.composite("pid")?, "numbers")?;
    let Type::Array { element, .. } = btf.ty(btf.resolve(numbers.ty)?)? else {
        return Err(BtfError::Missing("pid.numbers as an array".to_owned()));
    };
    Ok(KernelOffsets {
        task_thread_pid: offset("task_struct", "thread_pid")?,
        task_group_leader: offset("task_struct", "group_leader")?,
        task_real_parent: offset("task_struct", "real_parent")?,
        task_mm: offset("task_struct", "mm")?,
        pid_level: offset("pid", "level")?,
        pid_numbers: numbers.offset(),
        upid_size: btf.size(element)?,
        upid_nr: offset("upid", "nr")?,
        upid_ns: offset("upid", "ns")?,
        pidns_inum: offset("pid_namespace", "ns.inum")?,
        task_cgroups: offset("task_struct", "cgroups")?,
        css_set_dfl_cgrp: offset("css_set", "dfl_cgrp")?,
        cgroup_level: offset("cgroup", "level")?,
        cgroup_kn: offset("cgroup", "kn")?,
        kernfs_node_id: offset("kernfs_node", "id")?,
        task_pid: offset("task_struct", "pid")?,
        task_tgid: offset("task_struct", "tgid")?,
        cgroup_ancestors: optional("cgroup", "ancestors"),
        sock_cgroup: optional("sock", "sk_cgrp_data.cgroup"),
        sock_state: optional("sock", "__sk_common.skc_state"),
        skb_sk: optional("sk_buff", "sk"),
    })
}
