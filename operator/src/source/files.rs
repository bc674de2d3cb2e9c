//! What is said of each file, and which platform the folder has, pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims::Claims;
use super::{File, Manifest, Scan};
use crate::crd::Schemas;
use crate::fault::{Fault, Path};
use crate::platform::Platform;
use crate::platform::validate::{not_applicable, platform};
use crate::report::{FileReport, Reason};
use crate::room::validate;

/// The folder's platform, and what is wrong with files that declare one.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlatformChoice {
    /// `None`: the folder declares none.
    pub(crate) platform: Option<Result<Platform, ()>>,
    /// By file.
    complaints: BTreeMap<Arc<str>, Vec<(Reason, String)>>,
}

/// The first ChatPlatform by file name; there can be but one.
pub(crate) fn choose_platform(schemas: &Schemas, scan: &Scan) -> PlatformChoice {
    let mut choice = PlatformChoice::default();
    for manifest in scan.files.values().flat_map(|file| &file.platforms) {
        let complaints = choice.complaints.entry(manifest.place.name().clone()).or_default();
        if choice.platform.is_some() {
            complaints
                .push((Reason::NameConflict, at_name(manifest, "the folder has a ChatPlatform already: remove one")));
            continue;
        }
        choice.platform = Some(match platform(schemas, &manifest.room, &manifest.object) {
            Ok(platform) => {
                let fields = not_applicable(&manifest.object);
                if !fields.is_empty() {
                    let message = format!("{} mean something only in Kubernetes", fields.join(", "));
                    complaints.push((Reason::NotApplicable, at_name(manifest, &message)));
                }
                Ok(platform)
            }
            Err(faults) => {
                let lines = faults.iter().map(|fault| (Reason::InvalidManifest, manifest.place.describe(fault)));
                complaints.extend(lines);
                Err(())
            }
        });
    }
    choice
}

fn at_name(manifest: &Manifest, message: &str) -> String {
    manifest.place.describe(&Fault::new(Path::of(&["metadata", "name"]), message))
}

/// What is said of each file.
pub(crate) fn reports(
    schemas: &Schemas,
    scan: &Scan,
    claims: &Claims,
    platform: &PlatformChoice,
) -> BTreeMap<Arc<str>, FileReport> {
    let mut second: BTreeMap<&str, Vec<(Reason, String)>> = BTreeMap::new();
    for (manifest, first) in &claims.second {
        let message = format!("{} is declared by {first} first: remove one of the two", manifest.room);
        second.entry(manifest.place.name()).or_default().push((Reason::NameConflict, at_name(manifest, &message)));
    }
    let report = |file: &Arc<File>| {
        let mut complaints = of_file(schemas, file);
        complaints.extend(second.get(&*file.name).into_iter().flatten().cloned());
        complaints.extend(platform.complaints.get(&file.name).into_iter().flatten().cloned());
        summary(&complaints)
    };
    scan.files.iter().map(|(name, file)| (name.clone(), report(file))).collect()
}

fn of_file(schemas: &Schemas, file: &File) -> Vec<(Reason, String)> {
    let mut complaints: Vec<_> = file.faults.iter().map(|line| (Reason::InvalidManifest, line.clone())).collect();
    for manifest in &file.rooms {
        if let Err(faults) = validate::room(schemas, &manifest.room, &manifest.object) {
            let lines = faults.iter().map(|fault| (Reason::InvalidManifest, manifest.place.describe(fault)));
            complaints.extend(lines);
        }
        if !manifest.object["spec"]["uploads"].is_null() {
            let message = "is kept for later: this version takes no uploads";
            let fault = Fault::new(Path::of(&["spec", "uploads"]), message);
            complaints.push((Reason::NotBuilt, manifest.place.describe(&fault)));
        }
    }
    complaints
}

/// The worst reason, and all that is said.
fn summary(complaints: &[(Reason, String)]) -> FileReport {
    let reason = complaints.iter().map(|(reason, _)| *reason).min().unwrap_or(Reason::Accepted);
    let lines: Vec<&str> = complaints.iter().map(|(_, line)| line.as_str()).collect();
    let ready = matches!(reason, Reason::Accepted | Reason::NotApplicable | Reason::NotBuilt);
    FileReport { ready, reason, message: lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::schemas;
    use crate::source::claims::choose;
    use crate::source::folder::parse_for_tests as parse;

    const HEAD: &str = "apiVersion: parlor.dev/v1alpha1\n";

    fn look(files: &[(&str, String)]) -> (PlatformChoice, BTreeMap<Arc<str>, FileReport>) {
        let schemas = schemas().unwrap();
        let mut scan = Scan::default();
        for (name, text) in files {
            let name: Arc<str> = (*name).into();
            scan.files.insert(name.clone(), Arc::new(parse(&name, &format!("file:rooms/{name}"), text)));
        }
        let claims = choose(&scan, &BTreeMap::new(), "file:rooms/", None);
        let platform = choose_platform(&schemas, &scan);
        let reports = reports(&schemas, &scan, &claims, &platform);
        (platform, reports)
    }

    #[test]
    fn a_file_is_right_or_says_everything_that_is_wrong() {
        let room = |spec: &str| format!("{HEAD}kind: ChatRoom\nmetadata: {{name: x}}\nspec: {spec}\n");
        let (_, reports) = look(&[("a.yaml", room("{}")), ("b.yaml", room("{topic: 5}")), ("c.yaml", "[".into())]);
        assert_eq!(reports["a.yaml"], FileReport { ready: true, reason: Reason::Accepted, message: String::new() });
        assert_eq!(reports["b.yaml"].reason, Reason::InvalidManifest);
        assert_eq!(
            reports["b.yaml"].message,
            "b.yaml:4: spec.topic: write a text, not 5: put it in quotes\nb.yaml:3: metadata.name: default/x is declared by a.yaml first: remove one of the two"
        );
        assert!(reports["c.yaml"].message.starts_with("c.yaml:") && !reports["c.yaml"].ready);
    }

    #[test]
    fn a_field_for_what_is_not_built_is_named_and_stops_nothing() {
        let text = format!("{HEAD}kind: ChatRoom\nmetadata: {{name: x}}\nspec:\n  uploads: {{maxBytes: 1Mi}}\n");
        let (_, reports) = look(&[("a.yaml", text)]);
        let message = "a.yaml:5: spec.uploads: is kept for later: this version takes no uploads".to_owned();
        assert_eq!(reports["a.yaml"], FileReport { ready: true, reason: Reason::NotBuilt, message });
    }

    #[test]
    fn one_platform_counts_and_what_it_says_for_kubernetes_is_named() {
        let platform =
            |name: &str, spec: &str| format!("{HEAD}kind: ChatPlatform\nmetadata: {{name: {name}}}\nspec: {spec}\n");
        let first = platform("one", "{rooms: {classes: [{name: big}]}, demo: true}");
        let (choice, reports) = look(&[("p.yaml", first), ("q.yaml", platform("two", "{}"))]);
        assert!(choice.platform.unwrap().unwrap().classes.contains_key("big"));
        assert_eq!(reports["p.yaml"].message, "p.yaml:3: metadata.name: spec.demo mean something only in Kubernetes");
        assert!(reports["p.yaml"].ready);
        assert_eq!(reports["q.yaml"].reason, Reason::NameConflict);
        let (choice, reports) = look(&[("p.yaml", platform("one", "{rooms: {classes: []}}"))]);
        assert_eq!(choice.platform, Some(Err(())));
        assert_eq!(reports["p.yaml"].message, "p.yaml:4: spec.rooms.classes: has 0 entries: write at least 1");
    }
}
