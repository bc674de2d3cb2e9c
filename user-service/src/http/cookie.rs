//! The refresh token as a cookie that no script can read.

use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};
use service::problem::{Code, Problem};

use crate::secret::Secret;
use crate::sessions::LIFE;
use crate::state::Edge;

const NAME: &str = "parlor_refresh";

/// The token that came as a cookie.
pub(crate) fn read(jar: &CookieJar) -> Option<Secret> {
    jar.get(NAME).map(|cookie| Secret::new(cookie.value().to_owned()))
}

/// Hands a token out.
pub(crate) fn set(jar: CookieJar, token: &Secret, edge: &Edge) -> CookieJar {
    let life = time::Duration::try_from(LIFE).unwrap_or(time::Duration::days(30));
    jar.add(cookie(token.expose().to_owned(), edge.secure_cookies, life))
}

/// Takes it away.
pub(crate) fn clear(jar: CookieJar, edge: &Edge) -> CookieJar {
    jar.add(cookie(String::new(), edge.secure_cookies, time::Duration::ZERO))
}

/// A request that lives on a cookie may come from our own pages alone. Browsers say where it comes from; programs need not.
pub(crate) fn require_own_page(headers: &HeaderMap, edge: &Edge) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let authority =
        origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok()).and_then(|uri| uri.authority().cloned());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let same = authority.is_some_and(|authority| Some(authority.as_str()) == host);
    if same || edge.allowed_origins.contains(origin) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "a page of this origin may not use the session").reason("origin"))
}

fn cookie(value: String, secure: bool, life: time::Duration) -> Cookie<'static> {
    Cookie::build((NAME, value))
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure)
        .path("/")
        .max_age(life)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let text = cookie("t".to_owned(), true, time::Duration::seconds(5)).to_string();
        assert_eq!(text, "parlor_refresh=t; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=5");
        assert!(!cookie("t".to_owned(), false, time::Duration::ZERO).to_string().contains("Secure"));
    }

    #[test]
    fn only_our_own_pages_may_use_the_cookie() {
        let edge = Edge {
            secure_cookies: false,
            trust_forwarded: false,
            allowed_origins: vec![HeaderValue::from_static("http://localhost:8080")],
        };
        let from = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:8081"))]);
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            require_own_page(&headers, &edge).is_ok()
        };
        assert!(from(None) && from(Some("http://localhost:8080")) && from(Some("http://localhost:8081")));
        assert!(!from(Some("http://evil.example")) && !from(Some("null")) && !from(Some("http://localhost:9999")));
    }
}
