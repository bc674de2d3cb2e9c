//! What goes wrong, as clients see it: one closed list of words over REST (RFC 9457), gRPC and the socket. Chosen at the edge only.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain` of Parlor's errors over gRPC.
const DOMAIN: &str = "parlor.dev";
/// How long a client waits before it tries again what is rate-limited or unavailable, unless something better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The closed list of error words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Who asks is not known: no token, or none of ours.
    Unauthenticated,
    /// The token was good and is too old.
    TokenExpired,
    /// Who asks may not do this.
    Forbidden,
    /// There is no such thing, or not for who asks.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// The request holds more than is allowed.
    TooLarge,
    /// The body is of a kind that is not taken here.
    UnsupportedMediaType,
    /// Too many requests.
    RateLimited,
    /// The state of things does not allow it now.
    Conflict,
    /// The same id came before with another content.
    IdempotencyConflict,
    /// A part that is needed is not there at the moment.
    Unavailable,
    /// This program does not do that.
    Unimplemented,
    /// A mistake of ours.
    Internal,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::Forbidden,
        Self::NotFound,
        Self::Invalid,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::Conflict,
        Self::IdempotencyConflict,
        Self::Unavailable,
        Self::Unimplemented,
        Self::Internal,
    ];

    /// As it stands on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RateLimited => "rate_limited",
            Self::Conflict => "conflict",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::Unavailable => "unavailable",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
        }
    }

    /// The code that this word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.word() == word)
    }

    /// Over HTTP.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Conflict | Self::IdempotencyConflict => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Over gRPC.
    pub fn grpc(self) -> tonic::Code {
        match self {
            Self::Unauthenticated | Self::TokenExpired => tonic::Code::Unauthenticated,
            Self::Forbidden => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::Invalid | Self::TooLarge | Self::UnsupportedMediaType => tonic::Code::InvalidArgument,
            Self::RateLimited => tonic::Code::ResourceExhausted,
            Self::Conflict => tonic::Code::FailedPrecondition,
            Self::IdempotencyConflict => tonic::Code::AlreadyExists,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Unimplemented => tonic::Code::Unimplemented,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// Whether the outcome is unknown and the same request may be sent again under the same id.
    pub fn temporary(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::Internal)
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its word.
    pub code: Code,
    /// A finer word, as `username_taken`.
    pub reason: Option<Cow<'static, str>>,
    /// For people. Never a secret, never what stands in a database.
    pub detail: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    detail: &'a str,
}

impl Problem {
    /// A refusal with this word and this sentence for people.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, reason: None, detail: detail.into(), retry_after: None }
    }

    /// With a finer word.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With the time after which it may go better.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// When to try again: what is known, else a second for what is rate-limited or unavailable.
    pub fn wait(&self) -> Option<Duration> {
        let usual = matches!(self.code, Code::RateLimited | Code::Unavailable).then_some(RETRY_AFTER);
        self.retry_after.or(usual)
    }

    /// As an answer with another status of the same meaning, as 405 for a method that a path does not take.
    pub fn with_status(&self, status: StatusCode) -> Response {
        let body = Body {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code.word(),
            reason: self.reason.as_deref(),
            detail: &self.detail,
        };
        let mut answer = (status, axum::Json(body)).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.wait() {
            // Whole seconds, rounded up: earlier would be refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.with_status(self.code.status())
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let metadata = problem.reason.iter().map(|reason| ("reason".to_owned(), reason.to_string()));
        let mut details = ErrorDetails::new();
        details.set_error_info(problem.code.word(), DOMAIN, metadata.collect::<std::collections::HashMap<_, _>>());
        if let Some(wait) = problem.wait() {
            details.set_retry_info(Some(wait));
        }
        Status::with_error_details(problem.code.grpc(), problem.detail, details)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.word(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_problem_is_rfc_9457_with_our_words() {
        let problem = Problem::new(Code::Conflict, "alice is taken").reason("username_taken");
        let answer = problem.into_response();
        assert_eq!(answer.status(), 409);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert!(!answer.headers().contains_key("retry-after"));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let wanted = serde_json::json!({"type": "about:blank", "title": "Conflict", "status": 409, "code": "conflict",
            "reason": "username_taken", "detail": "alice is taken"});
        assert_eq!(body, wanted);
    }

    #[test]
    fn what_may_go_better_says_when_in_whole_seconds() {
        let wait = |problem: Problem| problem.into_response().headers().get("retry-after").cloned();
        assert_eq!(wait(Problem::new(Code::Unavailable, "")).unwrap(), "1");
        let limited = Problem::new(Code::RateLimited, "").retry_after(Duration::from_millis(1200));
        assert_eq!(wait(limited).unwrap(), "2");
        assert_eq!(wait(Problem::new(Code::Invalid, "")), None);
    }

    #[test]
    fn over_grpc_the_word_is_the_error_infos_reason() {
        let status =
            Status::from(Problem::new(Code::RateLimited, "slowly").reason("room").retry_after(Duration::from_secs(3)));
        assert_eq!((status.code(), status.message()), (tonic::Code::ResourceExhausted, "slowly"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("rate_limited", DOMAIN));
        assert_eq!(info.metadata["reason"], "room");
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
    }

    #[test]
    fn every_word_is_read_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_word(code.word()), Some(code));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
        assert_eq!(Code::from_word("other"), None);
    }
}
