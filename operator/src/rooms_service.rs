//! chat-service's `RoomAdmin`, the only way to rooms' rows: with the service token, at whichever of the given addresses answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use proto::chat::v1::room_admin_client::RoomAdminClient;
use proto::chat::v1::{
    CloseRoomRequest, CloseRoomResponse, ConfirmLogsRequest, DeleteRoomRequest, ListRoomsRequest, LogName, PutRoom,
    PutRoomResult, PutRoomsRequest, ReplaceLogRequest, Room,
};
use tokens::ServiceTokenFile;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// Rooms of one call.
pub(crate) const ROOMS_MOST: usize = 250;
/// For a call that writes at most that many rooms.
const LIMIT: Duration = Duration::from_secs(20);
/// For all rooms, in pages.
const LIST_LIMIT: Duration = Duration::from_mins(1);
/// Room for a list of many members.
const MESSAGE_BYTES_MOST: usize = 64 << 20;

type Client = RoomAdminClient<Channel>;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct RoomsService {
    /// Addresses and their channels.
    endpoints: Arc<[(String, Channel)]>,
    /// Which one answered last.
    current: Arc<AtomicUsize>,
    bearer: Bearer,
}

/// Who we are, to chat-service.
#[derive(Clone)]
pub(crate) enum Bearer {
    /// Of a file, which somebody renews.
    File(ServiceTokenFile),
    /// This one, `Bearer <token>`.
    Given(Arc<str>),
}

/// Why a call did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// No address answered, or PostgreSQL is away behind it.
    #[error("failed to reach chat-service: {0}")]
    Unreachable(String),
    /// It answered no.
    #[error("chat-service refused: {message}")]
    Refused {
        /// The error word.
        word: String,
        /// The finer one, if there is one.
        reason: String,
        /// For people.
        message: String,
    },
}

/// All rooms, and whose they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms {
    /// In no order.
    pub(crate) rooms: Vec<Room>,
    /// The platform's id.
    pub(crate) platform_id: String,
}

impl RoomsService {
    /// Connects when first asked. `ca`: certificate authority to trust beside the system's, as PEM.
    pub(crate) fn new(urls: &[String], bearer: Bearer, ca: Option<&str>) -> anyhow::Result<Self> {
        let endpoints = urls.iter().map(|url| Ok((url.clone(), channel(url, ca)?)));
        let endpoints: Vec<_> = endpoints.collect::<anyhow::Result<_>>()?;
        Ok(Self { endpoints: endpoints.into(), current: Arc::new(AtomicUsize::new(0)), bearer })
    }

    /// Every room.
    pub(crate) async fn list(&self) -> Result<Rooms, ServiceError> {
        self.call(LIST_LIMIT, ListRoomsRequest {}, |mut client, request| {
            Box::pin(async move {
                let mut pages = client.list_rooms(request).await?.into_inner();
                let mut all = Rooms::default();
                while let Some(page) = pages.message().await? {
                    all.rooms.extend(page.rooms);
                    all.platform_id = page.platform_id;
                }
                Ok(all)
            })
        })
        .await
    }

    /// Commits at most [`ROOMS_MOST`] rooms; one result for each, in this order.
    pub(crate) async fn put(&self, rooms: Vec<PutRoom>) -> Result<Vec<PutRoomResult>, ServiceError> {
        let count = rooms.len();
        let results = self
            .call(LIMIT, PutRoomsRequest { rooms }, |mut client, request| {
                Box::pin(async move { Ok(client.put_rooms(request).await?.into_inner().results) })
            })
            .await?;
        all_answered(count, results)
    }

    /// Says that these logs' streams exist and are bound.
    pub(crate) async fn confirm(&self, logs: Vec<LogName>) -> Result<Vec<PutRoomResult>, ServiceError> {
        let count = logs.len();
        let results = self
            .call(LIMIT, ConfirmLogsRequest { logs }, |mut client, request| {
                Box::pin(async move { Ok(client.confirm_logs(request).await?.into_inner().results) })
            })
            .await?;
        all_answered(count, results)
    }

    /// Opens a new log if `epoch` is still the newest; else answers what is.
    pub(crate) async fn replace(&self, room: &str, epoch: &str, gone: bool) -> Result<Room, ServiceError> {
        let request = ReplaceLogRequest { room: room.to_owned(), expected_epoch: epoch.to_owned(), gone };
        self.call(LIMIT, request, |mut client, request| {
            Box::pin(async move {
                let room = client.replace_log(request).await?.into_inner().room;
                room.ok_or_else(|| Status::internal("the answer has no room"))
            })
        })
        .await
    }

    /// Closes a room to sending.
    pub(crate) async fn close(&self, room: &str, owner: &str) -> Result<CloseRoomResponse, ServiceError> {
        let request = CloseRoomRequest { room: room.to_owned(), owner_uid: owner.to_owned() };
        self.call(LIMIT, request, |mut client, request| {
            Box::pin(async move { Ok(client.close_room(request).await?.into_inner()) })
        })
        .await
    }

    /// Removes a room by its policy; gives the streams that are now nobody's.
    pub(crate) async fn delete(&self, room: &str, owner: &str) -> Result<Vec<String>, ServiceError> {
        let request = DeleteRoomRequest { room: room.to_owned(), owner_uid: owner.to_owned() };
        self.call(LIMIT, request, |mut client, request| {
            Box::pin(async move { Ok(client.delete_room(request).await?.into_inner().streams) })
        })
        .await
    }

    /// Asks the address that answered last, then each other one; every call may be repeated.
    async fn call<Q: Clone, A>(
        &self,
        limit: Duration,
        message: Q,
        ask: impl Fn(Client, Request<Q>) -> BoxFuture<'static, Result<A, Status>>,
    ) -> Result<A, ServiceError> {
        // The file may still be on its way, as at the start of a pod.
        let bearer = match &self.bearer {
            Bearer::File(file) => file.bearer().map_err(|error| ServiceError::Unreachable(error.to_string()))?,
            Bearer::Given(bearer) => bearer.to_string(),
        };
        let first = self.current.load(Ordering::Relaxed);
        let mut last = ServiceError::Unreachable("no address was given".to_owned());
        for step in 0..self.endpoints.len() {
            let index = (first + step) % self.endpoints.len();
            let (url, channel) = &self.endpoints[index];
            let client = Client::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MOST);
            let request = request(message.clone(), &bearer, limit)?;
            let answer = match tokio::time::timeout(limit, ask(client, request)).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::unavailable(format!("no answer within {} s", limit.as_secs()))),
            };
            match answer.map_err(|status| error(url, &status)) {
                Ok(answer) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(unreachable @ ServiceError::Unreachable(_)) => last = unreachable,
                Err(refused) => return Err(refused),
            }
        }
        Err(last)
    }
}

fn channel(url: &str, ca: Option<&str>) -> anyhow::Result<Channel> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("{url} is no address, as http://host:9090"))?
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        // A process that is frozen holds its connections open; asked for a sign of life it does not answer.
        .http2_keep_alive_interval(Duration::from_secs(3))
        .keep_alive_timeout(Duration::from_secs(3));
    if url.starts_with("https:") {
        let mut tls = ClientTlsConfig::new().with_native_roots();
        if let Some(pem) = ca {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        endpoint = endpoint.tls_config(tls).with_context(|| format!("failed to prepare TLS for {url}"))?;
    }
    Ok(endpoint.connect_lazy())
}

fn request<Q>(message: Q, bearer: &str, limit: Duration) -> Result<Request<Q>, ServiceError> {
    let mut request = Request::new(message);
    let value = bearer.parse().map_err(|_| ServiceError::Unreachable("the service token is no token".to_owned()))?;
    request.metadata_mut().insert("authorization", value);
    request.set_timeout(limit);
    Ok(request)
}

fn error(url: &str, status: &Status) -> ServiceError {
    let info = status.get_details_error_info();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
            ServiceError::Unreachable(format!("{url}: {}", status.message()))
        }
        _ => ServiceError::Refused {
            word: info.as_ref().map(|info| info.reason.clone()).unwrap_or_default(),
            reason: info.and_then(|info| info.metadata.get("reason").cloned()).unwrap_or_default(),
            message: status.message().to_owned(),
        },
    }
}

fn all_answered(asked: usize, results: Vec<PutRoomResult>) -> Result<Vec<PutRoomResult>, ServiceError> {
    if results.len() == asked {
        return Ok(results);
    }
    Err(ServiceError::Unreachable(format!("{asked} rooms were asked for, {} were answered", results.len())))
}
