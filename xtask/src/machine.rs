//! What this machine already has, of all that `setup` may have to install. Looks only; changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::shell;
use crate::unpacked::Package;

/// Debian's ready-made `core` for the BPF target, in the sysroot of /usr/bin/rustc.
const DEBIAN_BPF_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
/// The compiler that goes with it.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A Rust compiler that can build for `bpfel-unknown-none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BpfRustc {
    /// Debian's rustc-web with libstd-rust-web-dev-bpf.
    Debian,
    /// A nightly toolchain of rustup with rust-src.
    Nightly,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// apt and dpkg manage this machine.
    pub apt: bool,
    /// apt can install rustc-web.
    pub apt_has_rustc_web: bool,
    /// Installed Debian packages, of those asked for.
    pub packages: BTreeSet<String>,
    /// rustup manages the toolchains.
    pub rustup: bool,
    /// The compiler for BPF, with the major number of its LLVM.
    pub bpf_rustc: Option<(BpfRustc, u32)>,
    /// The version of the installed bpf-linker.
    pub bpf_linker: Option<String>,
    /// Components of our own toolchain are there: rustfmt and clippy.
    pub rust_components: bool,
    /// cargo-fuzz is installed.
    pub cargo_fuzz: bool,
    /// Packages that are unpacked, or whose program is found elsewhere.
    pub unpacked: Vec<Package>,
    /// The tree with the tools that `bench` compares with, if complete.
    pub peers: bool,
}

impl Machine {
    /// Looks for `packages` and for everything else; takes some tens of milliseconds.
    pub fn look(packages: &[&str], peers: &Path) -> Self {
        let apt = shell::find("apt-get").is_some() && shell::find("dpkg-query").is_some();
        let rustup = shell::find("rustup").is_some();
        let bpf_rustc = bpf_rustc(rustup);
        Self {
            apt,
            // Asked only when the answer matters: it needs ten times as long as all the rest.
            apt_has_rustc_web: apt && bpf_rustc.is_none() && apt_offers("rustc-web"),
            packages: if apt { installed(packages) } else { BTreeSet::new() },
            rustup,
            bpf_rustc,
            bpf_linker: bpf_linker(),
            rust_components: ["cargo-clippy", "cargo-fmt"]
                .iter()
                .all(|tool| shell::read(shell::command(tool).arg("--version")).is_ok()),
            cargo_fuzz: shell::read(shell::cargo().args(["fuzz", "--version"])).is_ok(),
            unpacked: Package::ALL.into_iter().filter(|package| package.find().is_some()).collect(),
            peers: peers.is_dir(),
        }
    }
}

/// The compiler for BPF, with the major number of its LLVM; `rustup` says whether to ask rustup too.
pub fn bpf_rustc(rustup: bool) -> Option<(BpfRustc, u32)> {
    if Path::new(DEBIAN_BPF_CORE).is_dir()
        && let Ok(version) = shell::read(shell::command(DEBIAN_RUSTC).arg("-vV"))
    {
        return Some((BpfRustc::Debian, llvm_major(&version)?));
    }
    if !rustup {
        return None;
    }
    let nightly = |arguments: &[&str]| {
        shell::read(shell::command("rustup").args(["run", "nightly", "rustc"]).args(arguments)).ok()
    };
    let sysroot = PathBuf::from(nightly(&["--print", "sysroot"])?.trim_end());
    if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        return None;
    }
    Some((BpfRustc::Nightly, llvm_major(&nightly(&["-vV"])?)?))
}

/// The major number of LLVM in the output of `rustc -vV`.
fn llvm_major(version: &str) -> Option<u32> {
    let number = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    number.split('.').next()?.parse().ok()
}

fn bpf_linker() -> Option<String> {
    let said = shell::read(shell::command("bpf-linker").arg("--version")).ok()?;
    Some(said.strip_prefix("bpf-linker ")?.trim_end().to_owned())
}

fn installed(packages: &[&str]) -> BTreeSet<String> {
    let format = "${Package} ${db:Status-Status}\n";
    // dpkg-query fails where one of the packages is unknown, and prints the others all the same.
    let query = shell::command("dpkg-query").args(["-W", "-f", format]).args(packages).output();
    let listed = query.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect()
}

fn apt_offers(package: &str) -> bool {
    let policy: Result<String> = shell::read(shell::command("apt-cache").env("LC_ALL", "C").args(["policy", package]));
    policy.is_ok_and(|text| {
        text.lines().filter_map(|line| line.trim().strip_prefix("Candidate: ")).any(|candidate| candidate != "(none)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_number_comes_from_rustc() {
        let version = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(version), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
