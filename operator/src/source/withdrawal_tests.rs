//! The rules of withdrawal, each as a little story.

use super::*;
use crate::source::File;
use proptest::prelude::*;

const PREFIX: &str = "file:rooms/";

/// A folder as a test sees it: files with rooms, or unclear ones.
#[derive(Clone, Default)]
struct World {
    files: BTreeMap<String, (Vec<String>, bool)>,
    rows: BTreeMap<RoomName, String>,
    missing: bool,
    incomplete: bool,
}

fn room(name: &str) -> RoomName {
    RoomName::new("a", name).unwrap()
}

impl World {
    /// One file per room, all of them in rows.
    fn with(rooms: &[&str]) -> Self {
        let mut world = Self::default();
        for name in rooms {
            world.files.insert(format!("{name}.yaml"), (vec![(*name).to_owned()], true));
            world.rows.insert(room(name), format!("{PREFIX}{name}.yaml"));
        }
        world
    }

    fn remove(&mut self, rooms: &[&str]) {
        for name in rooms {
            self.files.remove(&format!("{name}.yaml"));
        }
    }

    fn look(&self, withdrawals: &mut Withdrawals, now: Instant) -> BTreeMap<RoomName, Standing> {
        let mut scan = Scan { missing: self.missing, incomplete: self.incomplete.then(String::new), ..Scan::default() };
        for (name, (_, whole)) in &self.files {
            let name: Arc<str> = name.as_str().into();
            let file = File {
                name: name.clone(),
                text: Some("text".into()),
                rooms: vec![],
                platforms: vec![],
                faults: vec![],
                whole: *whole,
            };
            scan.files.insert(name, Arc::new(file));
        }
        let declared = self.files.values().flat_map(|(rooms, _)| rooms.iter().map(|name| room(name))).collect();
        let look = Look { now, scan: &scan, prefix: PREFIX, held: &self.rows, declared: &declared, deletes: false };
        withdrawals.look(&look)
    }
}

fn later(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn a_file_that_goes_is_withdrawn_at_the_second_look_five_seconds_later() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    assert!(world.look(&mut state, start).is_empty());
    world.remove(&["x"]);
    assert_eq!(world.look(&mut state, later(start, 1))[&room("x")], Standing::Missing);
    assert_eq!(state.next_look(), Some(later(start, 6)));
    assert_eq!(world.look(&mut state, later(start, 5))[&room("x")], Standing::Missing);
    assert_eq!(world.look(&mut state, later(start, 6))[&room("x")], Standing::Withdrawn);
}

#[test]
fn a_file_that_comes_back_in_between_was_never_missing() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    let whole = world.clone();
    world.remove(&["x"]);
    world.look(&mut state, start);
    assert!(whole.look(&mut state, later(start, 3)).is_empty());
    assert_eq!(world.look(&mut state, later(start, 6))[&room("x")], Standing::Missing);
}

#[test]
fn a_list_that_is_not_complete_withdraws_nothing() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    world.remove(&["x"]);
    world.incomplete = true;
    for seconds in [0, 6, 60] {
        assert_eq!(world.look(&mut state, later(start, seconds))[&room("x")], Standing::Incomplete);
    }
    world.incomplete = false;
    assert_eq!(world.look(&mut state, later(start, 61))[&room("x")], Standing::Missing);
}

#[test]
fn a_folder_that_is_missing_empty_or_lost_more_than_half_waits_for_a_person() {
    for gone in [&["x", "y", "z"][..], &["x", "y"]] {
        for missing in [false, true] {
            let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
            world.remove(if missing { &["x", "y", "z"] } else { gone });
            world.missing = missing;
            for seconds in [0, 6, 600] {
                let standings = world.look(&mut state, later(start, seconds));
                assert!(standings.values().all(|standing| *standing == Standing::Held), "{standings:?}");
            }
            let confirmed = state.confirm();
            assert_eq!(confirmed.len(), if missing { 3 } else { gone.len() });
            let standings = world.look(&mut state, later(start, 601));
            assert!(standings.values().all(|standing| *standing == Standing::Withdrawn), "{standings:?}");
        }
    }
}

#[test]
fn what_is_held_stays_held_however_many_new_rooms_come() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    world.remove(&["x", "y"]);
    world.look(&mut state, start);
    for name in ["p", "q", "r", "s"] {
        world.files.insert(format!("{name}.yaml"), (vec![name.to_owned()], true));
        world.rows.insert(room(name), format!("{PREFIX}{name}.yaml"));
    }
    assert_eq!(world.look(&mut state, later(start, 60))[&room("x")], Standing::Held);
}

#[test]
fn one_file_is_normal_however_many_rooms_it_had_unless_it_was_the_last() {
    let mut world = World::with(&["x"]);
    world.files.insert("many.yaml".into(), (vec!["p".into(), "q".into(), "r".into()], true));
    for name in ["p", "q", "r"] {
        world.rows.insert(room(name), format!("{PREFIX}many.yaml"));
    }
    let (mut state, start) = (Withdrawals::default(), Instant::now());
    world.files.remove("many.yaml");
    world.look(&mut state, start);
    let standings = world.look(&mut state, later(start, 6));
    assert_eq!(standings.values().filter(|standing| **standing == Standing::Withdrawn).count(), 3);

    world.rows.retain(|name, _| name.name() == "x");
    world.remove(&["x"]);
    world.look(&mut state, later(start, 7));
    assert_eq!(world.look(&mut state, later(start, 60))[&room("x")], Standing::Held);
}

#[test]
fn a_file_that_cannot_be_understood_withdraws_nothing_of_its_own() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    world.files.insert("x.yaml".into(), (vec![], false));
    for seconds in [0, 6, 60] {
        assert_eq!(world.look(&mut state, later(start, seconds))[&room("x")], Standing::Unclear("x.yaml".into()));
    }
    // It is understood again and really does not declare the room any more.
    world.files.insert("x.yaml".into(), (vec![], true));
    assert_eq!(world.look(&mut state, later(start, 61))[&room("x")], Standing::Missing);
    assert_eq!(world.look(&mut state, later(start, 66))[&room("x")], Standing::Withdrawn);
}

#[test]
fn a_room_may_hide_in_a_file_that_became_unclear_as_it_went_but_not_in_an_old_one() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    world.files.insert("old.yaml".into(), (vec![], false));
    world.look(&mut state, start);
    world.remove(&["x"]);
    world.look(&mut state, later(start, 1));
    // Renamed in two steps, and broken.
    world.files.insert("new.yaml".into(), (vec![], false));
    assert_eq!(world.look(&mut state, later(start, 2))[&room("x")], Standing::Hidden("new.yaml".into()));
    assert_eq!(world.look(&mut state, later(start, 60))[&room("x")], Standing::Hidden("new.yaml".into()));
    world.files.remove("new.yaml");
    assert_eq!(world.look(&mut state, later(start, 61))[&room("x")], Standing::Withdrawn);
}

#[test]
fn a_room_that_another_file_declares_has_moved() {
    let (mut world, mut state, start) = (World::with(&["x", "y", "z"]), Withdrawals::default(), Instant::now());
    world.remove(&["x"]);
    world.files.insert("renamed.yaml".into(), (vec!["x".into()], true));
    for seconds in [0, 6, 60] {
        assert!(world.look(&mut state, later(start, seconds)).is_empty());
    }
}

#[test]
fn a_confirmation_is_for_what_was_held_then() {
    let (mut world, mut state, start) =
        (World::with(&["u", "v", "w", "x", "y", "z"]), Withdrawals::default(), Instant::now());
    world.remove(&["w", "x", "y", "z"]);
    world.look(&mut state, start);
    assert_eq!(state.confirm().len(), 4);
    world.remove(&["u", "v"]);
    let standings = world.look(&mut state, later(start, 60));
    assert_eq!(standings[&room("x")], Standing::Withdrawn);
    assert_eq!(standings[&room("u")], Standing::Held);
}

proptest! {
    /// Whatever happens to the folder: a room is withdrawn only if it was absent from every look of the last five seconds, all of
    /// them complete, or a person confirmed.
    #[test]
    fn nothing_is_withdrawn_by_one_look(steps in proptest::collection::vec((0_u64..8, 0_usize..4, any::<bool>(), any::<bool>()), 1..40)) {
        let names = ["p", "q", "r", "s"];
        let (mut world, mut state, mut now) = (World::with(&names), Withdrawals::default(), Instant::now());
        let mut absent_since: BTreeMap<RoomName, Instant> = BTreeMap::new();
        for (seconds, index, present, incomplete) in steps {
            now += Duration::from_secs(seconds);
            world.incomplete = incomplete;
            if present {
                world.files.insert(format!("{}.yaml", names[index]), (vec![names[index].to_owned()], true));
            } else {
                world.remove(&[names[index]]);
            }
            for (room, standing) in world.look(&mut state, now) {
                if standing == Standing::Withdrawn {
                    prop_assert!(!incomplete);
                    prop_assert!(now.duration_since(absent_since[&room]) >= TWICE);
                    prop_assert!(!world.files.is_empty());
                }
            }
            for name in names {
                if world.files.contains_key(&format!("{name}.yaml")) {
                    absent_since.remove(&room(name));
                } else if !incomplete {
                    absent_since.entry(room(name)).or_insert(now);
                }
            }
        }
    }
}
