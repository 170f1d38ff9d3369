//! Probes in programs and libraries.
//!
//! Where the kernel has uprobe_multi links (6.6), one link holds all places of a program, and CAP_BPF with CAP_PERFMON is
//! enough. Before that there is one perf event for each place, which only CAP_SYS_ADMIN may make. (By raw system calls:
//! aya knows neither the former nor semaphores.)

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::programs::UProbe;

use crate::host::elf::Files;
use crate::plan::UprobeSite;
use crate::run::sys::uprobe::Place;
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
pub type Link = Vec<OwnedFd>;

/// ENOTSUPP, which the kernel gives where an instruction cannot be executed out of line (arch_uprobe_analyze_insn).
const NOT_SUPPORTED: i32 = 524;

/// The number of perf's uprobes.
const PERF_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";

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
        let all: Vec<Place> = sites.iter().map(place).collect();
        match (sys::uprobe::link_uprobes(program.as_fd(), &path, &all, exit, places.pid), sites) {
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
    Ok((links, refused))
}

/// Attaches to one place after the other.
pub fn attach_perf(
    ebpf: &mut Ebpf,
    symbol: &str,
    places: &Places,
    name: &str,
    exit: bool,
    sites: &[UprobeSite],
) -> Result<Link, Error> {
    let path = path(file(places, name)?);
    let failed = |error: io::Error| Error::AttachUprobe { file: name.to_owned(), error: error.into() };
    let kind = fs::read_to_string(PERF_TYPE).map_err(failed)?;
    let kind = kind.trim().parse().map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
    let program: &mut UProbe = load::program(ebpf, symbol)?;
    let program = program.fd().map_err(|_| Error::missing(symbol))?;
    let attach = |site| {
        sys::uprobe::link_perf_uprobe(program.as_fd(), kind, &path, place(site), exit, places.pid).map_err(failed)
    };
    sites.iter().map(attach).collect()
}

fn place(site: &UprobeSite) -> Place {
    Place { offset: site.offset, cookie: site.probe.0.into(), counter: site.semaphore.unwrap_or(0) }
}

fn file<'p>(places: &'p Places, name: &str) -> Result<&'p File, Error> {
    places.files.get(name).ok_or_else(|| Error::missing(name))
}

/// A path that leads to this very file, whatever its own path leads to by now.
fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
