//! The agent server behind the gateway: how it is reached, and with which secret.
//!
//! Requests and answers are streams, on connections that are kept. A request is sent again only when a kept
//! connection turned out to be closed before a byte of it was written, which nothing can have run.

mod links;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;
use zeroize::Zeroizing;

pub(super) use self::links::Answer;
use self::links::{Kept, Link, NoAnswer};
use crate::web::{Kind, Problem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a connection and its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the agent server is.
pub struct UpstreamSettings {
    /// `http://host:port` or `https://…`, without a path.
    pub url: String,
    /// The agent server's own secret.
    pub token: Option<Zeroizing<String>>,
    /// Certificates that vouch for it, in PEM; without them, the system's.
    pub ca: Option<PathBuf>,
    /// How long it may take to begin its answer.
    pub answer_timeout: Duration,
}

/// Why the gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("`gateway.upstream`: {0}")]
    Url(String),
    #[error("`gateway.upstream_token` can't be sent in a header")]
    Token,
    #[error("`gateway.upstream_ca`: `{path}` {problem}")]
    Ca { path: String, problem: String },
    #[error("the system's certificates can't be read: {0}; name some by `gateway.upstream_ca`")]
    Roots(io::Error),
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

pub(super) struct Upstream {
    connector: HttpsConnector<HttpConnector>,
    kept: Arc<Kept>,
    /// Where it is, as a URL.
    base: Uri,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    answer_timeout: Duration,
}

impl Upstream {
    pub(super) fn new(settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let url: Uri = settings
            .url
            .parse()
            .map_err(|error: axum::http::uri::InvalidUri| UpstreamError::Url(error.to_string()))?;
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(UpstreamError::Url("must be like `http://127.0.0.1:8283`".to_owned()));
        };
        let authorization = match &settings.token {
            Some(token) => {
                let value = Zeroizing::new(format!("Bearer {}", token.as_str()));
                let mut value = HeaderValue::from_str(&value).map_err(|_| UpstreamError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let tls = tls(scheme, settings)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| UpstreamError::Url("its host can't be sent in a header".to_owned()))?;
        Ok(Self {
            connector,
            kept: Arc::default(),
            base: url,
            host,
            authorization,
            answer_timeout: settings.answer_timeout,
        })
    }

    /// Sends a request and waits for the head of the answer. `headers` holds none that names the
    /// caller; the host and the secret are added here.
    pub(super) async fn send(
        &self,
        method: Method,
        target: PathAndQuery,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Answer>, Problem> {
        headers.insert(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        *request.uri_mut() = target.into();
        self.exchange(request, Instant::now() + self.answer_timeout).await
    }

    /// Closes connections that nobody has used for a while.
    pub(super) fn tidy(&self) {
        self.kept.tidy();
    }

    async fn exchange(
        &self,
        mut request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Answer>, Problem> {
        while let Some(mut link) = self.kept.take() {
            match link.exchange(request, deadline).await {
                Ok(response) => return Ok(self.answer(response, link)),
                Err(NoAnswer::TooLate) => return Err(self.too_late()),
                Err(NoAnswer::Failed(mut error)) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broke_off(error.error())),
                },
            }
        }
        let connecting = Box::pin(tokio::time::timeout_at(deadline.into(), self.connect()));
        let mut link = connecting.await.map_err(|_| self.too_late())??;
        match link.exchange(request, deadline).await {
            Ok(response) => Ok(self.answer(response, link)),
            Err(NoAnswer::TooLate) => Err(self.too_late()),
            Err(NoAnswer::Failed(error)) if error.message().is_some() => Err(unreachable(error.error())),
            Err(NoAnswer::Failed(error)) => Err(broke_off(error.error())),
        }
    }

    fn too_late(&self) -> Problem {
        let text = format!("the agent server did not answer within {} s", self.answer_timeout.as_secs());
        Problem::new(Kind::UpstreamTimeout, text)
    }

    fn answer(&self, response: Response<Incoming>, link: Box<Link>) -> Response<Answer> {
        response.map(|incoming| Answer::new(incoming, link, self.kept.clone()))
    }

    async fn connect(&self) -> Result<Box<Link>, Problem> {
        // The time covers the TLS handshake too.
        let connecting = self.connector.clone().call(self.base.clone());
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(&*error)),
            Err(_) => return Err(unreachable(&late())),
        };
        Link::new(stream).await.map_err(|error| unreachable(&error))
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no connection came about in time")
}

fn unreachable(error: &dyn Error) -> Problem {
    let detail = "the agent server can't be reached; nothing was sent to it";
    Problem::new(Kind::UpstreamUnreachable, detail).caused_by(chain(error))
}

fn broke_off(error: &dyn Error) -> Problem {
    let detail = "the agent server broke off before it answered; it may have done what was asked";
    Problem::new(Kind::UpstreamUnreachable, detail).caused_by(chain(error))
}

/// An error with all its causes: the first one alone often says next to nothing.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What vouches for the agent server. Nothing is read for one that is reached without TLS.
fn tls(scheme: &Scheme, settings: &UpstreamSettings) -> Result<ClientConfig, UpstreamError> {
    use hyper_rustls::ConfigBuilderExt;

    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder =
        ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
    if *scheme != Scheme::HTTPS {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let Some(path) = &settings.ca else {
        return Ok(builder.with_native_roots().map_err(UpstreamError::Roots)?.with_no_client_auth());
    };
    let failed = |problem: String| UpstreamError::Ca { path: path.display().to_string(), problem };
    let mut file = BufReader::new(File::open(path).map_err(|error| failed(error.to_string()))?);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_reader_iter(&mut file) {
        let certificate = certificate.map_err(|error| failed(format!("is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| failed(format!("holds a bad certificate: {error}")))?;
    }
    if roots.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
