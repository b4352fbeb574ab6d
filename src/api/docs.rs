//! The OpenAPI document, a reference page made from it, and a page for each kind of problem. The
//! pages load nothing, from here or elsewhere.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::{Kind, openapi_document};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(openapi_document()).expect("the document is plain data"));
static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| reference_page(&DOCUMENT).into_string());

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0a6c4f}
@media (prefers-color-scheme:dark){:root{--accent:#5fd3ab}}
body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:0 auto;padding:2rem 1rem 6rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}
article{border:1px solid var(--line);border-radius:.6rem;padding:.4rem 1.2rem 1rem;margin:1.2rem 0}
code,pre{font:.9em ui-monospace,monospace}pre{background:var(--soft);padding:.8rem 1rem;border-radius:.4rem;overflow:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-top:1px solid var(--line)}
.verb{color:var(--accent);font-weight:700;text-transform:uppercase;margin-right:.6rem}.soft{opacity:.7}a{color:var(--accent)}";

pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}

pub(super) async fn reference() -> Response {
    page(Html(PAGE.as_str()))
}

/// The page that a problem's `type` points at.
pub(super) async fn error(name: Result<Path<String>, axum::extract::rejection::PathRejection>) -> Response {
    let kind = Kind::ALL.into_iter().find(|kind| name.as_ref().is_ok_and(|Path(name)| name == kind.name()));
    let Some(kind) = kind else {
        return super::not_found().await.into_response();
    };
    let body = html! {
        h1 { (kind.title()) }
        p.soft { "HTTP " (kind.status().as_u16()) " · " code { (kind.name()) } }
        p { (text(kind.explanation())) }
        p { a href="../docs" { "All endpoints" } }
    };
    page(Html(document(kind.title(), &body).into_string()))
}

fn page(html: impl IntoResponse) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], html).into_response()
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Hallpass" }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

fn reference_page(openapi: &Value) -> Markup {
    let body = html! {
        h1 { "Hallpass" }
        p.soft { "Version " (string(&openapi["info"]["version"])) " · " a href="openapi.json" { "openapi.json" } }
        p { (text(string(&openapi["info"]["description"]))) }
        @for tag in array(&openapi["tags"]) {
            h2 { (string(&tag["name"])) }
            p { (text(string(&tag["description"]))) }
            @for (path, item) in object(&openapi["paths"]) {
                @for (verb, operation) in object(item) {
                    @if array(&operation["tags"]).any(|name| name == &tag["name"]) {
                        (operation_section(path, verb, operation))
                    }
                }
            }
        }
        h2 { "Schemas" }
        @for (name, schema) in object(&openapi["components"]["schemas"]) {
            article id=(name) {
                h3 { (name) }
                (properties(schema))
            }
        }
        h2 { "Problems" }
        table {
            @for kind in Kind::ALL {
                tr {
                    td { (kind.status().as_u16()) }
                    td { a href={ "errors/" (kind.name()) } { (kind.name()) } }
                    td { (text(kind.explanation())) }
                }
            }
        }
    };
    document("API reference", &body)
}

fn operation_section(path: &str, verb: &str, operation: &Value) -> Markup {
    html! {
        article {
            h3 { span.verb { (verb) } code { (path) } }
            p { strong { (string(&operation["summary"])) } ". " (text(string(&operation["description"]))) }
            @if !operation["security"].is_null() {
                p.soft { "Needs an API key: " code { "Authorization: Bearer <API key>" } }
            }
            @if !operation["parameters"].is_null() {
                table {
                    @for parameter in array(&operation["parameters"]) {
                        tr {
                            td { code { (string(&parameter["name"])) } }
                            td.soft { (string(&parameter["in"])) }
                            td { (text(string(&parameter["description"]))) }
                        }
                    }
                }
            }
            @for (kind, content) in object(&operation["requestBody"]["content"]) {
                p { "Body: " code { (kind) } ", " (reference_to(&content["schema"])) }
            }
            table {
                @for (status, response) in object(&operation["responses"]) {
                    tr {
                        td { (status) }
                        td { (text(string(&response["description"]))) }
                        td { @for (_, content) in object(&response["content"]) { (reference_to(&content["schema"])) } }
                    }
                }
            }
        }
    }
}

fn properties(schema: &Value) -> Markup {
    let required: Vec<_> = array(&schema["required"]).map(string).collect();
    html! {
        p { (text(string(&schema["description"]))) }
        @if let Some(values) = schema["enum"].as_array() {
            p { @for value in values { code { (string(value)) } " " } }
        }
        @if !schema["properties"].is_null() {
            table {
                @for (name, property) in object(&schema["properties"]) {
                    tr {
                        td { code { (name) } @if !required.contains(&name.as_str()) { span.soft { " optional" } } }
                        td { (reference_to(property)) }
                        td { (text(string(&property["description"]))) }
                    }
                }
            }
        }
    }
}

/// The type of a schema in words, linked where it has a name.
fn reference_to(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#" (name) } { (name) } };
    }
    if let Some(items) = schema.get("items") {
        return html! { "array of " (reference_to(items)) };
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(string).collect::<Vec<_>>().join(" or "),
        kind => string(kind).to_owned(),
    };
    html! { span.soft { (kind) } }
}

/// A text in which backticks mark code.
fn text(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
