//! Object bytes → programs and maps in the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use aya::programs::{PerfEvent, Program, ProgramError, RawTracePoint, UProbe};
use aya::{Ebpf, EbpfLoader};

use super::attach::{fentry, kprobe};
use super::maps::Maps;
use super::multi::Programs;
use super::{Error, sys};
use crate::plan::{self, Attach, Plan};

/// A script in the kernel, attached to nothing yet.
#[derive(Debug)]
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) maps: Maps,
    /// Programs that aya has not loaded, by their symbols.
    pub(super) multi: BTreeMap<String, OwnedFd>,
    /// Whether one link holds many functions of the kernel.
    pub(super) many_kprobes: bool,
    /// Programs at calls and returns of the kernel's functions, by their symbols: one for each function.
    pub(super) calls: BTreeMap<String, Vec<Option<OwnedFd>>>,
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
    let mut multi = BTreeMap::new();
    let mut calls = BTreeMap::new();
    let has_uprobes = plan.programs.iter().any(|program| matches!(program.attach, Attach::Uprobe { .. }));
    let many_uprobes = has_uprobes && sys::uprobe::has_uprobe_multi();
    let has_kprobes = plan.programs.iter().any(|program| matches!(program.attach, Attach::Kprobe { .. }));
    let many_kprobes = has_kprobes && sys::kprobe::has_kprobe_multi();
    let has_calls = plan.programs.iter().any(|program| matches!(program.attach, Attach::Fentry { .. }));
    let has_others = (plan.programs.iter())
        .any(|program| matches!(program.attach, Attach::Tracepoint { .. } | Attach::Iterator { .. }));
    let by_hand = match many_uprobes || has_kprobes || has_calls || has_others {
        true => Some(Programs::new(object, &ebpf)?),
        false => None,
    };
    for plan::Program { symbol, attach, .. } in &plan.programs {
        match (attach, &by_hand) {
            (Attach::Uprobe { .. }, Some(programs)) if many_uprobes => {
                multi.insert(symbol.clone(), programs.load(symbol, sys::Kind::UprobeMulti)?);
            }
            (Attach::Kprobe { sites, .. }, Some(programs)) => {
                let kind = kprobe::kind(sites, many_kprobes);
                multi.insert(symbol.clone(), programs.load(symbol, kind)?);
            }
            (Attach::Fentry { exit, sites }, Some(programs)) => {
                calls.insert(symbol.clone(), fentry::load(programs, symbol, *exit, sites)?);
            }
            (Attach::Tracepoint { .. }, Some(programs)) => {
                multi.insert(symbol.clone(), programs.load(symbol, sys::Kind::Tracepoint)?);
            }
            (Attach::Iterator { ty, .. }, Some(programs)) => {
                multi.insert(symbol.clone(), programs.load(symbol, sys::Kind::Iterator(*ty))?);
            }
            (
                Attach::Kprobe { .. } | Attach::Fentry { .. } | Attach::Tracepoint { .. } | Attach::Iterator { .. },
                None,
            ) => {
                unreachable!("the object was read for it")
            }
            (Attach::Uprobe { .. }, _) => {
                let program: &mut UProbe = program(&mut ebpf, symbol)?;
                program.load().map_err(|error| rejected(symbol, error))?;
            }
            (Attach::Sample(_), _) => {
                let program: &mut PerfEvent = program(&mut ebpf, symbol)?;
                program.load().map_err(|error| rejected(symbol, error))?;
            }
            (
                Attach::Begin | Attach::End | Attach::Interval { .. } | Attach::Signal | Attach::RawTracepoint { .. },
                _,
            ) => {
                load_program(&mut ebpf, symbol)?;
            }
        }
    }
    let maps = Maps::new(&ebpf, plan)?;
    Ok(Loaded { ebpf, maps, multi, many_kprobes, calls })
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
    program.load().map_err(|error| rejected(symbol, error))?;
    Ok(program)
}

fn rejected(symbol: &str, error: ProgramError) -> Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            Error::of_load(symbol, io_error, verifier_log.to_string())
        }
        error => Error::Load { program: symbol.to_owned(), error: std::io::Error::other(error) },
    }
}

/// A program that user space runs, or that is attached to a raw tracepoint.
pub(super) fn raw_tracepoint<'e>(ebpf: &'e mut Ebpf, symbol: &str) -> Result<&'e mut RawTracePoint, Error> {
    program(ebpf, symbol)
}

/// A program of the object by its symbol.
pub(super) fn program<'e, P>(ebpf: &'e mut Ebpf, symbol: &str) -> Result<&'e mut P, Error>
where
    &'e mut P: TryFrom<&'e mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(symbol).ok_or_else(|| Error::missing(symbol))?;
    program.try_into().map_err(|_: ProgramError| Error::missing(symbol))
}
