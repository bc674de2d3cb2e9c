//! `crds/`: what `operator crd` prints, one file per kind; and the same as templates of a chart, because helm upgrades nothing that
//! lies in a chart's own folder for definitions.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Files;
use crate::cargo;
use crate::layout::Layout;

/// Builds the operator, as the tests do so that nothing is compiled twice, and asks it.
pub(crate) fn generate(layout: &Layout) -> Result<Files> {
    cargo::run(cargo::command(layout, &["test", "--workspace", "--no-run", "--quiet"]))?;
    let operator = cargo::program(layout, "operator");
    let mut command = Command::new(&operator);
    let output = command.arg("crd").output().with_context(|| format!("failed to run {}", operator.display()))?;
    ensure!(output.status.success(), "`operator crd` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let files = split(&String::from_utf8(output.stdout).context("`operator crd` printed no text")?)?;
    ensure!(!files.is_empty(), "`operator crd` printed no definition");
    Ok(files)
}

/// The templates of the chart.
pub(crate) fn templates(layout: &Layout) -> Result<Files> {
    let definitions = generate(layout)?;
    definitions.into_iter().map(|(name, text)| Ok((name, kept(&text)?))).collect()
}

/// With the mark that makes helm leave it when the chart goes: with a definition every room would go.
fn kept(definition: &str) -> Result<String> {
    ensure!(!definition.contains("{{"), "a definition holds `{{{{`, which a template would take for its own");
    let (before, after) = definition.split_once("\nmetadata:\n").context("a definition has no metadata")?;
    Ok(format!("{before}\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n{after}"))
}

/// One file per document, called after the definition's name (`chatrooms.parlor.dev.yaml`).
fn split(text: &str) -> Result<Files> {
    let mut files = Files::new();
    for document in documents(text) {
        let name = name(&document).context("a definition has no metadata.name")?;
        let old = files.insert(format!("{name}.yaml"), document);
        ensure!(old.is_none(), "two definitions are called {name}");
    }
    Ok(files)
}

fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            all.push(String::new());
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all.retain(|document| !document.trim().is_empty());
    all
}

/// `name` directly below `metadata`.
fn name(document: &str) -> Option<String> {
    let inside = document.lines().skip_while(|line| *line != "metadata:").skip(1);
    let mut fields = inside.take_while(|line| line.starts_with(' '));
    fields.find_map(|line| line.strip_prefix("  name: ")).map(|name| name.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_the_definition_and_the_mark() {
        let text = "kind: X\nmetadata:\n  name: a\nspec: {}\n";
        let expected = "kind: X\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n  name: a\nspec: {}\n";
        assert_eq!(kept(text).unwrap(), expected);
        assert!(kept("kind: X\nmetadata:\n  name: {{ x }}\n").is_err());
    }

    #[test]
    fn each_definition_becomes_a_file_of_its_name() {
        let text = "apiVersion: v1\nmetadata:\n  name: a.parlor.dev\nspec:\n  name: x\n---\nmetadata:\n  labels: {}\n  name: b.parlor.dev\n";
        let files = split(text).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.parlor.dev.yaml", "b.parlor.dev.yaml"]);
        assert!(files["b.parlor.dev.yaml"].starts_with("metadata:"));
    }

    #[test]
    fn a_definition_without_a_name_is_an_error() {
        assert!(split("spec:\n  name: x\n").is_err());
    }
}
