//! The program with a database, a Redis and a key folder of its own.

use std::path::PathBuf;
use std::time::Duration;

use e2e::address::Address;
use e2e::keys::{Key, unix_seconds};
use e2e::program::{Program, built};
use e2e::servers::{Servers, TestDatabase, TestRedis};
use e2e::{http, ports};
use proto::users::v1::users_client::UsersClient;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::Answer;

/// The origin of a web client that may ask.
pub(crate) const ORIGIN: &str = "http://web.example:8080";

/// What tests vary.
pub(crate) struct Options {
    pub(crate) registration: &'static str,
    pub(crate) limits: bool,
    /// Another Redis than one of the test servers' own.
    pub(crate) redis_url: Option<String>,
    pub(crate) database_url: Option<String>,
    /// As in `RUST_LOG`.
    pub(crate) log: &'static str,
    /// Another issuer than the program's own address.
    pub(crate) issuer: Option<String>,
    /// Speaks TLS with this.
    pub(crate) tls: Option<Tls>,
    pub(crate) more: Vec<String>,
}

/// A certificate for localhost, signed by itself, and the files that hold it.
pub(crate) struct Tls {
    pub(crate) certificate: String,
    folder: TempDir,
}

impl Tls {
    pub(crate) fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        Self { certificate: made.cert.pem(), folder }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            registration: "open",
            limits: false,
            redis_url: None,
            database_url: None,
            log: "debug",
            issuer: None,
            tls: None,
            more: Vec::new(),
        }
    }
}

impl Options {
    /// With these flags too.
    pub(crate) fn with(flags: &[&str]) -> Self {
        Self { more: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Self::default() }
    }
}

/// A running user-service. What it started goes before its data do.
pub(crate) struct TestApp {
    pub(crate) program: Program,
    pub(crate) address: Address,
    pub(crate) client: Client,
    pub(crate) key: Key,
    pub(crate) database: TestDatabase,
    pub(crate) redis: TestRedis,
    folder: TempDir,
    /// Its files are read again while the program runs.
    _tls: Option<Tls>,
}

/// Another instance on the same data.
pub(crate) struct Instance {
    pub(crate) address: Address,
    _program: Program,
}

impl TestApp {
    /// Open registration and no limits.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let mut app = Self::spawn_with(options).await;
        app.program.wait_ready(&format!("{}/readyz", app.address.health)).await.unwrap();
        app
    }

    /// Does not wait until it is ready.
    pub(crate) async fn spawn_with(options: Options) -> Self {
        let servers = Servers::from_env().unwrap();
        let (database, redis) = (servers.database().await.unwrap(), servers.redis().await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let key = Key::generate("test-1").unwrap();
        key.write(folder.path()).unwrap();
        let [http_port, grpc, health]: [u16; 3] = ports::free().unwrap();
        let address = Address::new(options.tls.is_some(), http_port, grpc, health);
        let client = match &options.tls {
            Some(tls) => http::client_trusting(tls.certificate.as_bytes()).unwrap(),
            None => http::client().unwrap(),
        };
        let database_url = options.database_url.clone().unwrap_or_else(|| database.url.clone());
        let redis_url = options.redis_url.clone().unwrap_or_else(|| redis.url.clone());
        let issuer = options.issuer.clone().unwrap_or_else(|| address.http.clone());
        let args = args(&address, &issuer, &folder.path().display().to_string(), &options);
        let env = [("DATABASE_URL", database_url), ("REDIS_URL", redis_url), ("RUST_LOG", options.log.to_owned())];
        let program = Program::spawn(built("user-service").unwrap(), args, env).unwrap();
        Self { program, address, client, key, database, redis, folder, _tls: options.tls }
    }

    /// A second instance on the same data, with the same issuer.
    pub(crate) async fn second(&self) -> Instance {
        let [http_port, grpc, health]: [u16; 3] = ports::free().unwrap();
        let address = Address::new(false, http_port, grpc, health);
        let keys = self.folder.path().display().to_string();
        let args = args(&address, &self.address.http, &keys, &Options::default());
        let env = [("DATABASE_URL", self.database.url.clone()), ("REDIS_URL", self.redis.url.clone())];
        let mut program = Program::spawn(built("user-service").unwrap(), args, env).unwrap();
        program.wait_ready(&format!("{}/readyz", address.health)).await.unwrap();
        Instance { address, _program: program }
    }

    /// The folder of signing keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        self.ask_at(&self.address.http, method, path, token, body).await
    }

    pub(crate) async fn ask_at(
        &self,
        base: &str,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{base}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, None, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, Some(token), None).await
    }

    /// Registers somebody whose password is [`password_of`] the name.
    pub(crate) async fn register(&self, username: &str) -> Answer {
        self.post("/v1/register", &json!({"username": username, "password": password_of(username)})).await
    }

    pub(crate) async fn login(&self, username: &str) -> Answer {
        self.post("/v1/login", &json!({"username": username, "password": password_of(username)})).await
    }

    /// Somebody new who is signed in.
    pub(crate) async fn person(&self, username: &str) -> Answer {
        self.register(username).await.expect(201);
        self.login(username).await.expect(200)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/v1/refresh", &json!({"refresh_token": token})).await
    }

    /// A client of the gRPC service.
    pub(crate) async fn grpc(&self) -> UsersClient<Channel> {
        grpc(&self.address.grpc).await
    }

    /// A service's token with these scopes.
    pub(crate) fn service_token(&self, scope: &str) -> String {
        self.key.service_token(&self.address.http, "test", scope)
    }

    /// A service's token that ends so soon.
    pub(crate) fn short_service_token(&self, life: Duration) -> String {
        let now = unix_seconds();
        let header = json!({"alg": "EdDSA", "typ": "svc+jwt", "kid": self.key.kid});
        let claims = json!({"iss": self.address.http, "aud": "parlor-internal", "sub": "svc:test", "scope": "users",
            "iat": now, "exp": now + life.as_secs()});
        self.key.sign(&header, &claims)
    }

    /// A request of a service that may ask about users.
    pub(crate) fn as_service<T>(&self, message: T) -> Request<T> {
        bearing(message, &self.service_token("users"))
    }
}

/// A request with a token.
pub(crate) fn bearing<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// A client of the gRPC service at this address.
pub(crate) async fn grpc(address: &str) -> UsersClient<Channel> {
    http::install_tls();
    let channel = Channel::from_shared(address.to_owned()).unwrap().connect_timeout(Duration::from_secs(5));
    UsersClient::new(channel.connect().await.unwrap())
}

/// Every test person has a password of their own, which no log may hold.
pub(crate) fn password_of(username: &str) -> String {
    format!("pass-phrase-of-{username}-Zx9")
}

fn args(address: &Address, issuer: &str, keys: &str, options: &Options) -> Vec<String> {
    let place = |url: &str| url.rsplit('/').next().unwrap_or_default().replace("localhost", "127.0.0.1");
    let mut args: Vec<String> = [
        ["--http", &place(&address.http)],
        ["--grpc", &place(&address.grpc)],
        ["--health", &place(&address.health)],
        ["--keys", keys],
        ["--issuer", issuer],
        ["--registration", options.registration],
        ["--allowed-origin", ORIGIN],
    ]
    .into_iter()
    .flatten()
    .map(str::to_owned)
    .collect();
    args.push("--migrate".to_owned());
    if !options.limits {
        args.push("--no-rate-limits".to_owned());
    }
    if let Some(tls) = &options.tls {
        for (flag, file) in [("--tls-cert", "tls.crt"), ("--tls-key", "tls.key")] {
            args.extend([flag.to_owned(), tls.folder.path().join(file).display().to_string()]);
        }
    }
    args.extend(options.more.iter().cloned());
    args
}
