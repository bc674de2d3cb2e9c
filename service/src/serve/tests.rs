//! A real listener on a free port, asked by real clients.

use super::*;
use axum::extract::ConnectInfo;
use axum::routing::get;
use rcgen::{CertificateParams, KeyPair};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

const LIMIT: Duration = Duration::from_secs(10);

fn router(arrived: Arc<Notify>) -> Router {
    let slow = async move || {
        arrived.notify_one();
        sleep(Duration::from_millis(300)).await;
    };
    Router::new()
        .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()))
        .route("/version", get(async |request: axum::extract::Request| format!("{:?}", request.version())))
        .route("/slow", get(slow))
        .route("/stuck", get(async || std::future::pending::<()>().await))
}

struct Server {
    addr: SocketAddr,
    shutdown: Shutdown,
    /// Told when a slow request has come.
    arrived: Arc<Notify>,
    task: tokio::task::JoinHandle<Result<()>>,
}

fn start(tls: Option<Tls>, drain: Duration) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let (stop, arrived) = (shutdown.clone(), Arc::new(Notify::new()));
    let router = router(arrived.clone());
    let task = tokio::spawn(async move { serve(listener, tls, router, &stop, drain).await });
    Server { addr, shutdown, arrived, task }
}

fn client() -> reqwest::ClientBuilder {
    crate::telemetry::install_tls();
    reqwest::Client::builder().timeout(LIMIT).no_proxy()
}

#[tokio::test]
async fn both_versions_are_spoken_on_one_port() {
    let server = start(None, LIMIT);
    let url = format!("http://{}/version", server.addr);
    let one = client().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(one.text().await.unwrap(), "HTTP/1.1");
    let two = client().http2_prior_knowledge().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(two.text().await.unwrap(), "HTTP/2.0");
    let peer = client().build().unwrap().get(format!("http://{}/peer", server.addr)).send().await.unwrap();
    assert_eq!(peer.text().await.unwrap(), "127.0.0.1");
}

#[tokio::test]
async fn what_looks_like_the_preface_at_first_may_still_be_http1() {
    let server = start(None, LIMIT);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"PR").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    stream.write_all(b"OPFIND /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    timeout(LIMIT, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 405"), "{text}");
}

#[tokio::test]
async fn a_request_that_runs_ends_before_the_server_does_and_no_new_one_begins() {
    let server = start(None, LIMIT);
    let client = client().build().unwrap();
    let slow = tokio::spawn(client.get(format!("http://{}/slow", server.addr)).send());
    timeout(LIMIT, server.arrived.notified()).await.unwrap();
    server.shutdown.begin();
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    timeout(LIMIT, server.task).await.unwrap().unwrap().unwrap();
    TcpStream::connect(server.addr).await.unwrap_err();
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_at_the_end_of_the_drain() {
    let server = start(None, Duration::from_millis(200));
    let client = client().build().unwrap();
    let stuck = tokio::spawn(client.get(format!("http://{}/stuck", server.addr)).send());
    sleep(Duration::from_millis(100)).await;
    server.shutdown.begin();
    timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap().unwrap();
    stuck.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_port_in_use_is_said_with_its_cure() {
    let server = start(None, LIMIT);
    let error = format!("{:#}", bind(server.addr).unwrap_err());
    assert!(error.contains(&server.addr.to_string()) && error.contains("another port"), "{error}");
}

/// A self-signed certificate for localhost, in place; gives it for trust.
fn certificate(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    certificate.pem()
}

async fn ask_tls(addr: SocketAddr, authority: &str) -> reqwest::Result<String> {
    let root = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let client = client().tls_certs_only([root]).resolve("localhost", addr).build().unwrap();
    client.get(format!("https://localhost:{}/version", addr.port())).send().await?.text().await
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let args = TlsArgs { tls_cert: Some(folder.path().join("cert.pem")), tls_key: Some(folder.path().join("key.pem")) };
    let server = start(args.load().unwrap(), LIMIT);
    assert_eq!(ask_tls(server.addr, &first).await.unwrap(), "HTTP/2.0");

    // A certificate without its key is not taken.
    let good = std::fs::read(folder.path().join("cert.pem")).unwrap();
    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    sleep(Duration::from_secs(5)).await;
    ask_tls(server.addr, &first).await.unwrap();
    std::fs::write(folder.path().join("cert.pem"), good).unwrap();

    let second = certificate(folder.path());
    let deadline = Instant::now() + LIMIT;
    while ask_tls(server.addr, &second).await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate was not taken");
        sleep(Duration::from_millis(200)).await;
    }
    ask_tls(server.addr, &first).await.unwrap_err();
}

#[tokio::test]
async fn a_client_that_says_nothing_in_tls_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certificate(folder.path());
    let args = TlsArgs { tls_cert: Some(folder.path().join("cert.pem")), tls_key: Some(folder.path().join("key.pem")) };
    let server = start(args.load().unwrap(), Duration::from_millis(200));
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    ask_tls(server.addr, &authority).await.unwrap();
    server.shutdown.begin();
    timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap().unwrap();
}
