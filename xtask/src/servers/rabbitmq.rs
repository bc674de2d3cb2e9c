//! A private RabbitMQ: own node name, folders, cookie and Erlang name server, so that it never meets another node on the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::http;
use crate::launch::{Launch, Ready};
use crate::layout::Layout;
use crate::secrets::{BROKER_ADMIN, BROKER_SERVICES, Secrets, VHOST, write_private};
use crate::tools::Tools;

/// What the services may make in the broker: their own exclusive queues. Everything durable is the operator's.
const SERVICES_MAY_CONFIGURE: &str = r"^(amq\.gen-.*|parlor\.gateway\..*)$";

/// How to start the Erlang name server. Left to itself the broker would start one that outlives it.
pub(crate) fn prepare_epmd(layout: &Layout, tools: &Tools) -> Launch {
    let port = layout.epmd();
    Launch::new(&tools.epmd, Ready::Tcp { port }).args(["-address", "127.0.0.1", "-port", &port.to_string()])
}

/// Writes its configuration and tells how to start it.
pub(crate) fn prepare(layout: &Layout, tools: &Tools, secrets: &Secrets) -> Result<Launch> {
    let folder = layout.data().join("rabbitmq");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    write_private(&folder.join("rabbitmq.conf"), &configuration(layout, secrets))?;
    write_private(&folder.join("enabled_plugins"), "[rabbitmq_management,rabbitmq_event_exchange].\n")?;
    // Empty: the system's own settings of RabbitMQ must not reach this one.
    write_private(&folder.join("rabbitmq-env.conf"), "")?;
    write_cookie(&folder, secrets)?;
    let url = format!("{}/api/health/checks/virtual-hosts", secrets.management_url(layout));
    let launch = Launch::new(&tools.rabbitmq, Ready::Http { url });
    Ok(environment(layout, &folder).into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
}

/// Makes the services' user and the permissions of both; the broker must be ready. The same again changes nothing.
pub(crate) fn create_users(layout: &Layout, secrets: &Secrets) -> Result<()> {
    let base = secrets.management_url(layout);
    let put = |path: &str, body: &serde_json::Value| -> Result<()> {
        let answer = http::put(&format!("{base}{path}"), body)?;
        ensure!(answer.status < 300, "RabbitMQ refused {path}: {} {}", answer.status, answer.body);
        Ok(())
    };
    put(&format!("/api/vhosts/{VHOST}"), &json!({}))?;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    put(&format!("/api/permissions/{VHOST}/{BROKER_ADMIN}"), &all)?;
    let password = secrets.broker_services_password();
    put(&format!("/api/users/{BROKER_SERVICES}"), &json!({"password": password, "tags": ""}))?;
    let services = json!({"configure": SERVICES_MAY_CONFIGURE, "write": ".*", "read": ".*"});
    put(&format!("/api/permissions/{VHOST}/{BROKER_SERVICES}"), &services)
}

fn configuration(layout: &Layout, secrets: &Secrets) -> String {
    [
        format!("listeners.tcp.1 = 127.0.0.1:{}", layout.amqp()),
        "management.tcp.ip = 127.0.0.1".to_owned(),
        format!("management.tcp.port = {}", layout.management()),
        format!("default_vhost = {VHOST}"),
        format!("default_user = {BROKER_ADMIN}"),
        format!("default_pass = {}", secrets.broker_admin_password()),
        "default_user_tags.administrator = true".to_owned(),
        // A laptop's disk is often nearly full; an alarm would block every publisher.
        "disk_free_limit.absolute = 100MB".to_owned(),
        "log.console = true".to_owned(),
        "log.console.level = info".to_owned(),
        "log.file = false".to_owned(),
        String::new(),
    ]
    .join("\n")
}

fn environment(layout: &Layout, folder: &Path) -> Vec<(&'static str, String)> {
    let path = |name: &str| folder.join(name).display().to_string();
    vec![
        ("HOME", folder.display().to_string()),
        // Within its own name server a name need not be unique on the machine.
        ("RABBITMQ_NODENAME", "parlor@localhost".to_owned()),
        ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
        ("RABBITMQ_MNESIA_BASE", path("mnesia")),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
        ("RABBITMQ_SCHEMA_DIR", path("schema")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_DIST_PORT", layout.distribution().to_string()),
        ("ERL_EPMD_PORT", layout.epmd().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        // Nothing of it listens to the network, no second name server, and no schedulers that spin while idle.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
                .to_owned(),
        ),
        // The script then becomes the broker under the same pid instead of watching over it.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
    ]
}

/// Erlang insists that only the owner may read it.
fn write_cookie(folder: &Path, secrets: &Secrets) -> Result<()> {
    let cookie: PathBuf = folder.join(".erlang.cookie");
    if !cookie.exists() {
        write_private(&cookie, &secrets.erlang_cookie)?;
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))
            .context("failed to protect the Erlang cookie")?;
    }
    Ok(())
}
