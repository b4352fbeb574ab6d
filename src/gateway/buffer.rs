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

/// A body up to this size takes no room of the others'.
const SMALL_KIB: usize = 64;

/// Room that a JSON text takes once it is parsed, over its length: numbers, keys and empty texts are much
/// smaller than what stands for them.
const PARSED: usize = 16;

/// A whole body, and the room that it takes.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Whole {
    pub(super) fn is_small(&self) -> bool {
        self.bytes.len() <= SMALL_KIB << 10
    }

    /// Other bytes in place of these, which take no more room.
    pub(super) fn replaced_by(self, bytes: Vec<u8>) -> Self {
        Self { bytes, room: self.room }
    }

    /// The bytes, which keep their room as long as they are held, and `keeps` too.
    pub(super) fn into_bytes<K: Send + 'static>(self, keeps: K) -> Bytes {
        struct Kept<K>(Whole, K);

        impl<K> AsRef<[u8]> for Kept<K> {
            fn as_ref(&self) -> &[u8] {
                &self.0.bytes
            }
        }

        Bytes::from_owner(Kept(self, keeps))
    }
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
        let mut whole = Whole { bytes: Vec::new(), room: None };
        let mut room = SMALL_KIB;
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
                self.take(&mut whole, needed - room)?;
                room = needed;
            }
            whole.bytes.extend_from_slice(&data);
        }
        Ok(whole)
    }

    /// Takes the room that a JSON text needs besides, once it is parsed.
    pub(super) fn take_for_parsing(&self, whole: &mut Whole) -> Result<(), Failure> {
        if whole.is_small() {
            return Ok(());
        }
        let kib = whole.bytes.len().div_ceil(1024) * PARSED;
        self.take(whole, kib)
    }

    fn take(&self, whole: &mut Whole, kib: usize) -> Result<(), Failure> {
        let kib = u32::try_from(kib).map_err(|_| Failure::TooLarge)?;
        let permit = self.0.clone().try_acquire_many_owned(kib).map_err(|_| Failure::NoRoom)?;
        match &mut whole.room {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}
