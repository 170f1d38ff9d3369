//! A process that waits to become a program, without a system call of ours to be seen when it does.
//!
//! One that waits in read(2) returns from it once it is traced, and that is an event of its. So it stops before anything
//! is attached, as a process that is debugged does, and is let go by whoever debugs it. Where that is forbidden (by a
//! filter of system calls), it waits in read(2).

use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;

use super::{check, signal_child};

/// What the child says before it waits: how it does.
const STOPPED: u8 = 1;
const READING: u8 = 2;

/// A child that waits. Dropped before it was let go, it ends without having run anything; so it does if we end.
#[derive(Debug)]
pub struct Waiting {
    pid: u32,
    /// Where a byte lets it go, if it reads.
    go: Option<PipeWriter>,
    /// Where its errno comes from if it cannot become its program.
    failed: PipeReader,
    is_done: bool,
}

impl Waiting {
    /// Its pid, in the namespace of the caller.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it go, from the thread that has made it, and returns when it has become its program. The error may be why it
    /// could not.
    pub fn start(mut self) -> io::Result<()> {
        match &mut self.go {
            Some(go) => go.write_all(&[1])?,
            None => {
                // SAFETY: no memory is involved.
                let detached = unsafe { libc::ptrace(libc::PTRACE_DETACH, self.pid as libc::pid_t, 0, 0) };
                check(detached as i32)?;
            }
        }
        self.is_done = true;
        let mut errno = [0; 4];
        match self.failed.read(&mut errno)? {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_done {
            // It has been waited for by nobody, so the pid is its own; if it has ended, there is nothing to end.
            let _ = signal_child(self.pid, libc::SIGKILL);
        }
    }
}

/// Forks a process that waits, and then becomes the program at `path`.
///
/// If it cannot, it ends with status 127.
pub fn fork_waiting(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Result<Waiting> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    // Whatever allocates is done before the fork. The pipes are closed on exec.
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let (go_reader, go) = io::pipe()?;
    let (failed, failed_writer) = io::pipe()?;
    let (go_end, go_writer_end, failed_end) = (go_reader.as_raw_fd(), go.as_raw_fd(), failed_writer.as_raw_fd());
    // SAFETY: the child calls only what is safe after a fork.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        // SAFETY: as above. The pointers lead to NUL-terminated strings and arrays that the fork has copied.
        unsafe { child(path, &arguments, &environment, (go_end, go_writer_end), failed_end) }
    }
    drop((go_reader, failed_writer));
    let mut how = [0];
    let mut waiting = Waiting { pid: pid as u32, go: Some(go), failed, is_done: false };
    waiting.failed.read_exact(&mut how)?;
    if how == [STOPPED] {
        let mut status = 0;
        // SAFETY: the status is ours to write to. The child stops now; what else may have happened is that it has ended,
        // and is found to have when it is let go.
        check(unsafe { libc::waitpid(pid, &mut status, libc::__WALL) })?;
        // It ends if we do before it was let go.
        // SAFETY: no memory is involved.
        check(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, libc::PTRACE_O_EXITKILL) } as i32)?;
        waiting.go = None;
    }
    Ok(waiting)
}

/// The child: it calls ptrace, raise, close, read, signal, execve, write and _exit.
///
/// # Safety
/// After a fork: nothing may allocate or take a lock. The arrays end with a null pointer.
unsafe fn child(
    path: &CStr,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    (go, go_writer): (i32, i32),
    failed: i32,
) -> ! {
    // SAFETY: as the caller says.
    unsafe {
        libc::close(go_writer);
        // Rust's runtime ignores SIGPIPE; a program expects its default.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let is_traced = libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0;
        let how = if is_traced { STOPPED } else { READING };
        if libc::write(failed, (&raw const how).cast(), 1) != 1 {
            libc::_exit(127);
        }
        if is_traced {
            libc::raise(libc::SIGSTOP);
        } else {
            let mut byte = 0u8;
            if libc::read(go, (&raw mut byte).cast(), 1) != 1 {
                libc::_exit(127);
            }
        }
        // From here on it is traced: nothing but the one system call that strace sees first, too.
        libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        let errno = *libc::__errno_location();
        libc::write(failed, (&raw const errno).cast(), size_of_val(&errno));
        libc::_exit(127)
    }
}
