//! `parlor.users.v1.Users`: takes the request apart, calls, answers.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use proto::users::v1::users_server;
use proto::users::v1::{
    CreateInviteRequest, CreateInviteResponse, GetUsersRequest, GetUsersResponse, ReserveNamesRequest,
    ReserveNamesResponse, User, VerifyTokenRequest, VerifyTokenResponse, WatchRevocationsRequest,
    WatchRevocationsResponse,
};
use service::problem::{Code, Problem};
use tonic::{Request, Response, Status};

use super::{authority, revocations};
use crate::secret::Secret;
use crate::state::App;
use crate::store::users;

/// The service.
pub(crate) struct Users {
    app: App,
}

impl Users {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl users_server::Users for Users {
    async fn verify_token(
        &self,
        request: Request<VerifyTokenRequest>,
    ) -> Result<Response<VerifyTokenResponse>, Status> {
        authority::anybody(&self.app, request.metadata()).await?;
        let token = Secret::new(request.into_inner().access_token);
        let person = self.app.accounts.verify(&token).await.map_err(Problem::from)?;
        Ok(Response::new(VerifyTokenResponse {
            user: Some(User {
                id: person.user.to_string(),
                username: person.username,
                display_name: person.display_name,
            }),
            session_id: person.session.to_string(),
            expires_at: person.expires_at.unix_timestamp(),
        }))
    }

    async fn get_users(&self, request: Request<GetUsersRequest>) -> Result<Response<GetUsersResponse>, Status> {
        authority::service(&self.app, request.metadata()).await?;
        let GetUsersRequest { ids, usernames } = request.into_inner();
        let found = self.app.accounts.find(&ids, &usernames).await.map_err(Problem::from)?;
        Ok(Response::new(GetUsersResponse { users: found.into_iter().map(user).collect() }))
    }

    type WatchRevocationsStream = Pin<Box<dyn Stream<Item = Result<WatchRevocationsResponse, Status>> + Send>>;

    async fn watch_revocations(
        &self,
        request: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let authority = authority::service(&self.app, request.metadata()).await?;
        if !self.app.accounts.revocations.is_read() {
            let detail = "revocations are not known yet: Redis has not answered";
            return Err(Problem::new(Code::Unavailable, detail).reason("sessions").into());
        }
        let since = request.into_inner().since_version;
        Ok(Response::new(Box::pin(revocations::watch(self.app.clone(), since, authority))))
    }

    async fn reserve_names(
        &self,
        request: Request<ReserveNamesRequest>,
    ) -> Result<Response<ReserveNamesResponse>, Status> {
        authority::service(&self.app, request.metadata()).await?;
        let usernames = request.into_inner().usernames;
        let outcome = self.app.accounts.reserve(&usernames).await.map_err(Problem::from)?;
        let held = outcome.held.into_iter().map(user).collect();
        Ok(Response::new(ReserveNamesResponse { held, reserved: outcome.reserved }))
    }

    async fn create_invite(
        &self,
        request: Request<CreateInviteRequest>,
    ) -> Result<Response<CreateInviteResponse>, Status> {
        authority::service(&self.app, request.metadata()).await?;
        let CreateInviteRequest { username, ttl_seconds } = request.into_inner();
        let username = Some(username.as_str()).filter(|name| !name.is_empty());
        let life = Some(ttl_seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let invite = self.app.accounts.invite(username, life).await.map_err(Problem::from)?;
        Ok(Response::new(CreateInviteResponse {
            invite: invite.token.expose().to_owned(),
            expires_at: invite.expires_at.unix_timestamp(),
        }))
    }
}

fn user(user: users::User) -> User {
    User { id: user.id.to_string(), username: user.username, display_name: user.display_name }
}
