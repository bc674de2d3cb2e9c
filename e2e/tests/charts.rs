//! The chart of the definitions, with the real helm: installed, upgraded, and kept when it goes.

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
    plane.helm(&["install", "parlor-crds", chart()]).await.unwrap();
    for name in DEFINITIONS {
        let name = format!("crd/{name}");
        plane.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]).await.unwrap();
    }
    plane.kubectl_reading(&["create", "--filename", "-"], ROOM).await.unwrap();
    let uid = plane.kubectl(&["get", "room", "general", "--output=jsonpath={.metadata.uid}"]).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let later = later_chart(folder.path()).unwrap().display().to_string();
    plane.helm(&["upgrade", "parlor-crds", &later]).await.unwrap();
    // The API server takes a moment to print the new column.
    e2e::wait::until(std::time::Duration::from_mins(1), "the new column", async || {
        let table = plane.kubectl(&["get", "rooms"]).await?;
        Ok((table.contains("UID") && table.contains(&uid)).then_some(()))
    })
    .await
    .unwrap();

    let said = plane.helm(&["uninstall", "parlor-crds"]).await.unwrap();
    assert!(DEFINITIONS.iter().all(|name| said.contains(name)), "it says what it keeps: {said}");
    let kept = plane.kubectl(&["get", "room", "general", "--output=jsonpath={.metadata.uid}"]).await.unwrap();
    assert_eq!(kept, uid);
    // And it can be installed again over what was kept.
    plane.helm(&["install", "parlor-crds", chart()]).await.unwrap();
    let kept = plane.kubectl(&["get", "room", "general", "--output=jsonpath={.metadata.uid}"]).await.unwrap();
    assert_eq!(kept, uid);
}
