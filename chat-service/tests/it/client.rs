//! The web client's files, configuration, and a socket for conformance tests.

use crate::util::{Bare, SOON};
use e2e::rig::{Rig, Wiring};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn the_web_client_is_served_and_may_load_nothing_from_elsewhere() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let wiring = Wiring { env: vec![("ECHO", "true".to_owned())], ..rig.wiring() };
    rig.start_gateway(&wiring).await.unwrap();
    let base = rig.gateway(0).http.clone();
    let get =
        async |path: &str| rig.http.get(format!("{base}{path}")).header("accept", "text/html").send().await.unwrap();

    let page = get("/").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    assert!(policy.contains(&rig.issuer()), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let html = page.text().await.unwrap();
    assert!(html.contains("<title>Parlor</title>") && !html.contains("<style"), "{html}");
    let script = html.split("src=\"").nth(1).and_then(|rest| rest.split('"').next());
    let script = get(script.unwrap_or_else(|| panic!("the web client is not built: {html}"))).await;
    assert_eq!(
        (script.status().as_u16(), &script.headers()["content-type"]),
        (200, &"text/javascript".parse().unwrap())
    );
    assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(get("/rooms/team-a/general").await.status(), 200);
    assert_eq!(get("/missing.js").await.status(), 404);

    let config: serde_json::Value = get("/v1/config").await.json().await.unwrap();
    assert_eq!(config["users_url"], rig.issuer());

    let mut echo = Bare::open(&format!("{}/v1/echo", base.replace("http", "ws")), None).await;
    for text in ["ä".repeat(100_000), String::new()] {
        echo.stream.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(echo.next(SOON).await, Ok(text));
    }
    echo.stream.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(echo.stream.next().await.unwrap().unwrap(), Message::binary(vec![0, 255]));

    // Whoever asks for another protocol is not taken; a plain request learns what this is.
    let refused = rig.http.get(format!("{base}/v1/ws")).send().await.unwrap();
    assert_eq!(refused.status(), 426);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
}
