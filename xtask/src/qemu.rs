//! Boots a kernel with an initramfs under qemu, without hardware virtualization, and returns its command's status.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::unpacked::Package;

/// Bytes of the machine's disk.
const DISK: u64 = 64 << 20;

/// Exit status of timeout(1) when the time was up.
const TIMED_OUT: i32 = 124;

/// What happens to the first serial port, where the command's output arrives.
pub enum Serial<'a> {
    /// Each line is given to the function; the input is empty.
    Lines(&'a mut dyn FnMut(&str)),
    /// It is our terminal.
    Terminal,
}

/// Runs the machine until its command ends and returns the command's exit status. `run` is a folder for this run's
/// files. At `limit` the machine is stopped, and that is an error; so is a machine that ends without a status.
pub fn boot(kernel: &Path, initramfs: &Path, run: &Path, limit: Duration, serial: Serial) -> Result<u8> {
    let (console, status) = (run.join("console"), run.join("status"));
    let disk = run.join("disk");
    File::create(&disk).and_then(|file| file.set_len(DISK)).context("cannot make a disk")?;
    let program = Package::Qemu.find().context("qemu-system-x86_64 is missing")?;
    let mut qemu = command(&program, kernel, initramfs, run, limit, &serial);
    let child = match serial {
        Serial::Terminal => qemu.spawn(),
        Serial::Lines(_) => qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn(),
    };
    let mut child = child.context("cannot run qemu-system-x86_64")?;
    if let Serial::Lines(line) = serial {
        copy_lines(&mut child, line)?;
    }
    let ended = child.wait()?;
    report(ended, limit, &console, &status)
}

fn command(program: &Path, kernel: &Path, initramfs: &Path, run: &Path, limit: Duration, serial: &Serial) -> Command {
    // The machine ends with us, whatever ends us: timeout(1) gets SIGTERM when its parent dies, and passes it on.
    let mut qemu = shell::command("setpriv");
    qemu.args(["--pdeathsig", "TERM", "timeout", "--foreground", "--kill-after=5"]);
    qemu.arg(limit.as_secs().to_string());
    // One host thread for all processors: with several, one of them may still run what another has just patched (a jump
    // label's breakpoint), and the kernel panics.
    qemu.envs(Package::Qemu.environment()).arg(program).args([
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "max",
        "-M",
        "q35",
    ]);
    qemu.args(["-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config", "-display", "none"]);
    // The kernels have this driver without a module. Of a subsystem, the disk hands on bios, besides making requests of them.
    qemu.arg("-drive").arg(format!("file={},if=none,format=raw,id=disk", run.join("disk").display()));
    for device in ["nvme-subsys,id=subsystem", "nvme,serial=disk,subsys=subsystem", "nvme-ns,drive=disk"] {
        qemu.args(["-device", device]);
    }
    qemu.arg("-no-reboot").arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    qemu.args(["-append", "console=ttyS1 quiet panic=-1"]);
    qemu.args(["-serial", if matches!(serial, Serial::Terminal) { "mon:stdio" } else { "stdio" }]);
    for file in ["console", "status"] {
        qemu.arg("-serial").arg(format!("file:{}", run.join(file).display()));
    }
    qemu
}

fn copy_lines(child: &mut Child, line: &mut dyn FnMut(&str)) -> Result<()> {
    let mut stdout = BufReader::new(child.stdout.take().context("qemu has no output")?);
    let mut bytes = Vec::new();
    while stdout.read_until(b'\n', &mut bytes)? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']));
        bytes.clear();
    }
    Ok(())
}

fn report(ended: ExitStatus, limit: Duration, console: &Path, status: &Path) -> Result<u8> {
    if ended.code() == Some(TIMED_OUT) {
        bail!("the machine was stopped after {} s\n{}", limit.as_secs(), tail(console));
    }
    if !ended.success() {
        bail!("qemu ended with {ended}");
    }
    let said = fs::read_to_string(status).unwrap_or_default();
    said.trim().parse().with_context(|| format!("the machine ended without a status; its console:\n{}", tail(console)))
}

/// The end of the kernel's console.
fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
