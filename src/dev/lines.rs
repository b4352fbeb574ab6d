//! What is printed: one line for each request, and one for a stream's end.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::journal::{Decision, Entry, Stream};

/// Lines that wait to be printed; more are lost. Whoever doesn't read them holds up no request.
const MOST_WAITING: usize = 1_024;

/// Longest explanation of a refusal on one line, in characters.
const MOST_DETAIL_CHARS: usize = 160;

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const DIM: &str = "2";

/// Prints lines to standard output, from a thread of its own.
pub struct Lines {
    sender: SyncSender<String>,
    coloured: bool,
}

impl Lines {
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn start(coloured: bool) -> io::Result<Self> {
        let (sender, lines) = sync_channel::<String>(MOST_WAITING);
        thread::Builder::new().name("lines".to_owned()).spawn(move || {
            for line in lines {
                // Nobody reads them any more.
                if writeln!(io::stdout(), "{line}").is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { sender, coloured })
    }

    pub(super) fn request(&self, entry: &Entry) {
        let status = entry.status.to_string();
        let colour = match entry.status {
            ..400 => GREEN,
            400..500 => YELLOW,
            _ => RED,
        };
        let decision = match entry.decision {
            Decision::Own | Decision::Preflight => self.painted(DIM, &padded(entry.decision.name())),
            Decision::Allow | Decision::Deny => self.painted(colour, &padded(entry.decision.name())),
        };
        let fault = entry.fault.map(|fault| format!("  {}", self.painted(RED, &format!("fault {fault}"))));
        self.print(format!(
            "{}  {} {decision} {} {}  {}{}{}",
            self.painted(DIM, &time(entry)),
            self.painted(colour, &status),
            entry.method,
            entry.path,
            self.painted(DIM, &format!("{} ms", entry.ms)),
            fault.unwrap_or_default(),
            self.explained(entry),
        ));
    }

    pub(super) fn stream_end(&self, entry: &Entry, stream: &Stream) {
        let ended = stream.ended.as_deref().unwrap_or("open");
        let colour = if matches!(ended, "done" | "left") { GREEN } else { YELLOW };
        let (path, ended) = (&entry.path, self.painted(colour, ended));
        let events = self.painted(DIM, &format!("after {} events", stream.events));
        self.print(format!(
            "{}      {} {path}  {ended} {events}",
            self.painted(DIM, &time(entry)),
            self.painted(DIM, &padded("stream"))
        ));
    }

    /// What is not as the developer may expect, and what it is.
    fn explained(&self, entry: &Entry) -> String {
        let Some(reason) = &entry.reason else { return String::new() };
        let detail = entry.detail.as_deref().unwrap_or_default();
        let mut short: String = detail.chars().take(MOST_DETAIL_CHARS).filter(|c| !c.is_control()).collect();
        if short.len() < detail.len() {
            short.push('…');
        }
        format!("  {}: {short}", self.painted(YELLOW, reason))
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Without waiting.
    fn print(&self, line: String) {
        drop(self.sender.try_send(line));
    }
}

fn padded(text: &str) -> String {
    format!("{text:9}")
}

/// The time of day, in UTC.
fn time(entry: &Entry) -> String {
    entry.at.to_string().get(11..19).unwrap_or_default().to_owned()
}
