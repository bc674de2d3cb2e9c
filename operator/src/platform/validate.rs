//! Step 2, pure: a ChatPlatform of a folder becomes the classes and limits of its rooms. What means something only in Kubernetes is
//! named, not ignored in silence.

use std::collections::BTreeMap;

use contract::room::RoomName;
use serde_json::Value;

use crate::crd::chat_platform::{ChatPlatformSpec, Class};
use crate::crd::chat_room::PlatformRef;
use crate::crd::{self, Schemas};
use crate::fault::{Fault, Path};

/// Fields of `spec` without a meaning in a folder.
const KUBERNETES_ONLY: [&str; 7] = ["rabbitmq", "postgres", "redis", "chat", "users", "ingress", "demo"];

/// What rooms get from their platform.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Platform {
    /// Where it was declared; `None` without a manifest.
    pub(crate) name: Option<RoomName>,
    /// Classes by name.
    pub(crate) classes: BTreeMap<String, Class>,
    /// Most rooms of a namespace.
    pub(crate) rooms_per_namespace: Option<usize>,
    /// Stands in for a manifest that is wrong: what is there already is not changed to its values.
    pub(crate) stands_in: bool,
}

impl Default for Platform {
    /// A folder without a ChatPlatform: the class `standard` on one node.
    fn default() -> Self {
        let class = Class { replicas: 1, ..Class::named("standard") };
        Self { name: None, classes: [(class.name.clone(), class)].into(), rooms_per_namespace: None, stands_in: false }
    }
}

impl Platform {
    /// Whether a room of `namespace` that names this platform is right here. Without a manifest there is but one platform.
    pub(crate) fn is_meant(&self, reference: &PlatformRef, namespace: &str) -> bool {
        self.name.as_ref().is_none_or(|name| {
            name.name() == reference.name && name.namespace() == reference.namespace.as_deref().unwrap_or(namespace)
        })
    }

    /// Whether more than one replica is wanted anywhere.
    pub(crate) fn is_replicated(&self) -> bool {
        self.classes.values().any(|class| class.replicas > 1)
    }
}

/// Checks a whole ChatPlatform.
pub(crate) fn platform(schemas: &Schemas, name: &RoomName, object: &Value) -> Result<Platform, Vec<Fault>> {
    let none = Value::Object(serde_json::Map::new());
    let written = object.get("spec").unwrap_or(&none);
    let at = Path::of(&["spec"]);
    let faults = crd::check(&schemas.platform["properties"]["spec"], written, &at);
    if !faults.is_empty() {
        return Err(faults);
    }
    let spec: ChatPlatformSpec =
        serde_json::from_value(written.clone()).map_err(|error| vec![Fault::new(at, error.to_string())])?;
    Ok(Platform {
        name: Some(name.clone()),
        classes: spec.rooms.classes.into_iter().map(|class| (class.name.clone(), class)).collect(),
        rooms_per_namespace: spec.rooms.max_per_namespace.and_then(|most| usize::try_from(most).ok()),
        stands_in: false,
    })
}

/// Fields that mean nothing here, as `spec.chat`.
pub(crate) fn not_applicable(object: &Value) -> Vec<String> {
    let spec = &object["spec"];
    let mut fields: Vec<String> = KUBERNETES_ONLY
        .iter()
        .filter(|field| !spec[**field].is_null() && spec[**field] != false)
        .map(|field| format!("spec.{field}"))
        .collect();
    if !spec["rooms"]["namespaceSelector"].is_null() {
        fields.push("spec.rooms.namespaceSelector".to_owned());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::schemas;
    use serde_json::json;

    fn check(spec: &Value) -> Result<Platform, Vec<String>> {
        let name = "chat/parlor".parse().unwrap();
        let checked = platform(&schemas().unwrap(), &name, &json!({"spec": spec}));
        checked.map_err(|faults| faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect())
    }

    #[test]
    fn a_platform_that_says_nothing_of_rooms_has_the_class_that_rooms_have_by_default() {
        for spec in [json!({}), json!({"rooms": {}})] {
            let classes: Vec<String> = check(&spec).unwrap().classes.into_keys().collect();
            assert_eq!(classes, ["standard"], "{spec}");
        }
    }

    #[test]
    fn a_platform_of_the_protocol_is_accepted_and_its_fields_for_kubernetes_are_named() {
        let spec = json!({
            "rabbitmq": {"amqpUris": ["amqps://mq-0.mq:5671"], "managementUri": "https://mq:15671", "vhost": "parlor",
                "secretRef": {"name": "mq-operator"}, "servicesSecretRef": {"name": "mq-services"}, "caRef": {"name": "mq-ca", "key": "ca.crt"}},
            "postgres": {"secretRef": {"name": "pg", "key": "uri"}, "caRef": {"name": "pg-ca", "key": "ca.crt"}},
            "redis": {"secretRef": {"name": "redis", "key": "uri"}},
            "chat": {"image": "registry.example/parlor/chat-service:1.0.0",
                "gateway": {"scaling": {"mode": "Auto", "min": 2, "max": 20, "socketsPerReplica": 5000, "cpuPercent": 70}, "drain": {"seconds": 60, "spreadSeconds": 20},
                    "resources": {"limits": {"memory": "1Gi", "cpu": 2}}},
                "historian": {"scaling": {"mode": "HPA", "min": 1, "max": 4, "lagSeconds": 5}},
                "worker": {"scaling": {"mode": "Auto", "min": 1, "max": 8, "queueDepth": 100}}},
            "users": {"image": "x", "scaling": {"mode": "Auto", "min": 2, "max": 10, "requestsPerSecond": 200}, "registration": "Closed"},
            "rooms": {"namespaceSelector": {}, "maxPerNamespace": 1000,
                "classes": [{"name": "standard", "replicas": 3, "segmentBytes": "16Mi", "maxAge": "7d", "maxBytes": "1Gi"}, {"name": "small"}]},
            "ingress": {"host": "chat.example.com", "className": "nginx", "tlsSecretName": "chat-tls"},
            "demo": false
        });
        let checked = check(&spec).unwrap();
        assert_eq!(checked.rooms_per_namespace, Some(1000));
        assert_eq!(checked.classes["small"].max_bytes.count(), 1 << 30);
        let named = not_applicable(&json!({"spec": spec}));
        let expected = ["rabbitmq", "postgres", "redis", "chat", "users", "ingress", "rooms.namespaceSelector"]
            .map(|field| format!("spec.{field}"));
        assert_eq!(named, expected);
    }

    #[test]
    fn wrong_classes_are_answered_with_the_cure() {
        let classes = |class: &Value| check(&json!({"rooms": {"classes": [class]}})).unwrap_err();
        assert_eq!(
            classes(&json!({"name": "a", "segmentBytes": "1Ki"})),
            ["spec.rooms.classes[0].segmentBytes: is out of range: write 64Ki to 1Gi"]
        );
        let few = "spec.rooms.classes[0].maxBytes: is less than four segments: raise maxBytes or lower segmentBytes";
        assert_eq!(
            classes(&json!({"name": "a", "maxBytes": "5"})),
            [few, "spec.rooms.classes[0].maxBytes: is too little: write at least 1Mi"]
        );
        assert_eq!(classes(&json!({"name": "a", "maxBytes": "67108863"})), [few]);
        assert!(check(&json!({"rooms": {"classes": [{"name": "a", "maxBytes": "64Mi"}]}})).is_ok());
        assert_eq!(classes(&json!({"replicas": 3})), ["spec.rooms.classes[0].name: is missing: it has no default"]);
        assert_eq!(
            check(&json!({"rooms": {"classes": []}})).unwrap_err(),
            ["spec.rooms.classes: has 0 entries: write at least 1"]
        );
    }

    #[test]
    fn without_a_manifest_every_platform_is_meant_and_with_one_only_that() {
        let reference = |name: &str, namespace: Option<&str>| PlatformRef {
            name: name.into(),
            namespace: namespace.map(str::to_owned),
        };
        assert!(Platform::default().is_meant(&reference("any", None), "a"));
        let platform = check(&json!({})).unwrap();
        assert!(
            platform.is_meant(&reference("parlor", Some("chat")), "a")
                && platform.is_meant(&reference("parlor", None), "chat")
        );
        assert!(
            !platform.is_meant(&reference("parlor", None), "a")
                && !platform.is_meant(&reference("other", Some("chat")), "a")
        );
    }
}
