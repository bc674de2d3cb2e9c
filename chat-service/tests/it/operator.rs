//! The operator's part, done by hand: rooms are put, their streams declared and bound, and their logs confirmed.

use anyhow::{Result, bail, ensure};
use e2e::rig::Rig;
use e2e::wait;
use futures::{StreamExt, TryStreamExt, stream};
use proto::chat::v1::room_admin_client::RoomAdminClient;
use proto::chat::v1::{
    ConfirmLogsRequest, ListRoomsRequest, ListRoomsResponse, Log, LogName, PutRoom, PutRoomResult, PutRoomsRequest,
    Room, RoomLimits, RoomMember, RoomSpec, UploadLimits,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// As many requests at once as the operator makes.
const AT_ONCE: usize = 16;
/// Rooms of one call.
const SET: usize = 250;

/// Puts, declares and confirms through one gateway.
pub(crate) struct Operator {
    /// The calls.
    pub(crate) calls: RoomAdminClient<Channel>,
    token: String,
}

/// A public room of the file `<room>.yaml`.
pub(crate) fn manifest(room: &str, hash: &str) -> PutRoom {
    PutRoom {
        room: room.to_owned(),
        owner_uid: format!("{room}.yaml"),
        generation: 0,
        hash: hash.to_owned(),
        takes_over_from: String::new(),
        spec: Some(RoomSpec {
            display_name: room.to_owned(),
            topic: "first".to_owned(),
            visibility: "Public".to_owned(),
            class_name: "standard".to_owned(),
            members: Vec::new(),
            limits: Some(RoomLimits { message_bytes: 8192, messages_per_second: 10, burst: 20, max_members: 5000 }),
            retention_seconds: 0,
            deletion_policy: "Retain".to_owned(),
            replicas: 1,
            segment_bytes: 1 << 20,
            uploads: Some(UploadLimits { max_bytes: 1 << 20, media_types: vec!["image/*".to_owned()] }),
            log_bytes: 0,
            log_seconds: 0,
        }),
    }
}

/// The same with another spec.
pub(crate) fn with(mut put: PutRoom, change: impl FnOnce(&mut RoomSpec)) -> PutRoom {
    change(put.spec.as_mut().unwrap());
    put
}

/// The same, naming these members.
pub(crate) fn naming(put: PutRoom, members: &[(&str, &str)]) -> PutRoom {
    let member = |(name, role): &(&str, &str)| RoomMember { username: (*name).to_owned(), role: (*role).to_owned() };
    with(put, |spec| spec.members = members.iter().map(member).collect())
}

impl Operator {
    /// Declares the exchanges, and connects to a gateway.
    pub(crate) async fn new(rig: &Rig, gateway: usize) -> Result<Self> {
        for exchange in ["parlor.rooms", "parlor.events", "parlor.live", "parlor.work"] {
            let path = rig.vhost.path("exchanges", exchange);
            rig.vhost.put(&path, &json!({"type": "topic", "durable": true})).await?;
        }
        Self::connect(&rig.gateway(gateway).grpc, &rig.service_token("operator", "rooms")).await
    }

    /// Connects with this token.
    pub(crate) async fn connect(grpc: &str, token: &str) -> Result<Self> {
        let endpoint = tonic::transport::Endpoint::from_shared(grpc.to_owned())?.timeout(Duration::from_secs(30));
        Ok(Self { calls: RoomAdminClient::new(endpoint.connect().await?), token: token.to_owned() })
    }

    /// A request with the token.
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    /// One result per room.
    pub(crate) async fn put(&self, rooms: Vec<PutRoom>) -> Result<Vec<PutRoomResult>, Status> {
        let request = self.request(PutRoomsRequest { rooms });
        Ok(self.calls.clone().put_rooms(request).await?.into_inner().results)
    }

    /// One result per room.
    pub(crate) async fn confirm(&self, rooms: &[Room]) -> Result<Vec<PutRoomResult>, Status> {
        let name = |room: &Room| LogName { room: room.room.clone(), epoch: log(room).epoch };
        let request = self.request(ConfirmLogsRequest { logs: rooms.iter().map(name).collect() });
        Ok(self.calls.clone().confirm_logs(request).await?.into_inner().results)
    }

    /// Everything that is listed.
    pub(crate) async fn list(&self) -> Result<Vec<ListRoomsResponse>, Status> {
        let pages = self.calls.clone().list_rooms(self.request(ListRoomsRequest {})).await?;
        pages.into_inner().try_collect().await
    }

    /// Puts, declares and confirms, in sets; every room must come to be.
    pub(crate) async fn make(&self, rig: &Rig, rooms: Vec<PutRoom>) -> Result<Vec<Room>> {
        let mut made = Vec::with_capacity(rooms.len());
        for set in rooms.chunks(SET) {
            let put = committed(self.put(set.to_vec()).await?)?;
            declare(rig, &put).await?;
            made.extend(committed(self.confirm(&put).await?)?);
        }
        Ok(made)
    }

    /// Confirms again and again until the newest log is open.
    pub(crate) async fn confirm_until_open(&self, room: &Room, limit: Duration) -> Result<Room> {
        wait::until(limit, "the new log open", async || {
            let room = committed(self.confirm(std::slice::from_ref(room)).await?)?.remove(0);
            Ok((log(&room).state == "open").then_some(room))
        })
        .await
    }
}

/// The rooms of results that hold no error.
pub(crate) fn committed(results: Vec<PutRoomResult>) -> Result<Vec<Room>> {
    let room = |result: PutRoomResult| match (result.committed, result.error) {
        (Some(room), None) => Ok(room),
        (_, error) => bail!("{}: {error:?}", result.room),
    };
    results.into_iter().map(room).collect()
}

/// The newest log of a room.
pub(crate) fn log(room: &Room) -> Log {
    room.log.clone().unwrap()
}

/// Declares and binds the newest logs of these rooms.
pub(crate) async fn declare(rig: &Rig, rooms: &[Room]) -> Result<()> {
    let declare = |log: Log| async move {
        let arguments = json!({
            "x-queue-type": "stream",
            "x-stream-max-segment-size-bytes": log.segment_bytes,
            "x-initial-cluster-size": log.replicas,
        });
        let queue = json!({"durable": true, "arguments": arguments});
        ask(rig, Method::PUT, &rig.vhost.path("queues", &log.stream), &queue).await?;
        let binding = format!("/api/bindings/{}/e/parlor.rooms/q/{}", rig.vhost.name, log.stream);
        ask(rig, Method::POST, &binding, &json!({"routing_key": log.routing_key, "arguments": {}})).await
    };
    stream::iter(rooms.iter().map(log)).map(declare).buffer_unordered(AT_ONCE).try_collect().await
}

/// Over kept connections, as the operator does.
async fn ask(rig: &Rig, method: Method, path: &str, body: &Value) -> Result<()> {
    let url = format!("{}{path}", rig.vhost.management_url);
    let answer = rig.http.request(method, url).json(body).send().await?;
    ensure!(answer.status().is_success(), "{path}: {}", answer.status());
    Ok(())
}
