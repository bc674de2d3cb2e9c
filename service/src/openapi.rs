//! How errors stand in the OpenAPI documents that the services make from their routes.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

/// Every error (RFC 9457). A document that uses [`with_problems`] lists it among its schemas.
#[derive(Serialize, ToSchema)]
pub struct ProblemDocument {
    /// A URI that names the kind of problem.
    r#type: String,
    /// The kind, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable word, of a closed list.
    #[schema(example = "invalid")]
    code: String,
    /// A finer word.
    reason: Option<String>,
    /// This very problem, for people.
    detail: String,
}

/// Adds to every operation that it may be refused as a problem.
#[must_use]
pub fn with_problems(mut document: OpenApi) -> OpenApi {
    let schema = Ref::from_schema_name("ProblemDocument");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let problem = ResponseBuilder::new()
        .description("A problem; `code` is the stable word.")
        .content("application/problem+json", content)
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
        }
    }
    document
}
