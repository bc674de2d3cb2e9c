//! HTTP to servers of this machine, with an answer or an error within a limit. A status is no error: the caller judges it.

use std::time::Duration;

use anyhow::{Context, Result};
use ureq::http::Request;
use ureq::{Agent, Body};

/// How long a request may take in all.
const LIMIT: Duration = Duration::from_secs(20);

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// GET. A name and a password in the address become basic authorization.
pub(crate) fn get(url: &str) -> Result<Answer> {
    answer(agent().get(url).call(), "GET", url)
}

/// PUT with a JSON body.
pub(crate) fn put(url: &str, body: &serde_json::Value) -> Result<Answer> {
    let request = Request::put(url).header("Content-Type", "application/json").body(body.to_string());
    answer(agent().run(request.context("not an address")?), "PUT", url)
}

/// POST with a JSON body.
pub(crate) fn post(url: &str, body: &serde_json::Value) -> Result<Answer> {
    let request = Request::post(url).header("Content-Type", "application/json").body(body.to_string());
    answer(agent().run(request.context("not an address")?), "POST", url)
}

fn agent() -> Agent {
    // Not by a proxy: everything asked here is local.
    Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).proxy(None).build().into()
}

fn answer(outcome: Result<ureq::http::Response<Body>, ureq::Error>, method: &str, url: &str) -> Result<Answer> {
    // Without the password that may stand in it.
    let place = url.rsplit_once('@').map_or(url, |(_, place)| place);
    let mut answer = outcome.with_context(|| format!("failed to {method} {place}"))?;
    let body = answer.body_mut().read_to_string().with_context(|| format!("failed to read the answer of {place}"))?;
    Ok(Answer { status: answer.status().as_u16(), body })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `reply` and gives what was asked.
    fn serve(reply: &'static str) -> (u16, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        });
        (port, thread)
    }

    #[test]
    fn a_name_in_the_address_becomes_basic_authorization() {
        let (port, asked) = serve("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nabc");
        let answer = get(&format!("http://a:b@127.0.0.1:{port}/api/overview")).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "abc"));
        assert!(asked.join().unwrap().to_lowercase().contains("authorization: basic ytpi"));
    }

    #[test]
    fn an_error_names_the_address_without_its_password() {
        let (port, _asked) = serve("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        let error = get(&format!("http://a:secret@127.0.0.1:{port}/x")).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(&format!("127.0.0.1:{port}/x")) && !text.contains("secret"), "{text}");
    }
}
