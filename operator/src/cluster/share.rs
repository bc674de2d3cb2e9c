//! Which platform each room of a cluster is of, pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::room::RoomName;
use kube::api::DynamicObject;

use crate::crd::chat_platform::DEFAULT;
use crate::report::{Reason, RoomReport};
use crate::source::{Manifest, Scan};

/// A platform of this name takes the rooms of its namespace that name none.
const BY_NAME: &str = "parlor";

/// Who sees what.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// What each platform's worker sees: its platform's manifest and its rooms.
    pub(crate) scans: BTreeMap<RoomName, Scan>,
    /// Rooms that no platform takes, and why.
    pub(crate) homeless: BTreeMap<RoomName, RoomReport>,
}

/// Gives each room to one platform. `holds` says whether a platform's rows have the room already, `None` where they were not read
/// yet: a room without a reference stays where it is when another platform comes that would take it.
pub(crate) fn share(scan: &Scan, holds: impl Fn(&RoomName, &Manifest) -> Option<bool>) -> Shares {
    let mut shares = Shares::default();
    let mut platforms = BTreeMap::new();
    for file in scan.files.values() {
        for platform in &file.platforms {
            platforms.insert(&platform.room, platform);
            let files = [(file.name.clone(), file.clone())].into();
            let scan = Scan { files, deleting: scan.deleting.clone(), ..Scan::default() };
            shares.scans.insert(platform.room.clone(), scan);
        }
    }
    let mut owners: BTreeMap<RoomName, BTreeSet<Arc<str>>> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for file in scan.files.values() {
        for room in &file.rooms {
            all.insert(room.owner.clone());
            match platform_of(room, &platforms, &holds) {
                Ok(platform) => {
                    owners.entry(platform.clone()).or_default().insert(room.owner.clone());
                    let share = shares.scans.entry(platform).or_default();
                    share.files.insert(file.name.clone(), file.clone());
                }
                Err(report) => {
                    shares.homeless.insert(room.room.clone(), report);
                }
            }
        }
    }
    for (platform, scan) in &mut shares.scans {
        let here = owners.remove(platform).unwrap_or_default();
        scan.elsewhere = all.difference(&here).cloned().collect();
    }
    shares
}

type Platforms<'a> = BTreeMap<&'a RoomName, &'a Arc<Manifest>>;

fn platform_of(
    room: &Manifest,
    platforms: &Platforms<'_>,
    holds: impl Fn(&RoomName, &Manifest) -> Option<bool>,
) -> Result<RoomName, RoomReport> {
    let refused =
        |reason, message: String| RoomReport { generation: room.generation, ..RoomReport::not_ready(reason, message) };
    let not_found = |message: String| refused(Reason::PlatformNotFound, message);
    let namespace = room.room.namespace();
    let reference = &room.object["spec"]["platformRef"];
    if let Some(name) = reference["name"].as_str() {
        let at = reference["namespace"].as_str().unwrap_or(namespace);
        let found = platforms.iter().find(|(platform, _)| platform.name() == name && platform.namespace() == at);
        return match found {
            Some((platform, manifest)) if takes(manifest, namespace) => Ok((*platform).clone()),
            Some(_) => Err(not_found(format!(
                "spec.platformRef: {at}/{name} takes no rooms of namespace {namespace}: widen its spec.rooms.namespaceSelector, or name \
                 another platform"
            ))),
            None => Err(not_found(format!("spec.platformRef: there is no ChatPlatform {at}/{name}"))),
        };
    }
    let near = |platform: &RoomName| platform.name() == BY_NAME && platform.namespace() == namespace;
    let by_default = |manifest: &Manifest| manifest.object["metadata"]["annotations"][DEFAULT] == "true";
    let near = platforms.iter().find(|(platform, _)| near(platform));
    let default = platforms.iter().find(|(_, manifest)| by_default(manifest) && takes(manifest, namespace));
    match (near, default) {
        (Some((near, _)), Some((default, _))) if near != default => match holds(default, room) {
            Some(true) => Ok((*default).clone()),
            Some(false) => Ok((*near).clone()),
            None => Err(refused(Reason::Pending, format!("it is not known yet whether {default} has this room"))),
        },
        (Some((platform, _)), _) | (None, Some((platform, _))) => Ok((*platform).clone()),
        (None, None) => Err(not_found(format!(
            "no ChatPlatform takes rooms of namespace {namespace} that name none: write spec.platformRef, make a ChatPlatform called \
             {BY_NAME} there, or annotate one with {DEFAULT}: \"true\" and a spec.rooms.namespaceSelector"
        ))),
    }
}

/// Whether this ChatPlatform may have the room of this ChatRoom, by what is written in both alone.
pub(super) fn may_have(platform: &DynamicObject, room: &DynamicObject) -> bool {
    let (at, name) = (platform.metadata.namespace.as_deref(), platform.metadata.name.as_deref());
    let namespace = room.metadata.namespace.as_deref();
    let reference = &room.data["spec"]["platformRef"];
    if let Some(wanted) = reference["name"].as_str() {
        return name == Some(wanted) && at == reference["namespace"].as_str().or(namespace);
    }
    let default = platform.metadata.annotations.as_ref().and_then(|all| all.get(DEFAULT));
    (name == Some(BY_NAME) && at == namespace) || default.is_some_and(|value| value == "true")
}

/// Without a selector a platform takes its own namespace, with an empty one all.
fn takes(platform: &Manifest, namespace: &str) -> bool {
    let selector = &platform.object["spec"]["rooms"]["namespaceSelector"];
    platform.room.namespace() == namespace || selector.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{File, Place};
    use serde_json::{Value, json};

    fn manifest(name: &str, object: Value) -> Arc<Manifest> {
        let (owner, place) = (format!("k8s:c/{name}").into(), Place::Object(name.into()));
        Arc::new(Manifest { room: name.parse().unwrap(), owner, place, generation: Some(1), object })
    }

    fn scan(platforms: &[(&str, Value)], rooms: &[(&str, Value)]) -> Scan {
        let mut scan = Scan::default();
        let file = |name: String| File {
            name: name.into(),
            text: None,
            rooms: vec![],
            platforms: vec![],
            faults: vec![],
            whole: true,
        };
        for (name, object) in platforms {
            let file = File { platforms: vec![manifest(name, object.clone())], ..file(format!("platform {name}")) };
            scan.files.insert(file.name.clone(), Arc::new(file));
        }
        for (name, spec) in rooms {
            let file = File { rooms: vec![manifest(name, json!({"spec": spec}))], ..file((*name).to_owned()) };
            scan.files.insert(file.name.clone(), Arc::new(file));
        }
        scan
    }

    /// Room by room: the platform, or the reason.
    fn places(shares: &Shares) -> BTreeMap<String, String> {
        let mut places = BTreeMap::new();
        for (platform, scan) in &shares.scans {
            for room in scan.files.values().flat_map(|file| &file.rooms) {
                assert_eq!(places.insert(room.room.to_string(), platform.to_string()), None);
                assert!(!scan.elsewhere.contains(&room.owner));
            }
        }
        let homeless = shares.homeless.iter().map(|(room, report)| (room.to_string(), report.reason.word()));
        places.extend(homeless);
        places
    }

    fn default_for_all() -> Value {
        json!({"metadata": {"annotations": {DEFAULT: "true"}}, "spec": {"rooms": {"namespaceSelector": {}}}})
    }

    #[test]
    fn a_room_is_of_the_platform_it_names_else_of_the_one_of_its_namespace_else_of_the_default() {
        let platforms = [("chat/main", default_for_all()), ("a/parlor", json!({})), ("b/other", json!({}))];
        let to = |name: &str, namespace: &str| json!({"platformRef": {"name": name, "namespace": namespace}});
        let rooms = [
            ("a/x", json!({})),
            ("a/y", to("main", "chat")),
            ("b/x", json!({})),
            ("b/y", json!({"platformRef": {"name": "other"}})),
            ("b/z", to("parlor", "a")),
            ("c/x", to("none", "such")),
        ];
        let shares = share(&scan(&platforms, &rooms), |_, _| Some(false));
        let found = places(&shares);
        let found: Vec<(&str, &str)> = found.iter().map(|(room, place)| (room.as_str(), place.as_str())).collect();
        let expected = [
            ("a/x", "a/parlor"),
            ("a/y", "chat/main"),
            ("b/x", "chat/main"),
            ("b/y", "b/other"),
            ("b/z", "PlatformNotFound"),
            ("c/x", "PlatformNotFound"),
        ];
        assert_eq!(found, expected);
        let main = &shares.scans[&"chat/main".parse::<RoomName>().unwrap()];
        assert_eq!(main.elsewhere.len(), 4);
        assert!(shares.homeless[&"b/z".parse::<RoomName>().unwrap()].message.contains("takes no rooms of namespace b"));
    }

    #[test]
    fn a_room_stays_where_it_is_when_a_nearer_platform_comes() {
        let platforms = [("chat/main", default_for_all()), ("a/parlor", json!({}))];
        let place = |holds: Option<bool>| {
            let shares = share(&scan(&platforms, &[("a/x", json!({}))]), |platform, room| {
                assert_eq!((platform.to_string().as_str(), &*room.owner), ("chat/main", "k8s:c/a/x"));
                holds
            });
            places(&shares)["a/x"].clone()
        };
        assert_eq!(place(Some(true)), "chat/main");
        assert_eq!(place(Some(false)), "a/parlor");
        assert_eq!(place(None), "Pending");
    }

    #[test]
    fn without_a_platform_the_cure_is_said() {
        let shares = share(&scan(&[], &[("a/x", json!({}))]), |_, _| None);
        let report = shares.homeless.values().next().unwrap();
        assert_eq!((report.reason, report.generation), (Reason::PlatformNotFound, Some(1)));
        assert!(report.message.contains("make a ChatPlatform called parlor there"), "{}", report.message);
    }
}
