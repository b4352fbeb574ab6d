//! A stream of server-sent events: however it is cut into chunks, the same events come out, whole, and
//! what is left out or cut off leaves no trace in what a browser sees.
//!
//! An input is the stream, cut where it has a NUL.

#![no_main]

use hallpass::access::AnswerRule;
use hallpass::gateway::sse::{EventSplitter, EventTooLong, data_of, error_event};
use libfuzzer_sys::fuzz_target;

const PLENTY: usize = 1 << 20;
const LITTLE: usize = 32;

fuzz_target!(|input: &[u8]| {
    let chunks: Vec<_> = input.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let stream = chunks.concat();
    let single: Vec<_> = stream.iter().map(|byte| vec![*byte]).collect();
    for most_bytes in [PLENTY, LITTLE] {
        let whole = split(&[stream.clone()], most_bytes);
        assert_eq!(split(&chunks, most_bytes), whole);
        assert_eq!(split(&single, most_bytes), whole);
    }

    let (events, between) = split(&[stream.clone()], PLENTY).expect("there is plenty of room");
    let whole = events.concat();
    let rest = stream.strip_prefix(&whole[..]).expect("the events are the stream's bytes");
    assert_eq!(between, rest.is_empty() || rest == b"\n");
    assert!(!ends_within(rest), "what is unfinished holds no event's end: {rest:?}");
    for event in &events {
        assert!(event.ends_with(b"\n") || event.ends_with(b"\r"));
        assert!(!ends_within(&event[..event.len() - 1]), "an event ends once: {event:?}");
        // Never panics, whatever the data.
        let _ = AnswerRule::Messages.hides(&data_of(event));
    }

    // Every other event is left out, and the stream is cut. Only the first may have a mark at its start
    // that counts; were it left out, the mark would be another's.
    let kept: Vec<_> = events.into_iter().step_by(2).collect();
    if kept.iter().skip(1).any(|event| event.starts_with(b"\xEF\xBB\xBF")) {
        return;
    }
    let mut expected: Vec<_> = kept.iter().map(|event| text(&data_of(event))).collect();
    expected.push("{}".to_owned());
    expected.retain(|data| !data.is_empty());
    let mut sent = kept.concat();
    sent.extend_from_slice(&error_event("{}"));
    assert_eq!(dispatched(&text(&sent)), expected);
});

fn split(chunks: &[Vec<u8>], most_bytes: usize) -> Result<(Vec<Vec<u8>>, bool), EventTooLong> {
    let mut splitter = EventSplitter::new(most_bytes);
    let mut events = Vec::new();
    for chunk in chunks {
        splitter.push(chunk.clone().into());
        while let Some(event) = splitter.next_event()? {
            assert!(!event.is_empty() && event.len() <= most_bytes);
            events.push(event.to_vec());
        }
    }
    Ok((events, splitter.is_between_events()))
}

/// Whether an empty line follows a line that has something in it. A `\n` at the start may be the second
/// half of a line end; one that isn't is an event by itself, which is as long as that.
fn ends_within(bytes: &[u8]) -> bool {
    text(bytes).replace("\r\n", "\n").replace('\r', "\n").trim_start_matches('\u{feff}').contains("\n\n")
}

/// The data that a browser dispatches, by the standard's own steps.
fn dispatched(stream: &str) -> Vec<String> {
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(&stream);
    let mut dispatched = Vec::new();
    let mut data = String::new();
    for line in stream.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if line.is_empty() {
            dispatched.extend(std::mem::take(&mut data).strip_suffix('\n').map(str::to_owned));
        } else if field == "data" {
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
            data.push('\n');
        }
    }
    dispatched.retain(|data| !data.is_empty());
    dispatched
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
