//! Wrong HTTP requests to both services.

use e2e::keys::unix_seconds;
use e2e::person::Person;
use e2e::rig::Rig;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{Body, Case, PRIVATE, PUBLIC, What};

/// All of them.
pub(super) fn cases(rig: &Rig, outsider: &Person, taken: &Person) -> Vec<Case> {
    let mut cases = chat(rig, outsider);
    cases.extend(users(taken));
    cases.push(Case::new("another subprotocol", What::Subprotocol("chat"), &[]));
    cases
}

fn chat(rig: &Rig, outsider: &Person) -> Vec<Case> {
    let expired = rig.token(
        &json!({"sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "preferred_username": "x", "exp": unix_seconds() - 60}),
    );
    let request = |method: Method, path: &str, bearer: Option<&str>, body: Body, status: u16| What::Request {
        users: false,
        method,
        path: path.to_owned(),
        bearer: bearer.map(str::to_owned),
        body,
        status,
    };
    let token = Some(outsider.access_token.as_str());
    let get = |path: &str, status: u16| request(Method::GET, path, token, Body::None, status);
    let messages = format!("/v1/rooms/{PUBLIC}/messages");
    let post = |body: Body, status: u16| request(Method::POST, &messages, token, body, status);
    let large = Body::Raw("application/json", vec![b' '; (1 << 20) + 10]);
    vec![
        Case::new(
            "REST without a token",
            request(Method::GET, "/v1/rooms", None, Body::None, 401),
            &["unauthenticated"],
        ),
        Case::new(
            "REST with a forged token",
            request(Method::GET, "/v1/rooms", Some("x.y.z"), Body::None, 401),
            &["unauthenticated"],
        ),
        Case::new(
            "REST with an expired token",
            request(Method::GET, "/v1/rooms", Some(&expired), Body::None, 401),
            &["token_expired"],
        ),
        Case::new("REST: a room that is not there", get("/v1/rooms/team-a/nothing", 404), &["not_found"]),
        Case::new("REST: a private room of others", get(&format!("/v1/rooms/{PRIVATE}"), 404), &["not_found"]),
        Case::new(
            "REST: messages of a private room",
            get(&format!("/v1/rooms/{PRIVATE}/messages"), 404),
            &["not_found"],
        ),
        Case::new("REST: a page of 0", get(&format!("{messages}?limit=0"), 422), &["invalid"]),
        Case::new("REST: a page of 101", get(&format!("{messages}?limit=101"), 422), &["invalid"]),
        Case::new("REST: a page of many", get(&format!("{messages}?limit=many"), 422), &["invalid"]),
        Case::new("REST: before and after", get(&format!("{messages}?before=9&after=1"), 422), &["invalid"]),
        Case::new("REST: an epoch of no shape", get(&format!("{messages}?epoch=x"), 422), &["invalid"]),
        Case::new(
            "REST: sending without having joined",
            post(Body::Json(json!({"id": Uuid::now_v7(), "text": "x"})), 403),
            &["forbidden"],
        ),
        Case::new("REST: no JSON", post(Body::Raw("application/json", b"{".to_vec()), 422), &["invalid"]),
        Case::new(
            "REST: another media type",
            post(Body::Raw("text/plain", b"hello".to_vec()), 415),
            &["unsupported_media_type"],
        ),
        Case::new("REST: a body over the limit", post(large, 413), &["too_large"]),
        Case::new("REST: no such path", get("/v1/nothing", 404), &["not_found"]),
        Case::new(
            "REST: a position in the future",
            get(&format!("{messages}?min_pos=9007199254740000"), 503),
            &["unavailable"],
        )
        .dear(),
        Case::new(
            "REST: an upload",
            request(
                Method::POST,
                &format!("/v1/rooms/{PUBLIC}/uploads?name=x"),
                token,
                Body::Raw("text/plain", b"x".to_vec()),
                501,
            ),
            &["unimplemented"],
        ),
    ]
}

fn users(taken: &Person) -> Vec<Case> {
    let request = |method: Method, path: &str, bearer: Option<&str>, body: Body, status: u16| What::Request {
        users: true,
        method,
        path: path.to_owned(),
        bearer: bearer.map(str::to_owned),
        body,
        status,
    };
    let post = |path: &str, body: Body, status: u16| request(Method::POST, path, None, body, status);
    let register = |username: &str, password: &str, status: u16| {
        post("/v1/register", Body::Json(json!({"username": username, "password": password})), status)
    };
    let login = |username: &str| {
        post("/v1/login", Body::Json(json!({"username": username, "password": "wrong password"})), 401)
    };
    vec![
        Case::new("a short password", register("shorty", "1234567", 422), &["invalid"]),
        Case::new("a long password", register("longy", &"x".repeat(257), 422), &["invalid"]),
        Case::new("a name with capitals", register("Root", "long enough", 422), &["invalid"]),
        Case::new("a name that is too long", register(&"a".repeat(33), "long enough", 422), &["invalid"]),
        Case::new("a name that is taken", register(&taken.username, "long enough", 409), &["conflict"])
            .reason("username_taken")
            .dear(),
        Case::new("a wrong password", login(&taken.username), &["unauthenticated"]).dear(),
        Case::new("a wrong name", login("nobody"), &["unauthenticated"]).dear(),
        Case::new(
            "registering without JSON",
            post("/v1/register", Body::Raw("application/json", b"[".to_vec()), 422),
            &["invalid"],
        ),
        Case::new(
            "registering as a form",
            post("/v1/register", Body::Raw("application/x-www-form-urlencoded", b"a=b".to_vec()), 415),
            &["unsupported_media_type"],
        ),
        Case::new(
            "a refresh token that is none",
            post("/v1/refresh", Body::Json(json!({"refresh_token": "x"})), 401),
            &["unauthenticated"],
        ),
        Case::new("no refresh token", post("/v1/refresh", Body::Json(json!({})), 401), &["unauthenticated"]),
        Case::new("me without a token", request(Method::GET, "/v1/me", None, Body::None, 401), &["unauthenticated"]),
        Case::new(
            "a session that is not there",
            request(
                Method::DELETE,
                &format!("/v1/me/sessions/{}", Uuid::now_v7()),
                Some(&taken.access_token),
                Body::None,
                404,
            ),
            &["not_found"],
        ),
        Case::new(
            "user-service: no such path",
            request(Method::GET, "/v1/nothing", None, Body::None, 404),
            &["not_found"],
        ),
    ]
}
