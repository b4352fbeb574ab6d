//! Server-sent events (WHATWG HTML, section 9.2) as bytes: where each event ends, so that events are
//! passed on, left out or cut off whole, and what data one holds. What the data says is for others.
//!
//! An event ends with the byte that completes its empty line. Of a line end `\r\n` that is the `\r`:
//! who waited for a `\n` would hold back the events of a stream whose lines end in `\r`. The `\n` begins
//! the next event, where it means nothing, so it does no harm whichever of the two is left out.

use std::borrow::Cow;
use std::mem;

use bytes::{Bytes, BytesMut};

/// U+FEFF, which is ignored at the start of a stream.
const BOM: [u8; 3] = *b"\xEF\xBB\xBF";

/// Cuts a stream, whose bytes arrive in chunks cut anywhere, into whole events.
///
/// The events one after another, and then what is unfinished, are the bytes of the stream; how they
/// were cut into chunks makes no difference.
#[derive(Debug)]
pub struct EventSplitter {
    most_bytes: usize,
    /// The beginning of an event whose end hasn't been seen.
    held: BytesMut,
    /// What came after it, not yet looked through.
    chunk: Bytes,
    lines: Lines,
    failed: bool,
}

/// An event is longer than the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {most_bytes} bytes")]
pub struct EventTooLong {
    pub most_bytes: usize,
}

impl EventSplitter {
    /// `most_bytes` is the most that an event may have, and so the most that is kept of a stream.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            held: BytesMut::new(),
            chunk: Bytes::new(),
            lines: Lines::default(),
            failed: false,
        }
    }

    /// Takes what came. An event that lies within a chunk is never copied if [`Self::next_event`] was
    /// asked before for all there were.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.chunk = [mem::take(&mut self.chunk), chunk].concat().into();
        }
    }

    /// The next whole event, if there is one.
    ///
    /// # Errors
    ///
    /// The next event, whole or not, is too long. There is none after it.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, EventTooLong> {
        if self.failed {
            return Err(EventTooLong { most_bytes: self.most_bytes });
        }
        let room = self.most_bytes - self.held.len();
        let within = &self.chunk[..room.min(self.chunk.len())];
        if let Some(end) = self.lines.end_of_event(within) {
            return Ok(Some(self.finish(end)));
        }
        if self.chunk.len() > room {
            self.failed = true;
            self.chunk.clear();
            return self.next_event();
        }
        self.held.extend_from_slice(&mem::take(&mut self.chunk));
        Ok(None)
    }

    /// Whether the stream may end here: no event has begun. Ask when [`Self::next_event`] has no more.
    pub fn is_between_events(&self) -> bool {
        // A `\n` that were a line of its own would be an event.
        !self.failed && self.chunk.is_empty() && matches!(&self.held[..], [] | [b'\n'])
    }

    fn finish(&mut self, end: usize) -> Bytes {
        let last = self.chunk.split_to(end);
        if self.held.is_empty() {
            return last;
        }
        self.held.extend_from_slice(&last);
        mem::take(&mut self.held).freeze()
    }
}

/// Where in its lines a stream is.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes of the BOM that were seen; all of them once it is clear whether there is one.
    bom: usize,
    /// Whether the line has any bytes.
    has_bytes: bool,
    /// Whether the byte before was a `\r`, of whose line end a `\n` would be the second half.
    after_cr: bool,
}

impl Lines {
    /// Goes on to the end of the next event, which is told as the number of bytes, or through all of them.
    fn end_of_event(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.has_bytes && self.bom == BOM.len() {
                // Within a line nothing matters but its end.
                at += bytes[at..].iter().position(is_line_end)?;
            }
            let byte = bytes[at];
            at += 1;
            if self.ends_event(byte) {
                return Some(at);
            }
        }
        None
    }

    fn ends_event(&mut self, byte: u8) -> bool {
        if self.bom < BOM.len() {
            if byte == BOM[self.bom] {
                self.bom += 1;
                self.has_bytes = self.bom < BOM.len();
                return false;
            }
            self.bom = BOM.len();
        }
        let after_cr = mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if after_cr => false,
            b'\n' | b'\r' => !mem::replace(&mut self.has_bytes, false),
            _ => {
                self.has_bytes = true;
                false
            }
        }
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// An event's data: the values of its `data` lines, joined by line ends. Empty if there are none, as in a
/// comment that keeps a connection alive: browsers dispatch no such event.
pub fn data_of(event: &[u8]) -> Cow<'_, [u8]> {
    // Who gets a stream without its first events may take a later one for the first.
    let event = event.strip_prefix(&BOM).unwrap_or(event);
    // The empty line within a `\r\n` holds no data.
    let mut values = event.split(is_line_end).filter_map(|line| value_of(line, b"data"));
    let Some(first) = values.next() else { return Cow::Borrowed(&[]) };
    let Some(second) = values.next() else { return Cow::Borrowed(first) };
    let mut joined = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.push(b'\n');
        joined.extend_from_slice(value);
    }
    Cow::Owned(joined)
}

/// An event's type: the value of its last `event` line; empty if there is none, as in most events.
pub fn type_of(event: &[u8]) -> &[u8] {
    let event = event.strip_prefix(&BOM).unwrap_or(event);
    event.split(is_line_end).filter_map(|line| value_of(line, b"event")).next_back().unwrap_or_default()
}

/// The value of a line, if its field has this name.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// The event that ends a stream which can't go on, with a JSON text that says why.
pub fn error_event(json: &str) -> Bytes {
    let mut event = String::from("event: error\n");
    for line in json.split(['\n', '\r']) {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    event.into()
}

#[cfg(test)]
mod tests;
