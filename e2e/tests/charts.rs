//! The charts with the real helm: installed, upgraded, rolled back, and what is kept when they go.

use std::path::{Path, PathBuf};

use e2e::kube::{ControlPlane, Extent};

const DEFINITIONS: [&str; 2] = ["chatplatforms.parlor.dev", "chatrooms.parlor.dev"];
const ROOM: &str = "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: general}\n";

fn chart() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/parlor-crds")
}

/// The chart as a later version of it would be: one column more.
fn later_chart(folder: &Path) -> std::io::Result<PathBuf> {
    let later = folder.join("parlor-crds");
    std::fs::create_dir_all(later.join("templates"))?;
    let description = std::fs::read_to_string(Path::new(chart()).join("Chart.yaml"))?;
    std::fs::write(later.join("Chart.yaml"), description.replace("\nversion: ", "\nversion: 9"))?;
    for name in DEFINITIONS {
        let file = format!("templates/{name}.yaml");
        let text = std::fs::read_to_string(Path::new(chart()).join(&file))?;
        let columns = "additionalPrinterColumns:\n";
        let column = format!("{columns}    - jsonPath: .metadata.uid\n      name: Uid\n      type: string\n");
        assert!(text.contains(columns), "{text}");
        std::fs::write(later.join(&file), text.replace(columns, &column))?;
    }
    Ok(later)
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_upgrades_and_keeps_the_definitions_and_every_room() {
    let plane = ControlPlane::start(Extent::Api).await.unwrap();
    plane.cli.helm(&["install", "parlor-crds", chart()]).await.unwrap();
    for name in DEFINITIONS {
        let name = format!("crd/{name}");
        plane.cli.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]).await.unwrap();
    }
    plane.cli.kubectl_reading(&["create", "--filename", "-"], ROOM).await.unwrap();
    let uid = plane.cli.kubectl(&["get", "room", "general", "--output=jsonpath={.metadata.uid}"]).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let later = later_chart(folder.path()).unwrap().display().to_string();
    plane.cli.helm(&["upgrade", "parlor-crds", &later]).await.unwrap();
    // The API server takes a moment to print the new column.
    e2e::wait::until(std::time::Duration::from_mins(1), "the new column", async || {
        let table = plane.cli.kubectl(&["get", "rooms"]).await?;
        Ok((table.contains("UID") && table.contains(&uid)).then_some(()))
    })
    .await
    .unwrap();

    let said = plane.cli.helm(&["uninstall", "parlor-crds"]).await.unwrap();
    assert!(DEFINITIONS.iter().all(|name| said.contains(name)), "it says what it keeps: {said}");
    let kept = plane.cli.kubectl(&["get", "room", "general", "--output=jsonpath={.metadata.uid}"]).await.unwrap();
    assert_eq!(kept, uid);
    // And it can be installed again over what was kept.
    plane.cli.helm(&["install", "parlor-crds", chart()]).await.unwrap();
    let kept = plane.cli.kubectl(&["get", "room", "general", "--output=jsonpath={.metadata.uid}"]).await.unwrap();
    assert_eq!(kept, uid);
}

/// The chart of the operator.
const OPERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/parlor");
const RELEASE: [&str; 2] = ["--namespace", "chat"];

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_upgrades_rolls_back_and_uninstalls_the_operator_and_rooms_stay() {
    let plane = ControlPlane::start(Extent::Api).await.unwrap();
    let helm = async |args: &[&str]| plane.cli.helm(&[args, &RELEASE].concat()).await;
    let replicas = async || {
        let deployment = "/apis/apps/v1/namespaces/chat/deployments/parlor-operator";
        plane.get(deployment).await.map(|deployment| deployment["spec"]["replicas"].clone())
    };
    let demo = "/apis/parlor.dev/v1alpha1/namespaces/chat/chatplatforms/parlor";

    let install = ["install", "parlor", OPERATOR, "--create-namespace", "--set", "demo=true"];
    let error = helm(&install).await.unwrap_err().to_string();
    assert!(error.contains("helm install parlor-crds charts/parlor-crds"), "it says what to do first: {error}");
    plane.cli.helm(&["install", "parlor-crds", chart()]).await.unwrap();
    plane.cli.await_kinds().await.unwrap();
    let said = helm(&install).await.unwrap();
    assert!(said.contains("kubectl wait chatplatform/parlor --namespace chat"), "the next command: {said}");
    assert_eq!(plane.get(demo).await.unwrap()["spec"]["demo"], true);
    assert_eq!(replicas().await.unwrap(), 2);
    plane.cli.kubectl_reading(&["create", "--filename", "-"], ROOM).await.unwrap();

    helm(&["upgrade", "parlor", OPERATOR, "--reuse-values", "--set", "operator.replicas=3"]).await.unwrap();
    assert_eq!(replicas().await.unwrap(), 3);
    assert_eq!(plane.get(demo).await.unwrap()["spec"]["demo"], true);
    helm(&["rollback", "parlor", "1"]).await.unwrap();
    assert_eq!(replicas().await.unwrap(), 2);
    helm(&["uninstall", "parlor"]).await.unwrap();
    replicas().await.unwrap_err();
    plane.get(demo).await.unwrap_err();
    plane.cli.kubectl(&["get", "room", "general"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_refused_with_its_name() {
    let plane = ControlPlane::start(Extent::Api).await.unwrap();
    for (value, part) in [
        ("operator.replicas=0", "operator/replicas"),
        ("operator.image.digest=sha256:1", "operator/image/digest"),
        ("operator.image.pullPolicy=Sometimes", "operator/image/pullPolicy"),
        ("operator.scaleDownSeconds=1", "operator/scaleDownSeconds"),
        ("replicas=2", "replicas"),
        ("demo=maybe", "demo"),
        ("demoImages.redis=", "demoImages/redis"),
        ("imagePullSecrets[0]=registry", "imagePullSecrets/0"),
        ("serviceAccount.create=false", "serviceAccount.name is missing"),
    ] {
        let error = plane.cli.helm(&["template", "parlor", OPERATOR, "--set", value]).await.unwrap_err().to_string();
        assert!(error.contains(part), "{value}: {error}");
    }
}
