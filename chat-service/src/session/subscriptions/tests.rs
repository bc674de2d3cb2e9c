//! Replay, live events and doubts of one socket, merged in every order in which they may come.

use super::*;
use contract::event::{Body, Event, MemberChange, Message, Role, User};
use contract::position::LogPosition;
use futures::StreamExt;
use proptest::prelude::*;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role as End;

const ME: Uuid = Uuid::from_u128(1);
const ROOM: Uuid = Uuid::from_u128(100);

fn room() -> RoomKey {
    RoomKey { id: ROOM, name: "team-a/general".parse().unwrap() }
}

fn epoch() -> Epoch {
    "1-k3f9qa".parse().unwrap()
}

fn user(id: Uuid) -> User {
    User { id, username: "mia".into(), display_name: "Mia".into() }
}

fn frame_of(pos: u64, body: Body) -> Arc<Frame> {
    let event = Event {
        key: Uuid::nil(),
        hash: String::new(),
        after: LogPosition::START,
        sender: Some(user(ME)),
        time: "t".into(),
        body,
    };
    Frame::of(&room().name, &epoch(), pos, &event).unwrap()
}

fn frame(pos: u64) -> Arc<Frame> {
    let message =
        Message { id: Uuid::nil(), text: "x".into(), reply_to: None, reply_to_author: None, attachments: vec![] };
    frame_of(pos, Body::Message { message })
}

fn live(cursor: u64, pos: u64) -> Push {
    Push::Event { cursor, frame: frame(pos) }
}

fn beginning(cursor: u64, pos: u64, rest: &[u64], more: bool) -> Beginning<()> {
    let rest = rest.iter().map(|pos| frame(*pos)).collect();
    Beginning { room: room(), cursor: (cursor, ()), epoch: epoch(), pos, rest, more }
}

struct Scene {
    subscriptions: Subscriptions<()>,
    out: WebSocket<DuplexStream>,
    client: WebSocketStream<DuplexStream>,
    needs: Vec<Need<()>>,
}

impl Scene {
    async fn new() -> Self {
        let (server, client) = tokio::io::duplex(1 << 20);
        Self {
            subscriptions: Subscriptions::new(ME),
            out: WebSocket::new(server, 1 << 16).await,
            client: WebSocketStream::from_raw_socket(client, End::Client, None).await,
            needs: Vec::new(),
        }
    }

    fn begin(&mut self, beginning: Beginning<()>) {
        self.subscriptions.expect();
        self.subscriptions.begin(beginning, &mut self.out, &mut self.needs);
        self.subscriptions.settle();
    }

    fn take(&mut self, push: Push) {
        self.subscriptions.take(push, &mut self.out, &mut self.needs);
    }

    fn pulled(&mut self, cursor: u64, positions: &[u64], live: bool) {
        let frames = positions.iter().map(|pos| frame(*pos)).collect();
        self.subscriptions.pulled(cursor, Ok(Pulled { frames, live }), 0, &mut self.out, &mut self.needs);
    }

    /// Everything that the client got, by name and position.
    async fn heard(&mut self) -> Vec<(String, u64)> {
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                biased;
                step = self.out.next(false) => assert!(matches!(step, crate::websocket::Step::Drained)),
                message = self.client.next() => {
                    let text = message.unwrap().unwrap().into_text().unwrap();
                    let json: Value = serde_json::from_str(&text).unwrap();
                    let (name, body) = json.as_object().unwrap().iter().next().unwrap();
                    heard.push((name.clone(), body["pos"].as_u64().or(body["from"].as_u64()).unwrap_or(0)));
                }
                () = tokio::task::yield_now() => return heard,
            }
        }
    }
}

fn events(positions: impl IntoIterator<Item = u64>) -> Vec<(String, u64)> {
    positions.into_iter().map(|pos| ("ev".to_owned(), pos)).collect()
}

#[tokio::test]
async fn live_events_wait_for_the_ok_and_then_for_the_replay() {
    let mut scene = Scene::new().await;
    scene.subscriptions.expect();
    // The room's task is faster than we are.
    scene.take(live(7, 9));
    assert_eq!(scene.heard().await, []);
    scene.subscriptions.begin(beginning(7, 2, &[3, 4], true), &mut scene.out, &mut scene.needs);
    scene.subscriptions.settle();
    assert!(matches!(scene.needs.pop(), Some(Need::Pull { id: 7, .. })));
    scene.take(live(7, 10));
    assert_eq!(scene.heard().await, events([3, 4]));
    scene.pulled(7, &[5, 6], false);
    assert!(matches!(scene.needs.pop(), Some(Need::Pull { id: 7, .. })));
    scene.pulled(7, &[7, 8], true);
    scene.take(live(7, 11));
    assert_eq!(scene.heard().await, events(5..=11));
    assert!(scene.needs.is_empty());
}

#[tokio::test]
async fn subscribing_again_ends_the_older_subscription() {
    let mut scene = Scene::new().await;
    scene.begin(beginning(1, 0, &[], false));
    scene.take(live(1, 1));
    scene.begin(beginning(2, 0, &[1], false));
    scene.take(live(1, 2));
    scene.take(live(2, 2));
    assert_eq!(scene.heard().await, events([1, 1, 2]));
}

#[tokio::test]
async fn pushes_of_nobody_are_dropped_once_nothing_is_expected() {
    let mut scene = Scene::new().await;
    scene.subscriptions.expect();
    scene.take(live(5, 1));
    scene.subscriptions.settle();
    scene.take(live(5, 2));
    scene.begin(beginning(5, 2, &[], false));
    assert_eq!(scene.heard().await, []);
    assert!(scene.subscriptions.takes_pushes());
}

#[tokio::test]
async fn who_may_have_been_removed_gets_nothing_until_it_is_known() {
    for may_read in [true, false] {
        let mut scene = Scene::new().await;
        scene.begin(beginning(1, 0, &[], false));
        let body = Body::Member { user: user(ME), change: MemberChange::Left, role: Role::Member };
        scene.take(Push::Event { cursor: 1, frame: frame_of(1, body) });
        scene.take(live(1, 2));
        assert!(matches!(scene.needs.pop(), Some(Need::Check(room)) if room.id == ROOM));
        assert_eq!(scene.heard().await, events([1]));
        scene.subscriptions.verdict(ROOM, may_read, &mut scene.out, &mut scene.needs);
        scene.take(live(1, 3));
        if may_read {
            assert_eq!(scene.heard().await, events([2, 3]));
        } else {
            assert_eq!(scene.heard().await, [("unsubscribed".to_owned(), 0)]);
            assert!(matches!(scene.needs.pop(), Some(Need::Left(ROOM))));
        }
    }
}

#[tokio::test]
async fn the_leaving_of_others_and_a_public_room_are_no_reason_to_doubt() {
    let mut scene = Scene::new().await;
    scene.begin(beginning(1, 0, &[], false));
    let body = Body::Member { user: user(Uuid::from_u128(2)), change: MemberChange::Left, role: Role::Member };
    scene.take(Push::Event { cursor: 1, frame: frame_of(1, body) });
    let visibility = contract::event::Visibility::Public;
    let body = Body::Room { display_name: String::new(), topic: String::new(), visibility, open: false };
    scene.take(Push::Event { cursor: 1, frame: frame_of(2, body) });
    assert!(scene.needs.is_empty());
    assert_eq!(scene.heard().await, events([1, 2]));
}

#[tokio::test]
async fn a_reset_goes_on_and_a_lag_or_the_end_of_a_room_does_not() {
    let mut scene = Scene::new().await;
    scene.begin(beginning(1, 5, &[], false));
    scene.take(Push::Reset { cursor: 1, epoch: "2-aaaaaa".parse().unwrap(), pos: 0 });
    scene.take(live(1, 1));
    scene.take(Push::Lagged { cursor: 1, epoch: "2-aaaaaa".parse().unwrap(), from: 2, to: 3 });
    scene.take(live(1, 4));
    let heard = scene.heard().await;
    assert_eq!(heard, [("reset".to_owned(), 0), ("ev".to_owned(), 1), ("lagged".to_owned(), 2)]);
    scene.begin(beginning(2, 5, &[], false));
    scene.take(Push::Gone { cursor: 2 });
    scene.take(live(2, 6));
    assert_eq!(scene.heard().await, [("unsubscribed".to_owned(), 0)]);
}

#[tokio::test]
async fn a_replay_that_breaks_off_is_told_as_lagged_behind_what_was_written() {
    let mut scene = Scene::new().await;
    scene.begin(beginning(1, 2, &[3], true));
    scene.subscriptions.pulled(1, Err(SubscribeError::Unavailable("broker")), 50, &mut scene.out, &mut scene.needs);
    scene.take(live(1, 60));
    assert_eq!(scene.heard().await, [("ev".to_owned(), 3), ("lagged".to_owned(), 4)]);
}

#[tokio::test]
async fn what_waits_for_a_verdict_does_not_fill_the_memory() {
    let mut scene = Scene::new().await;
    scene.begin(beginning(1, 0, &[], false));
    scene.subscriptions.doubt(ROOM, &mut scene.needs);
    for pos in 1..5_000 {
        scene.take(live(1, pos));
    }
    scene.subscriptions.verdict(ROOM, true, &mut scene.out, &mut scene.needs);
    assert_eq!(scene.heard().await, [("lagged".to_owned(), 1)]);
}

#[tokio::test]
async fn a_full_socket_leaves_events_where_they_are_and_rooms_take_turns() {
    let mut scene = Scene::new().await;
    while !scene.out.is_full() {
        scene.out.push(bytes::Bytes::from(vec![b' '; 8 * 1024]));
    }
    scene.begin(beginning(1, 0, &[1, 2], true));
    scene.take(live(1, 9));
    assert!(scene.needs.is_empty());
    scene.out.clear();
    assert!(matches!(scene.out.next(false).await, crate::websocket::Step::Drained));
    scene.subscriptions.flow_all(&mut scene.out, &mut scene.needs);
    assert!(matches!(scene.needs.pop(), Some(Need::Pull { id: 1, .. })));
    scene.pulled(1, &[3], true);
    assert_eq!(scene.heard().await, events([1, 2, 3, 9]));
}

proptest! {
    /// Whatever comes when, a client gets each position once and in order.
    #[test]
    fn replay_and_live_merge_exactly(rest in 0_u64..4, pages in prop::collection::vec(0_u64..4, 0..4), after in 0_u64..4, early in 0_usize..4, doubts in prop::collection::vec(any::<bool>(), 8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new().await;
            let mut next = 1;
            let mut positions = |count: u64| { let out: Vec<u64> = (next..next + count).collect(); next += count; out };
            let first = positions(rest);
            let pulls: Vec<Vec<u64>> = pages.iter().map(|count| positions(*count)).collect();
            let lives = positions(after);
            let all = next - 1;
            scene.subscriptions.expect();
            let (before, behind) = lives.split_at(early.min(lives.len()));
            for pos in before {
                scene.take(live(1, *pos));
            }
            scene.subscriptions.begin(beginning(1, 0, &first, !pulls.is_empty()), &mut scene.out, &mut scene.needs);
            scene.subscriptions.settle();
            for (number, pull) in pulls.iter().enumerate() {
                let doubt = doubts[number];
                if doubt { scene.subscriptions.doubt(ROOM, &mut scene.needs); }
                scene.pulled(1, pull, number + 1 == pulls.len());
                if doubt { scene.subscriptions.verdict(ROOM, true, &mut scene.out, &mut scene.needs); }
            }
            for pos in behind {
                scene.take(live(1, *pos));
            }
            assert_eq!(scene.heard().await, events(1..=all));
        });
    }
}
