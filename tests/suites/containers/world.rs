//! What every test gets: the daemon, the images, and ctrace in a container.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::docker::{Container, Docker, Image};
use tests::programs;

/// The options that let ctrace work with every version of Docker.
pub const PRIVILEGED: &[&str] = &["--cap-add", "SYS_ADMIN"];

/// A daemon and the programs under test.
pub struct World {
    /// The daemon's client.
    pub docker: Docker,
    ctrace: PathBuf,
    peer: PathBuf,
}

impl World {
    /// Connects to the daemon, or starts one.
    pub fn new() -> Result<Self> {
        Ok(Self { docker: Docker::connect()?, ctrace: programs::ctrace()?, peer: programs::peer()? })
    }

    /// An image with a shell, the test program, and ctrace, as an application's may be.
    pub fn application(&self) -> Result<Image<'_>> {
        self.image(&[])
    }

    /// The test program, for processes outside of containers.
    pub fn peer(&self) -> &Path {
        &self.peer
    }

    /// ctrace, for use outside of containers.
    pub fn ctrace(&self) -> &Path {
        &self.ctrace
    }

    /// The application's image, with other files: where they are here, and where in the image.
    pub fn image(&self, files: &[(&Path, &str)]) -> Result<Image<'_>> {
        let own = [(self.ctrace.as_path(), "/bin/ctrace"), (self.peer.as_path(), "/bin/peer")];
        self.docker.image(&[&own, files].concat(), true)
    }

    /// An image with ctrace, and no other file.
    pub fn scratch(&self) -> Result<Image<'_>> {
        self.docker.image(&[(&self.ctrace, "/ctrace")], false)
    }

    /// The application's image, with dynamic programs of this machine and the libraries that they need.
    pub fn application_with(&self, programs: &[&str]) -> Result<Image<'_>> {
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for program in programs {
            files.push((program.into(), (*program).to_owned()));
            for library in libraries(program)? {
                files.push((library.clone().into(), library));
            }
        }
        files.sort();
        files.dedup();
        self.image(&files.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect::<Vec<_>>())
    }
}

/// Files that the dynamic linker loads for a program.
pub fn libraries(program: &str) -> Result<Vec<String>> {
    let listed = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let listed = String::from_utf8(listed.stdout)?;
    Ok(listed.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// Runs a command in the container to its end; it must succeed. Returns what it printed to stdout.
pub fn exec(container: &Container, command: &[&str]) -> Result<String> {
    let output = container.exec(command)?;
    ensure!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, stderr(&output));
    Ok(String::from_utf8(output.stdout)?)
}

/// A command in the container whose standard input stays open until it is dropped; it is not waited for.
pub fn exec_held(container: &Container, command: &[&str]) -> Result<Held> {
    let mut docker = container.exec_with(&["--interactive"], command);
    let child = docker.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    Ok(Held(child))
}

/// A process that ends when its guard closes its input.
pub struct Held(pub std::process::Child);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            eprintln!("left behind: a process: {error}");
        }
    }
}

/// What a process wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The data of the only line of this type in ctrace's JSON.
pub fn json(printed: &str, wanted: &str) -> Result<Value> {
    let lines: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut found = lines.into_iter().filter(|line| line["type"] == wanted);
    let line = found.next().with_context(|| format!("no line of type {wanted} in:\n{printed}"))?;
    ensure!(found.next().is_none(), "more than one line of type {wanted} in:\n{printed}");
    Ok(line["data"].clone())
}
