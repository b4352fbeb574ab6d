use axum::body::Bytes;
use std::borrow::Cow;
pub(super) struct Splitter(Option<Bytes>);
pub(super) struct TooLong;
impl Splitter {
    pub(super) fn new(_most: usize) -> Self {
        Self(None)
    }
    pub(super) fn push(&mut self, b: Bytes) -> Result<(), TooLong> {
        self.0 = Some(b);
        Ok(())
    }
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.0.take()
    }
}
pub(super) fn data_of(event: &[u8]) -> Cow<'_, [u8]> {
    Cow::Borrowed(event)
}
pub(super) fn error_event(json: &str) -> Bytes {
    format!("event: error\ndata: {json}\n\n").into()
}
