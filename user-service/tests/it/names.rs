//! Names that manifests reserve, and invites.

use e2e::servers::TestDatabase;
use proto::users::v1::{CreateInviteRequest, ReserveNamesRequest};
use serde_json::json;

use crate::util::{Answer, Options, TestApp};

#[tokio::test]
async fn a_reserved_name_needs_an_invite_for_it() {
    let app = TestApp::start().await;
    let reserved = reserve(&app, &["alice", "bob", "alice"]).await;
    assert_eq!(reserved, (vec![], vec!["alice".to_owned(), "bob".to_owned()]));
    app.register("alice").await.expect_problem(403, "forbidden", Some("invite_required"));

    let any = invite(&app, "", 0).await;
    register(&app, "alice", &any).await.expect_problem(403, "forbidden", Some("invite_invalid"));
    let for_bob = invite(&app, "bob", 0).await;
    register(&app, "alice", &for_bob).await.expect_problem(403, "forbidden", Some("invite_invalid"));
    let for_alice = invite(&app, "alice", 0).await;
    register(&app, "alice", &for_alice).await.expect(201);
    register(&app, "bob", &for_bob).await.expect(201);

    let (held, reserved) = reserve(&app, &["alice", "bob", "carol"]).await;
    assert_eq!((held, reserved), (vec!["alice".to_owned(), "bob".to_owned()], vec!["carol".to_owned()]));
    // Again is once.
    assert_eq!(reserve(&app, &["carol"]).await.1, ["carol"]);
}

#[tokio::test]
async fn where_registration_is_by_invite_each_invite_is_good_once() {
    let app = TestApp::start_with(Options { registration: "Invite", ..Options::default() }).await;
    app.register("alice").await.expect_problem(403, "forbidden", Some("invite_required"));
    register(&app, "alice", "never-made").await.expect_problem(403, "forbidden", Some("invite_invalid"));
    let token = invite(&app, "", 60).await;
    register(&app, "alice", &token).await.expect(201);
    register(&app, "bob", &token).await.expect_problem(403, "forbidden", Some("invite_invalid"));
    // Who may not register does not learn who is registered.
    app.register("alice").await.expect_problem(403, "forbidden", Some("invite_required"));
    let other = invite(&app, "", 60).await;
    register(&app, "alice", &other).await.expect_problem(409, "conflict", Some("username_taken"));
    register(&app, "bob", &other).await.expect(201);
}

#[tokio::test]
async fn one_invite_used_twice_at_the_same_time_makes_one_account() {
    let app = TestApp::start_with(Options { registration: "invite", ..Options::default() }).await;
    let token = invite(&app, "", 0).await;
    let names = ["a", "b", "c", "d"];
    let answers = futures::future::join_all(names.map(|name| register(&app, name, &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
}

#[tokio::test]
async fn an_invite_ends_with_its_time_and_only_its_digest_is_stored() {
    let app = TestApp::start().await;
    reserve(&app, &["alice"]).await;
    let token = invite(&app, "alice", 1).await;
    assert!(!dump(&app.database).await.contains(&token));
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    register(&app, "alice", &token).await.expect_problem(403, "forbidden", Some("invite_invalid"));
}

#[tokio::test]
async fn reserving_and_registering_one_name_at_the_same_time_has_one_outcome() {
    let app = TestApp::start().await;
    for round in 0..10 {
        let name = format!("alice{round}");
        let names = [name.as_str()];
        let (answer, (held, reserved)) = tokio::join!(app.register(&name), reserve(&app, &names));
        match answer.status {
            201 => {
                // Registered before it could be reserved, or reserved as it was still free: then registering must have lost.
                assert_eq!((held.len(), reserved.len()), (1, 0), "{name} was given away although it was reserved");
            }
            403 => assert_eq!((held.len(), reserved.len()), (0, 1)),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn an_invite_for_a_name_that_somebody_has_is_refused() {
    let app = TestApp::start().await;
    app.register("alice").await.expect(201);
    let message = CreateInviteRequest { username: "alice".to_owned(), ttl_seconds: 0 };
    let status = app.grpc().await.create_invite(app.as_service(message)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}");
}

async fn register(app: &TestApp, username: &str, invite: &str) -> Answer {
    let body = json!({"username": username, "password": crate::util::app::password_of(username), "invite": invite});
    app.post("/v1/register", &body).await
}

async fn reserve(app: &TestApp, names: &[&str]) -> (Vec<String>, Vec<String>) {
    let message = ReserveNamesRequest { usernames: names.iter().map(|name| (*name).to_owned()).collect() };
    let answer = app.grpc().await.reserve_names(app.as_service(message)).await.unwrap().into_inner();
    (answer.held.into_iter().map(|user| user.username).collect(), answer.reserved)
}

async fn invite(app: &TestApp, username: &str, ttl_seconds: u64) -> String {
    let message = CreateInviteRequest { username: username.to_owned(), ttl_seconds };
    app.grpc().await.create_invite(app.as_service(message)).await.unwrap().into_inner().invite
}

async fn dump(database: &TestDatabase) -> String {
    let pool = database.pool().await.unwrap();
    let rows: Vec<(String,)> =
        sqlx::query_as("select row_to_json(invites)::text from invites").fetch_all(&pool).await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.into_iter().map(|(row,)| row).collect()
}
