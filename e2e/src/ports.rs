//! Ports for programs that a test starts: below those that the kernel gives to clients, so that nobody takes one meanwhile.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Above the ports of whole stacks (at most 6000 above their usual ones), below the ports that reserve those.
const ALL: Range<u16> = 22_000..32_000;
/// A process of tests claims so many at once. It listens on the first as long as it lives, so no other claims them.
const BLOCK: u16 = 100;

/// What this process has claimed.
static CLAIMED: LazyLock<Mutex<Claim>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Claim {
    reservations: Vec<TcpListener>,
    left: Vec<u16>,
}

/// `N` ports on which nothing listens, given neither twice within this process nor to another process of tests.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut claim = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = [0; N];
    for port in &mut found {
        *port = claim.next()?;
    }
    Ok(found)
}

impl Claim {
    fn next(&mut self) -> Result<u16> {
        loop {
            while let Some(port) = self.left.pop() {
                if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Ok(port);
                }
            }
            self.claim_block()?;
        }
    }

    fn claim_block(&mut self) -> Result<()> {
        for first in ALL.step_by(BLOCK.into()) {
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) {
                self.reservations.push(listener);
                self.left = (first + 1..first + BLOCK).rev().collect();
                return Ok(());
            }
        }
        bail!("no free ports between {} and {}", ALL.start, ALL.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_different_also_beyond_one_block() {
        let ports: [u16; 150] = free().unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 150);
        assert!(ports.iter().all(|port| ALL.contains(port)));
    }
}
