//! One program: ServiceAccount, Deployment, Service and PodDisruptionBudget. Its number of pods is not ours to say here: only
//! `/scale` writes it.

use serde_json::{Value, json};

use super::secrets::AUTHORITIES;
use super::{Kind, Object, Platform};
use crate::crd::chat_platform::Pods;

/// Port of health and metrics has this name.
const HEALTH: &str = "health";
/// Nobody: the images run as this user too.
const NOBODY: u32 = 65532;
/// Where files from Secrets are.
pub(super) const FILES: &str = "/run/parlor";
/// Annotation of pods that changes with what they read only at their start.
const CONNECTIONS: &str = "parlor.dev/connections";

/// What differs between programs.
pub(super) struct Program<'a> {
    /// The part's name.
    pub(super) part: &'static str,
    /// Its image.
    pub(super) image: &'a str,
    /// Arguments.
    pub(super) args: Vec<String>,
    /// Environment beside the Secret's.
    pub(super) env: Vec<(&'static str, String)>,
    /// Part of the Secret that is its environment.
    pub(super) secret: &'static str,
    /// Another one when pods have to start anew for what they read.
    pub(super) version: String,
    /// Parts of the Secrets that it reads as files below [`FILES`].
    pub(super) files: Vec<&'static str>,
    /// Ports that others use, by name.
    pub(super) ports: Vec<(&'static str, u16)>,
    /// Port of health and metrics.
    pub(super) health: u16,
    /// How long a stop may take, in seconds.
    pub(super) grace: u32,
    /// What the pods ask for and where they run.
    pub(super) pods: &'a Pods,
}

pub(super) fn objects(platform: &Platform<'_>, program: &Program<'_>) -> Vec<Object> {
    let name = platform.part(program.part);
    let object = |kind, rest| platform.object(kind, program.part, &name, rest);
    let mut objects = vec![
        object(Kind::ServiceAccount, json!({"automountServiceAccountToken": false})),
        object(Kind::Deployment, deployment(platform, program, &name)),
        object(
            Kind::PodDisruptionBudget,
            json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": platform.selector(program.part)}}}),
        ),
    ];
    if !program.ports.is_empty() {
        let port =
            |(name, port): &(&str, u16)| json!({"name": name, "port": port, "targetPort": name, "protocol": "TCP"});
        let ports: Vec<Value> = program.ports.iter().map(port).collect();
        objects.push(object(
            Kind::Service,
            json!({"spec": {"selector": platform.selector(program.part), "ports": ports}}),
        ));
    }
    objects
}

fn deployment(platform: &Platform<'_>, program: &Program<'_>, name: &str) -> Value {
    let mut pod = pod(platform, program.pods, name);
    pod["terminationGracePeriodSeconds"] = json!(program.grace);
    pod["volumes"] = volumes(platform, program);
    pod["topologySpreadConstraints"] = spread(platform, program);
    pod["containers"] = json!([container(platform, program)]);
    json!({
        "spec": {
            "selector": {"matchLabels": platform.selector(program.part)},
            "revisionHistoryLimit": 3,
            // A new pod serves before an old one goes.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": pod_metadata(platform, program), "spec": pod},
        }
    })
}

/// What every pod of the platform has, also the one that migrates: the restricted Pod Security Standard, and no right in the cluster.
pub(super) fn pod(platform: &Platform<'_>, pods: &Pods, account: &str) -> Value {
    json!({
        "serviceAccountName": account,
        "automountServiceAccountToken": false,
        // Else every Service of the namespace would be in the environment.
        "enableServiceLinks": false,
        "imagePullSecrets": platform.spec.image_pull_secrets,
        "nodeSelector": pods.node_selector,
        "tolerations": pods.tolerations,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

/// What every container has.
pub(super) fn secure() -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
}

/// Where a program finds the certificate authorities, if the platform names any: beside the image's own.
pub(super) fn authorities_env(platform: &Platform<'_>) -> Vec<Value> {
    if platform.given.authorities.is_empty() {
        return Vec::new();
    }
    let file = format!("{FILES}/{AUTHORITIES}/{}", super::secrets::AUTHORITIES_FILE);
    vec![json!({"name": "SSL_CERT_FILE", "value": file}), json!({"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs"})]
}

/// Files of these parts' Secrets.
pub(super) fn secret_volumes(platform: &Platform<'_>, parts: &[&'static str]) -> (Value, Value) {
    let volume =
        |part: &&str| json!({"name": part, "secret": {"secretName": platform.part(part), "defaultMode": 0o440}});
    let mount = |part: &&str| json!({"name": part, "mountPath": format!("{FILES}/{part}"), "readOnly": true});
    (parts.iter().map(volume).collect(), parts.iter().map(mount).collect())
}

fn files(platform: &Platform<'_>, program: &Program<'_>) -> Vec<&'static str> {
    let mut files = program.files.clone();
    files.extend(Some(AUTHORITIES).filter(|_| !platform.given.authorities.is_empty()));
    files
}

fn volumes(platform: &Platform<'_>, program: &Program<'_>) -> Value {
    secret_volumes(platform, &files(platform, program)).0
}

fn container(platform: &Platform<'_>, program: &Program<'_>) -> Value {
    let mut env: Vec<Value> = program.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    env.push(json!({"name": "GATEWAY_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}));
    env.extend(authorities_env(platform));
    let port = |(name, port): (&str, u16)| json!({"name": name, "containerPort": port, "protocol": "TCP"});
    let ports: Vec<Value> = program.ports.iter().copied().chain([(HEALTH, program.health)]).map(port).collect();
    let probe = |path: &str, every: u32, times: u32| {
        let get = json!({"path": path, "port": HEALTH});
        json!({"httpGet": get, "periodSeconds": every, "timeoutSeconds": 3, "failureThreshold": times})
    };
    json!({
        "name": program.part,
        "image": program.image,
        "args": program.args,
        "env": env,
        "envFrom": [{"secretRef": {"name": platform.part(program.secret)}}],
        "ports": ports,
        "resources": resources(program.pods),
        "securityContext": secure(),
        // It serves its health at once, whatever server is away; not ready is not dead.
        "startupProbe": probe("/healthz", 1, 60),
        "livenessProbe": probe("/healthz", 10, 3),
        "readinessProbe": probe("/readyz", 2, 2),
        "volumeMounts": secret_volumes(platform, &files(platform, program)).1,
    })
}

/// Without a request there is no processor use to aim at.
fn resources(pods: &Pods) -> Value {
    pods.resources
        .as_ref()
        .map_or_else(|| json!({"requests": {"cpu": "100m", "memory": "128Mi"}}), |given| json!(given))
}

/// Labels and annotations of people stay beside ours.
fn pod_metadata(platform: &Platform<'_>, program: &Program<'_>) -> Value {
    let mut labels = json!(program.pods.pod_labels);
    for (name, value) in platform.labels(program.part).as_object().into_iter().flatten() {
        labels[name] = value.clone();
    }
    let mut annotations = json!(program.pods.pod_annotations);
    annotations[CONNECTIONS] = json!(program.version);
    json!({"labels": labels, "annotations": annotations})
}

/// Over nodes as far as possible, unless somebody says otherwise.
fn spread(platform: &Platform<'_>, program: &Program<'_>) -> Value {
    let selector = json!({"matchLabels": platform.selector(program.part)});
    let mut constraints = json!(program.pods.topology_spread_constraints);
    if program.pods.topology_spread_constraints.is_empty() {
        constraints =
            json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]);
    }
    for constraint in constraints.as_array_mut().into_iter().flatten() {
        if constraint["labelSelector"].is_null() {
            constraint["labelSelector"] = selector.clone();
        }
    }
    constraints
}
