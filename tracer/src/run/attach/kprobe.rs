//! Probes in functions of the kernel.
//!
//! Where the kernel has kprobe_multi links (5.18, CONFIG_FPROBE), one link holds all functions of a program. Elsewhere,
//! and for places inside of functions, there is one perf event for each place. Both need CAP_BPF and CAP_PERFMON only.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::plan::{KprobeSite, Missing};
use crate::run::{Error, sys};

/// The kernel's number for events of its functions; the file is not there if it was built without CONFIG_KPROBE_EVENTS.
const PMU: &str = "/sys/bus/event_source/devices/kprobe/type";

/// How a program for these places is to be loaded, where the kernel has links to many functions or not.
pub fn kind(sites: &[KprobeSite], many: bool) -> sys::Kind {
    // Links to many functions are to their beginnings, and do not know modules.
    let plain = sites.iter().all(|site| site.offset == 0 && !site.function.contains(':'));
    if many && plain { sys::Kind::KprobeMulti } else { sys::Kind::Kprobe }
}

/// Attaches to all places that the kernel allows. Those that it refuses are named in the result, unless that is to be
/// ignored, or an error.
pub fn attach(
    program: &OwnedFd,
    sites: &[KprobeSite],
    exit: bool,
    many: bool,
) -> Result<(Vec<OwnedFd>, Vec<String>), Error> {
    let (links, refused) = match kind(sites, many) {
        sys::Kind::KprobeMulti => attach_multi(program, sites, exit)?,
        _ => attach_perf(program, sites, exit)?,
    };
    if let Some((site, error)) = refused.iter().find(|(site, _)| site.missing == Missing::Refuse) {
        return Err(failed(site, error));
    }
    let told = refused.into_iter().filter(|(site, _)| site.missing == Missing::Warn);
    Ok((links, told.map(|(site, _)| site.function.clone()).collect()))
}

/// The places that the kernel refuses, and why.
type Refused<'s> = Vec<(&'s KprobeSite, io::Error)>;

fn attach_multi<'s>(
    program: &OwnedFd,
    sites: &'s [KprobeSite],
    exit: bool,
) -> Result<(Vec<OwnedFd>, Refused<'s>), Error> {
    let (mut links, mut refused) = (Vec::new(), Vec::new());
    let mut rest = vec![sites];
    while let Some(sites) = rest.pop() {
        let functions: Vec<&str> = sites.iter().map(|site| site.function.as_str()).collect();
        let cookies: Vec<u64> = sites.iter().map(|site| site.probe.0.into()).collect();
        match (sys::kprobe::link_kprobes(program.as_fd(), &functions, &cookies, exit), sites) {
            (Ok(link), _) => links.push(link),
            (Err(error), [site]) if is_about_the_place(&error) => refused.push((site, error)),
            // One of them spoils it for all, and the kernel does not say which.
            (Err(error), _) if is_about_the_place(&error) && sites.len() > 1 => {
                let (left, right) = sites.split_at(sites.len() / 2);
                rest.extend([right, left]);
            }
            (Err(error), _) => return Err(failed(&sites[0], &error)),
        }
    }
    Ok((links, refused))
}

fn attach_perf<'s>(
    program: &OwnedFd,
    sites: &'s [KprobeSite],
    exit: bool,
) -> Result<(Vec<OwnedFd>, Refused<'s>), Error> {
    let number = fs::read_to_string(PMU).ok().and_then(|text| text.trim().parse().ok());
    let pmu = number.ok_or_else(|| Error::AttachKprobe {
        function: sites[0].function.clone(),
        reason: "the kernel was built without CONFIG_KPROBE_EVENTS".to_owned(),
    })?;
    let (mut links, mut refused) = (Vec::new(), Vec::new());
    for site in sites {
        let KprobeSite { function, offset, probe, .. } = site;
        match sys::kprobe::link_perf_kprobe(program.as_fd(), pmu, function, *offset, exit, probe.0.into()) {
            Ok(link) => links.push(link),
            Err(error) if is_about_the_place(&error) => refused.push((site, error)),
            Err(error) => return Err(failed(site, &error)),
        }
    }
    Ok((links, refused))
}

/// Whether it is this place that the kernel does not like.
fn is_about_the_place(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOENT | libc::ESRCH | libc::EILSEQ | libc::EADDRNOTAVAIL | libc::EOPNOTSUPP)
    )
}

fn failed(site: &KprobeSite, error: &io::Error) -> Error {
    let reason = match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => "there are several functions of this name".to_owned(),
        Some(libc::EILSEQ) => format!("no instruction begins at {}+{}", site.function, site.offset),
        Some(libc::ENOENT | libc::ESRCH) => "it has no such function, or none that can be probed".to_owned(),
        Some(libc::EINVAL | libc::EOPNOTSUPP) => format!(
            "the kernel does not let it be probed ({error}): probes use it themselves, it is inlined, or the place is \
             not in it"
        ),
        _ => error.to_string(),
    };
    let offset = if site.offset == 0 { String::new() } else { format!("+{}", site.offset) };
    Error::AttachKprobe { function: format!("{}{offset}", site.function), reason }
}
