//! Object bytes → programs and maps in the kernel.

use std::fs;

use aya::programs::{ProgramError, RawTracePoint};
use aya::{Ebpf, EbpfLoader};

use super::maps::Maps;
use super::{Error, sys};
use crate::plan::Plan;

/// A script in the kernel, attached to nothing yet.
#[derive(Debug)]
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) maps: Maps,
}

/// Loads the object of a plan. The script begins now: `START_TIME` of the runtime library is set to this moment.
pub fn load(object: &[u8], plan: &Plan) -> Result<Loaded, Error> {
    let now = sys::boot_time().map_err(Error::io("cannot read the clock"))?.to_ne_bytes();
    let mut loader = loader()?;
    loader.btf(None).allow_unsupported_maps().override_global("START_TIME", &now, false);
    if let Some(size) = plan.ring_size {
        loader.map_max_entries("EVENTS", size);
    }
    let mut ebpf = loader.load(object)?;
    for program in &plan.programs {
        load_program(&mut ebpf, &program.symbol)?;
    }
    let maps = Maps::new(&ebpf, plan)?;
    Ok(Loaded { ebpf, maps })
}

/// aya's loader, for objects that need nothing of the kernel's BTF.
///
/// `EbpfLoader::new` (aya 0.14) reads all of the kernel's BTF before it can be told not to: 20 ms and 20 MB, more than all
/// the rest. It does without if it cannot open the file, so for that moment no file can be opened: not by the whole
/// process, so that it is done only where there is no other thread to notice (in tests there are).
pub(super) fn loader() -> Result<EbpfLoader<'static>, Error> {
    let alone = fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if !alone {
        return Ok(EbpfLoader::new());
    }
    sys::without_open_files(EbpfLoader::new).map_err(Error::io("cannot change the limit of open files"))
}

/// Hands a program to the verifier.
pub(super) fn load_program<'e>(ebpf: &'e mut Ebpf, symbol: &str) -> Result<&'e mut RawTracePoint, Error> {
    let program = raw_tracepoint(ebpf, symbol)?;
    program.load().map_err(|error| match error {
        // A verifier that has looked at the program has something to say about it.
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let program = symbol.to_owned();
            if log.trim().is_empty() {
                Error::Load { program, error: io_error }
            } else {
                Error::Verifier { program, error: io_error, log }
            }
        }
        error => Error::Load { program: symbol.to_owned(), error: std::io::Error::other(error) },
    })?;
    Ok(program)
}

/// A program of the object by its symbol.
pub(super) fn raw_tracepoint<'e>(ebpf: &'e mut Ebpf, symbol: &str) -> Result<&'e mut RawTracePoint, Error> {
    let program = ebpf.program_mut(symbol).ok_or_else(|| Error::missing(symbol))?;
    program.try_into().map_err(|_: ProgramError| Error::missing(symbol))
}
