//! Words of refusals and errors.

use super::*;
use service::database::{self, DatabaseArgs};
use service::health::Health;
use service::shutdown::Shutdown;
use std::time::{Duration, Instant};
use tonic_types::StatusExt;

fn word(status: &Status) -> (tonic::Code, String, String) {
    let info = status.get_details_error_info().unwrap();
    (status.code(), info.reason, info.metadata.get("reason").cloned().unwrap_or_default())
}

#[test]
fn a_conflict_is_a_failed_precondition_with_its_reason() {
    let status = refused(&Refusal::NotEmpty { messages: 3 });
    assert_eq!(word(&status), (tonic::Code::FailedPrecondition, "conflict".into(), "not_empty".into()));
    assert!(status.message().starts_with("3 messages remain"));
}

#[test]
fn a_token_of_the_wrong_kind_is_not_who_it_should_be_and_one_without_the_scope_may_not() {
    let code = |error| word(&token(error)).0;
    assert_eq!(code(TokenError::Invalid("of another kind")), tonic::Code::Unauthenticated);
    assert_eq!(code(TokenError::Scope), tonic::Code::PermissionDenied);
    assert_eq!(word(&token(TokenError::Expired)).1, "token_expired");
}

#[test]
fn what_was_refused_when_it_was_read_keeps_its_place() {
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    let refusal = Refusal::Invalid { field: "spec".into(), cure: "is missing".into() };
    let results = results(names, vec![Ok(()), Err(refusal), Ok(())], vec![Err(Refusal::Busy), Err(Refusal::Failed)]);
    let codes: Vec<_> =
        results.iter().map(|result| (result.room.as_str(), result.error.clone().unwrap().code)).collect();
    assert_eq!(codes, [("a", "unavailable".into()), ("b", "invalid".into()), ("c", "internal".into())]);
    let error = results[1].error.clone().unwrap();
    assert_eq!((error.reason.as_str(), error.message.as_str()), ("spec", "spec: is missing"));
}

/// One port refuses, behind the other nobody ever answers.
#[tokio::test]
async fn a_database_that_is_away_or_silent_is_unavailable_within_a_few_seconds() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [closed] = e2e::ports::free().unwrap();
    for port in [closed, silent.local_addr().unwrap().port()] {
        let args = DatabaseArgs {
            database_url: format!("postgres://a:b@127.0.0.1:{port}/c"),
            migrate: false,
            database_connections: 2,
        };
        let database = database::open(&args, 1, Health::default().check("database"), &Shutdown::new()).unwrap();
        let start = Instant::now();
        let error = crate::store::admin::platform(database.pool()).await.unwrap_err();
        assert_eq!(word(&super::database(&error)), (tonic::Code::Unavailable, "unavailable".into(), "database".into()));
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_mistake_of_ours_is_internal_and_says_nothing_of_the_database() {
    let fixture = crate::rooms::testing::Fixture::new().await;
    let error = sqlx::query("select * from no_such_table").execute(&fixture.pool).await.unwrap_err();
    let status = super::database(&error);
    assert_eq!(word(&status).1, "internal");
    assert!(!status.message().contains("no_such_table"));
    let error = sqlx::query("select pg_terminate_backend(pg_backend_pid())").execute(&fixture.pool).await.unwrap_err();
    assert_eq!(word(&super::database(&error)).0, tonic::Code::Unavailable);
}
