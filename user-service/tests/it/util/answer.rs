//! An HTTP answer, read whole.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// `null` if there is none.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Self { status, headers, body }
    }

    /// A field that must be text.
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no text in `{field}` of {}", self.body)).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// That it has this status; success has no problem.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// That it is this problem, in the form of RFC 9457, with a `Retry-After` where one belongs.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str, reason: Option<&str>) -> Self {
        assert_eq!((self.status, &self.body["code"]), (status, &Value::from(code)), "{}", self.body);
        assert_eq!(self.body["reason"].as_str(), reason, "{}", self.body);
        assert_eq!(self.body["status"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        for field in ["type", "title", "detail"] {
            assert!(self.body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {}", self.body);
        }
        let retry: Option<u64> = self.headers.get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
        assert_eq!(retry.is_some_and(|seconds| seconds > 0), matches!(status, 429 | 503), "{:?}", self.headers);
        self
    }
}
