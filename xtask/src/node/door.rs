//! The one way into the node's network: a socket in its folder, behind which somebody stands inside. Who comes says in a first line
//! where to: `10.96.0.7:8080`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{INSIDE, remains};

/// Name of the socket, in the node's folder.
const SOCKET: &str = "door.sock";
/// To say where to, and to be led there.
const LIMIT: Duration = Duration::from_secs(10);
/// Longer than any address with its port.
const LINE_BYTES: u64 = 64;

/// Inside: opens it.
pub(super) fn open() -> Result<()> {
    let listener = UnixListener::bind(Path::new(INSIDE).join(SOCKET)).context("failed to open the door")?;
    // Whoever cannot be let in sees the end of the connection.
    thread::spawn(move || listener.incoming().flatten().for_each(|guest| drop(thread::spawn(|| let_in(guest)))));
    Ok(())
}

fn let_in(guest: UnixStream) -> io::Result<()> {
    let mut target = String::new();
    guest.set_read_timeout(Some(LIMIT))?;
    // Not a byte more than the line.
    BufReader::with_capacity(1, guest.try_clone()?.take(LINE_BYTES)).read_line(&mut target)?;
    guest.set_read_timeout(None)?;
    let target: SocketAddr = target.trim().parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let host = TcpStream::connect_timeout(&target, LIMIT)?;
    host.set_nodelay(true)?;
    join(guest, host)
}

/// Outside: a port of this machine's loopback whose connections go to `target` inside.
pub(super) fn serve(listener: TcpListener, folder: PathBuf, target: String) {
    thread::spawn(move || {
        for guest in listener.incoming().flatten() {
            let (folder, target) = (folder.clone(), target.clone());
            thread::spawn(move || bring(guest, &folder, &target));
        }
    });
}

/// A port that the kernel chooses.
pub(super) fn listen() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to listen on loopback")
}

fn bring(guest: TcpStream, folder: &Path, target: &str) -> io::Result<()> {
    let first = remains::first_process(folder).ok_or(io::ErrorKind::NotConnected)?;
    // Its root, and not the folder as it is called here: names of sockets may have 107 bytes.
    let mut door = UnixStream::connect(format!("/proc/{first}/root{INSIDE}/{SOCKET}"))?;
    writeln!(door, "{target}")?;
    guest.set_nodelay(true)?;
    join(guest, door)
}

/// One side of a conversation.
trait Side: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    /// Tells it that nothing more comes.
    fn end(&self) -> io::Result<()>;
}

impl Side for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Side for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Until both have ended.
fn join(one: impl Side, other: impl Side) -> io::Result<()> {
    let (from, to) = (other.twin()?, one.twin()?);
    let back = thread::spawn(move || copy(from, to));
    copy(one, other);
    back.join().ok();
    Ok(())
}

fn copy(mut from: impl Side, mut to: impl Side) {
    // One that breaks off is for the other one that has ended.
    io::copy(&mut from, &mut to).ok();
    to.end().ok();
}
