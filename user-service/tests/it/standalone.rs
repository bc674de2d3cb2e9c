//! Without an operator that makes credentials: tokens as files, and the health check of a container.

use std::process::Command;
use std::time::Duration;

use e2e::program::built;
use e2e::wait;
use proto::users::v1::ReserveNamesRequest;
use tonic::Code;

use crate::util::app::bearing;
use crate::util::{Options, TestApp};

#[tokio::test]
async fn tokens_for_the_other_programs_are_files_and_each_opens_what_its_holder_needs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let app = TestApp::start_with(Options::with(&["--service-tokens", path.to_str().unwrap()])).await;
    let mut client = app.grpc().await;
    let mut reserve = async |holder: &str| {
        let token = std::fs::read_to_string(path.join(holder)).unwrap();
        let message = ReserveNamesRequest { usernames: vec!["alice".to_owned()] };
        client.reserve_names(bearing(message, &token)).await.map(drop)
    };
    reserve("chat").await.unwrap();
    assert_eq!(reserve("operator").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_health_check_says_what_the_program_waits_for() {
    let ready = |app: &TestApp| {
        let address = app.address.health.trim_start_matches("http://").replace("localhost", "127.0.0.1");
        Command::new(built("user-service").unwrap()).args(["ready", "--health", &address]).output().unwrap()
    };
    assert!(ready(&TestApp::start().await).status.success());

    let nowhere = Options { redis_url: Some("redis://127.0.0.1:1".to_owned()), ..Options::default() };
    let app = TestApp::spawn_with(nowhere).await;
    wait::until(Duration::from_secs(30), "the reason", async || {
        let output = ready(&app);
        assert!(!output.status.success());
        Ok(String::from_utf8_lossy(&output.stderr).contains(r#""name":"redis""#).then_some(()))
    })
    .await
    .unwrap();
}
