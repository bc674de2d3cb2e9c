//! The promises about a room as a comparison of what everybody saw: nothing acknowledged is missing, nothing is there twice, one
//! order, and readers, history and database agree on every position. All load tests end here.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

/// More complaints than this help nobody.
const MOST_COMPLAINTS: usize = 20;

/// Where an event stands: the number of its epoch, then its position.
pub type Place = (u32, u64);

/// A message as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub place: Place,
    /// Its author's id.
    pub author: String,
    /// Its own id.
    pub id: String,
    /// What it says.
    pub text: String,
}

impl Seen {
    /// From an EVENT or an entry of a page; `None` for what is no message.
    pub fn of(event: &Value) -> Option<Self> {
        if event["type"] != "message" {
            return None;
        }
        Some(Self {
            place: (ordinal(event["epoch"].as_str()?)?, event["pos"].as_u64()?),
            author: event["sender"]["id"].as_str()?.to_owned(),
            id: event["message"]["id"].as_str()?.to_owned(),
            text: event["message"]["text"].as_str()?.to_owned(),
        })
    }
}

/// The number that orders epochs.
pub fn ordinal(epoch: &str) -> Option<u32> {
    epoch.split_once('-')?.0.parse().ok()
}

/// A send that was answered with `ok`.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The sender's id.
    pub author: String,
    /// The message's id.
    pub id: String,
    /// Where the answer says it stands.
    pub place: Place,
    /// Messages of one run were sent one after the other with no error and no lost connection between, so their order is
    /// promised. `None`: this one was on its way when something went wrong.
    pub run: Option<u64>,
}

/// What one observer saw, in the order in which it saw it.
pub struct View {
    /// For complaints.
    pub name: String,
    /// The messages.
    pub messages: Vec<Seen>,
}

/// Compares everything. `acknowledged` is in the order of sending for each sender.
pub fn check(acknowledged: &[Acknowledged], views: &[View]) -> Complaints {
    let mut complaints = Complaints::default();
    for view in views {
        complaints.grows(view);
        complaints.once(view);
        complaints.complete(acknowledged, view);
    }
    if let Some((first, others)) = views.split_first() {
        for other in others {
            complaints.equal(first, other);
        }
    }
    complaints.in_order_of_sending(acknowledged);
    complaints
}

/// What is wrong, in words.
#[derive(Debug, Default)]
pub struct Complaints {
    lines: Vec<String>,
    count: usize,
}

impl Complaints {
    /// Panics with all complaints, if there are any.
    ///
    /// # Panics
    /// That is its job.
    #[track_caller]
    pub fn assert_none(&self) {
        assert!(self.count == 0, "{self}");
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn say(&mut self, line: String) {
        self.count += 1;
        if self.lines.len() < MOST_COMPLAINTS {
            self.lines.push(line);
        }
    }

    fn grows(&mut self, view: &View) {
        for pair in view.messages.windows(2) {
            if pair[1].place <= pair[0].place {
                self.say(format!("{}: {:?} follows {:?}", view.name, pair[1].place, pair[0].place));
            }
        }
    }

    fn once(&mut self, view: &View) {
        let mut places: HashMap<(&str, &str), Place> = HashMap::new();
        for seen in &view.messages {
            if let Some(before) = places.insert((&seen.author, &seen.id), seen.place) {
                self.say(format!("{}: {} stands at {before:?} and at {:?}", view.name, seen.text, seen.place));
            }
        }
    }

    fn complete(&mut self, acknowledged: &[Acknowledged], view: &View) {
        let places: HashMap<(&str, &str), Place> =
            view.messages.iter().map(|seen| ((seen.author.as_str(), seen.id.as_str()), seen.place)).collect();
        for sent in acknowledged {
            let complaint = match places.get(&(sent.author.as_str(), sent.id.as_str())) {
                None => "is missing".to_owned(),
                Some(place) if *place != sent.place => format!("stands at {place:?}"),
                Some(_) => continue,
            };
            self.say(format!("{}: {} was acknowledged at {:?} and {complaint}", view.name, sent.id, sent.place));
        }
    }

    fn equal(&mut self, one: &View, other: &View) {
        if one.messages.len() != other.messages.len() {
            self.say(format!(
                "{} has {} messages, {} has {}",
                one.name,
                one.messages.len(),
                other.name,
                other.messages.len()
            ));
        }
        for (a, b) in one.messages.iter().zip(&other.messages) {
            if a != b {
                self.say(format!("{} has {a:?} where {} has {b:?}", one.name, other.name));
                // The rest is shifted.
                return;
            }
        }
    }

    fn in_order_of_sending(&mut self, acknowledged: &[Acknowledged]) {
        let mut last: HashMap<&str, &Acknowledged> = HashMap::new();
        for sent in acknowledged {
            if let Some(before) = last.insert(&sent.author, sent)
                && before.run.is_some()
                && before.run == sent.run
                && before.place >= sent.place
            {
                self.say(format!("{} was sent after {} and stands before it", sent.id, before.id));
            }
        }
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} complaints:", self.count)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(pos: u64, id: &str) -> Seen {
        Seen { place: (1, pos), author: "a".into(), id: id.into(), text: format!("text of {id}") }
    }

    fn sent(pos: u64, id: &str, run: u64) -> Acknowledged {
        Acknowledged { author: "a".into(), id: id.into(), place: (1, pos), run: (run != 9).then_some(run) }
    }

    fn view(name: &str, messages: Vec<Seen>) -> View {
        View { name: name.into(), messages }
    }

    fn count(sent: &[Acknowledged], views: &[View]) -> usize {
        check(sent, views).count()
    }

    #[test]
    fn what_is_right_has_no_complaints() {
        let views = || [view("x", vec![seen(1, "m"), seen(2, "n")]), view("y", vec![seen(1, "m"), seen(2, "n")])];
        assert_eq!(count(&[sent(1, "m", 0), sent(2, "n", 0)], &views()), 0);
        // One whose answer was lost may stand there too.
        assert_eq!(count(&[sent(2, "n", 0)], &views()), 0);
    }

    #[test]
    fn a_loss_a_copy_another_order_and_another_position_are_each_told() {
        let right = || view("x", vec![seen(1, "m"), seen(2, "n")]);
        assert_eq!(count(&[sent(3, "o", 0)], &[right()]), 1);
        assert_eq!(count(&[sent(1, "n", 0)], &[right()]), 1);
        assert!(count(&[], &[view("x", vec![seen(1, "m"), seen(2, "m")])]) == 1);
        assert!(count(&[], &[view("x", vec![seen(2, "m"), seen(1, "n")])]) == 1);
        assert!(count(&[], &[right(), view("y", vec![seen(1, "m")])]) == 1);
        assert!(count(&[], &[right(), view("y", vec![seen(1, "n"), seen(2, "m")])]) == 1);
    }

    #[test]
    fn order_of_sending_is_promised_only_between_errors() {
        let right = || [view("x", vec![seen(1, "m"), seen(2, "n")])];
        assert_eq!(count(&[sent(2, "n", 0), sent(1, "m", 0)], &right()), 1);
        assert_eq!(count(&[sent(2, "n", 0), sent(1, "m", 1)], &right()), 0);
        assert_eq!(count(&[sent(2, "n", 9), sent(1, "m", 9)], &right()), 0);
    }

    #[test]
    fn events_that_are_no_message_are_left_out() {
        let message = json!({"epoch": "2-abcdef", "pos": 5, "type": "message", "sender": {"id": "a"}, "message": {"id": "m", "text": "t"}});
        assert_eq!(Seen::of(&message).unwrap().place, (2, 5));
        assert_eq!(Seen::of(&json!({"epoch": "2-abcdef", "pos": 5, "type": "member"})), None);
        assert_eq!(Seen::of(&json!({"gap": {"epoch": "1-abcdef", "from": 1, "to": 2}})), None);
    }
}
