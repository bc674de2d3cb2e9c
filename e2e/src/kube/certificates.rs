//! The control plane's keys: an authority, the API server's certificate, and the pair that signs ServiceAccounts' tokens.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// Names of the files.
pub(super) const AUTHORITY: &str = "authority.crt";
pub(super) const SERVER: &str = "server.crt";
pub(super) const SERVER_KEY: &str = "server.key";
pub(super) const ACCOUNTS_KEY: &str = "accounts.key";
pub(super) const ACCOUNTS_PUBLIC: &str = "accounts.pub";

/// Makes them and writes them to `folder`; gives the authority's certificate, as PEM.
pub(super) fn write(folder: &Path) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the authority of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(names)?.signed_by(&server_key, &authority)?;
    let accounts = KeyPair::generate()?;
    for (name, text) in [
        (AUTHORITY, authority.pem()),
        (SERVER, server.pem()),
        (SERVER_KEY, server_key.serialize_pem()),
        (ACCOUNTS_KEY, accounts.serialize_pem()),
        (ACCOUNTS_PUBLIC, accounts.public_key_pem()),
    ] {
        std::fs::write(folder.join(name), text).with_context(|| format!("failed to write {name}"))?;
    }
    Ok(authority.pem())
}
