//! Bodies that must be whole before they can be read: bounded each, and all together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kibibytes that bodies may take at the same time.
const MOST_KIB: usize = 256 << 10;

/// Room for bodies, shared by all requests.
#[derive(Clone)]
pub(super) struct Buffers(Arc<Semaphore>);

/// A whole body, and the room that it takes.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body isn't there.
pub(super) enum Failure {
    TooLarge,
    /// All room is taken by others.
    NoRoom,
    /// Nothing came for so long.
    TooSlow,
    BrokeOff(String),
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_KIB)))
    }

    /// Reads a body to its end. It may pause for `patience` at most.
    pub(super) async fn read<B>(&self, mut body: B, most: usize, patience: Duration) -> Result<Whole, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error,
    {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > most {
            return Err(Failure::TooLarge);
        }
        let mut whole = Whole { bytes: Vec::new(), _room: None };
        let mut room = 0;
        while let Some(frame) =
            tokio::time::timeout(patience, body.frame()).await.map_err(|_| Failure::TooSlow)?
        {
            let frame = frame.map_err(|error| Failure::BrokeOff(super::upstream::chain(&error)))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if whole.bytes.len() + data.len() > most {
                return Err(Failure::TooLarge);
            }
            let needed = (whole.bytes.len() + data.len()).div_ceil(1024);
            if needed > room {
                let more = u32::try_from(needed - room).map_err(|_| Failure::TooLarge)?;
                let permit = self.0.clone().try_acquire_many_owned(more).map_err(|_| Failure::NoRoom)?;
                match &mut whole._room {
                    Some(held) => held.merge(permit),
                    none => *none = Some(permit),
                }
                room = needed;
            }
            whole.bytes.extend_from_slice(&data);
        }
        Ok(whole)
    }
}
