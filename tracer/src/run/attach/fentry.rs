//! Calls and returns of the kernel's functions (fentry, fexit): a program for each, as the kernel looks at it with that
//! function's types in mind.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::plan::{FentrySite, Missing};
use crate::run::multi::Programs;
use crate::run::{Error, sys};

/// A copy of the program for each function, in their order; nothing where the kernel does not let a function that is one of
/// many be traced.
pub fn load(
    programs: &Programs,
    symbol: &str,
    exit: bool,
    sites: &[FentrySite],
) -> Result<Vec<Option<OwnedFd>>, Error> {
    let load = |site: &FentrySite| {
        let kind = if exit { sys::Kind::Fexit(site.ty) } else { sys::Kind::Fentry(site.ty) };
        match programs.load(symbol, kind) {
            Ok(program) => Ok(Some(program)),
            // Said of the function, not of the program.
            Err(Error::Verifier { log, .. }) if site.missing != Missing::Refuse && is_about_the_function(&log) => {
                Ok(None)
            }
            Err(Error::Verifier { log, error, .. }) if is_about_the_function(&log) => Err(failed(site, &error)),
            Err(error) => Err(error),
        }
    };
    sites.iter().map(load).collect()
}

/// What the verifier says before it looks at a program (bpf_check_attach_target in kernel/bpf/verifier.c).
fn is_about_the_function(log: &str) -> bool {
    [
        "FENTRY/FEXIT program can only be attached to",
        "is not static",
        "doesn't have address",
        "Attaching tracing programs",
        "is denied",
        "not supported",
        "does not have valid",
    ]
    .iter()
    .any(|said| log.contains(said))
}

/// Attaches those that the kernel allows. Functions that it refuses are named in the result, unless that is to be ignored,
/// or an error.
pub fn attach(
    programs: &[Option<OwnedFd>],
    exit: bool,
    sites: &[FentrySite],
) -> Result<(Vec<OwnedFd>, Vec<String>), Error> {
    let (mut links, mut refused) = (Vec::new(), Vec::new());
    for (site, program) in sites.iter().zip(programs) {
        let mut refuse = || {
            if site.missing == Missing::Warn {
                refused.push(site.function.clone());
            }
        };
        let Some(program) = program else {
            refuse();
            continue;
        };
        // A program for one function knows its probe.
        let cookie = if sites.len() > 1 { u64::from(site.probe.0) } else { 0 };
        match sys::fentry::link(program.as_fd(), exit, cookie) {
            Ok(link) => links.push(link),
            Err(error) if site.missing == Missing::Refuse || error.raw_os_error() == Some(libc::EPERM) => {
                return Err(failed(site, &error));
            }
            Err(_) => refuse(),
        }
    }
    Ok((links, refused))
}

fn failed(site: &FentrySite, error: &io::Error) -> Error {
    let reason = match error.raw_os_error() {
        Some(libc::EPERM) => "this kernel does not let its functions be patched".to_owned(),
        Some(libc::EINVAL | libc::ENOENT | libc::EBUSY | libc::EOPNOTSUPP) => {
            format!("the kernel does not let it be traced ({error})")
        }
        _ => error.to_string(),
    };
    Error::AttachKprobe { function: site.function.clone(), reason }
}
