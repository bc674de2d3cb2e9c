//! A corpus of wrong manifests: each is answered with file, line, field and cure, and none takes anything from its neighbours.

use super::*;
use crate::crd::schemas;

/// Everything that is said about a file called `x.yaml`.
fn complaints(text: &str) -> Vec<String> {
    let schemas = schemas().unwrap();
    let file = file(&"x.yaml".into(), &"file:/rooms/x.yaml".into(), text);
    let mut all = file.faults.clone();
    for manifest in &file.rooms {
        if let Err(faults) = validate::room(&schemas, &manifest.room, &manifest.object) {
            all.extend(faults.iter().map(|fault| manifest.place.describe(fault)));
        }
    }
    all
}

/// A manifest with this below `metadata`.
fn room(rest: &str) -> String {
    format!("apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: general, namespace: team-a}}\n{rest}")
}

#[test]
fn a_good_manifest_has_no_complaints() {
    let text = room(
        "spec:\n  platformRef: {name: parlor, namespace: chat}\n  className: standard\n  displayName: Général\n  topic: |\n    Two\n    lines\n\
         \u{20}\u{20}visibility: Private\n  members: [{user: alice, role: Owner}, {user: bob}]\n  limits: {messageBytes: 16384, burst: 1}\n\
         \u{20}\u{20}retention: {messages: 52w}\n  uploads: {maxBytes: \"1048576\", mediaTypes: [\"image/*\"]}\n\
         \u{20}\u{20}subscriptions: [{name: audit, events: [message, edited]}]\n  deletionPolicy: Delete\n  suspend: true\n",
    );
    assert_eq!(complaints(&text), Vec::<String>::new());
}

/// Each text has exactly this complaint; a parser's own words may go on.
fn answered(cases: Vec<(String, String)>) {
    for (text, expected) in cases {
        let found = complaints(&text);
        let hit = found.len() == 1
            && (found[0] == expected || expected.contains("is no YAML") && found[0].starts_with(&expected));
        assert!(hit, "{text}\nexpected {expected:?}\nfound    {found:?}");
    }
}

#[test]
fn every_wrong_document_is_answered_with_line_field_and_cure() {
    let cases: Vec<(String, String)> = vec![
        (room("spec:\n  topic: [\n"), "x.yaml:6: is no YAML: did not find expected node content".into()),
        (room("spec: {topic: a, topic: b}\n"), "x.yaml:4: is no YAML: ".into()),
        (room("spec:\n\ttopic: a\n"), "x.yaml:5: is no YAML: found character that cannot start any token".into()),
        ("just text\n".into(), "x.yaml:1: is no manifest: write apiVersion: parlor.dev/v1alpha1, kind: ChatRoom and metadata".into()),
        ("kind: ChatRoom\nmetadata: {name: a}\n".into(), "x.yaml:1: apiVersion: write parlor.dev/v1alpha1".into()),
        ("apiVersion: v1\nkind: ChatRoom\nmetadata: {name: a}\n".into(), "x.yaml:1: apiVersion: write parlor.dev/v1alpha1".into()),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: Chatroom\nmetadata: {name: a}\n".into(),
            "x.yaml:2: kind: write ChatRoom or ChatPlatform".into(),
        ),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {namespace: a}\n".into(),
            "x.yaml:3: metadata.name: is missing: every manifest needs a name".into(),
        ),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\n".into(),
            "x.yaml:1: metadata: is missing: write metadata: {name: …}".into(),
        ),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: General}\n".into(),
            "x.yaml:3: metadata.name: `General` does not fit: write a-z, 0-9 and `-`, beginning and ending with a letter or digit".into(),
        ),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: a.b}\n".into(),
            "x.yaml:3: metadata.name: `a.b` does not fit: write a-z, 0-9 and `-`, beginning and ending with a letter or digit".into(),
        ),
        (
            format!("apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: {}}}\n", "a".repeat(64)),
            "x.yaml:3: metadata.name: has 64 characters: write at most 63".into(),
        ),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: 123}\n".into(),
            "x.yaml:3: metadata.name: write a text, not 123: put it in quotes".into(),
        ),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: a, namespace: \"~people\"}\n".into(),
            "x.yaml:3: metadata.namespace: `~people` does not fit: write a-z, 0-9 and `-`, beginning and ending with a letter or digit".into(),
        ),
    ];
    answered(cases);
}

#[test]
fn every_wrong_field_is_answered_with_line_field_and_cure() {
    let long = "x".repeat(101);
    let members: Vec<String> = (0..1001).map(|index| format!("{{user: u{index}}}")).collect();
    let cases: Vec<(String, String)> = vec![
        (
            room("displayName: General\n"),
            "x.yaml:4: displayName: there is no such field: beside apiVersion, kind and metadata everything stands under spec".into(),
        ),
        (room("spec:\n  displayname: G\n"), "x.yaml:5: spec.displayname: there is no such field: did you mean `displayName`?".into()),
        (
            room("spec:\n  limits:\n    speed: 3\n"),
            "x.yaml:6: spec.limits.speed: there is no such field: write one of burst, maxMembers, messageBytes, messagesPerSecond".into(),
        ),
        (room("spec: hello\n"), "x.yaml:4: spec: write fields, as `name: value`, not the text `hello`".into()),
        (room("spec:\n  displayName: ''\n"), "x.yaml:5: spec.displayName: is empty: write something, or leave the field out".into()),
        (room(&format!("spec:\n  displayName: {long}\n")), "x.yaml:5: spec.displayName: has 101 characters: write at most 100".into()),
        (
            room("spec:\n  displayName: \"a\\nb\"\n"),
            "x.yaml:5: spec.displayName: `a\\nb` does not fit: take out line breaks and other control characters".into(),
        ),
        (
            room("spec:\n  topic: \"a\\0b\"\n"),
            "x.yaml:5: spec.topic: `a\\0b` does not fit: take out control characters other than line breaks and tabs".into(),
        ),
        (room("spec: {visibility: Secret}\n"), "x.yaml:4: spec.visibility: `Secret` is no choice: write one of Public, Private".into()),
        (room("spec: {suspend: yes}\n"), "x.yaml:4: spec.suspend: write true or false, not the text `yes`".into()),
        (
            room("spec:\n  members:\n    - user: alice\n    - user: bob\n      role: Boss\n"),
            "x.yaml:8: spec.members[1].role: `Boss` is no choice: write one of Owner, Moderator, Member, ReadOnly".into(),
        ),
        (
            room("spec:\n  members:\n    - {user: alice}\n    - {user: alice, role: Owner}\n"),
            "x.yaml:7: spec.members[1].user: `alice` stands here twice: remove one".into(),
        ),
        (
            room("spec: {members: [{user: Alice}]}\n"),
            "x.yaml:4: spec.members[0].user: `Alice` does not fit: write a username: a-z, 0-9, `.`, `_` and `-`, at most 32, beginning with a letter or digit".into(),
        ),
        (room("spec: {members: [{role: Owner}]}\n"), "x.yaml:4: spec.members[0].user: is missing: it has no default".into()),
        (room("spec: {members: [alice]}\n"), "x.yaml:4: spec.members[0]: write fields, as `name: value`, not the text `alice`".into()),
        (
            room("spec: {members: [{user: a, group: b}]}\n"),
            "x.yaml:4: spec.members[0].group: there is no such field: write one of role, user".into(),
        ),
        (room(&format!("spec: {{members: [{}]}}\n", members.join(", "))), "x.yaml:4: spec.members: has 1001 entries: write at most 1000".into()),
        (room("spec:\n  limits: {messageBytes: 0}\n"), "x.yaml:5: spec.limits.messageBytes: 0 is out of range: write 1 to 16384".into()),
        (room("spec:\n  limits: {messageBytes: 8k}\n"), "x.yaml:5: spec.limits.messageBytes: write a whole number, not the text `8k`".into()),
        (room("spec:\n  limits: {burst: 1.5}\n"), "x.yaml:5: spec.limits.burst: write a whole number, not 1.5".into()),
        (room("spec:\n  limits: {burst: -1}\n"), "x.yaml:5: spec.limits.burst: -1 is out of range: write 1 to 10000".into()),
        (
            room("spec:\n  limits: {burst: 99999999999999999999999}\n"),
            "x.yaml:5: is no YAML: spec.limits.burst: invalid type: integer `99999999999999999999999`".into(),
        ),
        (
            room("spec: {retention: {messages: 3m}}\n"),
            "x.yaml:4: spec.retention.messages: `3m` does not fit: write a whole number above 0 with h, d or w, as 36h, 7d or 52w".into(),
        ),
        (room("spec: {retention: {messages: 9999999w}}\n"), "x.yaml:4: spec.retention.messages: has 8 characters: write at most 6".into()),
        (
            room("spec: {uploads: {maxBytes: 25MB}}\n"),
            "x.yaml:4: spec.uploads.maxBytes: `25MB` does not fit: write a whole number of bytes above 0, or one with Ki, Mi, Gi or Ti, as 25Mi".into(),
        ),
        (
            room("spec: {uploads: {maxBytes: 1048576}}\n"),
            "x.yaml:4: spec.uploads.maxBytes: write a text, not 1048576: put it in quotes".into(),
        ),
        (room("spec: {uploads: {maxBytes: 1Ti}}\n"), "x.yaml:4: spec.uploads.maxBytes: is too much: write at most 5Gi".into()),
        (
            room("spec: {uploads: {mediaTypes: [png]}}\n"),
            "x.yaml:4: spec.uploads.mediaTypes[0]: `png` does not fit: write a media type, as application/pdf or image/*".into(),
        ),
        (
            room("spec: {uploads: {mediaTypes: [a/b, a/b]}}\n"),
            "x.yaml:4: spec.uploads.mediaTypes[1]: `a/b` stands here twice: remove one".into(),
        ),
        (room("spec: {subscriptions: [{name: a, events: []}]}\n"), "x.yaml:4: spec.subscriptions[0].events: has 0 entries: write at least 1".into()),
        (
            room("spec: {subscriptions: [{name: a, events: [said]}]}\n"),
            "x.yaml:4: spec.subscriptions[0].events[0]: `said` is no choice: write one of message, edited, deleted, reaction, member, room, attachment".into(),
        ),
        (room("spec: {subscriptions: [{name: a}]}\n"), "x.yaml:4: spec.subscriptions[0].events: is missing: it has no default".into()),
        (
            room("spec: {subscriptions: [{name: a, events: [message]}, {name: a, events: [edited]}]}\n"),
            "x.yaml:4: spec.subscriptions[1].name: `a` stands here twice: remove one".into(),
        ),
        (room("spec: {deletionPolicy: retain}\n"), "x.yaml:4: spec.deletionPolicy: `retain` is no choice: write one of Retain, DeleteIfEmpty, Delete".into()),
        (room("spec: {className: \"Big one\"}\n"), "x.yaml:4: spec.className: `Big one` does not fit: write a-z, 0-9 and `-`, beginning and ending with a letter or digit".into()),
        (room("spec: {platformRef: {}}\n"), "x.yaml:4: spec.platformRef.name: is missing: it has no default".into()),
        (room("spec: {topic: !secret x}\n"), "x.yaml:4: spec.topic: has the tag !secret: leave it out".into()),
        (room("spec: {1: x}\n"), "x.yaml:4: spec: has a name that is no text: put it in quotes".into()),
        (
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: a, annotations: {parlor.dev/replace-log: soon}}\n".into(),
            "x.yaml:3: metadata.annotations.parlor.dev/replace-log: `soon` does not fit: an epoch is `<number>-<6 lower-case letters or digits>`, as `1-k3f9qa`".into(),
        ),
    ];
    answered(cases);
}

#[test]
fn a_wrong_document_takes_nothing_from_its_neighbours() {
    let text = format!(
        "{}---\n{}---\n{}",
        room(""),
        "kind: Nonsense\nmetadata: {name: x}\n",
        room("").replace("general", "other")
    );
    let file = file(&"x.yaml".into(), &"file:x".into(), &text);
    let names: Vec<&str> = file.rooms.iter().map(|manifest| manifest.room.as_str()).collect();
    assert_eq!(names, ["team-a/general", "team-a/other"]);
    assert_eq!(
        file.faults,
        ["x.yaml:5: apiVersion: write parlor.dev/v1alpha1", "x.yaml:5: kind: write ChatRoom or ChatPlatform"]
    );
    assert!(!file.whole);
}

#[test]
fn an_empty_file_is_whole_and_declares_nothing() {
    for text in ["", "\n", "# nothing\n", "---\n---\n"] {
        let file = file(&"x.yaml".into(), &"file:x".into(), text);
        assert!(file.whole && file.rooms.is_empty() && file.faults.is_empty(), "{text:?}");
    }
}

#[test]
fn nesting_and_aliases_without_end_are_refused() {
    let deep = room(&format!("spec: {}{}\n", "[".repeat(5000), "]".repeat(5000)));
    assert_eq!(complaints(&deep).len(), 1);
    let mut laughs = "a0: &a0 x\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        let six = vec![format!("*a{before}"); 6].join(", ");
        laughs = format!("{laughs}a{level}: &a{level} [{six}]\n");
    }
    assert_eq!(complaints(&laughs).len(), 1);
}
