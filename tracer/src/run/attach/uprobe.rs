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
    Multi(OwnedFd),
    /// Each place.
    Perf(Vec<UProbeLink>),
}

/// Attaches to all places by one link. The program was loaded for that.
pub fn attach_multi(
    program: &OwnedFd,
    places: &Places,
    name: &str,
    exit: bool,
    sites: &[UprobeSite],
) -> Result<Link, Error> {
    let offsets: Vec<u64> = sites.iter().map(|site| site.offset).collect();
    let cookies: Vec<u64> = sites.iter().map(|site| site.probe.0.into()).collect();
    sys::link_uprobes(program.as_fd(), &path(file(places, name)?), &offsets, &cookies, exit, places.pid)
        .map(Link::Multi)
        .map_err(|error| Error::AttachUprobe { file: name.to_owned(), error: error.into() })
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
