//! The HTTP client of the tests: every request within a limit, and trust in what a test names.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Certificate, Client};

/// No answer of a local server takes so long unless something is wrong.
const LIMIT: Duration = Duration::from_secs(30);

/// A client for plain HTTP and for the system's authorities.
pub fn client() -> Result<Client> {
    install_tls();
    Client::builder().timeout(LIMIT).build().context("failed to make an HTTP client")
}

/// A client that trusts only the authority in this PEM file's text.
pub fn client_trusting(pem: &[u8]) -> Result<Client> {
    install_tls();
    let authority = Certificate::from_pem(pem).context("failed to read the authority's certificate")?;
    Client::builder().timeout(LIMIT).tls_certs_only([authority]).build().context("failed to make an HTTPS client")
}

/// One provider of TLS for the whole process; a second call changes nothing.
pub fn install_tls() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
