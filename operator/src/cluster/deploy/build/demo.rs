//! `demo: true`: a single small RabbitMQ, PostgreSQL and Redis of the platform's own, for those that the spec does not name. Their data
//! stay when the platform goes.

use contract::room::RoomName;
use serde_json::{Value, json};

use super::program::{pod, secure};
use super::{Kind, Object, Platform};
use crate::crd::chat_platform::{ChatPlatformSpec, KeyRef, Pods, Rabbitmq, SecretRef, Store};

/// Secret of the demonstration's password, and of the addresses that hold it. It outlives the platform, as the data do.
pub(crate) const DEMO: &str = "demo";
/// User, virtual host and database.
const NAME: &str = "parlor";
const RABBITMQ: &str = "rabbitmq";
const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";

/// Images of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoImages {
    /// RabbitMQ with its management.
    pub(crate) rabbitmq: String,
    /// PostgreSQL.
    pub(crate) postgres: String,
    /// Redis.
    pub(crate) redis: String,
}

/// The spec with the demonstration's servers where it is to have some and names none.
pub(crate) fn complete(platform: &RoomName, mut spec: ChatPlatformSpec) -> ChatPlatformSpec {
    if !spec.demo {
        return spec;
    }
    let name = secret(platform);
    let store = |key: &str| Store { secret_ref: KeyRef { name: name.clone(), key: key.to_owned() }, ca_ref: None };
    spec.postgres.get_or_insert_with(|| store(POSTGRES));
    spec.redis.get_or_insert_with(|| store(REDIS));
    spec.rabbitmq.get_or_insert_with(|| Rabbitmq {
        amqp_uris: vec![format!("amqp://{}:5672", host(platform, RABBITMQ))],
        management_uri: format!("http://{}:15672", host(platform, RABBITMQ)),
        vhost: NAME.to_owned(),
        secret_ref: SecretRef { name: name.clone() },
        services_secret_ref: SecretRef { name },
        ca_ref: None,
    });
    spec
}

/// What stands in the Secret, for a password without letters that mean something in an address.
pub(crate) fn credentials(platform: &RoomName, password: &str) -> [(String, String); 4] {
    let postgres = format!("postgres://{NAME}:{password}@{}:5432/{NAME}", host(platform, POSTGRES));
    let redis = format!("redis://:{password}@{}:6379/0", host(platform, REDIS));
    let all = [("username", NAME.to_owned()), ("password", password.to_owned()), (POSTGRES, postgres), (REDIS, redis)];
    all.map(|(key, value)| (key.to_owned(), value))
}

/// Its name.
pub(crate) fn secret(platform: &RoomName) -> String {
    format!("{}-{DEMO}", platform.name())
}

fn host(platform: &RoomName, part: &str) -> String {
    format!("{}-{part}.{}.svc", platform.name(), platform.namespace())
}

/// What differs between the servers.
struct Server<'a> {
    part: &'static str,
    image: &'a str,
    args: Vec<&'static str>,
    env: Vec<Value>,
    /// By name; the first is the one that it is alive by.
    ports: Vec<(&'static str, u16)>,
    /// Where its data are.
    data: &'static str,
    memory: &'static str,
}

pub(super) fn objects(platform: &Platform<'_>) -> Vec<Object> {
    let secret = secret(platform.name);
    let is_ours = |reference: Option<&str>| platform.spec.demo && reference == Some(secret.as_str());
    let spec = platform.spec;
    let servers = [
        (spec.rabbitmq.as_ref().map(|rabbitmq| rabbitmq.secret_ref.name.as_str()), rabbitmq(platform)),
        (spec.postgres.as_ref().map(|postgres| postgres.secret_ref.name.as_str()), postgres(platform)),
        (spec.redis.as_ref().map(|redis| redis.secret_ref.name.as_str()), redis(platform)),
    ];
    let ours = servers.into_iter().filter(|(reference, _)| is_ours(*reference));
    ours.flat_map(|(_, server)| server_objects(platform, &server)).collect()
}

fn rabbitmq<'a>(platform: &Platform<'a>) -> Server<'a> {
    Server {
        part: RABBITMQ,
        image: &platform.images.rabbitmq,
        args: vec![],
        env: vec![
            given("RABBITMQ_DEFAULT_USER", NAME),
            password(platform, "RABBITMQ_DEFAULT_PASS"),
            given("RABBITMQ_DEFAULT_VHOST", NAME),
            // The data are kept under the node's name, and a pod's may change.
            given("RABBITMQ_NODENAME", "rabbit@localhost"),
        ],
        ports: vec![("amqp", 5672), ("management", 15672)],
        data: "/var/lib/rabbitmq",
        memory: "256Mi",
    }
}

fn postgres<'a>(platform: &Platform<'a>) -> Server<'a> {
    Server {
        part: POSTGRES,
        image: &platform.images.postgres,
        args: vec![],
        env: vec![
            given("POSTGRES_USER", NAME),
            password(platform, "POSTGRES_PASSWORD"),
            given("POSTGRES_DB", NAME),
            // A volume's own folder may hold lost+found.
            given("PGDATA", "/var/lib/postgresql/data/pgdata"),
        ],
        ports: vec![("postgres", 5432)],
        data: "/var/lib/postgresql/data",
        memory: "128Mi",
    }
}

fn redis<'a>(platform: &Platform<'a>) -> Server<'a> {
    Server {
        part: REDIS,
        image: &platform.images.redis,
        args: vec!["redis-server", "--requirepass", "$(REDIS_PASSWORD)", "--appendonly", "yes", "--dir", "/data"],
        env: vec![password(platform, "REDIS_PASSWORD")],
        ports: vec![("redis", 6379)],
        data: "/data",
        memory: "32Mi",
    }
}

fn given(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn password(platform: &Platform<'_>, name: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret(platform.name), "key": "password"}}})
}

fn server_objects(platform: &Platform<'_>, server: &Server<'_>) -> Vec<Object> {
    let name = platform.part(server.part);
    let selector = platform.selector(server.part);
    let object = |kind, rest| platform.object(kind, server.part, &name, rest);
    let ports = server.ports.iter().map(|(name, port)| json!({"name": name, "port": port, "protocol": "TCP"}));
    vec![
        object(Kind::ServiceAccount, json!({"automountServiceAccountToken": false})),
        object(Kind::Service, json!({"spec": {"selector": selector, "ports": ports.collect::<Vec<_>>()}})),
        object(Kind::StatefulSet, json!({"spec": stateful_set(platform, server, &name)})),
    ]
}

fn stateful_set(platform: &Platform<'_>, server: &Server<'_>, name: &str) -> Value {
    let mut pod = pod(platform, &Pods::default(), name);
    // The servers' images have users of their own, all of which are called so.
    for who in ["runAsUser", "runAsGroup", "fsGroup"] {
        pod["securityContext"][who] = json!(999);
    }
    let mut secure = secure();
    // They write beside their data too.
    secure["readOnlyRootFilesystem"] = json!(false);
    let (alive, _) = server.ports[0];
    let probe = |times: u32| json!({"tcpSocket": {"port": alive}, "periodSeconds": 2, "failureThreshold": times});
    let port = |(name, port): &(&str, u16)| json!({"name": name, "containerPort": port, "protocol": "TCP"});
    pod["containers"] = json!([{
        "name": server.part,
        "image": server.image,
        "args": server.args,
        "env": server.env,
        "ports": server.ports.iter().map(port).collect::<Vec<_>>(),
        "resources": {"requests": {"cpu": "100m", "memory": server.memory}},
        "securityContext": secure,
        "startupProbe": probe(150),
        "readinessProbe": probe(3),
        "volumeMounts": [{"name": "data", "mountPath": server.data}],
    }]);
    json!({
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": platform.selector(server.part)},
        "template": {"metadata": {"labels": platform.labels(server.part)}, "spec": pod},
        "volumeClaimTemplates": [{
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
        }],
    })
}
