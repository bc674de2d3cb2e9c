//! Against a real HTTP listener that answers as user-service does.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tests::{age, claims, write_key};
use crate::{Keys as Folder, Verifier};

const ISSUER: &str = "http://localhost:8081";

/// What the listener says next; `None`: it hangs up.
#[derive(Clone)]
struct Server {
    url: String,
    answer: Arc<StdMutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().unwrap());
        let server = Self { url, answer: Arc::new(StdMutex::new(answer)), asked: Arc::default() };
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|count| count > 0)
                {}
                served.asked.fetch_add(1, Ordering::SeqCst);
                let Some(body) = served.answer.lock().unwrap().clone() else { continue };
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
            }
        });
        server
    }

    fn say(&self, answer: Option<String>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn folder() -> (tempfile::TempDir, Folder) {
    let folder = tempfile::tempdir().unwrap();
    write_key(folder.path(), "k1");
    let keys = Folder::load(folder.path()).unwrap();
    (folder, keys)
}

#[tokio::test]
async fn keys_are_fetched_and_a_new_one_is_known_as_soon_as_a_token_names_it() {
    let (folder, keys) = folder();
    let server = Server::start(Some(keys.jwks().to_string())).await;
    let reports = Arc::new(AtomicUsize::new(0));
    let counted = reports.clone();
    let report = move |outcome: Result<(), &str>| {
        outcome.unwrap();
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let verifier = Verifier::remote(&server.url, ISSUER, report).unwrap();
    verifier.person(&keys.sign_person(&claims()).unwrap()).await.unwrap();
    assert_eq!(reports.load(Ordering::SeqCst), server.asked());

    age(folder.path(), "k1", 60);
    write_key(folder.path(), "k2");
    let rotated = Folder::load(folder.path()).unwrap();
    server.say(Some(rotated.jwks().to_string()));
    verifier.person(&rotated.sign_person(&claims()).unwrap()).await.unwrap();
    verifier.person(&keys.sign_person(&claims()).unwrap()).await.unwrap();
}

#[tokio::test]
async fn many_unknown_names_make_one_fetch_each_two_seconds() {
    let (_folder, keys) = folder();
    let server = Server::start(Some(keys.jwks().to_string())).await;
    let verifier = Verifier::remote(&server.url, ISSUER, |_| ()).unwrap();
    verifier.person(&keys.sign_person(&claims()).unwrap()).await.unwrap();
    let before = server.asked();

    let stranger = tempfile::tempdir().unwrap();
    write_key(stranger.path(), "unknown");
    let forged = Folder::load(stranger.path()).unwrap().sign_person(&claims()).unwrap();
    let answers = futures::future::join_all((0..50).map(|_| verifier.person(&forged))).await;
    assert!(answers.iter().all(|answer| *answer == Err(TokenError::Invalid("its key is not known"))), "{answers:?}");
    assert!(server.asked() - before <= 2, "{} fetches", server.asked() - before);
}

#[tokio::test]
async fn known_keys_stay_while_nobody_answers_and_an_unknown_one_cannot_be_judged() {
    let (folder, keys) = folder();
    let server = Server::start(None).await;
    let verifier = Verifier::remote(&server.url, ISSUER, |_| ()).unwrap();
    let token = keys.sign_person(&claims()).unwrap();
    assert_eq!(verifier.person(&token).await, Err(TokenError::Unavailable));
    server.say(Some(keys.jwks().to_string()));
    verifier.person(&token).await.unwrap();

    server.say(Some("{\"keys\":[]}".to_owned()));
    write_key(folder.path(), "k2");
    age(folder.path(), "k1", 60);
    let newer = Folder::load(folder.path()).unwrap().sign_person(&claims()).unwrap();
    assert_eq!(verifier.person(&newer).await, Err(TokenError::Unavailable));
    verifier.person(&token).await.unwrap();
}

#[test]
fn only_ed25519_keys_of_a_set_are_taken() {
    let x = URL_SAFE_NO_PAD.encode([7; 32]);
    let set = serde_json::json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "good", "x": x},
        {"kty": "OKP", "crv": "X25519", "kid": "curve", "x": x},
        {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "a b", "x": x},
    ]});
    assert_eq!(parse(set.to_string().as_bytes()).unwrap().into_keys().collect::<Vec<_>>(), ["good"]);
    assert!(parse(b"{\"keys\":[]}").is_none() && parse(b"no").is_none());
}
