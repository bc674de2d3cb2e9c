//! axum's extractors whose refusals are problems: what is wrong is named by its field.

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::extract::object::Object;
use crate::problem::{Code, Problem};

mod object;

/// A JSON object as body; as an answer it is axum's own.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// The query.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

/// The captures of the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let extracted = axum::Json::<Object<T>>::from_request(request, state).await;
        extracted.map(|axum::Json(Object(value))| Self(value)).map_err(|rejection| json_problem(&rejection))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extracted = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        extracted
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Problem::new(Code::Invalid, format!("the query: {}", cause(&rejection.body_text()))))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extracted = <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        extracted.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| path_problem(&rejection))
    }
}

/// A body that could not be read as bytes: too large, or broken off.
pub fn bytes_problem(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Code::TooLarge, "the body is larger than is allowed here");
    }
    Problem::new(Code::Invalid, "the body broke off")
}

fn json_problem(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Problem::new(Code::UnsupportedMediaType, "the body has to be `Content-Type: application/json`")
        }
        JsonRejection::BytesRejection(rejection) => bytes_problem(rejection),
        other => Problem::new(Code::Invalid, format!("the body: {}", cause(&other.body_text()))),
    }
}

fn path_problem(rejection: &PathRejection) -> Problem {
    match rejection {
        PathRejection::FailedToDeserializePathParams(error) => {
            Problem::new(Code::Invalid, format!("the path: {}", cause(&error.body_text())))
        }
        other => {
            // A route without the captures that its handler asks for.
            tracing::error!(error = %other, "failed to read the path");
            Problem::new(Code::Internal, "this is a mistake of the server")
        }
    }
}

/// What went wrong without axum's words around it: `limit: invalid digit found in string`.
fn cause(text: &str) -> &str {
    const AROUND: [&str; 4] = [
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to parse the request body as JSON: ",
        "Failed to deserialize query string: ",
        "Invalid URL: ",
    ];
    AROUND.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::extract::DefaultBodyLimit;
    use axum::routing::{get, post};
    use http_body_util::BodyExt;
    use serde::Deserialize;
    use tower::ServiceExt;
    use uuid::Uuid;

    #[derive(Deserialize)]
    struct Account {
        #[expect(dead_code, reason = "only that it is read matters")]
        username: String,
    }

    #[derive(Deserialize)]
    struct Page {
        #[expect(dead_code, reason = "only that it is read matters")]
        limit: u32,
    }

    fn router() -> Router {
        Router::new()
            .route("/json", post(async |_: Json<Account>| ()))
            .route("/query", get(async |_: Query<Page>| ()))
            .route("/path/{id}", get(async |_: Path<Uuid>| ()))
            .layer(DefaultBodyLimit::max(64))
    }

    async fn problem(request: Request) -> (u16, String, String) {
        let answer = router().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        (status, text("code"), text("detail"))
    }

    fn json(body: &str) -> Request {
        let request = Request::post("/json").header("content-type", "application/json");
        request.body(Body::from(body.to_owned())).unwrap()
    }

    fn get_path(path: &str) -> Request {
        Request::get(path).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_by_its_field() {
        for (request, field) in [
            (json(r#"{"username":5}"#), "username"),
            (json("{}"), "username"),
            (json(r#"["alice"]"#), "an object"),
            (json("null"), "an object"),
            (json("{"), "line 1"),
            (get_path("/query?limit=x"), "limit"),
            (get_path("/query"), "limit"),
            (get_path("/path/x"), "id"),
        ] {
            let (status, code, detail) = problem(request).await;
            assert_eq!((status, code.as_str()), (422, "invalid"), "{detail}");
            assert!(detail.contains(field) && !detail.contains("eserialize"), "{detail}");
        }
    }

    #[tokio::test]
    async fn size_and_kind_of_a_body_have_words_of_their_own() {
        let large = problem(json(&format!(r#"{{"username":"{}"}}"#, "a".repeat(64)))).await;
        assert_eq!((large.0, large.1.as_str()), (413, "too_large"));
        let plain = problem(Request::post("/json").body(Body::from("{}")).unwrap()).await;
        assert_eq!((plain.0, plain.1.as_str()), (415, "unsupported_media_type"));
    }
}
