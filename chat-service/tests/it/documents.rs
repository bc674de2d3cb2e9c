//! The documents against the running service.

use crate::util::{ROOM, chat, get, message, post};
use e2e::rig::Rig;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_openapi_document_is_there_and_wants_what_it_says() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let wiring = rig.wiring();
    rig.start_gateway(&wiring).await.unwrap();
    let base = rig.gateway(0).http.clone();
    let document: Value = rig.http.get(format!("{base}/openapi.json")).send().await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 8, "{paths:?}");
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let url = format!("{base}{}", path.replace("{namespace}", "no").replace("{name}", "room"));
            let method: http::Method = method.to_uppercase().parse().unwrap();
            let answer = rig.http.request(method.clone(), url).send().await.unwrap();
            let wanted = match path.as_str() {
                "/v1/config" => 200,
                "/v1/ws" => 426,
                _ => 401,
            };
            assert_eq!(answer.status(), wanted, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_openapi_document_says() {
    let rig = chat(1, &[ROOM]).await;
    let anna = rig.member("anna", ROOM).await.unwrap();
    let document: Value =
        rig.http.get(format!("{}/openapi.json", rig.gateway(0).http)).send().await.unwrap().json().await.unwrap();
    let messages = format!("/v1/rooms/{ROOM}/messages");
    let (status, posted) = post(&rig, &anna, &messages, message("hello")).await;
    assert_eq!(status, 201);
    conforms(&document, &answer_schema(&document, "/messages", "post", "201"), &posted, "post").unwrap();
    for suffix in ["", "/members", "/messages"] {
        let (_, body) = get(&rig, &anna, &format!("/v1/rooms/{ROOM}{suffix}")).await;
        conforms(&document, &answer_schema(&document, suffix, "get", "200"), &body, suffix).unwrap();
    }
    let (_, body) = get(&rig, &anna, "/v1/rooms").await;
    let schema = &document["paths"]["/v1/rooms"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    conforms(&document, schema, &body, "list").unwrap();
    let (_, problem) = get(&rig, &anna, &format!("{messages}?limit=0")).await;
    let schema = &document["components"]["schemas"]["ProblemDocument"];
    conforms(&document, schema, &problem, "problem").unwrap();
}

fn answer_schema(document: &Value, suffix: &str, method: &str, status: &str) -> Value {
    let path = format!("/v1/rooms/{{namespace}}/{{name}}{suffix}");
    document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"].clone()
}

/// Every field that the schema requires is there, every field that is there is described, and both have the same type.
fn conforms(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
        return conforms(document, schema, value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fit = choices.iter().filter(|choice| conforms(document, choice, value, place).is_ok()).count();
        return if fit == 1 { Ok(()) } else { Err(format!("{place}: {value} is {fit} of {schema}")) };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !types.contains(&type_of(value)) {
        return Err(format!("{place}: {value} is no {types:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(document, &schema["items"], item, place)?;
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        value.get(name).ok_or_else(|| format!("{place}: no {name} in {value}"))?;
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        conforms(document, &schema["properties"][name], field, &format!("{place}.{name}"))?;
    }
    Ok(())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
