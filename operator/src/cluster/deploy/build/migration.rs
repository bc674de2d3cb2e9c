//! The Job that migrates the database, before programs of another version need it. They wait for it by themselves.

use serde_json::json;

use super::program::{authorities_env, pod, secret_volumes, secure};
use super::secrets::{AUTHORITIES, CHAT};
use super::{Kind, Object, Platform, hash};

/// The part's name.
const MIGRATION: &str = "migration";

/// ServiceAccount and Job. A Job cannot change: another image is another Job, and runs the migrations that are new.
pub(super) fn objects(platform: &Platform<'_>) -> Vec<Object> {
    let account = platform.part(MIGRATION);
    let files: Vec<&str> = Some(AUTHORITIES).filter(|_| !platform.given.authorities.is_empty()).into_iter().collect();
    let (volumes, mounts) = secret_volumes(platform, &files);
    let mut pod = pod(platform, &platform.chat.historian.pods, &account);
    pod["restartPolicy"] = json!("OnFailure");
    pod["volumes"] = volumes;
    pod["containers"] = json!([{
        "name": MIGRATION,
        "image": platform.chat.image,
        "args": ["migrate"],
        "env": authorities_env(platform),
        "envFrom": [{"secretRef": {"name": platform.part(CHAT)}}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": secure(),
        "volumeMounts": mounts,
    }]);
    let spec = json!({
        // It waits for the database itself; what else fails is tried again for long.
        "backoffLimit": 20,
        "template": {"metadata": {"labels": platform.labels(MIGRATION)}, "spec": pod},
    });
    let name = format!("{account}-{}", hash(&spec));
    vec![
        platform.object(Kind::ServiceAccount, MIGRATION, &account, json!({"automountServiceAccountToken": false})),
        platform.object(Kind::Job, MIGRATION, &name, json!({"spec": spec})),
    ]
}
