//! One socket, as one task: a loop over a closed set of events. Commands work on their own and come back as events; what rooms
//! say is taken only while there is room to write it.

mod command;
mod connect;
mod deadlines;
mod ending;
mod online;
mod pointers;
mod say;
mod subscriptions;
mod throttle;
mod turns;
mod work;

use crate::log::outlet::Push;
use crate::sockets::{News, Seat};
use crate::state::State;
use crate::websocket::{Incoming, Step, WebSocket};
use command::{About, Parsed, Verb};
use connect::{Arrived, Rejected};
use deadlines::{BLOCKED_LIMIT, Deadlines, Due};
use ending::Ending;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use online::Online;
use service::problem::{Code, Problem};
use std::pin::Pin;
use std::time::Duration;
use throttle::{Throttle, Verdict};
use tokio::time::{Instant, Sleep, sleep_until};
use work::{Done, Work};

/// Work that one socket may have on its way, by weight; a socket with more is not read.
const MOST_WEIGHT: usize = 64;
/// Weight of what may answer with a lot.
const HEAVY: usize = 4;
/// Answers that wait to be written; a socket with more is not read.
const MOST_QUEUED: usize = 256 * 1024;
/// What was on its way may take so long once the gateway stops.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// Longest time without a look at the clock.
const LOOK: Duration = Duration::from_secs(30);

/// One socket.
struct Session {
    state: State,
    socket: WebSocket,
    seat: Seat,
    phase: Phase,
    work: FuturesUnordered<Work>,
    /// Weight of the commands that are not answered.
    weight: usize,
    throttle: Throttle,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
}

enum Phase {
    /// Waits for `connect`.
    New,
    /// `connect` is at work: nothing more is read before its answer.
    Connecting,
    /// Somebody is there.
    Online(Box<Online>),
}

/// Everything that can happen to a socket.
enum Event {
    /// Something came from the peer, or there is room again.
    Step(Step),
    /// Work is done.
    Done(Done),
    /// A room says something.
    Push(Push),
    /// Something changed for this socket.
    News(News),
    /// Some time has come.
    Time,
}

/// Serves one socket until its end.
pub(crate) async fn run(state: State, socket: WebSocket) {
    let now = Instant::now();
    let deadlines = Deadlines::opened(now);
    let timer = Box::pin(sleep_until(deadlines.next().unwrap_or(now)));
    let seat = state.sockets.enter();
    let mut session = Session {
        state,
        socket,
        seat,
        phase: Phase::New,
        work: FuturesUnordered::new(),
        weight: 0,
        throttle: Throttle::new(now),
        deadlines,
        timer,
    };
    let ending = loop {
        let event = session.next().await;
        if let Err(ending) = session.handle(event) {
            break ending;
        }
    };
    session.end(ending).await;
}

impl Session {
    async fn next(&mut self) -> Event {
        let reads = self.reads();
        self.arm();
        let writes = !self.socket.is_full();
        let Self { socket, seat, phase, work, timer, .. } = self;
        let pushes = async {
            match phase {
                Phase::Online(online) if writes => online.next_push().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            step = socket.next(reads) => Event::Step(step),
            Some(done) = work.next() => Event::Done(done),
            push = pushes => Event::Push(push),
            news = seat.news() => Event::News(news),
            () = timer.as_mut() => Event::Time,
        }
    }

    /// Whether the next frame may be taken.
    fn reads(&self) -> bool {
        let open = !matches!(self.phase, Phase::Connecting) && self.deadlines.leave.is_none();
        open && self.weight < MOST_WEIGHT && self.socket.queued() < MOST_QUEUED
    }

    /// Sets the timer forward where something is due before it. One that goes off too early does no harm.
    fn arm(&mut self) {
        let now = Instant::now();
        let mut next = self.deadlines.next().unwrap_or(now + LOOK);
        if self.socket.has_unwritten() {
            next = next.min(now + BLOCKED_LIMIT);
        }
        if self.timer.is_elapsed() || next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            Event::Step(Step::Frame(incoming)) => self.incoming(incoming)?,
            Event::Step(Step::Drained) => self.drained(),
            Event::Done(done) => self.done(done)?,
            Event::Push(push) => self.pushed(push),
            Event::News(news) => self.news(news)?,
            Event::Time => self.time()?,
        }
        if self.deadlines.leave.is_some() && self.weight == 0 {
            return Err(Ending::leave());
        }
        Ok(())
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<(), Ending> {
        match incoming {
            Incoming::Text(text) => self.text(&text),
            Incoming::Binary(_) => {
                self.refuse(0, &Problem::new(Code::Invalid, "frames are text"));
                Err(Ending::code(3501))
            }
            Incoming::Control => {
                self.deadlines.heard();
                let flood = self.state.settings.rate_limits && self.throttle.count(Instant::now()) == Verdict::Enough;
                if flood { Err(Ending::code(3013)) } else { Ok(()) }
            }
            Incoming::Over(None) => Err(Ending::gone()),
            Incoming::Over(Some(code)) => Err(Ending::code(code)),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Ending> {
        let asked = self.deadlines.awaits_pong();
        self.deadlines.heard();
        let parsed = command::parse(text);
        // The answer to a ping is free.
        let free = asked && parsed == Parsed::Pong;
        if !free && self.is_too_fast(&parsed)? {
            return Ok(());
        }
        match (parsed, &self.phase) {
            (Parsed::Pong, _) => Ok(()),
            (Parsed::NotJson, _) => {
                self.refuse(0, &Problem::new(Code::Invalid, "a frame is a JSON object"));
                Err(Ending::code(3501))
            }
            (Parsed::Command { id, verb: Verb::Connect(command) }, Phase::New) => {
                if command.lines {
                    self.socket.allow_lines();
                }
                self.phase = Phase::Connecting;
                self.begin(HEAVY, work::connect(self.state.clone(), id, command));
                Ok(())
            }
            (
                Parsed::Command { id, .. } | Parsed::Wrong { id, about: About::Other, .. },
                Phase::New | Phase::Connecting,
            ) => {
                self.refuse(id, &Problem::new(Code::Invalid, "`connect` comes first"));
                Err(Ending::code(3501))
            }
            (Parsed::Wrong { id, about: About::Connect, problem }, Phase::New | Phase::Connecting) => {
                self.refuse(id, &problem);
                Err(Ending::code(3501))
            }
            (
                Parsed::Command { id, verb: Verb::Connect(_) }
                | Parsed::Wrong { id, about: About::Connect | About::ManyRooms, .. },
                Phase::Online(_),
            ) => {
                self.refuse(id, &Problem::new(Code::Invalid, "`connect` comes once"));
                Err(Ending::code(3501))
            }
            (Parsed::Command { id, verb }, Phase::Online(_)) => {
                self.command(id, verb);
                Ok(())
            }
            (Parsed::Wrong { id, problem, .. }, _) => {
                self.refuse(id, &problem);
                Ok(())
            }
        }
    }

    /// Counts a frame; one that is too much is answered and goes no further.
    fn is_too_fast(&mut self, parsed: &Parsed) -> Result<bool, Ending> {
        if !self.state.settings.rate_limits {
            return Ok(false);
        }
        let id = match parsed {
            Parsed::Command { id, .. } | Parsed::Wrong { id, .. } => *id,
            Parsed::Pong | Parsed::NotJson => 0,
        };
        let verdict = self.throttle.count(Instant::now());
        let problem = Problem::new(Code::RateLimited, "more than 50 commands a second");
        match verdict {
            Verdict::Take => return Ok(false),
            Verdict::Refuse(wait) => self.refuse(id, &problem.retry_after(wait)),
            Verdict::Enough => {
                self.refuse(id, &problem);
                return Err(Ending::code(3013));
            }
        }
        Ok(true)
    }

    fn done(&mut self, done: Done) -> Result<(), Ending> {
        match done {
            Done::Connected { id, outcome: Ok(arrived) } => self.connected(id, *arrived),
            Done::Connected { id, outcome: Err(rejected) } => {
                self.weight -= HEAVY;
                self.phase = Phase::New;
                self.rejected(id, rejected)
            }
            other => {
                self.finished(other);
                Ok(())
            }
        }
    }

    fn connected(&mut self, id: u64, mut arrived: Arrived) -> Result<(), Ending> {
        self.weight -= HEAVY;
        let now = Instant::now();
        let (reply, beginnings) = arrived.reply(id);
        self.seat.identify(arrived.person.user, arrived.person.session);
        // From here on news reach this socket; what came before is asked for.
        if self.state.users.is_revoked(arrived.person.session) {
            return self.rejected(id, Rejected::Revoked);
        }
        self.deadlines.connected(now);
        self.deadlines.token(now, ending::left(&arrived.person));
        self.socket.push(reply);
        self.phase = Phase::Online(Box::new(Online::new(arrived)));
        self.begin_all(beginnings);
        Ok(())
    }

    /// Before `connect` has succeeded: a good token may still come where this one could not be checked.
    fn rejected(&mut self, id: u64, rejected: Rejected) -> Result<(), Ending> {
        self.refuse(id, &ending::problem(rejected));
        ending::of_rejected(rejected).map_or(Ok(()), Err)
    }

    fn news(&mut self, news: News) -> Result<(), Ending> {
        if news.revoked {
            return Err(Ending::revoked());
        }
        if news.leave && self.deadlines.leave.is_none() {
            self.deadlines.leave = Some(Instant::now() + LEAVE_LIMIT);
        }
        for room in news.rooms_changed {
            self.socket.push(say::rooms_changed(&room));
        }
        self.doubt(news.doubtful);
        Ok(())
    }

    fn time(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if self.socket.blocked_since().is_some_and(|since| now - since >= BLOCKED_LIMIT) {
            return Err(Ending::too_slow());
        }
        if !self.reads() {
            self.deadlines.deaf(now);
        }
        while let Some(due) = self.deadlines.due(now) {
            match due {
                Due::NoConnect => return Err(Ending::code(3501)),
                Due::NoPong => return Err(Ending::code(3012)),
                Due::Expired => return Err(Ending::code(3005)),
                Due::Leave => return Err(Ending::leave()),
                Due::Ping => self.socket.push(say::PING),
                Due::Warn(left) => self.socket.push(say::auth_expiring(left)),
                Due::Pointers => self.write_pointers(),
            }
        }
        Ok(())
    }

    fn begin(&mut self, weight: usize, work: Work) {
        self.weight += weight;
        self.work.push(work);
    }

    fn refuse(&mut self, id: u64, problem: &Problem) {
        metrics::counter!("parlor_command_errors_total", "code" => problem.code.word()).increment(1);
        self.socket.push(say::err(id, problem));
    }
}
