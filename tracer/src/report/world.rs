//! What the reporter asks of the machine when something is printed: names, times, files.

use std::io;
use std::process::ExitStatus;

use tracer_common::stack::StackId;

use crate::plan::{Frames, Naming, Place, Plan, numbers};

/// The machine, as far as values refer to it; the pipeline implements it.
pub trait World {
    /// The name of a user.
    fn user(&self, uid: u32) -> Option<String>;

    /// The paths of a cgroup in the hierarchies whose name matches a pattern, as `unified:/a,cpu:/b`; empty if it is in
    /// none.
    fn cgroup(&self, id: u64, hierarchies: &str) -> String;

    /// A format of strftime(3) filled in with a time in ns since boot, or with the time now.
    fn time(&self, format: &str, since_boot: Option<u64>) -> String;

    /// A format of strftime(3) filled in with an atomic time (TAI) in ns.
    fn atomic_time(&self, format: &str, time: u64) -> String;

    /// A stack as it is printed.
    fn stack(&self, id: StackId, frames: Frames) -> String;

    /// The name of what is at an address of the kernel.
    fn kernel_symbol(&self, address: u64) -> String;

    /// The contents of a file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Runs a command of the shell; gives what it has written to its standard output.
    fn run(&self, command: &str) -> io::Result<(Vec<u8>, ExitStatus)>;

    /// Where a place of the script is.
    fn locate(&self, place: Place) -> Location;

    /// Warns of something at a place of the script, on the standard error stream; `help` is what to do about it.
    fn warn(&self, place: Place, message: &str, help: Option<&str>);

    /// Says something on the standard error stream.
    fn complain(&self, message: &str);
}

/// A place of the script, for people. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The script's name.
    pub file: String,
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// The whole, as `stdin:1:9-62`.
    pub text: String,
}

/// What values are decoded with.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Names that are known beforehand.
    pub plan: &'a Plan,
    /// The others.
    pub world: &'a dyn World,
}

impl Names<'_> {
    /// The name of the probe of this index.
    pub fn probe(self, index: u64) -> String {
        self.plan.probes.get(index as usize).cloned().unwrap_or_else(|| index.to_string())
    }

    /// The name of the system call of this number.
    pub fn syscall(self, number: u64) -> String {
        let name = match number {
            // The one call that returns without its number: it has restored the registers of before a signal.
            u64::MAX => Some("rt_sigreturn"),
            _ => self.plan.syscalls.get(number as usize).and_then(Option::as_deref),
        };
        name.unwrap_or("Unknown syscall").to_owned()
    }

    /// What a number stands for.
    pub fn named(self, naming: &Naming, number: u64) -> String {
        match naming {
            Naming::Error => numbers::error(number as i32).to_owned(),
            Naming::Signal => numbers::signal(number as i32),
            Naming::User => self.world.user(number as u32).unwrap_or_default(),
            Naming::Cgroup { hierarchies } => self.world.cgroup(number, hierarchies),
            Naming::Function => function(&self.probe(number)).to_owned(),
            Naming::KernelSymbol => self.world.kernel_symbol(number),
            Naming::Time { format } => self.world.time(format, Some(number)),
        }
    }
}

/// The function that a probe is at: names of a program's may have colons in them, those of the kernel's may stand alone.
fn function(probe: &str) -> &str {
    let name = match probe.starts_with('u') {
        true => probe.splitn(3, ':').nth(2),
        false => probe.rsplit(':').next().and_then(|name| name.split('+').next()),
    };
    name.unwrap_or_default()
}
