//! `ready`, the other thing that every program can do: it asks the one that runs beside it, for the health check of a container that
//! has no shell and no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(3);
/// The most that is read of an answer.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Asks `/readyz` of the program that serves its health here; the error has what it waits for.
pub fn ask(address: SocketAddr) -> Result<()> {
    // Where it listens everywhere, this is where it is reached.
    let host = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let address = SocketAddr::new(host, address.port());
    let failed = || format!("nobody answers at {address}");
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).with_context(failed)?;
    stream.set_read_timeout(Some(LIMIT)).with_context(failed)?;
    stream.set_write_timeout(Some(LIMIT)).with_context(failed)?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").with_context(failed)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer).with_context(failed)?;
    let said = answer.lines().last().unwrap_or_default();
    ensure!(answer.starts_with("HTTP/1.1 200 "), "not ready: {said}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{self, Health};
    use crate::shutdown::Shutdown;
    use crate::telemetry::Metrics;

    #[tokio::test(flavor = "multi_thread")]
    async fn it_says_what_the_program_waits_for_and_nothing_when_it_is_ready() {
        let health = Health::new();
        let check = health.check("postgres");
        let router = health::router(health, Metrics::detached("test").unwrap(), Shutdown::new());
        let listener = crate::serve::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let never = Shutdown::new();
        let serving = crate::serve::serve(listener, None, router, &never, Duration::ZERO);
        let asking = async {
            let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            let ask = async || tokio::task::spawn_blocking(move || ask(everywhere)).await.unwrap();
            let error = ask().await.unwrap_err().to_string();
            assert!(error.contains("postgres") && error.contains("starting"), "{error}");
            check.ready();
            ask().await.unwrap();
        };
        tokio::select! {
            () = asking => {}
            served = serving => panic!("{served:?}"),
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert!(ask(free).unwrap_err().to_string().contains("nobody answers"));
    }
}
