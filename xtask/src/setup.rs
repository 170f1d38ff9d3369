//! `cargo xtask setup`: installs what is missing, one step after another, and says each.
//!
//! [`next_step`] decides from what [`Machine`] found and changes nothing, so every branch of it can be tested; the
//! machine is looked at again after each step, until there is nothing left to do.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::machine::{BpfRustc, Machine};
use crate::shell;
use crate::unpacked::Package;

/// The bpf-linker that tracer-ebpf is built with; it follows the LLVM of the compiler by a feature.
const BPF_LINKER: &str = "0.13.0";
/// The cargo-fuzz that runs the fuzzer.
const CARGO_FUZZ: &str = "0.13.2";
/// What Debian has to build for BPF: a compiler, and `core` for the target.
const DEBIAN_RUST: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];
/// Package and program, for the tests: containers, virtual machines, and what they are checked against.
const TEST: [(&str, &str); 9] = [
    ("docker.io", "dockerd"),
    ("cpio", "cpio"),
    ("bpftool", "bpftool"),
    ("strace", "strace"),
    ("g++", "c++"),
    ("musl-tools", "musl-gcc"),
    ("python3", "python3"),
    ("postgresql", "psql"),
    ("xz-utils", "xz"),
];
/// Package and program, for the measurements: the peers, and what makes a root file system for the newest bpftrace.
const BENCH: [(&str, &str); 3] = [("strace", "strace"), ("libbpf-tools", "syscount"), ("debootstrap", "debootstrap")];

/// `cargo xtask setup [--for PURPOSE] [--dry-run]`
#[derive(clap::Args)]
pub struct Args {
    /// What to prepare for
    #[arg(long = "for", value_enum, default_value = "test")]
    purpose: Purpose,
    /// Say what would be done next, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What the machine is to be prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Purpose {
    /// Building ctrace and running it here
    Build,
    /// The same, and running all tests
    Test,
    /// Building, and measuring against the peers
    Bench,
}

impl Purpose {
    fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Build => &[],
            Self::Test => &TEST,
            Self::Bench => &BENCH,
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Fetch apt's lists.
    AptUpdate,
    /// Install Debian packages.
    AptInstall(Vec<String>),
    /// Unpack a Debian package below target/.
    Unpack(Package),
    /// Install rustup's nightly with rust-src.
    Nightly,
    /// Install rustfmt and clippy for our own toolchain.
    RustComponents,
    /// Install bpf-linker for this LLVM.
    BpfLinker(u32),
    /// Build and install cargo-fuzz.
    CargoFuzz,
    /// Make the tree that holds the newest bpftrace.
    Peers,
}

/// Prepares, and says so when there is nothing to do.
pub fn main(args: &Args) -> Result<()> {
    if args.dry_run {
        match next_step(args.purpose, &look(args.purpose), false)? {
            Some(step) => println!("setup: would {step}"),
            None => println!("setup: nothing is missing"),
        }
        return Ok(());
    }
    ensure(args.purpose)?;
    println!("setup: nothing is missing");
    Ok(())
}

/// Installs what `purpose` needs and is not there.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let mut done = Vec::new();
    while let Some(step) = next_step(purpose, &look(purpose), done.contains(&Step::AptUpdate))? {
        ensure!(!done.contains(&step), "setup: {step} was done, and its result is still missing");
        eprintln!("setup: {step}");
        step.carry_out().with_context(|| format!("setup: could not {step}"))?;
        done.push(step);
    }
    Ok(())
}

/// The tree that holds the newest bpftrace, for `chroot`.
pub fn peers() -> PathBuf {
    shell::target().join("peers/sid")
}

fn look(purpose: Purpose) -> Machine {
    let packages: Vec<&str> = purpose.programs().iter().map(|(package, _)| *package).collect();
    Machine::look(&packages, &peers())
}

/// The first thing that is missing for `purpose`, or nothing; an error where it cannot be installed from here.
fn next_step(purpose: Purpose, machine: &Machine, apt_updated: bool) -> Result<Option<Step>> {
    if let Some(step) = next_build_step(machine, apt_updated)? {
        return Ok(Some(step));
    }
    if purpose == Purpose::Test && !machine.rust_components {
        ensure!(machine.rustup, "rustfmt and clippy are missing; install them beside rustc");
        return Ok(Some(Step::RustComponents));
    }
    let missing = |&(package, program): &(&str, &str)| match machine.apt {
        true => (!machine.packages.contains(package)).then(|| package.to_owned()),
        false => shell::find(program).is_none().then(|| program.to_owned()),
    };
    let missing: Vec<String> = purpose.programs().iter().filter_map(missing).collect();
    if !missing.is_empty() {
        ensure!(machine.apt, "these programs are missing, and there is no apt to install them: {}", missing.join(", "));
        return Ok(Some(if apt_updated { Step::AptInstall(missing) } else { Step::AptUpdate }));
    }
    if purpose == Purpose::Test && !machine.cargo_fuzz {
        return Ok(Some(Step::CargoFuzz));
    }
    if purpose == Purpose::Test
        && let Some(package) = Package::ALL.into_iter().find(|package| !machine.unpacked.contains(package))
    {
        ensure!(machine.apt, "{} is missing, and there is no apt to fetch it", package.program());
        return Ok(Some(if apt_updated { Step::Unpack(package) } else { Step::AptUpdate }));
    }
    Ok((purpose == Purpose::Bench && !machine.peers).then_some(Step::Peers))
}

fn next_build_step(machine: &Machine, apt_updated: bool) -> Result<Option<Step>> {
    let Some((rustc, llvm)) = machine.bpf_rustc else {
        // Whether apt has the compiler is known only from fresh lists.
        return match machine {
            Machine { apt: true, .. } if !apt_updated => Ok(Some(Step::AptUpdate)),
            Machine { apt_has_rustc_web: true, .. } => {
                Ok(Some(Step::AptInstall(DEBIAN_RUST.map(str::to_owned).to_vec())))
            }
            Machine { rustup: true, .. } => Ok(Some(Step::Nightly)),
            _ => bail!(
                "no compiler for BPF: neither apt with rustc-web nor rustup is here; install rustup from https://rustup.rs"
            ),
        };
    };
    if machine.bpf_linker.as_deref() == Some(BPF_LINKER) {
        return Ok(None);
    }
    if rustc == BpfRustc::Debian && !llvm_prefix(llvm).join("include").is_dir() {
        let library = vec![format!("llvm-{llvm}-dev")];
        return Ok(Some(if apt_updated { Step::AptInstall(library) } else { Step::AptUpdate }));
    }
    Ok(Some(Step::BpfLinker(llvm)))
}

/// Where Debian keeps an LLVM of this number.
fn llvm_prefix(llvm: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{llvm}"))
}

impl Step {
    /// The commands of the step, in order.
    fn commands(&self) -> Vec<Command> {
        match self {
            Self::AptUpdate => vec![apt(&["update", "-q"])],
            // --no-remove: a compiler of the machine's owner is not ours to take away.
            Self::AptInstall(packages) => {
                let mut install = apt(&["install", "-q", "-y", "--no-remove", "--no-install-recommends"]);
                install.args(packages);
                vec![install]
            }
            Self::Unpack(_) => Vec::new(),
            Self::Nightly => {
                let mut rustup = shell::command("rustup");
                rustup.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
                rustup.args(["--component", "rust-src"]);
                vec![rustup]
            }
            Self::RustComponents => {
                let mut rustup = shell::command("rustup");
                rustup.args(["component", "add", "clippy", "rustfmt"]);
                vec![rustup]
            }
            Self::BpfLinker(llvm) => {
                let mut install = shell::cargo();
                install.args(["install", "--locked", "--force", "--no-default-features", "--features"]);
                install.arg(format!("llvm-{llvm}")).arg(format!("bpf-linker@{BPF_LINKER}"));
                // Elsewhere llvm-config is found in PATH.
                if llvm_prefix(*llvm).is_dir() {
                    install.env("LLVM_PREFIX", llvm_prefix(*llvm));
                }
                vec![install]
            }
            Self::CargoFuzz => {
                let mut install = shell::cargo();
                install.args(["install", "--locked"]).arg(format!("cargo-fuzz@{CARGO_FUZZ}"));
                vec![install]
            }
            Self::Peers => {
                let fresh = fresh_peers();
                let mut bootstrap = shell::command("debootstrap");
                bootstrap.args(["--variant=minbase", "sid"]).arg(&fresh);
                let mut install = shell::command("chroot");
                install.arg(&fresh).args(["apt-get", "install", "-q", "-y"]);
                install.args(["--no-install-recommends", "bpftrace"]);
                install.env("DEBIAN_FRONTEND", "noninteractive");
                vec![bootstrap, install]
            }
        }
    }

    fn needs_root(&self) -> bool {
        matches!(self, Self::AptUpdate | Self::AptInstall(_) | Self::Peers)
    }

    fn carry_out(&self) -> Result<()> {
        if self.needs_root() && !is_root()? {
            let typed: Vec<String> = self.commands().iter().map(shell::show).collect();
            bail!("this needs root; run it as root and start again:\n    {}", typed.join("\n    "));
        }
        if let Self::Unpack(package) = self {
            return package.unpack();
        }
        if *self == Self::Peers {
            shell::remove(&fresh_peers())?;
            fs::create_dir_all(fresh_peers())?;
        }
        for mut command in self.commands() {
            shell::run(&mut command)?;
        }
        if *self == Self::Peers {
            // Renamed when complete: half a tree is made anew.
            fs::rename(fresh_peers(), peers())?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AptUpdate => write!(f, "fetch apt's package lists"),
            Self::AptInstall(packages) => write!(f, "install with apt: {}", packages.join(" ")),
            Self::Unpack(package) => write!(f, "fetch {} and unpack it below target", package.name()),
            Self::Nightly => write!(f, "install rustup's nightly toolchain with rust-src"),
            Self::RustComponents => write!(f, "install rustfmt and clippy"),
            Self::BpfLinker(llvm) => {
                write!(f, "build and install bpf-linker {BPF_LINKER} for LLVM {llvm}")
            }
            Self::CargoFuzz => write!(f, "build and install cargo-fuzz {CARGO_FUZZ}"),
            Self::Peers => write!(f, "make a tree with the newest bpftrace in {}", peers().display()),
        }
    }
}

fn apt(arguments: &[&str]) -> Command {
    let mut apt = shell::command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    // Another apt may be at work on a machine that has just started.
    apt.args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    apt
}

fn fresh_peers() -> PathBuf {
    peers().with_extension("new")
}

fn is_root() -> Result<bool> {
    Ok(shell::read(Command::new("id").arg("-u"))?.trim_end() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Debian machine on which nothing of ours is installed; its lists offer rustc-web.
    fn bare_debian() -> Machine {
        Machine { apt: true, apt_has_rustc_web: true, rustup: true, ..Machine::default() }
    }

    fn debian_that_builds() -> Machine {
        Machine { bpf_rustc: Some((BpfRustc::Debian, 22)), bpf_linker: Some(BPF_LINKER.to_owned()), ..bare_debian() }
    }

    fn shown(purpose: Purpose, machine: &Machine, apt_updated: bool) -> String {
        match next_step(purpose, machine, apt_updated) {
            Ok(Some(step)) => {
                let commands: Vec<String> = step.commands().iter().map(shell::show).collect();
                commands.join("\n").replace(&shell::target().display().to_string(), "target")
            }
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_bare_debian_gets_the_compiler_from_apt_after_its_lists() {
        assert_eq!(shown(Purpose::Build, &bare_debian(), false), "apt-get -o DPkg::Lock::Timeout=300 update -q");
        assert_eq!(
            shown(Purpose::Build, &bare_debian(), true),
            "apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-remove --no-install-recommends \
             rustc-web libstd-rust-web-dev-bpf"
        );
    }

    #[test]
    fn bpf_linker_is_built_for_the_compilers_llvm() {
        // A number that no machine has: its library is missing everywhere.
        let machine = Machine {
            bpf_rustc: Some((BpfRustc::Debian, 999)),
            bpf_linker: Some("0.12.0".to_owned()),
            ..bare_debian()
        };
        assert_eq!(
            shown(Purpose::Build, &machine, true),
            "apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-remove --no-install-recommends llvm-999-dev"
        );
        let step = next_step(Purpose::Build, &Machine { bpf_rustc: Some((BpfRustc::Nightly, 999)), ..machine }, true);
        assert_eq!(step.unwrap(), Some(Step::BpfLinker(999)));
    }

    #[test]
    fn without_rustc_web_the_way_is_rustups_nightly() {
        let nightly = "rustup toolchain install nightly --profile minimal --component rust-src";
        let old_debian = Machine { apt_has_rustc_web: false, ..bare_debian() };
        assert_eq!(shown(Purpose::Build, &old_debian, true), nightly);
        let fedora = Machine { rustup: true, ..Machine::default() };
        assert_eq!(shown(Purpose::Build, &fedora, false), nightly);
        assert_eq!(
            shown(Purpose::Build, &Machine::default(), false),
            "error: no compiler for BPF: neither apt with rustc-web nor rustup is here; install rustup from https://rustup.rs"
        );
    }

    #[test]
    fn building_needs_no_test_packages_and_testing_needs_only_the_missing_ones() {
        assert_eq!(shown(Purpose::Build, &debian_that_builds(), false), "nothing");
        let mut machine = Machine { rust_components: true, ..debian_that_builds() };
        machine.packages = ["docker.io", "cpio", "strace", "g++", "musl-tools", "python3", "postgresql", "xz-utils"]
            .map(str::to_owned)
            .into();
        assert_eq!(shown(Purpose::Test, &machine, false), "apt-get -o DPkg::Lock::Timeout=300 update -q");
        assert_eq!(
            shown(Purpose::Test, &machine, true),
            "apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-remove --no-install-recommends \
             bpftool"
        );
        machine.packages.insert("bpftool".to_owned());
        assert_eq!(next_step(Purpose::Test, &machine, false).unwrap(), Some(Step::CargoFuzz));
        machine.cargo_fuzz = true;
        machine.unpacked = vec![Package::Busybox];
        assert_eq!(
            next_step(Purpose::Test, &machine, false).unwrap(),
            Some(Step::AptUpdate),
            "packages are fetched by fresh lists"
        );
        assert_eq!(next_step(Purpose::Test, &machine, true).unwrap(), Some(Step::Unpack(Package::Qemu)));
    }

    #[test]
    fn testing_needs_rustfmt_and_clippy() {
        assert_eq!(shown(Purpose::Test, &debian_that_builds(), false), "rustup component add clippy rustfmt");
    }

    #[test]
    fn measuring_needs_a_tree_with_the_newest_bpftrace() {
        let mut machine = debian_that_builds();
        machine.packages = BENCH.map(|(package, _)| package.to_owned()).into();
        assert_eq!(
            shown(Purpose::Bench, &machine, false),
            "debootstrap --variant=minbase sid target/peers/sid.new\n\
             chroot target/peers/sid.new apt-get install -q -y --no-install-recommends bpftrace"
        );
        assert_eq!(shown(Purpose::Bench, &Machine { peers: true, ..machine }, false), "nothing");
    }
}
