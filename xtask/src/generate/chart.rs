//! The chart of the operator: what helm makes of it with the values of each file in `ci/`, and the table of its values, from their
//! schema.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_yaml_ng::{Mapping, Value};

use super::Files;
use crate::layout::Layout;
use crate::tools;

/// Folder of the chart.
const CHART: &str = "charts/parlor";
/// What the names of files with values end in.
const VALUES: &str = "-values.yaml";
/// The namespace of a release, which is no name of anything else.
const NAMESPACE: &str = "somewhere";
const INTRODUCTION: &str = "# Values of the chart `parlor`

What `helm install parlor charts/parlor --set NAME=VALUE`, or a file for `--values`, may change. Helm refuses a name that is not here,
and a value of another type, with a message that names it.

| value | default | what it is |
|---|---|---|
";

/// `<case>.yaml` for each `<case>-values.yaml`: all objects, as `helm template` prints them.
pub(crate) fn renders(layout: &Layout) -> Result<Files> {
    let helm = tools::control_plane(layout, &mut |line| println!("{line}"))?.join("helm");
    let folder = layout.root.join(CHART).join("ci");
    let mut files = Files::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(case) = name.strip_suffix(VALUES) else { continue };
        let mut command = Command::new(&helm);
        command.args(["template", "parlor", CHART, "--namespace", NAMESPACE, "--values"]).arg(&path);
        // The chart of the definitions is installed first.
        command.args(["--api-versions", "parlor.dev/v1alpha1/ChatPlatform"]).current_dir(&layout.root);
        let output = command.output().with_context(|| format!("failed to run {}", helm.display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm template with {name} failed: {}", errors.trim());
        files.insert(format!("{case}.yaml"), String::from_utf8(output.stdout)?);
    }
    ensure!(!files.is_empty(), "{} has no file that ends in {VALUES}", folder.display());
    Ok(files)
}

/// `values.md`: each value with its default and its description.
pub(crate) fn values(layout: &Layout) -> Result<Files> {
    let read = |name: &str| -> Result<Value> {
        let path = layout.root.join(CHART).join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_yaml_ng::from_str(&text).with_context(|| format!("{} cannot be understood", path.display()))
    };
    // JSON is YAML, whose mappings keep their order.
    let (schema, defaults) = (read("values.schema.json")?, read("values.yaml")?);
    let mut text = INTRODUCTION.to_owned();
    rows("", &schema, &defaults, &mut text)?;
    Ok(Files::from([("values.md".to_owned(), text)]))
}

/// A row for each value below, in the schema's order.
fn rows(above: &str, schema: &Value, defaults: &Value, text: &mut String) -> Result<()> {
    let properties = schema.get("properties").and_then(Value::as_mapping).cloned().unwrap_or_default();
    let known: Mapping = defaults.as_mapping().cloned().unwrap_or_default();
    for name in known.keys() {
        ensure!(properties.contains_key(name), "values.schema.json does not know {above}{name:?} of values.yaml");
    }
    for (name, schema) in &properties {
        let name = format!("{above}{}", name.as_str().context("a name in values.schema.json is no text")?);
        let description = schema.get("description").and_then(Value::as_str);
        let description = description.with_context(|| format!("{name} has no description in values.schema.json"))?;
        let default = known.get(name.rsplit('.').next().unwrap_or(&name));
        let default = default.with_context(|| format!("{name} has no default in values.yaml"))?;
        if schema.get("properties").is_some() {
            rows(&format!("{name}."), schema, default, text)?;
        } else {
            let default = serde_json::to_string(default)?;
            writeln!(text, "| `{name}` | `{default}` | {description} |")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, defaults: &str) -> Result<String> {
        let mut text = String::new();
        rows("", &serde_yaml_ng::from_str(schema)?, &serde_yaml_ng::from_str(defaults)?, &mut text)?;
        Ok(text)
    }

    #[test]
    fn a_row_has_name_default_and_description() {
        let schema = r#"{"properties": {"b": {"description": "B", "properties": {"x": {"description": "X"}}}, "a": {"description": "A"}}}"#;
        assert_eq!(table(schema, "a: [1]\nb: {x: ''}").unwrap(), "| `b.x` | `\"\"` | X |\n| `a` | `[1]` | A |\n");
    }

    #[test]
    fn a_value_needs_a_schema_a_default_and_a_description() {
        let schema = r#"{"properties": {"a": {"description": "A"}}}"#;
        for (schema, defaults, part) in [
            (schema, "{a: 1, b: 2}", "does not know"),
            (schema, "{}", "no default"),
            (r#"{"properties": {"a": {}}}"#, "a: 1", "no description"),
        ] {
            let error = table(schema, defaults).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_charts_have_the_version_of_the_programs() {
        for chart in [CHART, "charts/parlor-crds"] {
            let path = format!("{}/../{chart}/Chart.yaml", env!("CARGO_MANIFEST_DIR"));
            let chart: Value = serde_yaml_ng::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!([&chart["version"], &chart["appVersion"]], [env!("CARGO_PKG_VERSION"); 2], "{path}");
        }
    }
}
