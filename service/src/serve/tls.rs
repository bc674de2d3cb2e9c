//! The certificate of a TLS listener, read again when its files change: WSS without an ingress, renewed without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{default_provider, sign};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Names of the protocols, as TLS negotiates them.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Where a program's certificate is.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Certificate chain (PEM) for TLS; read again when it changes
    #[arg(long, env = "TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, env = "TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// A certificate that follows its files. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current {
    key: RwLock<Arc<CertifiedKey>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl TlsArgs {
    /// Reads the certificate, if there is to be one, and watches its files. Call it inside the runtime.
    pub fn load(&self) -> Result<Option<Tls>> {
        let (certificate, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) => return Ok(None),
            _ => bail!("TLS needs both --tls-cert and --tls-key"),
        };
        let files = Files::read(&certificate, &key)?;
        let parsed = files.parse().with_context(|| format!("failed to use {}", certificate.display()))?;
        let current = Arc::new(Current { key: RwLock::new(Arc::new(parsed)) });
        tokio::spawn(watch(Arc::downgrade(&current), certificate, key, files));
        let config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .context("failed to set up TLS")?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Some(Tls { config: Arc::new(config) }))
    }
}

impl Tls {
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("failed to read {}", path.display()));
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn parse(&self) -> Result<CertifiedKey> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .context("failed to parse the certificates")?;
        if chain.is_empty() {
            bail!("the file holds no certificate");
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("failed to parse the private key")?;
        let key = sign::any_supported_type(&key).context("the private key is of an unknown kind")?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().context("certificate and private key do not belong together")?;
        Ok(certified)
    }
}

fn provider() -> CryptoProvider {
    default_provider()
}

/// Ends with the last listener that uses the certificate.
async fn watch(current: Weak<Current>, certificate: PathBuf, key: PathBuf, mut used: Files) {
    let mut failed = None;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(current) = current.upgrade() else { return };
        let paths = (certificate.clone(), key.clone());
        let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&paths.0, &paths.1)).await else { continue };
        // While a file is written the two may not fit, or one may be gone: the old certificate stays until they do.
        let Ok(files) = read else { continue };
        if files == used || failed.as_ref() == Some(&files) {
            continue;
        }
        match files.parse() {
            Ok(parsed) => {
                *current.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parsed);
                tracing::info!(file = %certificate.display(), "took a new certificate");
                used = files;
                failed = None;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), file = %certificate.display(), "kept the old certificate");
                failed = Some(files);
            }
        }
    }
}
