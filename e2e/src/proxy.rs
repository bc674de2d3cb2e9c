//! A TCP proxy that a test puts before a server, to hold, delay, cut or refuse what passes, for all connections or for those
//! that were seen to do something.

mod amqp;
mod http;
mod link;

pub use amqp::Seen;
pub use http::Request;
pub use link::{Direction, Flow};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use link::Link;

/// What the proxy understands of what passes to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Amqp,
    Http,
    Unknown,
}

/// Any port.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Listens until the value is dropped, then cuts everything.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

struct Shared {
    target: String,
    language: Language,
    refuses: AtomicBool,
    accepted: AtomicUsize,
    /// How a connection begins: (to the server, to the client).
    initial: Mutex<(Flow, Flow)>,
    links: Mutex<Vec<Arc<Link>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// Before any server; `target` is `host:port` or an address with a scheme.
    pub async fn start(target: &str) -> Result<Self> {
        Self::listen(LOCAL, target, Language::Unknown).await
    }

    /// At this address: for whoever knows no other port.
    pub async fn at(address: impl Into<SocketAddr>, target: &str) -> Result<Self> {
        Self::listen(address.into(), target, Language::Unknown).await
    }

    /// Before RabbitMQ, knowing which queues each connection consumes and to which exchanges it publishes.
    pub async fn amqp(target: &str) -> Result<Self> {
        Self::listen(LOCAL, target, Language::Amqp).await
    }

    /// Before an HTTP/1.1 server, keeping a list of the requests.
    pub async fn http(target: &str) -> Result<Self> {
        Self::listen(LOCAL, target, Language::Http).await
    }

    async fn listen(address: SocketAddr, target: &str, language: Language) -> Result<Self> {
        let listener = TcpListener::bind(address).await.context("failed to listen for a proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: place(target).to_owned(),
            language,
            refuses: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            initial: Mutex::new((Flow::Pass, Flow::Pass)),
            links: Mutex::default(),
            requests: Arc::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, listener: accepting })
    }

    /// The address `url` with this proxy in place of its host and port.
    pub fn url(&self, url: &str) -> String {
        url.replacen(place(url), &self.address.to_string(), 1)
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// From now on `flow` holds in `direction` for every connection, later ones included.
    pub fn set(&self, direction: Direction, flow: Flow) {
        let mut initial = lock(&self.shared.initial);
        match direction {
            Direction::ToServer => initial.0 = flow,
            Direction::ToClient => initial.1 = flow,
        }
        drop(initial);
        self.set_where(direction, flow, |_| true);
    }

    /// `flow` in `direction` for the connections that exist and were seen so. Tells how many they are.
    pub fn set_where(&self, direction: Direction, flow: Flow, which: impl Fn(&Seen) -> bool) -> usize {
        let links = self.links();
        let chosen = links.iter().filter(|link| which(&link.seen()));
        chosen.map(|link| link.set(direction, flow)).count()
    }

    /// Everything passes again.
    pub fn release(&self) {
        self.set(Direction::ToServer, Flow::Pass);
        self.set(Direction::ToClient, Flow::Pass);
    }

    /// Cuts the connections that were seen so. Tells how many they were.
    pub fn cut_where(&self, which: impl Fn(&Seen) -> bool) -> usize {
        let links = self.links();
        links.iter().filter(|link| which(&link.seen())).map(|link| link.cut()).count()
    }

    /// While true every new connection is closed at once, as if nobody listened.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// The connections that live, as they were seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.links().iter().map(|link| link.seen()).collect()
    }

    /// The requests so far that `which` chooses.
    pub fn requests(&self, which: impl Fn(&Request) -> bool) -> Vec<Request> {
        lock(&self.shared.requests).iter().filter(|request| which(request)).cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.shared.requests).clear();
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let mut links = lock(&self.shared.links);
        links.retain(|link| link.lives());
        links.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut_where(|_| true);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.refuses.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = TcpStream::connect(&shared.target).await else { continue };
        for stream in [&client, &server] {
            stream.set_nodelay(true).ok();
        }
        let link = Arc::new(Link::new(*lock(&shared.initial)));
        lock(&shared.links).push(link.clone());
        let observer: Observer = match shared.language {
            Language::Amqp => Box::new(amqp::observer(link.clone())),
            Language::Http => Box::new(http::observer(shared.requests.clone())),
            Language::Unknown => Box::new(|_| ()),
        };
        let sieve = (shared.language == Language::Amqp).then(amqp::Sieve::default);
        tokio::spawn(async move { link.carry(client, server, observer, sieve).await });
    }
}

/// Sees what a client sends, piece by piece.
type Observer = Box<dyn FnMut(&[u8]) + Send>;

/// `host:port` of an address.
fn place(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, place)| place)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.ok();
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, limit_ms: u64) -> Option<u8> {
        tokio::time::timeout(Duration::from_millis(limit_ms), stream.read_u8()).await.ok()?.ok()
    }

    #[test]
    fn the_place_in_an_address_is_replaced_and_nothing_else() {
        assert_eq!(place("amqp://a:b@127.0.0.1:5682/parlor"), "127.0.0.1:5682");
        assert_eq!(place("127.0.0.1:1"), "127.0.0.1:1");
        assert_eq!(place("http://localhost:8080"), "localhost:8080");
    }

    #[tokio::test]
    async fn what_is_held_arrives_once_it_is_released() {
        let proxy = Proxy::start(&echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_u8(1).await.unwrap();
        assert_eq!(says(&mut stream, 2_000).await, Some(1));
        proxy.set(Direction::ToClient, Flow::Hold);
        stream.write_u8(2).await.unwrap();
        assert_eq!(says(&mut stream, 200).await, None);
        proxy.release();
        assert_eq!(says(&mut stream, 2_000).await, Some(2));
    }

    #[tokio::test]
    async fn a_cut_connection_ends_and_a_refused_one_never_begins() {
        let proxy = Proxy::start(&echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_u8(1).await.unwrap();
        assert_eq!(says(&mut stream, 2_000).await, Some(1));
        assert_eq!(proxy.cut_where(|_| true), 1);
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
        proxy.refuse(true);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert_eq!(proxy.accepted(), 2);
    }
}
