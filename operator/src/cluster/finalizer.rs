//! How long a finalizer holds a ChatRoom that is being deleted, pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;

use super::share;
use crate::context::World;

/// Holds an object until what it stands for is deleted.
const FINALIZER: &str = "parlor.dev/room";
/// The longest that a finalizer holds an object. A namespace must be gone within 60 s, whatever server is away, and the cluster
/// looks at what remains in one only every 8 s.
const HELD_MOST: Duration = Duration::from_secs(30);

/// What the platforms' rows say of objects.
#[derive(Default)]
pub(super) struct Rows {
    /// By uid: whether the object's room is there and to be deleted with it.
    known: BTreeMap<String, bool>,
    /// Platforms whose rows were not read yet.
    pub(super) unread: Vec<Arc<DynamicObject>>,
}

impl Rows {
    /// The rows of one platform. What owners of this cluster begin with is `owners`.
    pub(super) fn add(&mut self, world: &World, owners: &str) {
        self.known.extend(world.rows.values().filter_map(|row| {
            let uid = row.owner_uid.strip_prefix(owners)?;
            // One that was let go of under a policy that keeps it is as deleted as it gets.
            Some((uid.to_owned(), !row.released || row.deletion_policy != "Retain"))
        }));
    }

    /// Whether something is to be deleted with this object, or may be: by a platform whose rows were not read.
    fn delete(&self, object: &DynamicObject) -> bool {
        let known = object.metadata.uid.as_deref().and_then(|uid| self.known.get(uid));
        known.copied().unwrap_or_else(|| self.unread.iter().any(|platform| share::may_have(platform, object)))
    }
}

/// The finalizers that an object is to have, if they are not those that it has.
pub(super) fn finalizers(object: &DynamicObject, rows: &Rows, now: Timestamp) -> Option<Vec<String>> {
    let metadata = &object.metadata;
    let present = metadata.finalizers.clone().unwrap_or_default();
    let has = present.iter().any(|name| name == FINALIZER);
    let wanted = match &metadata.deletion_timestamp {
        None => object.data["spec"]["deletionPolicy"] == "Delete",
        Some(since) => {
            let held = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
            has && held < HELD_MOST && rows.delete(object)
        }
    };
    if wanted == has {
        return None;
    }
    let mut all: Vec<String> = present.into_iter().filter(|name| name != FINALIZER).collect();
    if wanted {
        all.push(FINALIZER.to_owned());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(value: Value) -> Arc<DynamicObject> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn platform(name: &str) -> Arc<DynamicObject> {
        object(json!({"metadata": {"namespace": "chat", "name": name}}))
    }

    /// One that has been going since `now`, whose platform is `reference`.
    fn going(reference: Option<&str>, now: Timestamp) -> Arc<DynamicObject> {
        let spec = reference.map_or(json!({}), |name| json!({"platformRef": {"name": name}}));
        object(json!({
            "metadata": {
                "namespace": "chat", "name": "a", "uid": "u", "deletionTimestamp": now.to_string(),
                "finalizers": ["example.org/other", FINALIZER],
            },
            "spec": spec,
        }))
    }

    fn is_held(room: &DynamicObject, rows: &Rows, now: Timestamp) -> bool {
        match finalizers(room, rows, now) {
            None => true,
            Some(others) => {
                assert_eq!(others, ["example.org/other"]);
                false
            }
        }
    }

    #[test]
    fn only_a_room_that_is_to_be_deleted_with_its_object_gets_one() {
        let room = |policy: &str| object(json!({"metadata": {"uid": "u"}, "spec": {"deletionPolicy": policy}}));
        let now = Timestamp::now();
        assert_eq!(finalizers(&room("Retain"), &Rows::default(), now), None);
        assert_eq!(finalizers(&room("Delete"), &Rows::default(), now), Some(vec![FINALIZER.to_owned()]));
    }

    #[test]
    fn it_holds_while_the_row_is_there_and_never_longer_than_its_limit() {
        let now = Timestamp::now();
        let room = going(None, now);
        let with = |deletes| Rows { known: [("u".to_owned(), deletes)].into(), unread: vec![] };
        assert!(is_held(&room, &with(true), now));
        assert!(!is_held(&room, &with(false), now));
        assert!(!is_held(&room, &Rows::default(), now));
        assert!(!is_held(&room, &with(true), now + HELD_MOST));
    }

    #[test]
    fn a_platform_that_was_not_read_holds_only_what_may_be_its_own() {
        let now = Timestamp::now();
        let rows = Rows { unread: vec![platform("slow")], ..Rows::default() };
        assert!(is_held(&going(Some("slow"), now), &rows, now));
        assert!(!is_held(&going(Some("quick"), now), &rows, now));
        assert!(!is_held(&going(None, now), &rows, now), "no platform of this name takes rooms that name none");
        let rows = Rows { unread: vec![platform("parlor")], ..Rows::default() };
        assert!(is_held(&going(None, now), &rows, now));
        let default = json!({"metadata": {
            "namespace": "far", "name": "slow", "annotations": {"parlor.dev/default": "true"},
        }});
        let rows = Rows { unread: vec![object(default)], ..Rows::default() };
        assert!(is_held(&going(None, now), &rows, now));
        assert!(!is_held(&going(Some("slow"), now), &rows, now), "it stands in another namespace");
    }
}
