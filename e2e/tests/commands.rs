//! The commands of the repository, as people type them: one stack, started, looked at, refused a second time, and gone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use e2e::scratch;
use e2e::signal;
use e2e::socket::Socket;
use e2e::stack::{Options, Stack, said};

const SHORT: Duration = Duration::from_secs(30);
/// A gateway may drain before it stops.
const DOWN_LIMIT: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread")]
async fn one_stack_is_looked_at_restarted_in_part_and_leaves_nothing() {
    let mut stack = Stack::up(&Options { gateways: 1, ..Options::default() }).await.unwrap();
    a_second_up_is_refused_with_its_reason(&stack).await;
    a_taken_port_names_its_holder(&stack);
    logs_and_status_tell_of_a_process(&stack).await;
    a_flag_of_a_part_that_is_not_built_is_refused_by_name(&stack).await;
    an_unknown_process_is_an_error_that_names_the_known(&stack).await;
    a_restarted_gateway_tells_its_sockets_3001(&stack).await;
    a_dead_process_is_reported_and_started_again(&stack).await;
    down_leaves_no_process_and_no_port(&stack).await;
    assert!(stack.end().unwrap().success());
}

async fn a_second_up_is_refused_with_its_reason(stack: &Stack) {
    let output = stack.xtask("up", &["--detach", "--no-build"], SHORT).await.unwrap();
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    let pid = stack.pid("gateway-1").unwrap().to_string();
    assert!(text.contains("already runs") && text.contains("gateway-1") && text.contains(&pid), "{text}");
    assert!(text.contains("cargo xtask down"), "the cure is missing: {text}");
    for process in stack.processes() {
        assert!(signal::lives(stack.pid(&process).unwrap()), "{process} was harmed");
    }
}

fn a_taken_port_names_its_holder(stack: &Stack) {
    let other = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(scratch::xtask().unwrap())
        .args(["up", "--detach", "--no-build", "--port-offset", &stack.offset.to_string(), "--state"])
        .arg(other.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    let pid = stack.pid("postgres").unwrap();
    assert!(text.contains(&format!("port {} (for postgres) is taken by process {pid}", 5442 + stack.offset)), "{text}");
}

async fn logs_and_status_tell_of_a_process(stack: &Stack) {
    let logs = stack.xtask("logs", &["user-service"], SHORT).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&logs.stdout), stack.log("user-service").unwrap());
    assert!(!logs.stdout.is_empty());
    let status = said(&stack.xtask("status", &[], SHORT).await.unwrap());
    for process in ["gateway-1", "user-service", "operator", "postgres", "redis", "rabbitmq"] {
        let line = status.lines().find(|line| line.starts_with(process)).unwrap_or_default();
        assert!(line.contains("ready") && !line.contains("not ready"), "{process}: {status}");
    }
}

async fn a_flag_of_a_part_that_is_not_built_is_refused_by_name(stack: &Stack) {
    let output = stack.xtask("up", &["--notify-webhook", "http://127.0.0.1:1/"], SHORT).await.unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("--notify-webhook is not built yet"), "{}", said(&output));
}

async fn an_unknown_process_is_an_error_that_names_the_known(stack: &Stack) {
    let output = stack.xtask("restart", &["gateway-7"], SHORT).await.unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("gateway-7") && text.contains("gateway-1"), "{text}");
}

async fn a_restarted_gateway_tells_its_sockets_3001(stack: &Stack) {
    let person = stack.register("dora").await.unwrap();
    let (mut socket, _) = Socket::connect(&stack.gateway(1).socket, &person.access_token).await.unwrap();
    let before = stack.pid("gateway-1").unwrap();
    let (code, restarted) = tokio::join!(socket.closed(Duration::from_mins(2)), stack.restart("gateway-1"));
    restarted.unwrap();
    assert_eq!(code.unwrap(), 3001);
    assert_ne!(stack.pid("gateway-1").unwrap(), before);
    Socket::connect(&stack.gateway(1).socket, &person.access_token).await.unwrap();
}

async fn a_dead_process_is_reported_and_started_again(stack: &Stack) {
    stack.signal("user-service", signal::Signal::Kill).unwrap();
    e2e::wait::until(SHORT, "the death of user-service in `status`", || async {
        let status = said(&stack.xtask("status", &[], SHORT).await?);
        let line = status.lines().find(|line| line.starts_with("user-service")).unwrap_or_default();
        Ok(line.contains("dead").then_some(()))
    })
    .await
    .unwrap();
    stack.restart("user-service").await.unwrap();
    stack.register("emil").await.unwrap();
}

async fn down_leaves_no_process_and_no_port(stack: &Stack) {
    let pids: Vec<u32> = stack.processes().iter().map(|process| stack.pid(process).unwrap()).collect();
    assert!(pids.len() >= 7, "{pids:?}");
    let output = stack.xtask("down", &["--wipe"], DOWN_LIMIT).await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for pid in pids {
        assert!(!signal::lives(pid), "process {pid} is still there");
    }
    let standard = [8080, 9090, 8090, 8081, 9091, 8091, 8082, 5442, 6389, 5682, 15682, 25682, 4379];
    for port in standard.map(|port| port + stack.offset) {
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "port {port} is still taken");
    }
    assert!(!stack.state.exists(), "{} is still there", stack.state.display());
}
