//! Whose request it is, for the limits: the peer's address, or what a trusted proxy says.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;

use crate::state::App;

/// The client's address.
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        let forwarded = if app.edge.trust_forwarded { forwarded(&parts.headers) } else { None };
        Ok(Self(forwarded.unwrap_or(peer)))
    }
}

/// The last entry: the one that the proxy next to us wrote. Those before it are what the client claims.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let last = value.rsplit(',').next()?.trim();
    last.parse().ok().or_else(|| last.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_what_the_nearest_proxy_wrote_counts() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            forwarded(&headers).map(|address| address.to_string())
        };
        assert_eq!(of(&["1.2.3.4, 192.0.2.9"]), Some("192.0.2.9".to_owned()));
        assert_eq!(of(&["1.2.3.4", "192.0.2.9"]), Some("192.0.2.9".to_owned()));
        assert_eq!(of(&["[2001:db8::1]:4711"]), Some("2001:db8::1".to_owned()));
        assert_eq!(of(&["unknown"]), None);
        assert_eq!(of(&[]), None);
    }
}
