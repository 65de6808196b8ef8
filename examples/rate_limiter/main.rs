//! A rate limiter: each user may make three requests in ten seconds.
//!
//! ```text
//! rate_limiter                                      reads examples/rate_limiter/requests.jsonl
//! rate_limiter --in requests=tcp://127.0.0.1:7010   takes requests from clients, until ctrl-c
//! ```
//!
//! The time is that of the request, not of the clock: the same requests get the same decisions whenever they are
//! read. Users of a clock take `context.now()`, see `Stream::to_state_with`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, file, source, stdout};

const REQUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rate_limiter/requests.jsonl");
const LIMIT: usize = 3;
const WINDOW_SECONDS: f64 = 10.0;

#[derive(Serialize, Deserialize)]
struct Request {
    user: String,
    /// Seconds since some start.
    time: f64,
    path: String,
}

#[derive(Serialize, Deserialize)]
struct Decision {
    user: String,
    time: f64,
    path: String,
    allowed: bool,
    /// When to try again, if not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
}

/// The state object: the times of a user's last requests that were allowed.
#[derive(Default, Serialize, Deserialize)]
struct User {
    allowed: VecDeque<f64>,
}

impl User {
    fn on_request(&mut self, request: &Request) -> Option<Decision> {
        let oldest = request.time - WINDOW_SECONDS;
        self.allowed.retain(|time| *time > oldest);
        let is_allowed = self.allowed.len() < LIMIT;
        let retry_after = if is_allowed {
            self.allowed.push_back(request.time);
            None
        } else {
            self.allowed.front().map(|first| first - oldest)
        };
        Some(Decision {
            user: request.user.clone(),
            time: request.time,
            path: request.path.clone(),
            allowed: is_allowed,
            retry_after,
        })
    }
}

fn main() {
    let users = State::<User>::new("users");
    App::new("rate_limiter")
        .add(
            source("requests", file(REQUESTS).json::<Request>())
                .key_by(|request| &request.user)
                .to_state(&users, User::on_request)
                .to_sink("decisions", stdout().json()),
        )
        .main();
}
