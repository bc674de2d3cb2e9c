//! Parlor's programs started one by one on the shared servers, with a database, a virtual host and a Redis of their own: for
//! tests that put a proxy between two parts, starve one, or start a second. A `Stack` is for those that kill servers.

mod log;
mod rooms;
mod wiring;

pub use log::{LogRow, stored};
pub use wiring::Wiring;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::address::Address;
use crate::keys::{self, Key};
use crate::person::Person;
use crate::program::{Program, built};
use crate::servers::{Servers, TestDatabase, TestRedis, TestVhost};
use crate::socket::Socket;
use crate::{http, ports};

/// How long a person's token of the rig's own making holds.
const TOKEN_SECONDS: u64 = 600;

/// A program with its addresses.
pub struct Running {
    /// Where it is reached.
    pub address: Address,
    /// The process.
    pub program: Program,
    /// It takes calls of people and of the operator.
    pub serves: bool,
}

/// What the programs of one test have in common. Programs that it started end with it, before their data go.
pub struct Rig {
    /// user-service, if started.
    pub users: Option<Running>,
    /// chat-service processes, in the order of their start.
    pub gateways: Vec<Running>,
    /// The operator, if started.
    pub operator: Option<Running>,
    /// A client for plain HTTP.
    pub http: Client,
    /// Its database.
    pub database: TestDatabase,
    /// Its virtual host.
    pub vhost: TestVhost,
    /// Its Redis.
    pub redis: TestRedis,
    /// Signs people's and services' tokens.
    pub key: Key,
    /// Variables for every program that it starts, as `RUST_LOG`.
    pub env: Vec<(&'static str, String)>,
    /// The folders of manifests and keys.
    folder: TempDir,
    users_address: Address,
    users_ports: [u16; 3],
}

impl Rig {
    /// The data, and no program yet.
    pub async fn new() -> Result<Self> {
        let servers = Servers::from_env()?;
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        for name in ["rooms", "keys"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let key = Key::generate("rig-1")?;
        key.write(&folder.path().join("keys"))?;
        let users_ports: [u16; 3] = ports::free()?;
        let [http, grpc, health] = users_ports;
        let rig = Self {
            users: None,
            gateways: Vec::new(),
            operator: None,
            http: http::client()?,
            database: servers.database().await?,
            vhost: servers.vhost().await?,
            redis: servers.redis().await?,
            key,
            env: Vec::new(),
            folder,
            users_address: Address::new(false, http, grpc, health),
            users_ports,
        };
        let token = rig.service_token("local", "rooms presence users");
        std::fs::write(rig.token_file(), token).context("failed to write the service token")?;
        Ok(rig)
    }

    /// user-service, `gateways` with all roles, the operator, and these public rooms (`namespace/name`), all ready.
    pub async fn chat(gateways: usize, rooms: &[&str]) -> Result<Self> {
        let mut rig = Self::new().await?;
        rig.start_users().await?;
        for room in rooms {
            rig.write_room(room, &json!({}))?;
        }
        for _ in 0..gateways {
            let wiring = rig.wiring();
            rig.start_gateway(&wiring).await?;
        }
        rig.start_operator().await?;
        rig.rooms_ready(rooms.len(), Duration::from_mins(1)).await?;
        Ok(rig)
    }

    /// As [`Rig::chat`], with the historian as a process of its own, which is the last of `gateways`.
    pub async fn chat_split(gateways: usize, rooms: &[&str]) -> Result<Self> {
        let mut rig = Self::new().await?;
        rig.start_users().await?;
        for room in rooms {
            rig.write_room(room, &json!({}))?;
        }
        for _ in 0..gateways {
            let wiring = Wiring { roles: "gateway", ..rig.wiring() };
            rig.start_gateway(&wiring).await?;
        }
        let historian = Wiring { roles: "historian", name: "historian".to_owned(), ..rig.wiring() };
        rig.start_gateway(&historian).await?;
        rig.start_operator().await?;
        rig.rooms_ready(rooms.len(), Duration::from_mins(1)).await?;
        Ok(rig)
    }

    /// Starts user-service, which is also the issuer of tokens.
    pub async fn start_users(&mut self) -> Result<()> {
        let wiring = self.wiring();
        let [http, grpc, health] = self.users_ports;
        let mut args = wiring::listen([http, grpc, health]);
        args.extend(["--keys".into(), self.keys().display().to_string(), "--issuer".into(), self.issuer()]);
        args.extend(["--registration", "open", "--migrate", "--no-rate-limits"].map(str::to_owned));
        let mut env = vec![("DATABASE_URL", wiring.database_url), ("REDIS_URL", wiring.redis_url)];
        env.extend(self.env.iter().cloned());
        let mut program = Program::spawn(built("user-service")?, args, env)?;
        program.wait_ready(&format!("{}/readyz", self.users_address.health)).await?;
        self.users = Some(Running { address: self.users_address.clone(), program, serves: true });
        Ok(())
    }

    /// Addresses and roles for a chat-service; a test changes what it wants to break.
    pub fn wiring(&self) -> Wiring {
        Wiring {
            roles: "gateway,historian",
            name: format!("gateway-{}", self.gateways.len() + 1),
            database_url: self.database.url.clone(),
            redis_url: self.redis.url.clone(),
            amqp_url: self.vhost.services_url.clone(),
            management_url: self.vhost.management_url.clone(),
            users_url: self.users_address.http.clone(),
            users_grpc: self.users_address.grpc.clone(),
            token_file: self.token_file().display().to_string(),
            rate_limits: false,
            env: self.env.clone(),
        }
    }

    /// Starts a chat-service and waits until it is ready; gives its index in `gateways`.
    pub async fn start_gateway(&mut self, wiring: &Wiring) -> Result<usize> {
        let mut running = self.spawn_gateway(wiring)?;
        running.program.wait_ready(&format!("{}/readyz", running.address.health)).await?;
        self.gateways.push(running);
        Ok(self.gateways.len() - 1)
    }

    /// Starts a chat-service and waits for nothing.
    pub fn spawn_gateway(&self, wiring: &Wiring) -> Result<Running> {
        let ports: [u16; 3] = ports::free()?;
        let [http, grpc, health] = ports;
        let program = Program::spawn(built("chat-service")?, wiring.args(ports, &self.issuer()), wiring.env())?;
        let serves = wiring.roles.contains("gateway");
        Ok(Running { address: Address::new(false, http, grpc, health), program, serves })
    }

    /// Starts the operator over the rig's folder of manifests.
    pub async fn start_operator(&mut self) -> Result<()> {
        let management_url = self.vhost.management_url.clone();
        self.start_operator_through(&management_url).await
    }

    /// The same with another address of RabbitMQ's management, as that of a proxy.
    pub async fn start_operator_through(&mut self, management_url: &str) -> Result<()> {
        let [status]: [u16; 1] = ports::free()?;
        let gateways = self.gateways.iter().filter(|gateway| gateway.serves);
        let gateways: Vec<String> = gateways.map(|gateway| gateway.address.grpc.clone()).collect();
        let args = [
            "run".to_owned(),
            "--rooms".to_owned(),
            self.rooms().display().to_string(),
            "--chat-grpc".to_owned(),
            gateways.join(","),
            "--service-token-file".to_owned(),
            self.token_file().display().to_string(),
            "--vhost".to_owned(),
            self.vhost.name.clone(),
            "--status".to_owned(),
            format!("127.0.0.1:{status}"),
        ];
        let mut env =
            vec![("RABBITMQ_MANAGEMENT_URL", management_url.to_owned()), ("AMQP_URL", self.vhost.admin_url.clone())];
        env.extend(self.env.iter().cloned());
        let mut program = Program::spawn(built("operator")?, args, env)?;
        program.wait_ready(&format!("http://127.0.0.1:{status}/readyz")).await?;
        self.operator = Some(Running { address: Address::new(false, status, status, status), program, serves: true });
        Ok(())
    }

    /// Gateway `index`, counted from 0.
    pub fn gateway(&self, index: usize) -> &Address {
        &self.gateways[index].address
    }

    /// Registers somebody at user-service.
    pub async fn register(&self, username: &str) -> Result<Person> {
        Person::register(&self.http, &self.users_address.http, username).await
    }

    /// A [`Rig::stranger`] who has joined this public room.
    pub async fn member(&self, username: &str, room: &str) -> Result<Person> {
        let person = self.stranger(username);
        self.join(0, &person, room).await?;
        Ok(person)
    }

    /// Somebody whom user-service does not know, with a token that verifies: quicker than hashing a password.
    pub fn stranger(&self, username: &str) -> Person {
        let (id, session) = (uuid::Uuid::now_v7().to_string(), uuid::Uuid::now_v7().to_string());
        Person {
            username: username.to_owned(),
            password: String::new(),
            access_token: self.token(&json!({"sub": id, "sid": session, "preferred_username": username})),
            refresh_token: String::new(),
            id,
        }
    }

    /// A person's token with these claims beside the usual ones, which they may replace.
    pub fn token(&self, claims: &Value) -> String {
        let now = keys::unix_seconds();
        let mut all =
            json!({"iss": self.issuer(), "aud": "parlor", "iat": now, "exp": now + TOKEN_SECONDS, "name": "Somebody"});
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        self.key.sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": self.key.kid}), &all)
    }

    /// Adds a key, which signs from now on, also the programs' own service token.
    pub fn rotate_key(&mut self, kid: &str) -> Result<()> {
        let key = Key::generate(kid)?;
        key.write(&self.keys())?;
        self.key = key;
        let token = self.service_token("local", "rooms presence users");
        std::fs::write(self.token_file(), token).context("failed to write the service token")
    }

    /// A service's token with these scopes.
    pub fn service_token(&self, name: &str, scope: &str) -> String {
        self.key.service_token(&self.issuer(), name, scope)
    }

    /// Who signs: user-service's address.
    pub fn issuer(&self) -> String {
        self.users_address.http.clone()
    }

    /// The folder of signing keys.
    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("service-token")
    }

    /// Joins a public room.
    pub async fn join(&self, gateway: usize, person: &Person, room: &str) -> Result<()> {
        let url = format!("{}/v1/rooms/{room}/join", self.gateway(gateway).http);
        let answer = self.http.post(url).bearer_auth(&person.access_token).send().await?;
        if answer.status() != 204 {
            bail!("join {room}: {} {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }

    /// A socket of this person at a gateway.
    pub async fn socket(&self, gateway: usize, person: &Person) -> Result<Socket> {
        Ok(Socket::connect(&self.gateway(gateway).socket, &person.access_token).await?.0)
    }

    /// What gateway `index` counts under this name, all labels together.
    pub async fn metric(&self, index: usize, name: &str) -> Result<f64> {
        let url = format!("{}/metrics", self.gateway(index).health);
        let text = self.http.get(url).send().await?.error_for_status()?.text().await?;
        let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        samples.map(|(_, value)| value.parse::<f64>().with_context(|| format!("{name} is {value}"))).sum()
    }

    /// Everything that the programs have written so far.
    pub fn logs(&self) -> String {
        let running = self.users.iter().chain(&self.gateways).chain(&self.operator);
        running.map(|running| running.program.log()).collect()
    }
}
