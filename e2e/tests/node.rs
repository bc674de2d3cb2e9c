//! Kubernetes with a real node: the chart installed, a room applied, people who talk through Services while gateways come, are killed
//! and go; and nothing is left on the machine.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::address::Address;
use e2e::kube::Node;
use e2e::load::{self, Scene, World};
use e2e::person::Person;
use e2e::signal::{self, Signal};
use e2e::socket::{Frame, Socket};
use e2e::wait;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;

/// One node at a time: what one leaves behind must not be looked for while another one is there.
static ALONE: Mutex<()> = Mutex::const_new(());
/// A step takes a tenth of this on a quiet machine.
const LIMIT: Duration = Duration::from_mins(5);
const ROOM: &str = "default/general";
const MANIFEST: &str = "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: general}\nspec:\n  limits: {messagesPerSecond: 1000, burst: 10000}\n";
const SENDERS: usize = 4;
/// A sender's messages a second.
const PACE: u32 = 10;
const MESSAGES: usize = 3_200;
/// Sockets that only listen: with those of the scene they ask for three gateways, at ten sockets each.
const LISTENERS: usize = 24;
/// Come when there are three gateways, so that some are on each.
const LATE: usize = 12;

/// What a node could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: BTreeSet<String>,
    groups: BTreeSet<String>,
    links: BTreeSet<String>,
    rules: String,
    processes: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Machine {
    fn look() -> Result<Self> {
        let output = |program: &str, args: &[&str]| -> Result<String> {
            let output =
                Command::new(program).args(args).output().with_context(|| format!("failed to run {program}"))?;
            ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("failed to read the mounts")?;
        let groups = output("find", &["/sys/fs/cgroup", "-type", "d", "-name", "*parlor-node*"])?;
        let links = output("ip", &["-brief", "link"])?;
        let links = links.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        let rules: Vec<String> =
            output("iptables-save", &[])?.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        let processes = output("ps", &["-eo", "args"])?;
        let of_a_node = ["kubelet", "kube-proxy", "kube-scheduler", "containerd-shim", "node-inside", "guard --node"];
        let processes = processes.lines().filter(|line| of_a_node.iter().any(|name| line.contains(name)));
        let folders = std::fs::read_dir(std::env::temp_dir())?.flatten();
        let folders = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(Self {
            mounts: lines(mounts),
            groups: lines(groups),
            links: links.collect(),
            rules: rules.join("\n"),
            processes: processes.map(str::to_owned).collect(),
            folders: folders.filter(|name| name.starts_with("parlor-node")).collect(),
        })
    }
}

/// A node with the chart on it.
struct Cluster {
    node: Node,
    start: Instant,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let start = Instant::now();
        let cluster = Self { node: Node::start().await?, start };
        cluster.tell("the node is ready");
        Ok(cluster)
    }

    /// For people who read the log.
    fn tell(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.start.elapsed().as_secs_f64());
    }

    async fn install(&self) -> Result<()> {
        let (chart, values) = (chart("parlor"), self.node.values());
        let faster = "operator.scaleDownSeconds=20";
        self.node
            .cli
            .helm(&["install", "parlor", &chart, "--values", &values, "--set", "demo=true", "--set", faster])
            .await?;
        self.kubectl(&["wait", "chatplatform/parlor", "--for=condition=Ready", "--timeout=100s"]).await?;
        self.tell("helm install: the platform is ready");
        Ok(())
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.node.cli.kubectl(args).await
    }

    /// Names of the gateways' pods that are ready.
    async fn gateways(&self) -> Result<Vec<String>> {
        let ready = r"{range .items[?(@.status.containerStatuses[0].ready==true)]}{.metadata.name} {end}";
        let output = format!("--output=jsonpath={ready}");
        let names = self.kubectl(&["get", "pods", "--selector", "app.kubernetes.io/name=gateway", &output]).await?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    async fn has_gateways(&self, count: usize) -> Result<()> {
        wait::until(LIMIT, &format!("{count} gateways"), async || {
            Ok((self.gateways().await?.len() == count).then_some(()))
        })
        .await?;
        self.tell(&format!("{count} gateways are ready"));
        Ok(())
    }

    async fn aim_at(&self, sockets: u32) -> Result<()> {
        let scaling = json!({"socketsPerReplica": sockets, "cpuPercent": 1000});
        let patch = json!({"spec": {"chat": {"gateway": {"scaling": scaling}}}}).to_string();
        self.kubectl(&["patch", "chatplatform/parlor", "--type=merge", "--patch", &patch]).await?;
        Ok(())
    }

    /// `kill -9` of the program in a pod.
    async fn kill(&self, pod: &str) -> Result<()> {
        let uid = self.kubectl(&["get", "pod", pod, "--output=jsonpath={.metadata.uid}"]).await?;
        let mut killed = 0;
        for pid in std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if groups.contains(&uid) && name.trim() == "chat-service" {
                signal::send(pid, Signal::Kill)?;
                killed += 1;
            }
        }
        ensure!(killed == 1, "{killed} processes of {pod} were killed");
        self.tell(&format!("{pod} is killed"));
        let restarts = "--output=jsonpath={.status.containerStatuses[0].restartCount}";
        wait::until(LIMIT, "the kubelet sees it", async || {
            Ok((self.kubectl(&["get", "pod", pod, restarts]).await? == "1").then_some(()))
        })
        .await
    }

    async fn world(&self) -> Result<World> {
        let secret = ["get", "secret", "parlor-demo", "--output=go-template={{.data.password | base64decode}}"];
        let password = self.kubectl(&secret).await?;
        let postgres = self.node.open("default", "parlor-postgres", 5432).await?;
        let url = format!("postgres://parlor:{password}@127.0.0.1:{postgres}/parlor");
        let gateway = self.node.open("default", "parlor-gateway", 8080).await?;
        // Readers and senders come by one address, and each is led to some gateway.
        let gateways = vec![Address::new(false, gateway, 0, 0), Address::new(false, gateway, 0, 0)];
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await?;
        Ok(World { gateways, http: e2e::http::client()?, pool })
    }

    /// Where user-service is.
    async fn users(&self) -> Result<String> {
        Ok(format!("http://localhost:{}", self.node.open("default", "parlor-users", 8081).await?))
    }

    async fn people(&self, world: &World, users: &str) -> Result<Vec<Person>> {
        let mut people = Vec::new();
        for number in 0..SENDERS {
            let person = Person::register(&world.http, users, &format!("person-{number}")).await?;
            let url = format!("{}/v1/rooms/{ROOM}/join", world.gateways[0].http);
            let answer = world.http.post(url).bearer_auth(&person.access_token).send().await?;
            ensure!(answer.status() == 204, "join: {} {}", answer.status(), answer.text().await?);
            people.push(person);
        }
        Ok(people)
    }

    /// More load, a gateway that is killed, and less load: while people talk.
    async fn scale(&self, world: &World, person: &Person) -> Result<()> {
        // All who talk and read are on it.
        let first = self.gateways().await?.pop().context("there is no gateway")?;
        let _early = listen(world, person, LISTENERS).await?;
        self.has_gateways(3).await?;
        self.kill(&first).await?;
        self.has_gateways(3).await?;
        let late = listen(world, person, LATE).await?;
        self.aim_at(100).await?;
        self.has_gateways(1).await?;
        let codes: Vec<Option<u16>> = late.into_iter().map(Listener::code).collect();
        ensure!(codes.iter().all(|code| code.is_none_or(|code| code == 3001)), "closed with {codes:?}");
        let moved = codes.iter().flatten().count();
        ensure!(moved > 0, "no socket was on a gateway that went: {codes:?}");
        self.tell(&format!("{moved} of {LATE} sockets were told 3001, the others go on"));
        Ok(())
    }
}

fn chart(name: &str) -> String {
    format!("{}/../charts/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What a browser asks for before anybody signs in, at the addresses to which `kubectl port-forward` leads it.
async fn greets_browsers(world: &World, users: &str) -> Result<()> {
    let gateway = &world.gateways[0].http;
    let get = async |path: &str| -> Result<String> {
        let answer = world.http.get(format!("{gateway}{path}")).header("accept", "text/html,*/*").send().await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.status());
        Ok(answer.text().await?)
    };
    let page = get("/").await?;
    let file = page.split('"').find(|part| part.starts_with("/assets/"));
    let file = file.with_context(|| format!("the page loads nothing: {page}"))?;
    ensure!(!get(file).await?.is_empty(), "{file} is empty");
    let config = get("/v1/config").await?;
    ensure!(config.contains(r#""users_url":"http://localhost:8081""#), "pages are told {config}");
    let ask = world.http.request(reqwest::Method::OPTIONS, format!("{users}/v1/login"));
    let ask = ask.header("origin", "http://localhost:8080").header("access-control-request-method", "POST");
    let answer = ask.header("access-control-request-headers", "content-type").send().await?;
    let allowed = answer.headers().get("access-control-allow-origin").context("user-service does not know the page")?;
    ensure!(allowed == "http://localhost:8080", "user-service allows {allowed:?}");
    Ok(())
}

/// A socket that answers pings until it is closed.
struct Listener(tokio::task::JoinHandle<Result<u16>>);

impl Listener {
    /// How it was closed, if it was.
    fn code(self) -> Option<u16> {
        use futures::FutureExt;
        self.0.now_or_never().map(|code| code.ok().and_then(Result::ok).unwrap_or(0))
    }
}

async fn listen(world: &World, person: &Person, count: usize) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        // A way that leads to a gateway that is gone is closed within moments; everybody tries again.
        let mut socket = wait::until(LIMIT, "a socket", async || {
            Ok(Socket::connect(&world.gateways[0].socket, &person.access_token).await.ok().map(|(socket, _)| socket))
        })
        .await?;
        listeners.push(Listener(tokio::spawn(async move {
            loop {
                if let Some(Frame::Closed(code)) = socket.poll(LIMIT).await? {
                    return Ok(code);
                }
            }
        })));
    }
    Ok(listeners)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_through_services_while_gateways_come_are_killed_and_go() {
    let _alone = ALONE.lock().await;
    let before = Machine::look().unwrap();
    let mut cluster = Cluster::start().await.unwrap();
    cluster.node.cli.helm(&["install", "parlor-crds", &chart("parlor-crds")]).await.unwrap();
    cluster.node.cli.await_kinds().await.unwrap();
    cluster.install().await.unwrap();
    cluster.node.cli.kubectl_reading(&["apply", "--filename", "-"], MANIFEST).await.unwrap();
    cluster.kubectl(&["wait", "room/general", "--for=condition=Ready", "--timeout=100s"]).await.unwrap();
    cluster.tell("the room is ready");

    let world = cluster.world().await.unwrap();
    let users = cluster.users().await.unwrap();
    greets_browsers(&world, &users).await.unwrap();
    let people = cluster.people(&world, &users).await.unwrap();
    cluster.aim_at(10).await.unwrap();
    let scene = Scene { room: ROOM, people: &people, messages: MESSAGES, window: 32, pace: PACE };
    let outcome = scene.play(&world, |_| cluster.scale(&world, &people[0])).await.unwrap();
    assert_eq!(outcome.acknowledged.len(), MESSAGES);
    assert!(outcome.disturbances > 0 && outcome.resumes > 0, "nobody felt that their gateway was killed");
    cluster.tell(&format!("{MESSAGES} messages: nothing lost, nothing twice, one order; {} resumes", outcome.resumes));

    let history = load::history(&world.http, &world.gateways[0], &people[0], ROOM).await.unwrap();
    cluster.node.cli.helm(&["uninstall", "parlor", "--wait", "--timeout=100s"]).await.unwrap();
    wait::until(LIMIT, "no pods", async || {
        Ok(cluster.kubectl(&["get", "pods", "--output=name"]).await?.is_empty().then_some(()))
    })
    .await
    .unwrap();
    cluster.tell("helm uninstall: no pods");
    cluster.install().await.unwrap();
    let world = cluster.world().await.unwrap();
    let kept = load::history(&world.http, &world.gateways[0], &people[0], ROOM).await.unwrap();
    assert_eq!(kept.messages, history.messages);
    cluster.tell("every message is still there");

    drop(world);
    assert!(cluster.node.end().unwrap().success());
    assert_eq!(Machine::look().unwrap(), before);
    cluster.tell("the node is gone, and nothing of it is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_starter_is_killed_leaves_nothing() {
    let _alone = ALONE.lock().await;
    let before = Machine::look().unwrap();
    let mut node = Node::start().await.unwrap();
    assert_ne!(Machine::look().unwrap(), before);
    node.kill_starter().unwrap();
    wait::until(LIMIT, "a machine as before", async || Ok((Machine::look()? == before).then_some(()))).await.unwrap();
}
