//! Any reader that begins anywhere decides as the one that read the log from its start.

use super::*;
use contract::event::{Body, Message, User, Visibility};
use contract::position::pos;
use proptest::prelude::*;
use std::time::Duration;

/// A copy in a generated log.
#[derive(Debug, Clone)]
enum Copy {
    /// Of key `n`; `behind`: how much of what its publisher could know it does not say in `after`.
    Message(u8, u8),
    /// The room opens or closes.
    Room(bool),
}

fn copies() -> impl Strategy<Value = Vec<Copy>> {
    let copy = prop_oneof![
        12 => (0_u8..12, any::<u8>()).prop_map(|(key, behind)| Copy::Message(key, behind)),
        1 => any::<bool>().prop_map(Copy::Room),
    ];
    prop::collection::vec(copy, 1..120)
}

fn at(index: usize) -> LogPosition {
    // Some share an AMQP message.
    LogPosition::new(1, pos((index / 3) as u64, index % 3))
}

fn event(key: u128, after: LogPosition, body: Body) -> Event {
    let sender = User { id: Uuid::from_u128(7), username: "a".into(), display_name: "A".into() };
    Event { key: Uuid::from_u128(key), hash: "h".into(), after, sender: Some(sender), time: "t".into(), body }
}

fn message(key: u128, after: LogPosition) -> Event {
    let id = Uuid::from_u128(key);
    let message = Message { id, text: "x".into(), reply_to: None, reply_to_author: None, attachments: vec![] };
    event(key, after, Body::Message { message })
}

/// The log with honest `after`s, and for each copy whether it counts, by the definition.
fn log_of(copies: &[Copy]) -> Vec<(Event, bool)> {
    let epoch = "1-abcdef".parse().unwrap();
    let mut standing = Standing::default();
    let mut first: HashMap<Uuid, LogPosition> = HashMap::new();
    let mut log = Vec::new();
    for (index, copy) in copies.iter().enumerate() {
        let event = match copy {
            Copy::Message(key, behind) => {
                // The latest position up to which anybody can have known the key to be absent.
                let most = first.get(&Uuid::from_u128(u128::from(*key) + 1)).copied().unwrap_or(at(index));
                let after = if most.pos == 0 { 0 } else { most.pos - 1 };
                let after = after - (after * u64::from(*behind) / 255).min(after);
                message(u128::from(*key) + 1, LogPosition::new(u32::from(after > 0), after))
            }
            Copy::Room(open) => event(
                1000 + index as u128,
                LogPosition::START,
                Body::Room {
                    display_name: String::new(),
                    topic: String::new(),
                    visibility: Visibility::Public,
                    open: *open,
                },
            ),
        };
        let counts = standing.admits(&epoch, &event) && !first.contains_key(&event.key);
        if counts {
            first.insert(event.key, at(index));
            standing.apply(&event);
        }
        log.push((event, counts));
    }
    log
}

fn known(at: LogPosition) -> Known {
    Known { at, hash: "h".into(), time: "t".into() }
}

/// What PostgreSQL has after `count` copies.
fn stored(log: &[(Event, bool)], count: usize) -> HashMap<Key, Known> {
    let counted = log.iter().enumerate().take(count).filter(|(_, (_, counts))| *counts);
    counted.map(|(index, (event, _))| ((event.sender_id(), event.key), known(at(index)))).collect()
}

fn position_after(count: usize) -> LogPosition {
    count.checked_sub(1).map_or(LogPosition::new(1, 0), at)
}

proptest! {
    #[test]
    fn readers_decide_alike_wherever_they_begin(
        copies in copies(), begin in 0_usize..=100, window in 0_usize..=100, ahead in 0_usize..40, keep in 0_usize..8,
    ) {
        let log = log_of(&copies);
        let epoch = "1-abcdef".parse().unwrap();
        let begin = begin * log.len() / 100;
        let window = window * begin / 100;
        let now = Instant::now();
        // Loaded: the keys of the last while, from a snapshot that may be newer than where reading begins.
        let mut memory = Memory::new(if window == 0 { LogPosition::START } else { position_after(window) }, now, keep);
        let snapshot = (begin + ahead).min(log.len());
        for (index, (event, counts)) in log.iter().enumerate().take(snapshot).skip(window) {
            if *counts {
                memory.remember((event.sender_id(), event.key), known(at(index)), now);
            }
        }
        let mut standing = Standing::default();
        log.iter().take(begin).filter(|(_, counts)| *counts).for_each(|(event, _)| standing.apply(event));
        for (index, (event, counts)) in log.iter().enumerate().skip(begin) {
            let here = at(index);
            let mut verdict_here = verdict(&memory, &standing, &epoch, event, here, &Answers::new());
            if verdict_here == Verdict::Ask {
                // The historian may be anywhere at or after where this reader began; memory reaches back to it.
                let historian = (begin + (index * 31) % 50).min(log.len());
                let key = (event.sender_id(), event.key);
                let answers = Answers::from([(key, stored(&log, historian).get(&key).cloned())]);
                verdict_here = verdict(&memory, &standing, &epoch, event, here, &answers);
            }
            prop_assert_eq!(verdict_here == Verdict::Counts, *counts, "copy {} of {:?}", index, event);
            if let Verdict::Duplicate(first) = &verdict_here {
                prop_assert!(first.at < here);
            }
            if *counts {
                memory.remember((event.sender_id(), event.key), known(here), now);
                standing.apply(event);
            }
            // Forgetting up to what is stored changes nothing: begin is what PostgreSQL had at least.
            memory.trim(position_after(begin), now);
        }
    }
}

#[test]
fn memory_keeps_what_the_historian_has_not_and_the_last_quarter_of_an_hour() {
    let now = Instant::now();
    let mut memory = Memory::new(LogPosition::START, now, 2);
    for index in 0..6_u64 {
        memory.remember((Uuid::nil(), Uuid::from_u128(u128::from(index))), known(LogPosition::new(1, index + 1)), now);
    }
    assert!(memory.recalls(now) && memory.reaches(LogPosition::START));
    // More than two, but only three are stored.
    memory.trim(LogPosition::new(1, 3), now);
    assert_eq!((memory.len(), memory.reach()), (3, LogPosition::new(1, 3)));
    assert!(!memory.recalls(now) && !memory.reaches(LogPosition::new(1, 2)) && memory.reaches(LogPosition::new(1, 3)));
    // Two that are stored may stay, until they are old.
    memory.trim(LogPosition::new(1, 9), now);
    assert_eq!(memory.len(), 2);
    let later = now + RECALL + Duration::from_secs(1);
    memory.trim(LogPosition::new(1, 9), later);
    assert_eq!(memory.len(), 0);
    assert!(memory.recalls(later));
}

#[test]
fn an_event_that_is_void_by_what_stands_before_it_is_not_asked_for() {
    let memory = Memory::new(LogPosition::new(5, 0), Instant::now(), 2);
    let closed = Standing { sending: true, closed: Some("2-abcdef".parse().unwrap()) };
    let epoch = "1-abcdef".parse().unwrap();
    let event = message(1, LogPosition::START);
    assert_eq!(verdict(&memory, &closed, &epoch, &event, at(0), &Answers::new()), Verdict::Void);
    assert_eq!(verdict(&memory, &Standing::default(), &epoch, &event, at(0), &Answers::new()), Verdict::Ask);
}
