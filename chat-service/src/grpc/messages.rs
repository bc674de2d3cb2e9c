//! `parlor.chat.v1.Messages`: what people say, over gRPC. The same verbs as the socket's.

use super::following::{self, Following};
use crate::error::Refused;
use crate::http::caller;
use crate::rooms::page::{self, Asked};
use crate::rooms::post::{self, NewMessage};
use crate::rooms::subscribe::At;
use crate::state::State;
use contract::room::RoomName;
use proto::chat::v1::messages_server;
use proto::chat::v1::{
    HistoryRequest, HistoryResponse, SendRequest, SendResponse, SubscribeRequest, SubscribeResponse,
};
use service::problem::{Code, Problem};
use std::time::Duration;
use tokens::Person;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Longer than anything that is in order: a send waits for a reader and for the log.
const LIMIT: Duration = Duration::from_secs(20);

/// The service.
#[derive(Clone)]
pub(crate) struct Messages {
    state: State,
}

impl Messages {
    /// Over the same state as everything else.
    pub(crate) fn new(state: State) -> Self {
        Self { state }
    }

    async fn person(&self, metadata: &MetadataMap) -> Result<Person, Problem> {
        let value = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let token =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) =
            token.ok_or_else(|| Problem::new(Code::Unauthenticated, "a person's bearer token is needed"))?;
        caller::person(&self.state, token.trim()).await
    }
}

#[tonic::async_trait]
impl messages_server::Messages for Messages {
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let user = caller::user(self.person(request.metadata()).await?);
        let SendRequest { room, id, text, reply_to, reply_to_author, attachments } = request.into_inner();
        let message = NewMessage {
            id,
            text,
            reply_to: given(reply_to),
            reply_to_author: given(reply_to_author),
            attachments: Some(attachments),
        };
        let room = name(&room)?;
        let posted = limited(post::post(&self.state, &user, &room, message)).await?;
        Ok(Response::new(SendResponse {
            room: posted.room.to_string(),
            epoch: posted.epoch,
            pos: posted.pos,
            time: posted.time.to_string(),
            duplicate: posted.duplicate,
        }))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let person = self.person(request.metadata()).await?;
        let HistoryRequest { room, before, after, epoch, limit, min_pos } = request.into_inner();
        let asked = Asked { before, after, epoch: given(epoch), limit: (limit != 0).then_some(limit), min_pos };
        let room = name(&room)?;
        let page = limited(page::page(&self.state, person.user, &room, &asked)).await?;
        let encoded: Result<Vec<String>, _> = page.messages.iter().map(serde_json::to_string).collect();
        let messages = encoded.map_err(|error| {
            tracing::error!(%error, "failed to encode a page");
            Problem::from(Refused::Internal)
        })?;
        Ok(Response::new(HistoryResponse { messages, has_more: page.has_more, epoch: page.epoch, pos: page.pos }))
    }

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let person = self.person(request.metadata()).await?;
        let SubscribeRequest { room, epoch, pos } = request.into_inner();
        let name = name(&room)?;
        let epoch = given(epoch)
            .map(|epoch| epoch.parse().map_err(|error| Problem::new(Code::Invalid, format!("epoch: {error}"))))
            .transpose()?;
        let following = limited(Following::begin(&self.state, person, &name, At { epoch, pos })).await?;
        Ok(Response::new(following::stream(following)))
    }
}

/// No call waits for ever, also where PostgreSQL is frozen and answers nothing.
async fn limited<T>(call: impl Future<Output = Result<T, Refused>>) -> Result<T, Problem> {
    timeout(LIMIT, call).await.unwrap_or(Err(Refused::Unavailable("timeout"))).map_err(Problem::from)
}

/// Proto's empty text is no text.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn name(room: &str) -> Result<RoomName, Problem> {
    room.parse().map_err(|error| Problem::new(Code::Invalid, format!("room: {error}")))
}
