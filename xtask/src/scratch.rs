//! A stack for one run of tests: a folder and ports of its own, which no other run on this machine gets meanwhile.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};

use crate::layout::{Layout, Size};
use crate::{ports, up};

/// Above everything else that a machine of developers usually runs.
const FIRST_OFFSET: u16 = 1_000;
/// With it the broker's highest port stays below those that the kernel gives to clients (32768 and up).
const LAST_OFFSET: u16 = 6_000;
/// Listening on `FIRST_RESERVATION + n` reserves the n-th set of ports.
const FIRST_RESERVATION: u16 = 32_000;
/// So many sets are in use at once at most.
const MAX_SETS: usize = 200;

/// The ports stay reserved as long as this lives.
pub(crate) struct Scratch {
    pub(crate) layout: Layout,
    _reservation: TcpListener,
}

impl Scratch {
    /// A new folder below the system's temporary one, and ports on which nothing listens.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let state = std::env::temp_dir().join(format!("parlor-{name}-{}", std::process::id()));
        let offsets = disjoint_offsets()?;
        let first = usize::from(random()?);
        for turn in 0..offsets.len() {
            let index = (first + turn) % offsets.len();
            let port = FIRST_RESERVATION + u16::try_from(index)?;
            let Ok(reservation) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
            let layout = Layout::new(Some(state.clone()), offsets[index])?;
            if ports::all_free(&layout.ports(Size::LARGEST)) {
                up::make_folders(&layout)?;
                return Ok(Self { layout, _reservation: reservation });
            }
        }
        bail!("no free set of ports for a stack of tests among {}", offsets.len())
    }
}

/// Offsets under which no port of one stack is a port of another: a plain random one would let two stacks meet.
fn disjoint_offsets() -> Result<Vec<u16>> {
    let ports: Vec<u16> = Layout::new(None, 0)?.ports(Size::LARGEST).into_iter().map(|(port, _)| port).collect();
    let mut taken = BTreeSet::new();
    let mut offsets = Vec::new();
    for offset in FIRST_OFFSET..=LAST_OFFSET {
        if offsets.len() < MAX_SETS && ports.iter().all(|port| !taken.contains(&(port + offset))) {
            taken.extend(ports.iter().map(|port| port + offset));
            offsets.push(offset);
        }
    }
    Ok(offsets)
}

fn random() -> Result<u16> {
    let mut bytes = [0; 2];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gave no random numbers"))?;
    Ok(u16::from_le_bytes(bytes))
}

/// Says where a scratch stack is, for the test that started it: `scratch <port offset> <folder>`.
pub(crate) fn announce(layout: &Layout) -> Result<()> {
    let state = layout.state.to_str().context("the temporary folder's name is no text")?;
    println!("scratch {} {state}", layout.offset());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stacks_have_no_port_in_common() {
        let offsets = disjoint_offsets().unwrap();
        assert!(offsets.len() >= 20, "{}", offsets.len());
        let all =
            |offset: u16| Layout::new(None, offset).unwrap().ports(Size::LARGEST).into_iter().map(|(port, _)| port);
        let ports: Vec<u16> = offsets.iter().flat_map(|offset| all(*offset)).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(ports.iter().all(|port| *port < FIRST_RESERVATION));
    }

    #[test]
    fn a_set_of_ports_is_given_once_at_a_time() {
        let stacks: Vec<Scratch> = (0..5).map(|n| Scratch::new(&format!("xtask-{n}")).unwrap()).collect();
        let offsets: BTreeSet<u16> = stacks.iter().map(|stack| stack.layout.offset()).collect();
        assert_eq!(offsets.len(), stacks.len());
        for stack in stacks {
            std::fs::remove_dir_all(stack.layout.state).unwrap();
        }
    }
}
