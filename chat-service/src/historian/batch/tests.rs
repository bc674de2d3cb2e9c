//! How messages of many logs become segments.

use super::{Batch, Item, count};
use crate::historian::reader::Source;
use crate::log::RoomKey;
use crate::store::logs::{Kept, LogRow};
use crate::testing::{delivery, message};
use contract::names;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const EPOCH: &str = "1-aaaaaa";

fn source(id: i64) -> Arc<Source> {
    let room = RoomKey { id: Uuid::now_v7(), name: format!("team-a/room-{id}").parse().unwrap() };
    let epoch = EPOCH.parse().unwrap();
    let row = LogRow {
        id,
        stream: names::log_stream("standard", &room.name, &epoch),
        routing_key: names::log_key(&room.name, &epoch),
        room,
        epoch,
        off: -1,
        anchor: None,
        pos: 0,
        sending: true,
        state: "open".into(),
        kept: Kept::of(None, None, 0),
    };
    Source::new(row, CancellationToken::new())
}

fn item(source: &Arc<Source>, generation: u64, previous: i64, offset: u64, lost: Option<&'static str>) -> Item {
    let delivery = delivery(source.row.room.id, EPOCH, offset, &[message("a"), message("b")]);
    Item::new(source.clone(), generation, previous, lost, delivery)
}

fn segments(batch: &Batch) -> Vec<(i64, i64, Vec<u64>)> {
    let offsets = |segment: &super::Segment| segment.deliveries.iter().map(|delivery| delivery.offset).collect();
    batch.segments.iter().map(|segment| (segment.log, segment.old_off, offsets(segment))).collect()
}

#[test]
fn each_log_has_one_segment_that_begins_at_its_rows_offset() {
    let (one, two) = (source(1), source(2));
    let mut batch = Batch::default();
    for item in [item(&one, 1, 4, 5, None), item(&two, 1, -1, 0, None), item(&one, 1, 5, 7, None)] {
        batch.add(item);
    }
    assert_eq!(segments(&batch), [(1, 4, vec![5, 7]), (2, -1, vec![0])]);
    assert_eq!(batch.events, 6);
}

#[test]
fn what_a_reader_read_before_it_began_anew_makes_room_for_what_it_reads_now() {
    let one = source(1);
    let mut batch = Batch::default();
    for item in [item(&one, 1, 4, 5, Some("lost")), item(&one, 1, 5, 6, None), item(&one, 2, 9, 10, None)] {
        batch.add(item);
    }
    assert_eq!(segments(&batch), [(1, 9, vec![10])]);
    assert_eq!(batch.sources[0].1, 2, "who is overtaken now is the new generation");
    assert!(batch.losses.is_empty());
}

#[test]
fn a_loss_stands_only_at_the_beginning_of_a_segment() {
    let (one, two) = (source(1), source(2));
    let mut batch = Batch::default();
    batch.add(item(&one, 1, 4, 5, None));
    assert!(!batch.takes(&item(&one, 1, 5, 9, Some("lost"))));
    let first = item(&two, 1, 5, 9, Some("lost"));
    assert!(batch.takes(&first));
    batch.add(first);
    assert_eq!(batch.losses.get(&2), Some(&"lost"));
}

#[test]
fn a_body_that_is_no_envelope_counts_as_one_event() {
    assert_eq!(count(&delivery(Uuid::now_v7(), EPOCH, 0, &[message("a"), message("b")]).body), 2);
    assert_eq!((count(b"{\"v\":1,\"events\":[]}"), count(b"x")), (1, 1));
}
