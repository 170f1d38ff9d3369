//! What the test program does with sockets, all of it within the machine.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// The port of [`connect`], which scripts name.
const PORT: u16 = 47613;

/// Connections to itself.
pub fn connect(times: u64) -> Result<()> {
    // Others may do the same at this moment, in the same network: an address of its own.
    let [.., high, low] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, high, low, 1), PORT))?;
    for _ in 0..times {
        drop((TcpStream::connect(listener.local_addr()?)?, listener.accept()?));
    }
    Ok(())
}

/// Connections that are refused, as nobody listens.
pub fn refused(times: u64) -> Result<()> {
    for _ in 0..times {
        let connected = TcpStream::connect(unused()?);
        ensure!(connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "it was not refused");
    }
    Ok(())
}

/// Connections over which a text goes there and back.
pub fn echo(times: u64) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    for _ in 0..times {
        let mut near = TcpStream::connect(listener.local_addr()?)?;
        let (mut far, _) = listener.accept()?;
        let mut text = *b"echo";
        near.write_all(&text)?;
        far.read_exact(&mut text)?;
        far.write_all(&text)?;
        near.read_exact(&mut text)?;
    }
    Ok(())
}

/// Texts through a pair of sockets.
pub fn pair(times: u64) -> Result<()> {
    let (mut near, mut far) = UnixStream::pair()?;
    for _ in 0..times {
        let mut text = *b"pair";
        near.write_all(&text)?;
        far.read_exact(&mut text)?;
    }
    Ok(())
}

/// Connections that end while there is something to read, which resets them.
pub fn unread(times: u64) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    for _ in 0..times {
        let mut near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        near.write_all(b"a")?;
        // It has arrived.
        far.peek(&mut [0])?;
        drop(far);
        let read = near.read(&mut [0]);
        ensure!(read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "it was not reset");
    }
    Ok(())
}

/// Connections to a listener that takes no more: what asks for them is sent a second time, a second later.
pub fn unanswered(times: u64) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    rustix::net::listen(&listener, 0)?;
    // One is taken all the same.
    let first = TcpStream::connect(listener.local_addr()?)?;
    for _ in 0..times {
        let second = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_millis(1500));
        ensure!(second.is_err_and(|error| error.kind() == ErrorKind::TimedOut), "it was answered");
    }
    drop(first);
    Ok(())
}

/// Datagrams to where nobody receives, which the kernel says.
pub fn undelivered(times: u64) -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?).context("cannot say where to")?;
    for _ in 0..times {
        socket.send(b"a")?;
        match socket.recv(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            other => bail!("it was not refused: {other:?}"),
        }
    }
    Ok(())
}

/// An address that nobody listens at.
fn unused() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
