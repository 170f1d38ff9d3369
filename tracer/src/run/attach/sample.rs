//! Perf events: samples and watchpoints.

use std::{fs, io};

use aya::Ebpf;
use aya::programs::PerfEvent;
use aya::programs::ProgramError;
use aya::programs::perf_event::{
    BreakpointConfig, HardwareEvent, PerfBreakpointLength, PerfBreakpointType, PerfEventConfig, PerfEventLink,
    PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::util::online_cpus;

use crate::plan::{Access, Every, Sample, SampleEvent};
use crate::run::{Error, load};

/// Attaches a program to an event. `probe` is what the script calls it; `pid`, the process whose memory a watchpoint means.
pub fn attach(
    ebpf: &mut Ebpf,
    symbol: &str,
    probe: &str,
    sample: Sample,
    pid: Option<u32>,
) -> Result<Vec<PerfEventLink>, Error> {
    let program: &mut PerfEvent = load::program(ebpf, symbol)?;
    let config = config(sample.event).ok_or_else(|| Error::missing(probe))?;
    let policy = match sample.every {
        Every::Hertz(rate) => SamplePolicy::Frequency(rate),
        Every::Count(count) => SamplePolicy::Period(count),
    };
    let places = places(sample.event, pid)?;
    let inherit = matches!(places[..], [PerfEventScope::OneProcess { .. }, ..]);
    let attach = |place| -> Result<PerfEventLink, ProgramError> {
        let link = program.attach(config, place, policy, inherit)?;
        program.take_link(link)
    };
    places.into_iter().map(attach).collect::<Result<_, _>>().map_err(|error| Error::AttachSample {
        probe: probe.to_owned(),
        why: why(errno(&error), sample),
        error: errno(&error).map_or_else(|| error.to_string(), |errno| io::Error::from_raw_os_error(errno).to_string()),
    })
}

/// Where an event is counted: on every CPU, which the program's scope check sorts out, or in each thread of a process.
fn places(event: SampleEvent, pid: Option<u32>) -> Result<Vec<PerfEventScope>, Error> {
    /// Addresses of the kernel are above.
    const KERNEL: u64 = 1 << 63;
    match (event, pid) {
        (SampleEvent::Breakpoint { address, .. }, Some(pid)) if address < KERNEL => {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(Error::io("cannot list threads"))?;
            let numbers = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
            Ok(numbers.map(|thread| PerfEventScope::OneProcess { pid: thread, cpu: None }).collect())
        }
        _ => {
            let cpus = online_cpus().map_err(|(path, error)| Error::Cpus { path, error })?;
            Ok(cpus.into_iter().map(|cpu| PerfEventScope::AllProcessesOneCpu { cpu }).collect())
        }
    }
}

/// What perf_event_open(2) returned.
fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::IOError(error) => error.raw_os_error(),
        _ => None,
    }
}

/// What that means here; empty if there is no more to say.
fn why(errno: Option<i32>, sample: Sample) -> &'static str {
    match (errno, sample.event) {
        (Some(libc::ENOENT | libc::EOPNOTSUPP), SampleEvent::Hardware(_)) => {
            ": the kernel has no such counter of this processor, as in most virtual machines"
        }
        (Some(libc::ENOSPC), SampleEvent::Breakpoint { .. }) => ": the processor can watch four places at a time",
        (Some(libc::EACCES | libc::EPERM), _) => {
            ": sampling takes CAP_PERFMON, and a seccomp profile that lets perf_event_open(2) pass"
        }
        (Some(libc::EINVAL), _) if matches!(sample.every, Every::Hertz(_)) => {
            ": the rate may be above kernel.perf_event_max_sample_rate"
        }
        _ => "",
    }
}

/// The event as aya names it.
fn config(event: SampleEvent) -> Option<PerfEventConfig> {
    const SOFTWARE: [SoftwareEvent; 11] = [
        SoftwareEvent::CpuClock,
        SoftwareEvent::TaskClock,
        SoftwareEvent::PageFaults,
        SoftwareEvent::ContextSwitches,
        SoftwareEvent::CpuMigrations,
        SoftwareEvent::PageFaultsMin,
        SoftwareEvent::PageFaultsMaj,
        SoftwareEvent::AlignmentFaults,
        SoftwareEvent::EmulationFaults,
        SoftwareEvent::Dummy,
        SoftwareEvent::BpfOutput,
    ];
    const HARDWARE: [HardwareEvent; 10] = [
        HardwareEvent::CpuCycles,
        HardwareEvent::Instructions,
        HardwareEvent::CacheReferences,
        HardwareEvent::CacheMisses,
        HardwareEvent::BranchInstructions,
        HardwareEvent::BranchMisses,
        HardwareEvent::BusCycles,
        HardwareEvent::StalledCyclesFrontend,
        HardwareEvent::StalledCyclesBackend,
        HardwareEvent::RefCpuCycles,
    ];
    match event {
        SampleEvent::Software(number) => SOFTWARE.get(number as usize).copied().map(PerfEventConfig::Software),
        SampleEvent::Breakpoint { address, access: Access::Execute, .. } => {
            Some(PerfEventConfig::Breakpoint(BreakpointConfig::Instruction { address }))
        }
        SampleEvent::Breakpoint { address, length, access } => {
            let length = match length {
                1 => PerfBreakpointLength::Len1,
                2 => PerfBreakpointLength::Len2,
                4 => PerfBreakpointLength::Len4,
                8 => PerfBreakpointLength::Len8,
                _ => return None,
            };
            let r#type = match access {
                Access::Write => PerfBreakpointType::Write,
                Access::ReadWrite | Access::Execute => PerfBreakpointType::ReadWrite,
            };
            Some(PerfEventConfig::Breakpoint(BreakpointConfig::Data { r#type, address, length }))
        }
        SampleEvent::Hardware(number) => HARDWARE.get(number as usize).copied().map(PerfEventConfig::Hardware),
    }
}
