//! Builds the kernel side, `tracer-ebpf`, into the objects that the program embeds.
//!
//! In: the sources of `tracer-ebpf` and `tracer-common`. Out, in `OUT_DIR`: `runtime.o` (the library that scripts are
//! linked to), `runtime-log.o` (the same with diagnostics) and `identity.o` (a program of its own).

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "bpfel-unknown-none";

/// What is built: the object's name and the features of `tracer-ebpf` that make it.
const OBJECTS: &[(&str, &str)] = &[("runtime.o", ""), ("runtime-log.o", "log"), ("identity.o", "identity")];

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = Path::new(&env::var("CARGO_MANIFEST_DIR")?).parent().ok_or("no workspace")?.to_owned();
    for source in ["tracer-ebpf", "tracer-common", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=PATH");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    // OUT_DIR is TARGET_DIR/PROFILE/build/PACKAGE/out: one build of the kernel side serves all profiles.
    let target_dir = out.ancestors().nth(4).ok_or("no target directory")?.join("bpf");
    let toolchain = Toolchain::find().ok_or("no Rust toolchain for BPF here: run `cargo xtask setup`")?;
    let path = path_with_linker()?;

    for (object, features) in OBJECTS {
        let status = toolchain
            .cargo()
            .current_dir(&workspace)
            .env("PATH", &path)
            .args(["rustc", "--quiet", "--release", "--package", "tracer-ebpf", "--lib", "--crate-type", "cdylib"])
            .args(["--target", TARGET, "--features", features, "--target-dir"])
            .arg(&target_dir)
            // The host's release profile is for the host: here bpf-linker does all that, and symbols are the point.
            .args(["--config", "profile.release.lto=false", "--config", "profile.release.strip=false"])
            // Atomic instructions and 32-bit arithmetic: Linux 5.12, older than anything we support.
            .args(["--", "-C", "target-cpu=v3"])
            .status()?;
        if !status.success() {
            return Err(format!("the kernel side did not build ({object}); `cargo xtask setup` may help").into());
        }
        fs::copy(target_dir.join(TARGET).join("release/libtracer_ebpf.so"), out.join(object))?;
    }
    Ok(())
}

/// Where `core` for BPF comes from.
enum Toolchain {
    /// A compiler with `core` for BPF beside it, as Debian packages it.
    Ready(PathBuf),
    /// Nightly with the sources of `core`, which cargo builds.
    Nightly,
}

impl Toolchain {
    fn find() -> Option<Self> {
        let debian = PathBuf::from("/usr/bin/rustc");
        let core = printed(Command::new(&debian).args(["--print", "target-libdir", "--target", TARGET]));
        if core.is_some_and(|directory| Path::new(&directory).is_dir()) {
            return Some(Self::Ready(debian));
        }
        let nightly = printed(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
        Path::new(&nightly).join("lib/rustlib/src/rust/library/core").is_dir().then_some(Self::Nightly)
    }

    /// cargo with this toolchain, and without what the outer cargo has set for the host.
    fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Ready(rustc) => {
                let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                command
            }
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo", "-Zbuild-std=core"]);
                for name in ["RUSTC", "RUSTUP_TOOLCHAIN", "CARGO"] {
                    command.env_remove(name);
                }
                command
            }
        };
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
        ] {
            command.env_remove(name);
        }
        command
    }
}

/// The first line that a command prints, if it can be run and succeeds.
fn printed(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}

/// PATH, with the place where `cargo install` puts bpf-linker.
fn path_with_linker() -> Result<std::ffi::OsString, Box<dyn Error>> {
    let installed = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .map(|home| home.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).chain(installed).collect();
    if !directories.iter().any(|directory| directory.join("bpf-linker").is_file()) {
        return Err("bpf-linker is not installed: run `cargo xtask setup`".into());
    }
    Ok(env::join_paths(directories)?)
}
