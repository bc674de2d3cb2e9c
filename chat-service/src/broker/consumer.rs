//! A consumer of one stream. Its acknowledgements are the stream's credit.

use super::ConsumeError;
use super::node::Place;
use crate::log::delivery::Delivery;
use futures::FutureExt as _;
use futures::future::join_all;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicCancelOptions};
use std::mem;
use std::time::Duration;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

/// An acknowledgement that is not written by then belongs to a connection that is ending.
const WRITTEN_LIMIT: Duration = Duration::from_secs(10);

/// Acknowledges as it goes. Dropping it cancels it.
#[derive(Debug)]
pub(crate) struct Consumer {
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    stream: lapin::Consumer,
    place: Place,
    /// Delivered, not yet acknowledged.
    open: Vec<Acker>,
    /// Acknowledge when so many are open.
    often: usize,
}

impl Consumer {
    pub(super) fn new(stream: lapin::Consumer, place: Place, prefetch: u16) -> Self {
        let often = usize::from(prefetch / 4).max(1);
        Self { live: Some(Live { stream, place, open: Vec::new(), often }) }
    }

    /// The next message; waits without limit, cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Delivery, ConsumeError> {
        let Some(live) = self.live.as_mut() else { return Err(ConsumeError::Cancelled) };
        loop {
            if let Some(result) = live.try_next() {
                return result;
            }
            // Nothing waits here: acknowledge all now, because the broker ends a channel with an old open delivery (30 minutes).
            live.acknowledge();
            let item = live.stream.next().await;
            if let Some(result) = live.take(item) {
                return result;
            }
        }
    }

    /// The next message if it is here already.
    pub(crate) fn try_next(&mut self) -> Option<Result<Delivery, ConsumeError>> {
        self.live.as_mut()?.try_next()
    }
}

impl Live {
    fn try_next(&mut self) -> Option<Result<Delivery, ConsumeError>> {
        loop {
            let item = self.stream.next().now_or_never()?;
            if let Some(result) = self.take(item) {
                return Some(result);
            }
        }
    }

    /// `None`: no message of a stream, passed by.
    fn take(
        &mut self,
        item: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Option<Result<Delivery, ConsumeError>> {
        match item {
            Some(Ok(delivery)) => {
                self.open.push(delivery.acker);
                if self.open.len() >= self.often {
                    self.acknowledge();
                }
                Delivery::read(delivery.properties.headers().as_ref(), delivery.data).map(Ok)
            }
            Some(Err(error)) => Some(Err(ConsumeError::Ended(error.to_string()))),
            // lapin says an error first if there was one.
            None => Some(Err(ConsumeError::Cancelled)),
        }
    }

    /// One by one: `multiple` would acknowledge other consumers' messages on this channel too, which is credit they did not earn.
    fn acknowledge(&mut self) {
        if self.open.is_empty() {
            return;
        }
        write(mem::take(&mut self.open), self.place.shared.clone());
    }
}

/// Acknowledges these, holding their `channel` until all are written: lapin writes each in a task of its own, and one that comes
/// behind the channel's close is an error that ends the whole connection (measured: one drop in some hundred).
pub(super) fn write(open: Vec<Acker>, channel: impl Send + 'static) {
    tokio::spawn(async move {
        let written = join_all(open.iter().map(|acker| acker.ack(BasicAckOptions::default())));
        timeout(WRITTEN_LIMIT, written).await.ok();
        drop(channel);
    });
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Cancel first, then acknowledge what came meanwhile: open deliveries would stay with the channel, which others share.
        runtime.spawn(async move {
            let channel = live.place.shared.channel.clone();
            channel.basic_cancel(live.stream.tag(), BasicCancelOptions::default()).await.ok();
            while let Some(Some(Ok(delivery))) = live.stream.next().now_or_never() {
                live.open.push(delivery.acker);
            }
            live.acknowledge();
        });
    }
}
