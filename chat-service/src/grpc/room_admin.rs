//! `parlor.chat.v1.RoomAdmin`: rooms as the operator administers them. Extract, call, reply; only for services with the scope `rooms`.

mod parse;
mod render;

use crate::live::Hint;
use crate::rooms::refusal::Refusal;
use crate::rooms::replace::ReplaceError;
use crate::rooms::view::{self, RoomView};
use crate::rooms::{close, confirm, delete, put, replace};
use crate::state::State;
use crate::store::admin;
use contract::position::Epoch;
use contract::room::RoomName;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use proto::chat::v1 as pb;
use proto::chat::v1::room_admin_server::RoomAdminServer;
use render::{administer, database, internal, invalid, refused, token};
use service::problem::{Code, Problem};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Rooms, or logs, of one call.
const MOST: usize = 250;
/// Rooms of one page of a list.
const PAGE: i64 = 500;
/// Bytes of one request: 250 rooms with their members.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// Longest that a call may take: PostgreSQL may stop answering in the middle of it.
const LIMIT: Duration = Duration::from_secs(10);
/// The scope of a service token that allows this.
const SCOPE: &str = "rooms";

/// The service; see [`service`].
#[derive(Clone)]
pub(crate) struct RoomAdmin {
    state: State,
}

/// To be served beside the other services.
pub(crate) fn service(state: State) -> RoomAdminServer<RoomAdmin> {
    RoomAdminServer::new(RoomAdmin { state }).max_decoding_message_size(REQUEST_BYTES)
}

impl RoomAdmin {
    /// What the caller says, if they may say it.
    async fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        let bearer = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
        let Some(bearer) = bearer else {
            return Err(Problem::new(Code::Unauthenticated, "send `authorization: Bearer <service token>`").into());
        };
        self.state.verifier.service(bearer.trim(), SCOPE).await.map_err(token)?;
        Ok(request.into_inner())
    }

    async fn view(&self, name: &RoomName) -> Result<RoomView, Status> {
        let view = limited(view::get(&self.state.pool, name)).await?.map_err(|error| database(&error))?;
        view.ok_or_else(|| refused(&Refusal::NotFound))
    }
}

/// A frozen database must not hold a caller for ever.
async fn limited<T>(work: impl Future<Output = T>) -> Result<T, Status> {
    tokio::time::timeout(LIMIT, work)
        .await
        .map_err(|_| Problem::new(Code::Unavailable, "PostgreSQL does not answer in time").reason("database").into())
}

fn room(text: &str) -> Result<RoomName, Status> {
    text.parse().map_err(|error: contract::room::NotARoom| invalid("room", &error.to_string()))
}

/// More would be too much for one transaction.
fn at_most(count: usize) -> Result<(), Status> {
    if count <= MOST {
        return Ok(());
    }
    Err(invalid("request", &format!("it names {count} rooms: send at most {MOST} a call")))
}

#[tonic::async_trait]
impl pb::room_admin_server::RoomAdmin for RoomAdmin {
    async fn put_rooms(&self, request: Request<pb::PutRoomsRequest>) -> Result<Response<pb::PutRoomsResponse>, Status> {
        let rooms = self.admit(request).await?.rooms;
        at_most(rooms.len())?;
        let names: Vec<String> = rooms.iter().map(|put| put.room.clone()).collect();
        let parsed: Vec<_> = rooms.into_iter().map(parse::put).collect();
        let good: Vec<_> = parsed.iter().filter_map(|put| put.as_ref().ok().cloned()).collect();
        let outcomes = limited(put::put(&self.state, &good)).await?.map_err(|error| database(&error))?;
        let results = render::results(names, parsed, outcomes);
        Ok(Response::new(pb::PutRoomsResponse { results }))
    }

    async fn confirm_logs(
        &self,
        request: Request<pb::ConfirmLogsRequest>,
    ) -> Result<Response<pb::ConfirmLogsResponse>, Status> {
        let logs = self.admit(request).await?.logs;
        at_most(logs.len())?;
        let names: Vec<String> = logs.iter().map(|log| log.room.clone()).collect();
        let parsed: Vec<_> = logs.iter().map(parse::declared).collect();
        let good: Vec<_> = parsed.iter().filter_map(|log| log.as_ref().ok().cloned()).collect();
        let outcomes = limited(confirm::confirm(&self.state, &good)).await?.map_err(|error| database(&error))?;
        let results = render::results(names, parsed, outcomes);
        Ok(Response::new(pb::ConfirmLogsResponse { results }))
    }

    async fn replace_log(
        &self,
        request: Request<pb::ReplaceLogRequest>,
    ) -> Result<Response<pb::ReplaceLogResponse>, Status> {
        let asked = self.admit(request).await?;
        let name = room(&asked.room)?;
        let expected: Epoch = asked
            .expected_epoch
            .parse()
            .map_err(|error: contract::position::NotAnEpoch| invalid("expected_epoch", &error.to_string()))?;
        let id = self.view(&name).await?.id;
        limited(replace::replace(&self.state.pool, id, &expected, asked.gone)).await?.map_err(|error| match error {
            ReplaceError::NotFound => refused(&Refusal::NotFound),
            ReplaceError::Database(error) => database(&error),
        })?;
        self.state.live.hint(Hint::RoomChanged { room: id });
        let view = self.view(&name).await?;
        Ok(Response::new(pb::ReplaceLogResponse { room: Some(render::room(view)) }))
    }

    async fn close_room(
        &self,
        request: Request<pb::CloseRoomRequest>,
    ) -> Result<Response<pb::CloseRoomResponse>, Status> {
        let asked = self.admit(request).await?;
        let name = room(&asked.room)?;
        let (closed, effects) =
            limited(close::close(&self.state.pool, &name, &asked.owner_uid)).await?.map_err(administer)?;
        effects.announce(&self.state);
        let messages = u64::try_from(closed.messages).unwrap_or(0);
        Ok(Response::new(pb::CloseRoomResponse { read_to_end: closed.read_to_end, messages }))
    }

    async fn get_room(&self, request: Request<pb::GetRoomRequest>) -> Result<Response<pb::Room>, Status> {
        let name = room(&self.admit(request).await?.room)?;
        Ok(Response::new(render::room(self.view(&name).await?)))
    }

    async fn delete_room(
        &self,
        request: Request<pb::DeleteRoomRequest>,
    ) -> Result<Response<pb::DeleteRoomResponse>, Status> {
        let asked = self.admit(request).await?;
        let name = room(&asked.room)?;
        let state = self.state.clone();
        // A large room takes longer than callers wait: it goes on without them, and the next call finds it done.
        let work = tokio::spawn(async move {
            let deleted = delete::delete(&state.pool, &name, &asked.owner_uid).await?;
            if let Some(room) = deleted.room {
                state.live.hint(Hint::RoomChanged { room });
            }
            Ok(deleted.streams)
        });
        let streams = work.await.map_err(|error| internal(&error))?.map_err(administer)?;
        Ok(Response::new(pb::DeleteRoomResponse { streams }))
    }

    type ListRoomsStream = BoxStream<'static, Result<pb::ListRoomsResponse, Status>>;

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Result<Response<Self::ListRoomsStream>, Status> {
        self.admit(request).await?;
        let pool = self.state.pool.clone();
        let platform_id = limited(admin::platform(&pool)).await?.map_err(|error| database(&error))?.to_string();
        // Pulled by the caller, page by page. The first page comes even if it is empty: it names the platform.
        let pages = stream::try_unfold(Some(None::<RoomName>), move |after| {
            let (pool, platform_id) = (pool.clone(), platform_id.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = limited(view::page(&pool, after.as_ref(), PAGE)).await?.map_err(|error| database(&error))?;
                let full = i64::try_from(page.len()).is_ok_and(|count| count == PAGE);
                let next = page.last().filter(|_| full).map(|room| Some(room.name.clone()));
                let rooms = page.into_iter().map(render::room).collect();
                Ok::<_, Status>(Some((pb::ListRoomsResponse { rooms, platform_id }, next)))
            }
        });
        Ok(Response::new(pages.boxed()))
    }
}
