//! Where the caller lies: its cgroups and pid namespace, as the kernel knows them and a container does not.

use aya::maps::Map;
use aya::programs::{RawTracePointRunOptions, TestRun};
use tracer_common::identity::{CGROUP_LEVELS, Identity};
use tracer_common::scope::{KernelOffsets, Scope};

use super::Error;
use super::load::{load_program, loader};
use super::sys::RawMap;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/identity.o"));

/// Runs the identity program (`tracer-ebpf/src/identity.rs`) in this thread's context.
pub fn identity(offsets: KernelOffsets) -> Result<Identity, Error> {
    let scope = Scope { offsets, ..Scope::default() };
    let scope = scope.to_bytes();
    let mut ebpf = loader()?.btf(None).override_global("SCOPE", &scope[..], true).load(OBJECT)?;
    load_program(&mut ebpf, "identity")?
        .test_run(RawTracePointRunOptions::new())
        .map_err(|error| Error::TestRun { program: "identity".to_owned(), error })?;

    let name = "IDENTITY";
    let Some(Map::Array(data)) = ebpf.map(name) else { return Err(Error::missing(name)) };
    let map = RawMap::new(data, 1).map_err(|error| Error::Map { name: name.to_owned(), error })?;
    let mut value = [0; size_of::<Identity>()];
    map.lookup(&[0; 4], &mut value).map_err(Error::io("cannot read what the identity program found"))?;
    let mut words = value.as_chunks().0.iter().map(|&word| u64::from_ne_bytes(word));
    let mut next = || words.next().unwrap_or_default();
    Ok(Identity { cgroups: [(); CGROUP_LEVELS].map(|()| next()), pidns_level: next() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::host::btf::Btf;
    use crate::host::offsets::kernel_offsets;
    use crate::run::sys;

    /// A line of /proc/self/status, after its name.
    fn status(name: &str) -> String {
        let status = fs::read_to_string("/proc/self/status").expect("procfs");
        status.lines().find_map(|line| line.strip_prefix(name)).expect("the line is there").to_owned()
    }

    #[test]
    fn the_kernel_tells_the_callers_cgroup_and_namespace() {
        if sys::try_program().is_err() {
            return eprintln!("skipped: this process may not load programs");
        }
        let offsets = kernel_offsets(&Btf::of_kernel().expect("BTF")).expect("fields of every kernel");
        let identity = identity(offsets).expect("it runs");

        // As many namespaces as there are numbers, where procfs shows all of them.
        assert_eq!(identity.pidns_level as usize + 1, status("NSpid:").split_whitespace().count());

        let groups = fs::read_to_string("/proc/self/cgroup").expect("procfs");
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).expect("a cgroup v2");
        assert_eq!(identity.lineage().len(), 1 + own.split('/').filter(|name| !name.is_empty()).count());
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let root = roots.iter().find(|root| fs::exists(format!("{root}/cgroup.procs")).unwrap_or(false));
        if let Some(root) = root {
            let inode = fs::metadata(format!("{root}/{own}")).expect("our own cgroup").ino();
            assert_eq!(identity.lineage().last(), Some(&inode));
        }
    }
}
