//! Streams cut anywhere, against the standard's own steps written plainly.

use proptest::prelude::*;

use super::*;

const PLENTY: usize = 1 << 20;

/// All events of a stream that arrives in these chunks, and what is unfinished.
fn split(chunks: &[&[u8]], most_bytes: usize) -> Result<(Vec<Bytes>, Vec<u8>), EventTooLong> {
    let mut splitter = EventSplitter::new(most_bytes);
    let mut events = Vec::new();
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = splitter.next_event()? {
            events.push(event);
        }
    }
    let unfinished = splitter.held.to_vec();
    assert_eq!(splitter.is_between_events(), unfinished.is_empty() || unfinished == b"\n");
    Ok((events, unfinished))
}

fn events(stream: &str) -> Vec<String> {
    let (events, _) = split(&[stream.as_bytes()], PLENTY).unwrap();
    events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
}

fn data(event: &str) -> String {
    String::from_utf8(data_of(event.as_bytes()).into_owned()).unwrap()
}

#[test]
fn an_event_ends_at_an_empty_line() {
    assert_eq!(
        events("data: a\n\nevent: e\ndata: b\nid: 1\n\ndata: c"),
        ["data: a\n\n", "event: e\ndata: b\nid: 1\n\n"]
    );
    assert!(events("data: a\n").is_empty());
    assert!(events("").is_empty());
    assert_eq!(events("\n\ndata: a\n\n\n"), ["\n", "\n", "data: a\n\n", "\n"]);
    assert_eq!(events(" \n\n"), [" \n\n"]);
}

#[test]
fn a_line_ends_in_any_of_three_ways() {
    assert_eq!(events("data: a\r\rdata: b\r\r"), ["data: a\r\r", "data: b\r\r"]);
    assert_eq!(events("data: a\r\n\r\ndata: b\r\n\r\n"), ["data: a\r\n\r", "\ndata: b\r\n\r"]);
    assert_eq!(
        events("data: a\n\rdata: b\r\n\ndata: c\r\n\r\r"),
        ["data: a\n\r", "data: b\r\n\n", "data: c\r\n\r", "\r"]
    );
    assert_eq!(events("data: a\u{2028}\u{85}\u{b}\n\n"), ["data: a\u{2028}\u{85}\u{b}\n\n"]);
}

#[test]
fn a_stream_in_crlf_ends_between_events() {
    let mut splitter = EventSplitter::new(PLENTY);
    assert!(splitter.is_between_events());
    for (chunk, between) in [
        ("data: a\r\n\r\n", true),
        ("d", false),
        ("ata: a\r\n\r", true),
        ("\n", true),
        ("\n", true),
        ("x", false),
    ] {
        splitter.push(Bytes::from(chunk));
        while splitter.next_event().unwrap().is_some() {}
        assert_eq!(splitter.is_between_events(), between, "{chunk:?}");
    }
}

#[test]
fn a_mark_at_the_start_is_no_part_of_the_first_line() {
    assert_eq!(events("\u{feff}data: a\n\n"), ["\u{feff}data: a\n\n"]);
    assert_eq!(events("\u{feff}\ndata: a\n\n"), ["\u{feff}\n", "data: a\n\n"]);
    assert_eq!(events("\u{feff}\u{feff}\n\n"), ["\u{feff}\u{feff}\n\n"]);
    assert_eq!(events("\n\u{feff}\n\n"), ["\n", "\u{feff}\n\n"]);
    // The beginning of a mark is no mark.
    let (events, rest) = split(&[b"\xef\xbb\n", b"\n"], PLENTY).unwrap();
    assert_eq!((events.len(), rest.len()), (1, 0));
}

#[test]
fn an_event_within_a_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\nda");
    let mut splitter = EventSplitter::new(PLENTY);
    splitter.push(chunk.clone());
    for place in [0, 9] {
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(event.as_ptr(), chunk[place..].as_ptr());
    }
    assert_eq!(splitter.next_event(), Ok(None));
}

#[test]
fn chunks_may_be_pushed_before_all_events_are_taken() {
    let mut splitter = EventSplitter::new(PLENTY);
    for chunk in ["da", "ta: a\n", "\ndata: b\n\n", ""] {
        splitter.push(Bytes::from(chunk));
    }
    assert_eq!(splitter.next_event(), Ok(Some(Bytes::from("data: a\n\n"))));
    assert_eq!(splitter.next_event(), Ok(Some(Bytes::from("data: b\n\n"))));
    assert_eq!(splitter.next_event(), Ok(None));
}

#[test]
fn an_event_longer_than_the_bound_is_an_error_for_good() {
    let fits = b"data: a\n\n";
    assert_eq!(split(&[fits], 9).unwrap().0.len(), 1);
    assert_eq!(split(&[b"data: aaa"], 9).unwrap().1.len(), 9);
    for chunks in
        [&[&b"data: ab\n\n"[..]][..], &[b"data: ab"], &[b"data: ab\n", b"\n"], &[b"data: ", b"abc\n"]]
    {
        let most_bytes = if chunks[0] == b"data: ab" { 7 } else { 9 };
        assert_eq!(split(chunks, most_bytes), Err(EventTooLong { most_bytes }), "{chunks:?}");
    }
    let mut splitter = EventSplitter::new(9);
    splitter.push(Bytes::from("data: a\n\ndata: bb\n\ndata: c\n\n"));
    assert_eq!(splitter.next_event(), Ok(Some(Bytes::from("data: a\n\n"))));
    for _ in 0..2 {
        assert_eq!(splitter.next_event(), Err(EventTooLong { most_bytes: 9 }));
        splitter.push(Bytes::from("\n\ndata: c\n\n"));
    }
    assert!(!splitter.is_between_events());
}

#[test]
fn data_is_the_data_lines_joined() {
    for (event, expected) in [
        ("data: {\"a\":1}\n\n", "{\"a\":1}"),
        ("data:a\n\n", "a"),
        ("data:  a \n\n", " a "),
        ("event: error\nid: 1\ndata: a\nretry: 5\n\n", "a"),
        ("data: a\ndata: b\n\n", "a\nb"),
        ("data: a\r\ndata: b\r\n\r", "a\nb"),
        ("data: a\rdata\rdata:\r\r", "a\n\n"),
        ("\ndata: a\r\n\r", "a"),
        ("\u{feff}data: a\n\n", "a"),
        ("data\n\n", ""),
        (": data: a\n\n", ""),
        ("Data: a\ndata : b\ndatas: c\n data: d\nxdata: e\n\n", ""),
        ("\n", ""),
        ("", ""),
        ("data: a", "a"),
    ] {
        assert_eq!(data(event), expected, "{event:?}");
    }
    assert!(matches!(data_of(b"event: e\r\ndata: a\r\n\r"), Cow::Borrowed(b"a")));
}

#[test]
fn an_error_event_holds_its_text_whatever_the_lines() {
    let event = error_event("{\"reason\":\"token_revoked\"}");
    assert_eq!(event, "event: error\ndata: {\"reason\":\"token_revoked\"}\n\n");
    let event = error_event("{\n\"a\":\r1}");
    assert_eq!(event, "event: error\ndata: {\ndata: \"a\":\ndata: 1}\n\n");
    assert_eq!(data(std::str::from_utf8(&event).unwrap()), "{\n\"a\":\n1}");
    assert_eq!(events("event: error\ndata: {}\n\n").len(), 1);
}

/// The data of the events that a browser dispatches: the standard's own steps, over decoded text.
fn dispatched(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut dispatched = Vec::new();
    let mut buffer = String::new();
    // What follows the last line end is no whole line.
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    for line in whole.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if line.is_empty() {
            dispatched.extend(mem::take(&mut buffer).strip_suffix('\n').map(str::to_owned));
        } else if field == "data" {
            buffer += value.strip_prefix(' ').unwrap_or(value);
            buffer.push('\n');
        }
    }
    dispatched
}

/// Where the events of a whole stream end, found by looking back from each line end.
fn ends(stream: &[u8]) -> Vec<usize> {
    let start = if stream.starts_with(&BOM) { BOM.len() } else { 0 };
    let begins_line = |at: usize| at == start || is_line_end(&stream[at - 1]);
    let splits_crlf = |at: usize| at > start && stream[at - 1] == b'\r' && stream[at] == b'\n';
    let is_end = |at: &usize| is_line_end(&stream[*at]) && begins_line(*at) && !splits_crlf(*at);
    (start..stream.len()).filter(is_end).map(|at| at + 1).collect()
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"data: a",
        b"data:",
        b"data",
        b"data: {\"b\":1}",
        b": c",
        b"event: e",
        b"\xc3\xa4",
        b"\xff",
        b" ",
        b"x",
    ];
    let body = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24);
    (prop::sample::select(vec![&b""[..], &BOM, b"\xef\xbb"]), body)
        .prop_map(|(start, body)| [start, &body.concat()].concat())
}

fn cut_at<'a>(stream: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
    places.sort_unstable();
    places.push(stream.len());
    let mut start = 0;
    let piece = |end: usize| &stream[mem::replace(&mut start, end)..end];
    places.into_iter().map(piece).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn however_a_stream_is_cut_its_events_are_the_same(
        stream in prop_oneof![any_stream(), prop::collection::vec(any::<u8>(), 0..64)],
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        most_bytes in prop_oneof![Just(PLENTY), 0..40usize],
    ) {
        let whole = split(&[&stream], most_bytes);
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&split(&cut_at(&stream, &places), most_bytes), &whole);
        prop_assert_eq!(&split(&bytes, most_bytes), &whole);

        let mut longest = 0;
        let mut start = 0;
        for end in ends(&stream).into_iter().chain([stream.len()]) {
            longest = longest.max(end - start);
            start = end;
        }
        prop_assert_eq!(whole.is_err(), longest > most_bytes);
        if let Ok((events, unfinished)) = whole {
            prop_assert_eq!([events.concat(), unfinished].concat(), stream.clone());
            let mut end = 0;
            let found: Vec<_> = events.iter().map(|event| { end += event.len(); end }).collect();
            prop_assert_eq!(found, ends(&stream));
        }
    }

    #[test]
    fn the_data_of_events_is_what_a_browser_dispatches(stream in any_stream()) {
        let (events, _) = split(&[&stream], PLENTY).unwrap();
        let data: Vec<_> = events.iter().map(|event| String::from_utf8_lossy(&data_of(event)).into_owned()).collect();
        let browser = dispatched(&stream);
        let non_empty = |texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        prop_assert_eq!(non_empty(data), non_empty(browser));
    }

    #[test]
    fn events_may_be_left_out_and_the_stream_be_cut_without_a_trace(
        stream in any_stream(),
        kept in prop::collection::vec(any::<bool>(), 24 * 2),
    ) {
        let (events, _) = split(&[&stream], PLENTY).unwrap();
        let kept: Vec<_> = events.into_iter().zip(kept.into_iter().cycle()).filter(|(_, kept)| *kept).map(|(event, _)| event).collect();
        let end = error_event("{}");
        let sent = [kept.concat(), end.to_vec()].concat();
        let data = kept.iter().map(|event| String::from_utf8_lossy(&data_of(event)).into_owned());
        let expected: Vec<_> = data.filter(|data| !data.is_empty()).chain(["{}".to_owned()]).collect();
        let seen: Vec<_> = dispatched(&sent).into_iter().filter(|data| !data.is_empty()).collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn an_events_type_is_its_last_event_line_whole() {
    for (event, wanted) in [
        ("data: x\n\n", ""),
        ("event: error\ndata: x\n\n", "error"),
        ("event:error\n\n", "error"),
        ("event:  error\n\n", " error"),
        ("event: errors\n\n", "errors"),
        ("data: x\r\nevent: error\r\n\r\n", "error"),
        ("\nevent: error\n\n", "error"),
        ("\u{feff}event: error\n\n", "error"),
        (": a comment\nid: 1\nevent: error\n\n", "error"),
        ("event: error\nevent: ping\n\n", "ping"),
        ("event\n\n", ""),
        ("data: event: error\n\n", ""),
    ] {
        assert_eq!(type_of(event.as_bytes()), wanted.as_bytes(), "{event:?}");
    }
}
