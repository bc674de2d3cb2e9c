//! From a spec to all objects of a platform.

use super::*;

struct Case {
    name: RoomName,
    spec: ChatPlatformSpec,
    given: Given,
    credentials: Credentials,
}

impl Case {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let mut spec = json!({"chat": {"image": "chat:1"}, "users": {"image": "users:1"}});
        change(&mut spec);
        Self {
            name: "chat/main".parse().unwrap(),
            spec: complete(&"chat/main".parse().unwrap(), serde_json::from_value(spec).unwrap()),
            given: Given {
                amqp_urls: vec!["amqp://u:p@mq-0/parlor".into(), "amqp://u:p@mq-1/parlor".into()],
                management_url: "http://u:p@mq:15672/".into(),
                database_url: "postgres://pg".into(),
                redis_url: "redis://r".into(),
                authorities: vec![],
            },
            credentials: Credentials { tokens: [("operator".to_owned(), "t".to_owned())].into() },
        }
    }

    fn objects(&self) -> Vec<Object> {
        let (chat, users) = (self.spec.chat.as_ref().unwrap(), self.spec.users.as_ref().unwrap());
        let (name, spec, given, credentials) = (&self.name, &self.spec, &self.given, &self.credentials);
        let images = DemoImages { rabbitmq: "mq:1".into(), postgres: "pg:1".into(), redis: "redis:1".into() };
        objects(&Platform { name, uid: "u1", spec, chat, users, given, images: &images, credentials })
    }

    fn object(&self, kind: Kind, name: &str) -> Value {
        let objects = self.objects().into_iter();
        let mut found = objects.filter(|object| object.kind == kind && object.value["metadata"]["name"] == name);
        found.next().unwrap_or_else(|| panic!("no {kind:?} {name}")).value
    }

    fn container(&self, name: &str) -> Value {
        self.object(Kind::Deployment, name)["spec"]["template"]["spec"]["containers"][0].clone()
    }
}

fn env(container: &Value, name: &str) -> Value {
    let all = container["env"].as_array().unwrap().iter();
    all.clone().find(|one| one["name"] == name).map_or(Value::Null, |one| one["value"].clone())
}

#[test]
fn a_platform_has_its_programs_and_nothing_says_how_many_pods() {
    let case = Case::new(|_| {});
    let names: Vec<String> = case
        .objects()
        .iter()
        .map(|object| format!("{:?} {}", object.kind, object.value["metadata"]["name"].as_str().unwrap()))
        .collect();
    let (job, rest): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.starts_with("Job"));
    assert!(job.len() == 1 && job[0].starts_with("Job main-migration-"), "{job:?}");
    let expected = [
        "ServiceAccount main-migration",
        "ServiceAccount main-gateway",
        "ServiceAccount main-historian",
        "ServiceAccount main-users",
        "Secret main-chat",
        "Secret main-users",
        "Secret main-service-tokens",
        "Deployment main-gateway",
        "Deployment main-historian",
        "Deployment main-users",
        "Service main-gateway",
        "Service main-users",
        "PodDisruptionBudget main-gateway",
        "PodDisruptionBudget main-historian",
        "PodDisruptionBudget main-users",
    ];
    assert_eq!(rest, expected);
    for object in case.objects() {
        assert_eq!(object.value["metadata"]["ownerReferences"][0]["uid"], "u1");
        assert!(object.value["spec"]["replicas"].is_null());
    }
}

#[test]
fn pods_meet_the_restricted_standard_and_keep_what_people_put_on_them() {
    let case = Case::new(|spec| {
        spec["chat"]["gateway"] = json!({
            "podLabels": {"team": "chat", "app.kubernetes.io/name": "mine"}, "podAnnotations": {"a": "b"},
            "nodeSelector": {"disk": "fast"}, "resources": {"limits": {"cpu": "2"}}, "drain": {"seconds": 90},
            "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        });
        spec["imagePullSecrets"] = json!([{"name": "regcred"}]);
    });
    let template = case.object(Kind::Deployment, "main-gateway")["spec"]["template"].clone();
    assert_eq!(template["metadata"]["labels"]["team"], "chat");
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/name"], "gateway", "else nothing would select it");
    assert_eq!(template["metadata"]["annotations"]["a"], "b");
    let pod = &template["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(
        (&pod["nodeSelector"]["disk"], &pod["imagePullSecrets"][0]["name"]),
        (&json!("fast"), &json!("regcred"))
    );
    assert_eq!(pod["terminationGracePeriodSeconds"], 105);
    let spread = &pod["topologySpreadConstraints"][0];
    assert_eq!(
        (&spread["maxSkew"], &spread["labelSelector"]["matchLabels"]["app.kubernetes.io/name"]),
        (&json!(2), &json!("gateway"))
    );
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(container["resources"], json!({"limits": {"cpu": "2"}}));
    assert_eq!(case.container("main-users")["resources"]["requests"]["cpu"], "100m");
}

#[test]
fn both_services_know_each_other_and_one_issuer() {
    let case = Case::new(|_| {});
    let (gateway, users) = (case.container("main-gateway"), case.container("main-users"));
    assert_eq!(env(&gateway, "USERS_GRPC"), "http://main-users.chat.svc:9091");
    assert_eq!(env(&gateway, "ISSUER"), env(&users, "ISSUER"));
    assert_eq!(env(&gateway, "ISSUER"), "http://main-users.chat.svc:8081");
    assert_eq!(
        case.object(Kind::Secret, "main-chat")["stringData"]["AMQP_URL"],
        "amqp://u:p@mq-0/parlor,amqp://u:p@mq-1/parlor"
    );
    assert!(case.object(Kind::Secret, "main-users")["stringData"]["AMQP_URL"].is_null(), "it needs none");

    let case = Case::new(|spec| spec["ingress"] = json!({"host": "chat.example.com", "tlsSecretName": "tls"}));
    let (gateway, users) = (case.container("main-gateway"), case.container("main-users"));
    assert_eq!(env(&gateway, "USERS_URL"), "https://chat.example.com");
    assert_eq!(env(&gateway, "JWKS_URL"), "http://main-users.chat.svc:8081/.well-known/jwks.json");
    assert_eq!(
        (env(&users, "ISSUER"), env(&users, "TRUST_FORWARDED")),
        (json!("https://chat.example.com"), json!("true"))
    );
    let ingress = case.object(Kind::Ingress, "main");
    let paths = ingress["spec"]["rules"][0]["http"]["paths"].as_array().unwrap().clone();
    let to = |path: &str| {
        let found = paths.iter().find(|one| one["path"] == path).unwrap();
        found["backend"]["service"]["name"].clone()
    };
    assert_eq!((to("/"), to("/v1/login")), (json!("main-gateway"), json!("main-users")));
    assert_eq!(ingress["spec"]["tls"][0]["secretName"], "tls");
}

#[test]
fn a_demonstration_is_reached_through_forwarded_ports_unless_it_has_a_host_name() {
    let case = Case::new(|spec| spec["demo"] = json!(true));
    let (gateway, users) = (case.container("main-gateway"), case.container("main-users"));
    assert_eq!(env(&gateway, "USERS_URL"), "http://localhost:8081");
    assert_eq!(
        (env(&gateway, "ISSUER"), env(&users, "ISSUER")),
        (env(&gateway, "USERS_URL"), env(&gateway, "USERS_URL"))
    );
    assert_eq!(env(&gateway, "JWKS_URL"), "http://main-users.chat.svc:8081/.well-known/jwks.json");
    assert_eq!(env(&users, "ALLOWED_ORIGINS"), "http://localhost:8080,http://127.0.0.1:8080");

    let case = Case::new(|spec| {
        spec["demo"] = json!(true);
        spec["ingress"] = json!({"host": "chat.example.com"});
    });
    assert_eq!(env(&case.container("main-gateway"), "USERS_URL"), "http://chat.example.com");
    assert!(env(&case.container("main-users"), "ALLOWED_ORIGINS").is_null());
}

#[test]
fn pods_start_anew_for_another_address_and_not_for_another_token_and_another_image_migrates() {
    let version = |case: &Case, name: &str| {
        let deployment = case.object(Kind::Deployment, name);
        deployment["spec"]["template"]["metadata"]["annotations"]["parlor.dev/connections"].clone()
    };
    let job = |case: &Case| {
        case.objects().into_iter().find(|object| object.kind == Kind::Job).unwrap().value["metadata"]["name"].clone()
    };
    let before = Case::new(|_| {});
    let mut after = Case::new(|_| {});
    after.credentials.tokens.insert("operator".into(), "other".into());
    assert_eq!(version(&before, "main-gateway"), version(&after, "main-gateway"));
    after.given.amqp_urls.pop();
    assert_ne!(version(&before, "main-gateway"), version(&after, "main-gateway"));
    assert_eq!(version(&before, "main-users"), version(&after, "main-users"));
    assert_eq!(job(&before), job(&after));
    assert_ne!(job(&before), job(&Case::new(|spec| spec["chat"]["image"] = json!("chat:2"))));
}

#[test]
fn certificate_authorities_are_files_that_every_program_trusts() {
    let mut case = Case::new(|_| {});
    case.given.authorities = vec!["one".into(), "two".into()];
    assert_eq!(case.object(Kind::Secret, "main-authorities")["stringData"]["ca.crt"], "one\ntwo");
    for name in ["main-gateway", "main-historian", "main-users"] {
        let container = case.container(name);
        assert_eq!(env(&container, "SSL_CERT_FILE"), "/run/parlor/authorities/ca.crt");
        let mounts = container["volumeMounts"].as_array().unwrap().clone();
        assert!(mounts.iter().any(|mount| mount["mountPath"] == "/run/parlor/authorities"));
    }
}

#[test]
fn a_demonstration_has_the_servers_that_the_spec_does_not_name() {
    let case = Case::new(|spec| {
        spec["demo"] = json!(true);
        spec["redis"] = json!({"secretRef": {"name": "mine", "key": "uri"}});
    });
    let servers: Vec<String> = case
        .objects()
        .iter()
        .filter(|object| object.kind == Kind::StatefulSet)
        .map(|object| object.value["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(servers, ["main-rabbitmq", "main-postgres"]);
    assert_eq!(case.spec.rabbitmq.as_ref().unwrap().amqp_uris, ["amqp://main-rabbitmq.chat.svc:5672"]);
    assert_eq!(case.spec.redis.as_ref().unwrap().secret_ref.name, "mine");
    let all = demo_credentials(&case.name, "pw").map(|(_, value)| value);
    assert_eq!(all[2], "postgres://parlor:pw@main-postgres.chat.svc:5432/parlor");
    let set = case.object(Kind::StatefulSet, "main-postgres");
    assert_eq!(set["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"], true);
    assert!(set["spec"]["volumeClaimTemplates"][0]["metadata"]["ownerReferences"].is_null(), "the data stay");
}
