//! What the integration tests share: script cases as files, the cgroups and processes they run in, and containers.
//!
//! In reading order:
//! - [`case`]: the file format of a script case; text in, [`case::Case`] out
//! - [`expect`]: expected output, and whether a text is as expected
//! - [`needs`]: what a case may need of the machine, and whether this one has it
//! - [`cgroup`]: a cgroup that is gone, with all in it, when its guard is
//! - [`process`]: a process in a cgroup, with a deadline
//! - [`runner`]: runs one case and says how it failed
//! - [`bpftrace`]: bpftrace in the place of ctrace, for comparison
//! - [`differences`]: which cases bpftrace runs otherwise, and why
//! - [`generate`]: scripts made up from random choices, and what they must print
//! - [`privileges`]: the table of what may be attached where, as cases
//! - [`docker`]: a daemon, images and containers, removed when their guards are
//! - [`markers`]: probes (USDT) of the test program
//! - [`programs`]: where ctrace and the test programs lie
//! - [`sockets`]: what the test program does with sockets
//! - [`tracing`]: the kernel's own recorder of events

pub mod bpftrace;
pub mod case;
pub mod cgroup;
pub mod differences;
pub mod docker;
pub mod expect;
pub mod generate;
pub mod markers;
pub mod needs;
pub mod privileges;
pub mod process;
pub mod programs;
pub mod runner;
pub mod sockets;
mod sysctl;
pub mod tracing;
