//! Client of user-service: who holds which name, which sessions were revoked.

mod revocations;

use contract::event::User;
use proto::users::v1::users_client::UsersClient;
use proto::users::v1::{GetUsersRequest, ReserveNamesRequest};
use revocations::Revoked;
use service::health::Check;
use service::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokens::ServiceTokenFile;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(3);
/// How soon a connection that says nothing is found out.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    channel: Channel,
    token: ServiceTokenFile,
    revoked: Revoked,
}

/// user-service did not answer, within 3 s.
#[derive(Debug, thiserror::Error)]
#[error("user-service is out of reach: {0}")]
pub(crate) struct UsersUnavailable(pub(crate) String);

impl Users {
    /// Connects when it is first needed, and follows revocations from now on. `url`: user-service's gRPC.
    pub(crate) fn start(
        url: &str,
        token: ServiceTokenFile,
        check: Check,
        shutdown: &Shutdown,
    ) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(LIMIT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let endpoint = if url.starts_with("https://") {
            // The roots of the system, or those that SSL_CERT_FILE names.
            endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?
        } else {
            endpoint
        };
        let inner = Inner { channel: endpoint.connect_lazy(), token, revoked: Revoked::new() };
        let users = Self { inner: Arc::new(inner) };
        tokio::spawn(revocations::follow(users.clone(), check, shutdown.token()));
        Ok(users)
    }

    /// Holders of names; names that nobody holds are absent. At most 500.
    pub(crate) async fn by_names(&self, names: &[String]) -> Result<Vec<User>, UsersUnavailable> {
        let request = self.request(GetUsersRequest { ids: Vec::new(), usernames: names.to_vec() })?;
        let mut client = self.client();
        Ok(people(limited(client.get_users(request)).await?.users))
    }

    /// Reserves names that nobody holds and answers the holders of the others. At most 500.
    pub(crate) async fn reserve(&self, names: &[String]) -> Result<Vec<User>, UsersUnavailable> {
        let request = self.request(ReserveNamesRequest { usernames: names.to_vec() })?;
        let mut client = self.client();
        let answer = limited(client.reserve_names(request)).await?;
        Ok(people(answer.held))
    }

    /// Whether the session is known to be revoked.
    pub(crate) fn is_revoked(&self, session: Uuid) -> bool {
        self.inner.revoked.contains(session)
    }

    /// Sessions as they are revoked. Who is too slow asks [`Self::is_revoked`] again.
    pub(crate) fn revocations(&self) -> broadcast::Receiver<Uuid> {
        self.inner.revoked.subscribe()
    }

    fn client(&self) -> UsersClient<Channel> {
        UsersClient::new(self.inner.channel.clone())
    }

    /// With the service token of this moment.
    fn request<T>(&self, message: T) -> Result<Request<T>, UsersUnavailable> {
        let unreadable =
            |what: &dyn std::fmt::Display| UsersUnavailable(format!("the service token cannot be used: {what}"));
        let bearer = self.inner.token.bearer().map_err(|error| unreadable(&error))?;
        let mut bearer: MetadataValue<_> = bearer.parse().map_err(|error| unreadable(&error))?;
        bearer.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }
}

async fn limited<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, UsersUnavailable> {
    match timeout(LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(UsersUnavailable(format!("{}: {}", status.code(), status.message()))),
        Err(_) => Err(UsersUnavailable("no answer in time".to_owned())),
    }
}

/// Somebody without a readable id is nobody.
fn people(users: Vec<proto::users::v1::User>) -> Vec<User> {
    let person = |user: proto::users::v1::User| {
        Some(User { id: user.id.parse().ok()?, username: user.username, display_name: user.display_name })
    };
    users.into_iter().filter_map(person).collect()
}
