//! Reading bodies: bounded in size and time, of the right type, with errors that say where.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::{Kind, Problem};
use crate::token::quote;

/// Largest body that is read.
const MOST_BYTES: usize = 64 << 10;

/// Longest time for a body to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a JSON body.
pub(super) async fn json(headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
    expect_type(headers, "application/json")?;
    let bytes = read(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        // The library's own text ends in the place; it quotes nothing of the body but a character.
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        Problem::new(Kind::InvalidRequest, format!("the body is not valid JSON at {place}: {reason}"))
    })
}

/// Reads a form's fields in order.
pub(super) async fn form(headers: &HeaderMap, body: Body) -> Result<Vec<(String, String)>, Problem> {
    expect_type(headers, "application/x-www-form-urlencoded")?;
    let bytes = read(body).await?;
    Ok(url::form_urlencoded::parse(&bytes).into_owned().collect())
}

fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("a text that is not ASCII"));
    let essence = given.and_then(|given| given.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    let seen = given.map_or_else(|| "none".to_owned(), quote);
    Err(Problem::new(
        Kind::UnsupportedMediaType,
        format!("the `Content-Type` must be `{expected}`, got {seen}"),
    ))
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let collected = tokio::time::timeout(TIMEOUT, Limited::new(body, MOST_BYTES).collect()).await;
    let collected = collected.map_err(|_| {
        Problem::new(
            Kind::RequestTimeout,
            format!("the body did not arrive within {} s; send it again", TIMEOUT.as_secs()),
        )
    })?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Kind::ContentTooLarge, format!("the body must have at most {MOST_BYTES} bytes")))
        }
        Err(_) => Err(Problem::new(Kind::InvalidRequest, "the body broke off; send it again")),
    }
}
