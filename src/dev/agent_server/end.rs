//! How a run ends: what is said last, and what its object tells of it. Letta has a form for each way to
//! ask, and so has this.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::failure::{ASKED_FOR, model_error};
use super::plan::{Answer, Plan};
use super::steering::Breaks;
use super::work::Event;
use super::world::{Status, Usage};

/// An end.
pub(super) struct End {
    pub(super) status: Status,
    pub(super) stop_reason: Option<&'static str>,
    /// What the run's metadata keeps.
    pub(super) error: Option<Value>,
    pub(super) usage: Usage,
    pub(super) events: Vec<Event>,
}

const FAILED: &str = "llm_api_error";

impl End {
    /// Of a run that went well.
    pub(super) fn good(plan: &Plan) -> Self {
        let used = plan.usage.shown(plan.answer == Answer::Tokens);
        Self {
            status: Status::Completed,
            stop_reason: Some(plan.stop_reason),
            error: None,
            usage: plan.usage,
            events: vec![Event::Stopped(plan.stop_reason), Event::Used(used), Event::Done],
        }
    }

    /// Of a run that somebody ended. Those who listen are told otherwise.
    pub(super) fn cancelled() -> Self {
        let (stop_reason, usage) = (Some("cancelled"), Usage::default());
        Self { status: Status::Cancelled, stop_reason, error: None, usage, events: Vec::new() }
    }

    /// Of a run that went wrong.
    pub(super) fn bad(plan: &Plan) -> Self {
        let status = plan.error.and_then(Breaks::status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, message) = model_error(status).unwrap_or(INTERNAL);
        let usage = Usage::default();
        match plan.answer {
            // Once tokens have come, Letta says twice that it stopped, never that it is done, and counts the
            // run as completed.
            Answer::Tokens if plan.error == Some(Breaks::Midway) => {
                let error = error_message(&plan.run, INTERNAL.0, INTERNAL.1);
                let events = vec![Event::Stopped("error"), Event::Stopped(FAILED), Event::Failed(error)];
                Self { status: Status::Completed, stop_reason: Some(FAILED), error: None, usage, events }
            }
            Answer::Tokens | Answer::Stream => {
                let error = error_message(&plan.run, kind, message);
                let events = vec![Event::Stopped(FAILED), Event::Failed(error.clone()), Event::Done];
                let (stop_reason, error) = (Some(FAILED), Some(error));
                Self { status: Status::Failed, stop_reason, error, usage, events }
            }
            Answer::Whole | Answer::Later => {
                let failed = Event::Failed(error_message(&plan.run, kind, message));
                let stop_reason = (plan.answer == Answer::Later).then_some("error");
                let error = Some(json!(message));
                Self { status: Status::Failed, stop_reason, error, usage, events: vec![failed] }
            }
        }
    }
}

/// What is said of a failure that is nobody's in particular.
const INTERNAL: (&str, &str) = ("internal_error", "The agent failed.");

fn error_message(run: &str, kind: &str, message: &str) -> Value {
    json!({
        "message_type": "error_message", "run_id": run, "error_type": kind, "message": message,
        "detail": ASKED_FOR, "seq_id": null
    })
}
