//! Reading the body of a client token's request.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};

use super::buffer::{Failure, Whole};
use super::{Gateway, answer, refusal};
use crate::access::{Denial, RequestBody, parse_json};
use crate::token::quote;
use crate::units;
use crate::web::{Kind, Problem};

/// Longest pause while a body arrives, and longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(300);

impl Gateway {
    /// Reads a JSON body.
    pub(super) async fn read_json(&self, headers: &HeaderMap, body: Body) -> Result<RequestBody, Problem> {
        expect_json(headers)?;
        let whole = self.read_body(body).await?;
        if whole.bytes.is_empty() {
            return Ok(RequestBody::Read(None));
        }
        let value = parse_json(&whole.bytes)
            .map_err(|error| refusal::denied(Denial::BodyNotValid(error.to_string())))?;
        Ok(RequestBody::Read(Some(value)))
    }

    /// Reads any body.
    pub(super) async fn read_body(&self, body: Body) -> Result<Whole, Problem> {
        let most = self.settings.max_body;
        let read = self.buffers.read(body, most, PATIENCE);
        let read = tokio::time::timeout(TIMEOUT, read).await.unwrap_or(Err(Failure::TooSlow));
        read.map_err(|failure| match failure {
            Failure::TooLarge => {
                let detail = format!(
                    "the body must have at most {}, which `gateway.max_body` sets",
                    units::show_size(most)
                );
                Problem::new(Kind::ContentTooLarge, detail)
            }
            Failure::NoRoom => answer::busy(),
            Failure::TooSlow => {
                Problem::new(Kind::RequestTimeout, "the body did not arrive in time; send it again")
            }
            Failure::BrokeOff(_) => {
                let denial = Denial::BodyNotValid("it broke off; send it again".to_owned());
                refusal::denied(denial)
            }
        })
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = given.as_bytes().split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let seen = HeaderValue::to_str(given).map_or_else(|_| "a text that is not ASCII".to_owned(), quote);
    let detail = format!("the `Content-Type` must be `application/json`, got {seen}");
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}
