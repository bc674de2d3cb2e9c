//! An operator whose flags a test chooses, and what its tests ask.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::kube::ControlPlane;
use e2e::ports;
use e2e::program::{Program, built};
use e2e::rig::Rig;
use e2e::wait;
use serde_json::Value;

/// Time for what happens at once on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Programs for rooms, without people: one chat-service with all roles.
pub(crate) async fn chat() -> Rig {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    rig.start_gateway(&rig.wiring()).await.unwrap();
    rig
}

/// The definitions of both kinds.
pub(crate) fn definitions() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds")).to_owned()
}

/// An operator of the test's own, beside the rig's.
pub(crate) struct Operator {
    pub(crate) program: Program,
    url: String,
    http: reqwest::Client,
}

/// What a test chooses of an operator.
pub(crate) struct Flags<'a> {
    pub(crate) management_url: &'a str,
    pub(crate) events: bool,
    pub(crate) resync_seconds: u64,
    /// gRPC addresses of chat-service; the rig's gateways where there are none.
    pub(crate) chat: Vec<String>,
}

impl Operator {
    /// Over the rig's folder.
    pub(crate) async fn start(rig: &Rig, flags: Flags<'_>) -> Self {
        let token = rig.rooms().with_file_name("operator-token");
        std::fs::write(&token, rig.service_token("operator", "rooms")).unwrap();
        let mut chat = flags.chat;
        if chat.is_empty() {
            chat = rig.gateways.iter().map(|gateway| gateway.address.grpc.clone()).collect();
        }
        let args = vec![
            format!("--rooms={}", rig.rooms().display()),
            format!("--chat-grpc={}", chat.join(",")),
            format!("--service-token-file={}", token.display()),
            format!("--vhost={}", rig.vhost.name),
        ];
        let mut env = vec![("RABBITMQ_MANAGEMENT_URL", flags.management_url.to_owned())];
        if flags.events {
            env.push(("AMQP_URL", rig.vhost.admin_url.clone()));
        }
        Self::spawn(rig, flags.resync_seconds, args, env).await
    }

    /// Over a cluster as its administrator, in the namespace `default`. `chat`: where the chat-service of a platform is.
    pub(crate) async fn start_in(rig: &Rig, plane: &ControlPlane, chat: &[(&str, String)]) -> Self {
        Self::start_as(rig, &plane.cli.kubeconfig, chat).await
    }

    /// The same as somebody else. Another operator takes over after three seconds.
    pub(crate) async fn start_as(rig: &Rig, kubeconfig: &Path, chat: &[(&str, String)]) -> Self {
        let mut args = ["--kubernetes", "--lease-seconds=3", "--scale-down-seconds=20"].map(str::to_owned).to_vec();
        args.extend(chat.iter().map(|(platform, url)| format!("--platform-grpc={platform}={url}")));
        let env = vec![("KUBECONFIG", kubeconfig.display().to_string())];
        Self::spawn(rig, 2, args, env).await
    }

    async fn spawn(rig: &Rig, resync_seconds: u64, more: Vec<String>, env: Vec<(&'static str, String)>) -> Self {
        let [status]: [u16; 1] = ports::free().unwrap();
        let mut args = vec![
            "run".to_owned(),
            format!("--status=127.0.0.1:{status}"),
            format!("--resync-seconds={resync_seconds}"),
        ];
        args.extend(more);
        let mut program = Program::spawn(built("operator").unwrap(), args, env).unwrap();
        let url = format!("http://127.0.0.1:{status}");
        program.wait_ready(&format!("{url}/readyz")).await.unwrap();
        Self { program, url, http: rig.http.clone() }
    }

    pub(crate) async fn status(&self) -> Value {
        self.http.get(format!("{}/status", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// The entry of a room, once `which` accepts it.
    pub(crate) async fn room(&self, room: &str, limit: Duration, which: impl Fn(&Value) -> bool) -> Value {
        wait::until(limit, &format!("the status of {room}"), async || {
            let status = self.status().await;
            let found = entry(&status["rooms"], "room", room);
            anyhow::ensure!(which(&found), "it is {found}");
            Ok(Some(found))
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.program.log_tail()))
    }

    pub(crate) async fn ready(&self, room: &str) -> Value {
        self.room(room, SOON, |room| room["ready"] == true).await
    }

    /// Something that is told of the platform.
    pub(crate) async fn notice(&self, reason: &str) -> String {
        wait::until(SOON, reason, async || {
            let status = self.status().await;
            let found = entry(&status["notices"], "reason", reason);
            anyhow::ensure!(!found.is_null(), "the status is {status}");
            Ok(Some(found["message"].as_str().unwrap_or_default().to_owned()))
        })
        .await
        .unwrap()
    }

    pub(crate) async fn get(&self, path: &str, accept: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.url)).header("accept", accept);
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str) -> Value {
        let answer = self.http.post(format!("{}{path}", self.url)).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// As a page in somebody's browser would ask.
    pub(crate) async fn post_as_page(&self, path: &str) -> u16 {
        let request = self.http.post(format!("{}{path}", self.url)).header("origin", "http://elsewhere.example");
        request.send().await.unwrap().status().as_u16()
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let all = self.get("/metrics", "*/*").await;
        let found = all.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_default()
    }
}

/// The entry of a list whose `key` is `name`; null if there is none.
pub(crate) fn entry(list: &Value, key: &str, name: &str) -> Value {
    let all = list.as_array().into_iter().flatten();
    all.into_iter().find(|entry| entry[key] == name).cloned().unwrap_or(Value::Null)
}

/// The names of a room's bindings in an exchange.
pub(crate) async fn keys(rig: &Rig, exchange: &str) -> Vec<String> {
    let path = format!("{}/bindings/source", rig.vhost.path("exchanges", exchange));
    let all = rig.vhost.get(&path).await.unwrap().unwrap_or_default();
    let mut keys: Vec<String> = all
        .as_array()
        .into_iter()
        .flatten()
        .map(|binding| binding["routing_key"].as_str().unwrap().to_owned())
        .collect();
    keys.sort();
    keys
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, limit: Duration, mut is: impl AsyncFnMut() -> bool) {
    wait::until(limit, what, async || Ok(is().await.then_some(()))).await.unwrap();
}
