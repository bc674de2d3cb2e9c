//! `compose.yaml`, as the real Compose reads it: what it offers, what it says where something is missing, and that our programs, told
//! what it tells them, are a chat.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::address::Address;
use e2e::person::Person;
use e2e::program::{Program, built};
use e2e::servers::{SERVICES_MAY_CONFIGURE, Servers};
use e2e::socket::Socket;
use e2e::{http, ports, wait};
use serde_json::Value;

/// Ten times what a program takes to get ready on a quiet machine.
const LIMIT: Duration = Duration::from_mins(1);
const ROOM: &str = "default/lounge";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `docker compose config` with these variables.
fn config(env_file: &Path) -> Result<Output> {
    let program = std::env::var_os("PARLOR_DOCKER_COMPOSE")
        .context("PARLOR_DOCKER_COMPOSE is not set: run this test by `cargo xtask test`, which builds Compose")?;
    let mut command = Command::new(program);
    command.arg("--project-directory").arg(root()).arg("--file").arg(root().join("compose.yaml"));
    command.arg("--env-file").arg(env_file).args(["--profile", "second-gateway", "config", "--format", "json"]);
    // Its own folder, and none of this machine's settings.
    let home = tempfile::tempdir()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home.path());
    command.output().context("failed to run Compose")
}

fn example() -> Result<Value> {
    let output = config(&root().join(".env.example"))?;
    // What it only warns of, somebody would have to wonder about.
    ensure!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn it_offers_every_server_and_program_on_its_port_with_a_health_check() {
    let config = example().unwrap();
    let services = &config["services"];
    let all = ["chat", "chat-2", "migrate", "operator", "postgres", "rabbitmq", "redis", "user"];
    assert_eq!(keys(services), all);
    let ports: BTreeMap<&str, Vec<&str>> = all
        .iter()
        .map(|name| {
            let ports = services[*name]["ports"].as_array().into_iter().flatten();
            let ports = ports.inspect(|port| assert_eq!(port["host_ip"], "127.0.0.1", "{name}"));
            (*name, ports.map(|port| port["published"].as_str().unwrap()).collect())
        })
        .collect();
    assert_eq!(ports["postgres"], ["5432"]);
    assert_eq!(ports["redis"], ["6379"]);
    assert_eq!(ports["rabbitmq"], ["5672", "15672"]);
    assert_eq!(ports["chat"], ["8080", "9090"]);
    assert_eq!(ports["user"], ["8081", "9091"]);
    assert_eq!(ports["chat-2"], ["8180", "9190"]);

    for name in all.into_iter().filter(|name| *name != "migrate") {
        assert!(services[name]["healthcheck"]["test"].is_array(), "{name} has no health check");
        assert_eq!(services[name]["restart"], "unless-stopped", "{name}");
    }
    assert_eq!(services["chat-2"]["profiles"], serde_json::json!(["second-gateway"]));
    for server in ["postgres", "redis", "rabbitmq"] {
        let volumes = services[server]["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|volume| volume["type"] == "volume"), "data of {server} would go with it");
    }
    for program in ["migrate", "user", "chat", "chat-2", "operator"] {
        let service = &services[program];
        assert_eq!((&service["read_only"], &service["cap_drop"][0]), (&true.into(), &"ALL".into()), "{program}");
        for (other, condition) in service["depends_on"].as_object().unwrap() {
            let wanted = if other == "migrate" { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(condition["condition"], wanted, "{program} of {other}");
        }
    }
}

#[test]
fn without_a_password_it_says_which_one_and_what_to_do() {
    let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let passwords: Vec<&str> = example.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(passwords.len(), 4);
    let folder = tempfile::tempdir().unwrap();
    for password in &passwords {
        let (name, _) = password.split_once('=').unwrap();
        let others: Vec<&str> = passwords.iter().filter(|other| *other != password).copied().collect();
        let file = folder.path().join("env");
        std::fs::write(&file, others.join("\n")).unwrap();
        let output = config(&file).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} may be missing");
        assert!(error.contains(name) && error.contains("copy .env.example to .env"), "{error}");
    }
}

#[test]
fn every_image_has_its_stage_and_runs_as_nobody_in_particular() {
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let stages: BTreeMap<&str, &str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS "))
        .map(|(from, name)| (name, from))
        .collect();
    let config = example().unwrap();
    let services = config["services"].as_object().unwrap();
    let targets: BTreeSet<&str> = services.values().filter_map(|service| service["build"]["target"].as_str()).collect();
    assert_eq!(targets.iter().copied().collect::<Vec<_>>(), ["chat-service", "operator", "user-service"]);
    for target in targets {
        assert_eq!(stages[target], "base");
        assert!(dockerfile.contains(&format!("ENTRYPOINT [\"/usr/bin/{target}\"]")));
    }
    let base = dockerfile.split(" AS base").nth(1).unwrap().split("FROM ").next().unwrap();
    assert!(base.contains("USER 65532:65532"));
}

#[test]
fn the_brokers_users_have_the_rights_that_the_tests_know() {
    let config = example().unwrap();
    let definitions = config["configs"]["rabbitmq-definitions"]["content"].as_str().unwrap();
    // Compose prints what it reads again: a dollar stands for itself only where there are two.
    let definitions: Value = serde_json::from_str(&definitions.replace("$$", "$")).unwrap();
    let rights = |user: &str| {
        let mut all = definitions["permissions"].as_array().unwrap().iter();
        all.find(|rights| rights["user"] == user).unwrap()["configure"].as_str().unwrap().to_owned()
    };
    assert_eq!(rights("admin"), ".*");
    assert_eq!(rights("services"), SERVICES_MAY_CONFIGURE);
    assert_eq!(definitions["vhosts"][0]["name"], "parlor");
}

/// Our programs, as `compose.yaml` calls them, on this machine: names of containers and folders are replaced, and nothing else.
struct Composed {
    services: Value,
    /// What stands there, and what it is here.
    replaced: Vec<(String, String)>,
}

impl Composed {
    fn replace(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn words(&self, list: &Value) -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(|word| self.replace(word)).collect()
    }

    /// Starts what a service starts, with more arguments.
    fn start(&self, name: &str, more: &[String]) -> Result<Program> {
        let service = &self.services[name];
        let program = service["build"]["target"].as_str().context("it is not built")?;
        let args = [self.words(&service["command"]), more.to_vec()].concat();
        let variables = service["environment"].as_object().context("it has no environment")?;
        let variables: Vec<(&str, String)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), self.replace(value.as_str().unwrap_or_default())))
            .collect();
        Program::spawn(built(program)?, args, variables)
    }

    /// Asks as its health check does, until it is well.
    async fn healthy(&self, name: &str, program: &mut Program, flag: &str, port: u16) -> Result<()> {
        let check = self.words(&self.services[name]["healthcheck"]["test"]);
        let [kind, path, verb] = check.as_slice() else { anyhow::bail!("{name} is checked by {check:?}") };
        ensure!(kind == "CMD" && verb == "ready", "{name} is checked by {check:?}");
        let binary = built(path.trim_start_matches("/usr/bin/"))?;
        wait::until(LIMIT, &format!("{name} is healthy"), async || {
            ensure!(program.ended()?.is_none(), "{name} ended: {}", program.log_tail());
            let asked = Command::new(&binary).args([verb, flag, &format!("127.0.0.1:{port}")]).output()?;
            Ok(asked.status.success().then_some(()))
        })
        .await
    }
}

fn listen([http, grpc, health]: [u16; 3]) -> Vec<String> {
    let pairs = [("--http", http), ("--grpc", grpc), ("--health", health)];
    pairs.iter().flat_map(|(flag, port)| [(*flag).to_owned(), format!("127.0.0.1:{port}")]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_as_it_calls_them_are_a_chat() {
    let servers = Servers::from_env().unwrap();
    let (database, vhost) = (servers.empty_database().await.unwrap(), servers.vhost().await.unwrap());
    let redis = servers.redis().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (users, first, second): ([u16; 3], [u16; 3], [u16; 3]) =
        (ports::free().unwrap(), ports::free().unwrap(), ports::free().unwrap());
    let [status]: [u16; 1] = ports::free().unwrap();
    let config = example().unwrap();
    let replaced = [
        ("postgres://parlor:changethispostgres@postgres:5432/parlor", database.url.clone()),
        ("redis://:changethisredis@redis:6379/0", redis.url.clone()),
        ("http://admin:changethisrabbit@rabbitmq:15672", vhost.management_url.clone()),
        ("amqp://services:changethisservices@rabbitmq:5672/parlor", vhost.services_url.clone()),
        ("amqp://admin:changethisrabbit@rabbitmq:5672/parlor", vhost.admin_url.clone()),
        ("user:8081", format!("127.0.0.1:{}", users[0])),
        ("user:9091", format!("127.0.0.1:{}", users[1])),
        ("chat:9090", format!("127.0.0.1:{}", first[1])),
        ("localhost:8081", format!("localhost:{}", users[0])),
        ("0.0.0.0:8082", format!("127.0.0.1:{status}")),
        ("/var/lib/parlor", folder.path().display().to_string()),
        ("/rooms", root().join("examples/rooms").display().to_string()),
    ];
    let replaced = replaced.into_iter().map(|(from, to)| (from.to_owned(), to)).collect();
    let composed = Composed { services: config["services"].clone(), replaced };

    let mut migrate = composed.start("migrate", &[]).unwrap();
    let ended = wait::until(LIMIT, "the migrations", async || migrate.ended()).await.unwrap();
    assert!(ended.success(), "{}", migrate.log());
    let mut user = composed.start("user", &listen(users)).unwrap();
    composed.healthy("user", &mut user, "--health", users[2]).await.unwrap();
    let mut chat = composed.start("chat", &listen(first)).unwrap();
    composed.healthy("chat", &mut chat, "--health", first[2]).await.unwrap();
    let mut other = composed.start("chat-2", &listen(second)).unwrap();
    composed.healthy("chat-2", &mut other, "--health", second[2]).await.unwrap();
    let mut operator = composed.start("operator", &["--vhost".to_owned(), vhost.name.clone()]).unwrap();
    composed.healthy("operator", &mut operator, "--status", status).await.unwrap();

    let http = http::client().unwrap();
    let (first, second) = (Address::new(false, first[0], first[1], 0), Address::new(false, second[0], second[1], 0));
    let users = format!("http://localhost:{}", users[0]);
    let mut sockets = Vec::new();
    // Names that no manifest keeps for somebody else.
    for (name, gateway) in [("yves", &first), ("zoe", &second)] {
        let person = Person::register(&http, &users, name).await.unwrap();
        let join = format!("{}/v1/rooms/{ROOM}/join", gateway.http);
        // The operator is well before all of its rooms are.
        wait::until(LIMIT, "the room", async || {
            let answer = http.post(&join).bearer_auth(&person.access_token).send().await?;
            Ok((answer.status() == 204).then_some(()))
        })
        .await
        .unwrap();
        let (mut socket, _) = Socket::connect(&gateway.socket, &person.access_token).await.unwrap();
        socket.ok("subscribe", serde_json::json!({"room": ROOM})).await.unwrap();
        sockets.push(socket);
    }
    sockets[0].said(ROOM, "over two gateways").await.unwrap();
    // Among those who come in.
    while !sockets[1].event(LIMIT).await.unwrap().to_string().contains("over two gateways") {}
}
