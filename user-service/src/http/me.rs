//! `GET` and `PATCH /v1/me`.

use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};
use service::extract::Json;
use service::problem::Problem;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answers::moment;
use super::caller::Caller;
use super::openapi::{Email, Line};
use crate::accounts::profile::EmailChange;
use crate::state::App;
use crate::store::users;

/// The caller's account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    /// UUIDv7.
    id: Uuid,
    username: String,
    display_name: String,
    email: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// What to change; absent fields stay.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Change {
    #[schema(value_type = Option<Line>)]
    display_name: Option<String>,
    /// `null` takes the address away.
    #[serde(default)]
    #[schema(value_type = Option<Email>)]
    email: EmailChange,
}

impl From<users::User> for Me {
    fn from(user: users::User) -> Self {
        let users::User { id, username, display_name, email, created_at } = user;
        Self { id, username, display_name, email, created_at: moment(created_at) }
    }
}

/// The caller's account.
#[utoipa::path(
    get,
    path = "/v1/me",
    operation_id = "show_me",
    tag = "me",
    security(("bearer" = [])),
    responses((status = 200, description = "The account.", body = Me))
)]
pub(crate) async fn show(State(app): State<App>, Caller(person): Caller) -> Result<axum::Json<Me>, Problem> {
    Ok(axum::Json(app.accounts.profile(person.user).await?.into()))
}

/// Changes the caller's account. A new name reaches others with the next access token.
#[utoipa::path(
    patch,
    path = "/v1/me",
    operation_id = "change_me",
    tag = "me",
    security(("bearer" = [])),
    request_body = Change,
    responses((status = 200, description = "The account as it is now.", body = Me))
)]
pub(crate) async fn change(
    State(app): State<App>,
    Caller(person): Caller,
    Json(body): Json<Change>,
) -> Result<axum::Json<Me>, Problem> {
    let Change { display_name, email } = body;
    Ok(axum::Json(app.accounts.change_profile(person.user, display_name.as_deref(), &email).await?.into()))
}

/// An absent one is `Keep`.
impl<'de> Deserialize<'de> for EmailChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Remove, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, EmailChange};

    #[test]
    fn an_email_of_null_is_not_an_absent_one() {
        let change = |text: &str| serde_json::from_str::<Change>(text).unwrap().email;
        assert_eq!(change("{}"), EmailChange::Keep);
        assert_eq!(change(r#"{"email":null}"#), EmailChange::Remove);
        assert_eq!(change(r#"{"email":"a@b"}"#), EmailChange::Set("a@b".to_owned()));
    }
}
