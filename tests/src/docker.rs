//! Real containers: a Docker daemon, images made from files, and containers, each gone when its guard is.
//!
//! A daemon that answers is used; else one is started, with everything of its own (socket, data, containerd) below a
//! folder that is removed with it. No registry is needed: images are imported from an archive.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::programs;

/// How long a daemon may take to answer after its start.
const START: Duration = Duration::from_secs(60);

/// A client of a daemon.
pub struct Docker {
    daemon: Option<Daemon>,
}

impl Docker {
    /// Uses the daemon that answers, or starts one.
    pub fn connect() -> Result<Self> {
        let there = Self { daemon: None };
        if there.answers() {
            return Ok(there);
        }
        let started = Self { daemon: Some(Daemon::start()?) };
        let deadline = Instant::now() + START;
        while !started.answers() {
            ensure!(Instant::now() < deadline, "dockerd does not answer:\n{}", started.log());
            // Nothing tells when its socket is there but the client's own attempt.
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(started)
    }

    /// The `docker` command line, of this daemon.
    pub fn command(&self) -> Command {
        let mut docker = Command::new("docker");
        if let Some(daemon) = &self.daemon {
            docker.arg("--host").arg(format!("unix://{}", daemon.folder.join("socket").display()));
        }
        docker
    }

    /// Runs `docker ARGUMENTS` to its end and returns all of it.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.command().args(arguments).stdin(Stdio::null()).output().context("cannot run docker")
    }

    /// Runs `docker ARGUMENTS`, which must succeed, and returns what it printed.
    pub fn read(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker {arguments:?} ended with {}:\n{stderr}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Makes an image from files: where they are here, and where in the image. With `busybox` it has a shell.
    pub fn image(&self, files: &[(&Path, &str)], busybox: bool) -> Result<Image<'_>> {
        let name = unique("image");
        let tree = Folder::new(&name)?;
        if busybox {
            add_busybox(&tree.0)?;
        }
        for (from, to) in files {
            let to = tree.0.join(to.trim_start_matches('/'));
            fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let mut tar = Command::new("tar")
            .args(["--create", "--directory"])
            .args([tree.0.as_os_str(), ".".as_ref()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run tar")?;
        let archive = tar.stdout.take().context("tar has no output")?;
        let imported = self.command().args(["import", "-", &name]).stdin(archive).output()?;
        ensure!(tar.wait()?.success(), "tar failed");
        ensure!(imported.status.success(), "docker import failed:\n{}", String::from_utf8_lossy(&imported.stderr));
        Ok(Image { docker: self, name })
    }

    /// Starts a container that runs until its guard is gone: `docker run -d OPTIONS IMAGE COMMAND`.
    pub fn run(&self, options: &[&str], image: &Image, command: &[&str]) -> Result<Container<'_>> {
        let name = unique("container");
        // The guard is there before the container: what fails to start is removed too.
        let container = Container { docker: self, name };
        let fixed = ["run", "--detach", "--name", &container.name];
        self.read(&[&fixed, options, &[&image.name], command].concat())?;
        Ok(container)
    }

    /// The process that a container was started with, as it is numbered here.
    pub fn pid(&self, container: &Container<'_>) -> Result<u32> {
        let pid = self.read(&["inspect", "--format", "{{.State.Pid}}", &container.name])?;
        pid.parse().with_context(|| format!("docker says `{pid}` for a process"))
    }

    fn answers(&self) -> bool {
        self.output(&["info"]).is_ok_and(|output| output.status.success())
    }

    fn log(&self) -> String {
        let log = self.daemon.as_ref().map(|daemon| fs::read(daemon.folder.join("log")).unwrap_or_default());
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }
}

/// An image, removed with its guard.
pub struct Image<'a> {
    docker: &'a Docker,
    /// Its name, for `docker run`.
    pub name: String,
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        report(&self.name, self.docker.read(&["rmi", "--force", &self.name]));
    }
}

/// A running container, removed with its guard.
pub struct Container<'a> {
    docker: &'a Docker,
    /// Its name, for `docker exec` and `--pid container:NAME`.
    pub name: String,
}

impl Container<'_> {
    /// Runs `docker exec NAME COMMAND` to its end.
    pub fn exec(&self, command: &[&str]) -> Result<Output> {
        self.docker.output(&[&["exec", &self.name], command].concat())
    }

    /// `docker exec OPTIONS NAME COMMAND`, not started yet.
    pub fn exec_with(&self, options: &[&str], command: &[&str]) -> Command {
        let mut docker = self.docker.command();
        docker.arg("exec").args(options).arg(&self.name).args(command);
        docker
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        report(&self.name, self.docker.read(&["rm", "--force", "--volumes", &self.name]));
    }
}

/// A daemon of our own.
struct Daemon {
    process: Child,
    folder: PathBuf,
}

impl Daemon {
    fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join(unique("docker"));
        fs::create_dir(&folder)?;
        let log = fs::File::create(folder.join("log"))?;
        // It ends with us, whatever ends us. Containers get no network: the tests need none, and the host's firewall
        // stays as it is.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "dockerd", "--iptables=false", "--bridge=none"])
            .arg("--host")
            .arg(format!("unix://{}", folder.join("socket").display()))
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run dockerd")?;
        Ok(Self { process, folder })
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process id")?, Signal::TERM)?;
        self.process.wait()?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        report("dockerd", self.stop());
    }
}

/// A folder, removed with its guard.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        report("a folder", fs::remove_dir_all(&self.0).map_err(Into::into));
    }
}

/// busybox, with the names of all its applets, and the folders that programs expect.
fn add_busybox(tree: &Path) -> Result<()> {
    for folder in ["bin", "tmp", "etc", "root"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    let busybox = programs::busybox()?;
    fs::copy(&busybox, tree.join("bin/busybox")).context("cannot copy busybox")?;
    let listed = Command::new(&busybox).arg("--list").output()?;
    for applet in String::from_utf8_lossy(&listed.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    Ok(())
}

/// A name that no other test run has.
fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("ctrace-test-{what}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Guards cannot fail; what they could not remove is said.
fn report<T>(what: &str, removed: Result<T>) {
    if let Err(error) = removed {
        eprintln!("left behind: {what}: {error:#}");
    }
}
