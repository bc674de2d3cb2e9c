//! Which manifest speaks for a room, pure: the first owner keeps it, and one that was seen to be gone is followed by another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::room::RoomName;
use proto::chat::v1::Room;

use super::{Manifest, Scan};
use crate::room::Claim;

/// The choice for each room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    /// Who speaks for it.
    pub(crate) chosen: BTreeMap<RoomName, Claim>,
    /// Manifests that came second, with the file of the first.
    pub(crate) second: Vec<(Arc<Manifest>, Arc<str>)>,
}

/// Chooses. `prefix` is what owners of this folder begin with.
pub(crate) fn choose(
    scan: &Scan,
    rows: &BTreeMap<RoomName, Room>,
    prefix: &str,
    rooms_per_namespace: Option<usize>,
) -> Claims {
    let mut all: BTreeMap<&RoomName, Vec<&Arc<Manifest>>> = BTreeMap::new();
    for manifest in scan.files.values().flat_map(|file| &file.rooms) {
        all.entry(&manifest.room).or_default().push(manifest);
    }
    let mut claims = Claims::default();
    for (room, manifests) in all {
        let row = rows.get(room);
        let owner = row.map(|row| row.owner_uid.as_str());
        let first = manifests.iter().position(|manifest| Some(&*manifest.owner) == owner).unwrap_or(0);
        let manifest = manifests[first];
        for (index, other) in manifests.iter().enumerate() {
            if index != first {
                claims.second.push(((*other).clone(), manifest.place.name().clone()));
            }
        }
        let takes_over_from = row
            .filter(|row| !row.released && row.owner_uid != *manifest.owner && is_gone(scan, prefix, &row.owner_uid))
            .map(|row| row.owner_uid.clone());
        let claim = Claim { manifest: manifest.clone(), takes_over_from, over_quota: false };
        claims.chosen.insert(room.clone(), claim);
    }
    if let Some(most) = rooms_per_namespace {
        limit(&mut claims, rows, most);
    }
    claims
}

/// Whether an owner of this folder is known not to declare the room any more: no manifest of it was found, and nothing hides one.
fn is_gone(scan: &Scan, prefix: &str, owner: &str) -> bool {
    let Some(file) = owner.strip_prefix(prefix) else { return false };
    scan.incomplete.is_none() && !scan.elsewhere.contains(owner) && scan.files.get(file).is_none_or(|file| file.whole)
}

/// Rooms that are there stay; of the new ones, as many as there is place for, in the order of their names.
fn limit(claims: &mut Claims, rows: &BTreeMap<RoomName, Room>, most: usize) {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let there: BTreeSet<&RoomName> = rows.iter().filter(|(_, row)| !row.released).map(|(room, _)| room).collect();
    for room in there.iter().filter(|room| claims.chosen.contains_key(**room)) {
        *taken.entry(room.namespace()).or_default() += 1;
    }
    for (room, claim) in claims.chosen.iter_mut().filter(|(room, _)| !there.contains(room)) {
        let count = taken.entry(room.namespace()).or_default();
        claim.over_quota = *count >= most;
        *count += usize::from(!claim.over_quota);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::folder::parse_for_tests as parse;

    const PREFIX: &str = "file:rooms/";

    fn scan(files: &[(&str, &[&str])]) -> Scan {
        let mut scan = Scan::default();
        for (name, rooms) in files {
            let documents = rooms.iter().map(|room| match *room {
                "?" => "{".to_owned(),
                room => format!(
                    "{{apiVersion: parlor.dev/v1alpha1, kind: ChatRoom, metadata: {{namespace: a, name: {room}}}}}"
                ),
            });
            let text = documents.collect::<Vec<_>>().join("\n---\n");
            let name: Arc<str> = (*name).into();
            scan.files.insert(name.clone(), Arc::new(parse(&name, &format!("{PREFIX}{name}"), &text)));
        }
        scan
    }

    fn rows(owners: &[(&str, &str)]) -> BTreeMap<RoomName, Room> {
        let row = |owner: &str| Room { owner_uid: owner.into(), ..Room::default() };
        owners.iter().map(|(room, owner)| (RoomName::new("a", room).unwrap(), row(owner))).collect()
    }

    fn claim<'a>(claims: &'a Claims, room: &str) -> &'a Claim {
        &claims.chosen[&RoomName::new("a", room).unwrap()]
    }

    #[test]
    fn of_two_files_the_one_in_the_row_keeps_the_room_else_the_first_by_name() {
        let scan = scan(&[("one.yaml", &["x"]), ("two.yaml", &["x"])]);
        let claims = choose(&scan, &rows(&[]), PREFIX, None);
        assert_eq!(&**claim(&claims, "x").manifest.place.name(), "one.yaml");
        assert_eq!(&**claims.second[0].0.place.name(), "two.yaml");
        let claims = choose(&scan, &rows(&[("x", "file:rooms/two.yaml")]), PREFIX, None);
        assert_eq!(&**claim(&claims, "x").manifest.place.name(), "two.yaml");
        assert_eq!(claim(&claims, "x").takes_over_from, None);
    }

    #[test]
    fn a_renamed_file_takes_the_room_over_and_a_foreign_owner_keeps_it() {
        let scan = scan(&[("new.yaml", &["x"])]);
        let over =
            |owner: &str| claim(&choose(&scan, &rows(&[("x", owner)]), PREFIX, None), "x").takes_over_from.clone();
        assert_eq!(over("file:rooms/old.yaml").as_deref(), Some("file:rooms/old.yaml"));
        assert_eq!(over("file:elsewhere/old.yaml"), None);
        assert_eq!(over("5f6c-a-cluster-uid"), None);
        let mut incomplete = scan.clone();
        incomplete.incomplete = Some("why".into());
        let claims = choose(&incomplete, &rows(&[("x", "file:rooms/old.yaml")]), PREFIX, None);
        assert_eq!(claim(&claims, "x").takes_over_from, None);
    }

    #[test]
    fn an_owner_whose_file_cannot_be_understood_is_not_gone() {
        let scan = scan(&[("new.yaml", &["x"]), ("old.yaml", &["y", "?"])]);
        let claims = choose(&scan, &rows(&[("x", "file:rooms/old.yaml")]), PREFIX, None);
        assert_eq!(claim(&claims, "x").takes_over_from, None);
    }

    #[test]
    fn a_namespace_that_is_full_takes_no_new_room_and_loses_no_old_one() {
        let scan = scan(&[("all.yaml", &["p", "q", "r", "s"])]);
        let claims =
            choose(&scan, &rows(&[("r", "file:rooms/all.yaml"), ("s", "file:rooms/all.yaml")]), PREFIX, Some(3));
        let over: Vec<bool> = ["p", "q", "r", "s"].iter().map(|room| claim(&claims, room).over_quota).collect();
        assert_eq!(over, [false, true, false, false]);
    }
}
