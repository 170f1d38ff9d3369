//! Probes in programs and libraries.
//!
//! Where the kernel has uprobe_multi links (6.6), one link holds all places of a program, and CAP_BPF with CAP_PERFMON is
//! enough. Before that there is one perf event for each place, which only CAP_SYS_ADMIN may make.

use std::fs::File;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use aya::programs::{ProgramError, UProbe};

use crate::host::elf::Files;
use crate::plan::UprobeSite;
use crate::run::{Error, load, sys};

/// What programs are attached to: the files that were looked at, and one process if it is to be no other.
#[derive(Debug, Default)]
pub struct Places {
    /// The files, by the names that the plan has for them.
    pub files: Files,
    /// The only process in which the places are touched.
    pub pid: Option<u32>,
}

/// While it lives, the places are probed.
#[derive(Debug)]
pub enum Link {
    /// All places.
    Multi(Vec<OwnedFd>),
    /// Each place.
    Perf(Vec<UProbeLink>),
}

/// ENOTSUPP, which the kernel gives where an instruction cannot be executed out of line (arch_uprobe_analyze_insn).
const NOT_SUPPORTED: i32 = 524;

/// Attaches to all places by one link, for which the program was loaded. If some places are such that the kernel cannot
/// probe them, there are more links, and these places are in the result, too.
pub fn attach_multi(
    program: &OwnedFd,
    places: &Places,
    name: &str,
    exit: bool,
    sites: &[UprobeSite],
) -> Result<(Link, Vec<UprobeSite>), Error> {
    let path = path(file(places, name)?);
    let (mut links, mut refused) = (Vec::new(), Vec::new());
    let mut rest = vec![sites];
    while let Some(sites) = rest.pop() {
        let offsets: Vec<u64> = sites.iter().map(|site| site.offset).collect();
        let cookies: Vec<u64> = sites.iter().map(|site| site.probe.0.into()).collect();
        match (sys::link_uprobes(program.as_fd(), &path, &offsets, &cookies, exit, places.pid), sites) {
            (Ok(link), _) => links.push(link),
            (Err(error), &[site]) if error.raw_os_error() == Some(NOT_SUPPORTED) => refused.push(site),
            // One of them spoils it for all, and the kernel does not say which.
            (Err(error), sites) if error.raw_os_error() == Some(NOT_SUPPORTED) => {
                let (left, right) = sites.split_at(sites.len() / 2);
                rest.extend([right, left]);
            }
            (Err(error), _) => return Err(Error::AttachUprobe { file: name.to_owned(), error: error.into() }),
        }
    }
    if links.is_empty() {
        let error = "the kernel cannot probe the instructions there".into();
        return Err(Error::AttachUprobe { file: name.to_owned(), error });
    }
    Ok((Link::Multi(links), refused))
}

/// Attaches to one place after the other.
pub fn attach_perf(
    ebpf: &mut Ebpf,
    symbol: &str,
    places: &Places,
    name: &str,
    sites: &[UprobeSite],
) -> Result<Link, Error> {
    let path = path(file(places, name)?);
    let program: &mut UProbe = load::program(ebpf, symbol)?;
    let attach = |site: &UprobeSite| -> Result<UProbeLink, ProgramError> {
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(site.offset),
            cookie: Some(site.probe.0.into()),
        };
        let scope = places.pid.and_then(NonZeroU32::new).map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
        let link = program.attach(point, &path, scope)?;
        program.take_link(link)
    };
    sites
        .iter()
        .map(attach)
        .collect::<Result<_, _>>()
        .map(Link::Perf)
        .map_err(|error| Error::AttachUprobe { file: name.to_owned(), error: error.into() })
}

fn file<'p>(places: &'p Places, name: &str) -> Result<&'p File, Error> {
    places.files.get(name).ok_or_else(|| Error::missing(name))
}

/// A path that leads to this very file, whatever its own path leads to by now.
fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
