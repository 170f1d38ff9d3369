//! What is measured: ctrace, its peers, and the floor; each as the command that does the same job.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tests::bpftrace;
use tests::cgroup::Cgroup;
use tests::process::{self, NOTIFY};

use crate::machine::{self, BpfRustc};
use crate::{dist, setup, shell};

/// What bpftrace is given: the usual latency script, with a count.
const LATENCY: &str = "\
tracepoint:raw_syscalls:sys_enter FILTER_ENTER { @start[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit FILTER_EXIT {
    @count[args->id] = count();
    @ns[args->id] = hist(nsecs - @start[tid]);
    delete(@start[tid]);
}";

/// Ends as soon as it has begun.
const EXIT: &str = "BEGIN { exit(); }";

/// A thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `ctrace syscall-latency`
    Ctrace,
    /// bpftrace with the usual script.
    Bpftrace,
    /// `syscount -L` of libbpf-tools.
    Syscount,
    /// `strace -f -c`
    Strace,
    /// Our own minimal pair of programs.
    Floor,
}

impl Tool {
    /// All, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Ctrace, Self::Bpftrace, Self::Syscount, Self::Strace, Self::Floor];

    /// What its output says once its probes are attached.
    pub fn ready(self) -> &'static str {
        match self {
            Self::Ctrace | Self::Bpftrace => NOTIFY,
            Self::Syscount => "Tracing",
            Self::Floor => "attached",
            Self::Strace => "",
        }
    }

    /// Whether it can look at one cgroup only, and so has neighbours.
    pub fn has_scope(self) -> bool {
        matches!(self, Self::Ctrace | Self::Bpftrace | Self::Floor)
    }
}

/// Where the tools are.
pub struct Tools {
    ctrace: PathBuf,
    peer: PathBuf,
    floor: PathBuf,
    floor_object: PathBuf,
    /// The root of the tree with bpftrace; empty for the distribution's own.
    bpftrace_root: PathBuf,
    bpftrace_version: String,
}

impl Tools {
    /// Builds what is ours and finds the rest.
    pub fn build() -> Result<Self> {
        let bpftrace_root = if setup::peers().is_dir() { setup::peers() } else { PathBuf::new() };
        let mut version = bpftrace::in_root(&bpftrace_root);
        let version = shell::read(version.args(["bpftrace", "--version"]))?;
        Ok(Self {
            ctrace: dist::build()?,
            floor_object: floor_object()?,
            floor: floor()?,
            peer: peer()?,
            bpftrace_root,
            bpftrace_version: version.trim_end().replace('v', ""),
        })
    }

    /// The tool's name in the table.
    pub fn name(&self, tool: Tool) -> String {
        match tool {
            Tool::Ctrace => "ctrace syscall-latency".to_owned(),
            Tool::Bpftrace => self.bpftrace_version.clone(),
            Tool::Syscount => "syscount -L".to_owned(),
            Tool::Strace => "strace -f -c".to_owned(),
            Tool::Floor => "floor".to_owned(),
        }
    }

    /// Measures the latency of system calls until it is interrupted. ctrace and the floor see `scope` only; bpftrace
    /// sees all of the machine, which costs it less, unless `filtered`.
    pub fn latency(&self, tool: Tool, scope: &Cgroup, filtered: bool) -> Result<Command> {
        let id = fs::metadata(scope.path())?.ino();
        Ok(match tool {
            Tool::Ctrace => {
                let line = format!("exec {} syscall-latency", shell::quote(&self.ctrace.to_string_lossy()));
                let mut command = process::command(scope, &line);
                command.env(NOTIFY, "1");
                command
            }
            Tool::Bpftrace => {
                let (enter, exit) = match filtered {
                    true => (format!("/cgroup == {id}/"), format!("/cgroup == {id} && @start[tid]/")),
                    false => (String::new(), "/@start[tid]/".to_owned()),
                };
                let script = LATENCY.replace("FILTER_ENTER", &enter).replace("FILTER_EXIT", &exit);
                let mut command = bpftrace::in_root(&self.bpftrace_root);
                command.args(["bpftrace", "-e", &script]).env(NOTIFY, "1");
                command
            }
            Tool::Syscount => {
                let mut command = bpftrace::in_root(Path::new(""));
                // Its output would stay in a buffer.
                command.args(["stdbuf", "-oL", "syscount", "-L"]);
                command
            }
            Tool::Floor => {
                let mut command = Command::new(&self.floor);
                command.arg(&self.floor_object).arg(id.to_string()).arg(scope.level().to_string());
                command
            }
            Tool::Strace => bail!("strace starts what it traces"),
        })
    }

    /// Runs a script until it is interrupted: ctrace in `scope`, which is all that it sees; bpftrace on the whole machine.
    pub fn script(&self, tool: Tool, scope: &Cgroup, script: &str) -> Result<Command> {
        let mut command = match tool {
            Tool::Ctrace => {
                let line = format!("exec {} -e \"$BENCH_SCRIPT\"", shell::quote(&self.ctrace.to_string_lossy()));
                let mut command = process::command(scope, &line);
                command.env("BENCH_SCRIPT", script);
                command
            }
            Tool::Bpftrace => {
                let mut command = bpftrace::in_root(&self.bpftrace_root);
                command.args(["bpftrace", "-e", script]);
                command
            }
            _ => bail!("{} has no language", self.name(tool)),
        };
        command.env(NOTIFY, "1");
        Ok(command)
    }

    /// The shipped file.
    pub fn ctrace(&self) -> &Path {
        &self.ctrace
    }

    /// The program that makes known numbers of events.
    pub fn peer(&self) -> String {
        self.peer.to_string_lossy().into_owned()
    }

    /// The shortest program of those that have a language.
    pub fn start(&self, tool: Tool) -> Option<Command> {
        let mut command = match tool {
            Tool::Ctrace => Command::new(&self.ctrace),
            Tool::Bpftrace => {
                let mut command = bpftrace::in_root(&self.bpftrace_root);
                command.arg("bpftrace");
                command
            }
            _ => return None,
        };
        command.args(["-e", EXIT]);
        Some(command)
    }
}

fn peer() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "tests", "--bin", "peer"]))?;
    Ok(shell::target().join("debug/peer"))
}

fn floor() -> Result<PathBuf> {
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "floor"]))?;
    Ok(shell::target().join("debug/floor"))
}

/// Builds the floor's kernel side, as `tracer/build.rs` does ctrace's.
fn floor_object() -> Result<PathBuf> {
    let (rustc, _) = machine::bpf_rustc(true).context("setup has left no compiler for BPF")?;
    let mut build = match rustc {
        BpfRustc::Debian => {
            let mut cargo = shell::cargo();
            cargo.env("RUSTC", machine::DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo
        }
        BpfRustc::Nightly => {
            let mut cargo = shell::command("rustup");
            cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
            cargo.args(["run", "nightly", "cargo", "-Zbuild-std=core"]);
            cargo
        }
    };
    let folder = shell::target().join("bpf");
    build.env_remove("RUSTFLAGS").args(["rustc", "--quiet", "--release", "--package", "floor-ebpf"]);
    build.args(["--target", "bpfel-unknown-none", "--target-dir"]).arg(&folder);
    for setting in ["lto=false", "strip=false", "debug=2"] {
        build.arg("--config").arg(format!("profile.release.{setting}"));
    }
    // Maps of tasks are described by BTF.
    build.args(["--", "-C", "target-cpu=v3", "-C", "link-arg=--btf"]);
    shell::run(&mut build)?;
    Ok(folder.join("bpfel-unknown-none/release/libfloor_ebpf.so"))
}
