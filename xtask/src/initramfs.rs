//! The root file system of a virtual machine: busybox, what is to be tested, and an init that runs one command.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::shell;
use crate::unpacked::Package;

/// Mounts what ctrace looks at, and an empty disk, runs /command on the first serial port, and reports its status on the third; the
/// second is the kernel's console.
const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ CI=true
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up
mke2fs /dev/nvme0n1 > /dev/null && mount -t ext2 /dev/nvme0n1 /disk
# Lines end as they were written.
stty -F /dev/ttyS0 -onlcr
sh /command < /dev/ttyS0 > /dev/ttyS0 2>&1
echo $? > /dev/ttyS2
poweroff -f
";

/// A file or a tree to put into the root file system.
pub struct Entry {
    /// Where it is here.
    pub from: PathBuf,
    /// Where it is to be there, from the root.
    pub to: String,
}

/// Writes the image to `file`; `command` are shell lines, whose status is the machine's.
pub fn write(file: &Path, command: &str, entries: &[Entry]) -> Result<()> {
    let tree = file.with_extension("tree");
    shell::remove(&tree)?;
    for dir in ["bin", "proc", "sys", "dev", "tmp", "etc", "disk"] {
        fs::create_dir_all(tree.join(dir))?;
    }
    let busybox = Package::Busybox.find().context("busybox is missing")?;
    fs::copy(busybox, tree.join("bin/busybox"))?;
    fs::write(tree.join("init"), INIT)?;
    fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755))?;
    fs::write(tree.join("command"), command)?;
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    for Entry { from, to } in entries {
        let to = tree.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(&tree))?;
        // Linked, not copied: the archive is written at once, from what the links name.
        symlink(from, &to).with_context(|| format!("{} comes twice", to.display()))?;
    }
    archive(&tree, file)?;
    shell::remove(&tree)
}

/// Packs `tree` in the kernel's format, following symbolic links.
fn archive(tree: &Path, file: &Path) -> Result<()> {
    let names = shell::read(shell::command("find").args(["-L", ".", "-mindepth", "1"]).current_dir(tree))?;
    let mut cpio = shell::command("cpio")
        .args(["--create", "--format=newc", "--dereference", "--quiet"])
        .current_dir(tree)
        .stdin(Stdio::piped())
        .stdout(File::create(file)?)
        .spawn()
        .context("cannot run cpio")?;
    let mut stdin = cpio.stdin.take().context("cpio has no input")?;
    stdin.write_all(names.as_bytes())?;
    drop(stdin);
    let status = cpio.wait()?;
    ensure!(status.success(), "cpio ended with {status}");
    Ok(())
}
