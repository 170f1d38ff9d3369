//! Where the caller lies: its cgroups and pid namespace, as the kernel knows them and a container does not.

use aya::maps::Map;
use aya::programs::{RawTracePointRunOptions, TestRun};
use tracer_common::identity::{CGROUP_LEVELS, Identity};
use tracer_common::scope::{KernelOffsets, Scope};

use super::load::{load_program, loader};
use super::sys::RawMap;
use super::{Error, sys};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/identity.o"));

/// Runs the identity program (`tracer-ebpf/src/identity.rs`) in this thread's context.
pub fn identity(offsets: KernelOffsets) -> Result<Identity, Error> {
    let scope = Scope { offsets, ..Scope::default() };
    let mut ebpf = loader()?.override_global("SCOPE", sys::scope_bytes(&scope), true).load(OBJECT)?;
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
mod tests {}
