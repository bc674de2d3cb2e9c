//! Who holds a port: from /proc/net/tcp and the open files of every process that may be seen.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Result, bail};

use crate::procfs;

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    port: u16,
    user: u32,
    inode: u64,
}

/// An error that names each taken port, who holds it and what to do.
pub(crate) fn require_free(ports: &[(u16, String)]) -> Result<()> {
    let listeners = listeners();
    let taken: Vec<String> = ports.iter().filter_map(|(port, wanted)| complaint(*port, wanted, &listeners)).collect();
    if taken.is_empty() {
        return Ok(());
    }
    bail!("{}\nStop what holds it, or move this stack: --port-offset N adds N to every port.", taken.join("\n"))
}

/// Nobody listens on any of these.
pub(crate) fn all_free(ports: &[(u16, String)]) -> bool {
    let listeners = listeners();
    ports.iter().all(|(port, wanted)| complaint(*port, wanted, &listeners).is_none())
}

fn complaint(port: u16, wanted: &str, listeners: &[Listener]) -> Option<String> {
    if let Some(listener) = listeners.iter().find(|listener| listener.port == port) {
        return Some(format!("port {port} (for {wanted}) is taken by {}", holder(listener)));
    }
    // Another network namespace or a reservation does not show in /proc: only trying tells.
    match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(_) => None,
        Err(error) => Some(format!("port {port} (for {wanted}) cannot be used: {error}")),
    }
}

fn holder(listener: &Listener) -> String {
    let Some(pid) = pid_of(listener.inode) else {
        return format!("a process of user id {} that you may not see (try with sudo: ss -ltnp)", listener.user);
    };
    let mut command = procfs::command_line(pid);
    if command.chars().count() > 100 {
        command = command.chars().take(100).chain(['…']).collect();
    }
    format!("process {pid}: {command}")
}

fn listeners() -> Vec<Listener> {
    let mut all = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for listener in parse_table(&fs::read_to_string(table).unwrap_or_default()) {
            all.entry(listener.inode).or_insert(listener);
        }
    }
    all.into_values().collect()
}

/// Rows in state 0A (listening). Addresses are `HEX:PORT`, the port in hexadecimal.
fn parse_table(text: &str) -> Vec<Listener> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            if columns.get(3) != Some(&"0A") {
                return None;
            }
            let port = u16::from_str_radix(columns.get(1)?.rsplit(':').next()?, 16).ok()?;
            Some(Listener { port, user: columns.get(7)?.parse().ok()?, inode: columns.get(9)?.parse().ok()? })
        })
        .collect()
}

fn pid_of(inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path().join("fd"), &wanted).then_some(pid)
    })
}

fn holds(folder: &Path, wanted: &str) -> bool {
    let Ok(files) = fs::read_dir(folder) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1542 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 31337 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1542 0100007F:C001 01 00000000:00000000 00:00000000 00000000   102        0 31338 1 0000000000000000 20 4 30 10 -1
";

    #[test]
    fn only_listening_rows_count() {
        assert_eq!(parse_table(TABLE), [Listener { port: 5442, user: 102, inode: 31337 }]);
    }

    #[test]
    fn a_taken_port_names_the_process_that_holds_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = require_free(&[(port, "redis".into())]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {port} (for redis) is taken by process {}", std::process::id())),
            "{error}"
        );
        drop(listener);
        assert!(require_free(&[(port, "redis".into())]).is_ok());
    }
}
