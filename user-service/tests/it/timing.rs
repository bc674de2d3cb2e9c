//! The time of an answer does not tell whether somebody is registered.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::util::{Options, TestApp};

/// Measured one after the other, in turn, so that what else the machine does hits both alike.
const ROUNDS: usize = 15;

#[tokio::test]
async fn wrong_user_and_wrong_password_take_one_time() {
    let app = TestApp::start_with(Options::with(&["--password-hashes", "1"])).await;
    app.register("alice").await.expect(201);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (times, username) in times.iter_mut().zip(["alice", "nobody", "Not A Name"]) {
            let started = Instant::now();
            app.post("/v1/login", &json!({"username": username, "password": "wrong password"})).await.expect(401);
            times.push(started.elapsed());
        }
    }
    let [known, unknown, nonsense] = times.map(median);
    // Without the hash of nobody the second would be some fifty times quicker.
    for (name, other) in [("unknown", unknown), ("nonsense", nonsense)] {
        let ratio = other.as_secs_f64() / known.as_secs_f64();
        assert!((0.6..1.67).contains(&ratio), "{name}: {other:?} against {known:?}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
