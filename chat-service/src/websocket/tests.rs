//! The transport against a client in the same process.

use super::*;
use tokio::io::DuplexStream;
use tokio_tungstenite::tungstenite::protocol::Role as End;

async fn pair(pipe: usize, most: usize) -> (WebSocket<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (server, client) = tokio::io::duplex(pipe);
    (WebSocket::new(server, most).await, WebSocketStream::from_raw_socket(client, End::Client, None).await)
}

fn text(count: usize) -> Bytes {
    format!(r#"{{"ev":"{}"}}"#, "x".repeat(count)).into()
}

#[tokio::test]
async fn what_a_slow_peer_does_not_take_waits_and_there_is_room_again_once_it_does() {
    let (mut server, mut client) = pair(8 * 1024, MESSAGE_BYTES).await;
    for _ in 0..100 {
        server.push(text(1000));
    }
    assert!(server.is_full());
    assert!(timeout(Duration::from_millis(20), server.next(true)).await.is_err());
    assert!(server.blocked_since().is_some());
    let reading = tokio::spawn(async move {
        for _ in 0..100 {
            assert_eq!(client.next().await.unwrap().unwrap().into_text().unwrap().len(), 1009);
        }
        client
    });
    assert!(matches!(server.next(true).await, Step::Drained));
    assert!(!server.is_full() && server.queued() < LOW);
    let emptied = async {
        while server.queued() > 0 || server.blocked_since().is_some() {
            timeout(Duration::from_millis(50), server.next(true)).await.ok();
        }
    };
    timeout(Duration::from_secs(30), emptied).await.unwrap();
    reading.await.unwrap();
}

#[tokio::test]
async fn objects_share_a_frame_only_with_clients_that_said_so() {
    for lines in [false, true] {
        let (mut server, mut client) = pair(64 * 1024, MESSAGE_BYTES).await;
        if lines {
            server.allow_lines();
        }
        for _ in 0..3 {
            server.push(text(10));
        }
        timeout(Duration::from_millis(20), server.next(true)).await.ok();
        let first = client.next().await.unwrap().unwrap().into_text().unwrap();
        assert_eq!(first.lines().count(), if lines { 3 } else { 1 });
        assert!(first.lines().all(|line| line.starts_with(r#"{"ev":"#)));
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_told_although_the_peer_still_sends_it() {
    let (mut server, mut client) = pair(4 * 1024, 1024).await;
    let sending = tokio::spawn(async move {
        client.send(Message::text("x".repeat(100_000))).await.ok();
        client.next().await
    });
    let Step::Frame(Incoming::Over(Some(code))) = server.next(true).await else { panic!("it was taken") };
    server.close(Some(code)).await;
    let Some(Ok(Message::Close(Some(frame)))) = sending.await.unwrap() else { panic!("not told") };
    assert_eq!(u16::from(frame.code), 1009);
}

#[tokio::test]
async fn what_waits_goes_out_before_the_close_frame_and_a_peer_that_takes_nothing_keeps_nobody() {
    let (mut server, mut client) = pair(64 * 1024, MESSAGE_BYTES).await;
    server.push(text(10));
    let closing = tokio::spawn(server.close(Some(3001)));
    assert!(client.next().await.unwrap().unwrap().is_text());
    let Some(Ok(Message::Close(Some(frame)))) = client.next().await else { panic!("not closed") };
    assert_eq!(u16::from(frame.code), 3001);
    assert!(client.next().await.is_none());
    closing.await.unwrap();

    let (mut server, _client) = pair(1024, MESSAGE_BYTES).await;
    server.push(text(10_000));
    let start = Instant::now();
    server.close(Some(3008)).await;
    assert!(start.elapsed() < CLOSE_LIMIT * 2);
}

#[tokio::test]
async fn a_peer_that_closes_is_answered() {
    let (mut server, mut client) = pair(4 * 1024, MESSAGE_BYTES).await;
    client.close(None).await.unwrap();
    assert!(matches!(server.next(true).await, Step::Frame(Incoming::Over(None))));
    server.close(None).await;
    assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
}
