//! The second listener: `GET /metrics`, for whoever watches the server, and nothing else. It has
//! connections of its own, so that it answers when the other's are all taken, and it reads memory
//! only, so that it answers when the database doesn't.

mod process;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::process::Process;
use crate::app::{App, Vitals};
use crate::gateway::Gateway;
use crate::metrics::{Exposition, Format};

pub(super) fn router(app: Arc<App>, gateway: Arc<Gateway>) -> Router {
    let metrics = get(async move |headers| metrics(&app, &gateway, &headers));
    Router::new().route("/metrics", metrics).fallback(nothing_else)
}

fn metrics(app: &App, gateway: &Gateway, headers: &HeaderMap) -> Response {
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = format_asked_for(&accept.join(","));
    ([(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")], expose(app, gateway, format))
        .into_response()
}

async fn nothing_else() -> Response {
    (StatusCode::NOT_FOUND, "This address serves `/metrics` only.\n").into_response()
}

/// OpenMetrics if the caller likes it at least as much as plain text (RFC 9110, section 12.5.1).
fn format_asked_for(accept: &str) -> Format {
    let (mut plain, mut open) = (0.0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        match name.as_str() {
            "application/openmetrics-text" => open = weight.max(open),
            "text/plain" | "text/*" | "*/*" => plain = weight.max(plain),
            _ => {}
        }
    }
    if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Prometheus }
}

/// Every metric. Their names and descriptions also stand in `docs/operations.md`.
fn expose(app: &App, gateway: &Gateway, format: Format) -> String {
    let mut text = Exposition::new(format);
    expose_requests(&mut text, app);
    expose_vitals(&mut text, &app.vitals());
    expose_gateway(&mut text, app, gateway);
    if let Some(process) = Process::read() {
        expose_process(&mut text, &process);
    }
    text.finish()
}

fn expose_requests(text: &mut Exposition, app: &App) {
    let help = "Requests that were answered, those of the admin listener left out.";
    let mut samples = text.counter("hallpass_requests_total", help);
    for (route, method, status, count) in app.requests.answers() {
        samples.sample(&[("route", route), ("method", method), ("status", &status.to_string())], count);
    }
    let help = "Time from a request's head to its answer.";
    let mut samples = text.histogram("hallpass_request_duration_seconds", help);
    for (route, durations) in app.requests.durations() {
        samples.distribution(&[("route", route)], &durations);
    }
}

fn expose_vitals(text: &mut Exposition, vitals: &Vitals) {
    let help = "Tokens that this server issued.";
    text.counter("hallpass_tokens_issued_total", help).sample(&[], vitals.tokens_issued);
    let help = "Tokens that requests to this server revoked.";
    text.counter("hallpass_tokens_revoked_total", help).sample(&[], vitals.tokens_revoked);

    let help = "Writes that wait to be committed.";
    text.gauge("hallpass_write_queue_length", help).sample(&[], vitals.writing.queued);
    let help = "Writes that were committed together.";
    text.histogram("hallpass_batch_size", help).distribution(&[], &vitals.writing.batch_sizes);
    let help = "Time that the database took for such a batch.";
    text.histogram("hallpass_batch_duration_seconds", help).distribution(&[], &vitals.writing.commit_times);
    let help = "1 if the last write reached the database, 0 if it failed.";
    text.gauge("hallpass_database_writable", help).sample(&[], u8::from(vitals.database_writable));

    let help = "Revoked tokens in memory, whichever server revoked them.";
    text.gauge("hallpass_revoked_tokens", help).sample(&[], vitals.revoked_tokens);
    let help = "Time since the last successful look for revocations began.";
    text.gauge("hallpass_revocations_age_seconds", help).sample(&[], vitals.revocations_age.as_secs_f64());
    let help = "Records past their retention that were not removed yet; 100000 stands for that many or more.";
    text.gauge("hallpass_records_to_remove", help).sample(&[], vitals.records_to_remove);

    let help = "Unix time from which on the active signing key has signed.";
    let since = vitals.signing_key_active_since.seconds();
    text.gauge("hallpass_signing_key_active_since_seconds", help).sample(&[], since);
    let help = "Always 1; the version of the program.";
    text.gauge("hallpass_build_info", help).sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn expose_gateway(text: &mut Exposition, app: &App, gateway: &Gateway) {
    let help = "Requests with a client token, or without a good one, that were denied, by reason.";
    let mut samples = text.counter("hallpass_denials_total", help);
    for (reason, count) in app.denials.values() {
        samples.sample(&[("reason", reason)], count);
    }
    let help = "Answers of the agent server that are on their way to clients.";
    text.gauge("hallpass_open_streams", help).sample(&[], gateway.open_streams());
}

fn expose_process(text: &mut Exposition, process: &Process) {
    let help = "Processor time that the server used.";
    text.counter("process_cpu_seconds_total", help).sample(&[], process.cpu_seconds);
    let help = "Memory that the server occupies.";
    text.gauge("process_resident_memory_bytes", help).sample(&[], process.resident_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_the_answer_unless_openmetrics_is_liked_as_much() {
        for (accept, wanted) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html, */*;q=0.8", Format::Prometheus),
            (
                "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5,*/*;q=0.1",
                Format::Prometheus,
            ),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=high", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; version=1.0.0; Q=0.5 , text/plain;q=0.5", Format::OpenMetrics),
            // What Prometheus 3 sends.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(format_asked_for(accept), wanted, "{accept}");
        }
    }
}
