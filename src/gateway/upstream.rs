//! The agent server behind the gateway: how it is reached, and with which secret.
//!
//! hyper-util's client is the one that hyper's own maintainers keep: pooled connections, requests and
//! answers as streams, no policy of its own. It sends a request again only when a kept connection
//! turned out to be closed before a byte of it was written, which nothing can have run.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;
use zeroize::Zeroizing;

use crate::web::{Kind, Problem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a connection and its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept: less than the agent server keeps it (uvicorn: 5 s), so that
/// it isn't closed under a request.
const KEPT_IDLE: Duration = Duration::from_secs(4);

/// Unused connections that are kept.
const MOST_IDLE: usize = 256;

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
    client: Client<Bounded, Body>,
    scheme: Scheme,
    authority: Authority,
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
        let (Some(scheme), Some(authority)) = (url.scheme().cloned(), url.authority().cloned()) else {
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
        let tls = tls(&scheme, settings)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .set_host(false)
            .build(Bounded(connector));
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| UpstreamError::Url("its host can't be sent in a header".to_owned()))?;
        Ok(Self { client, scheme, authority, host, authorization, answer_timeout: settings.answer_timeout })
    }

    /// Sends a request and waits for the head of the answer. `headers` holds none that names the
    /// caller; the host and the secret are added here.
    pub(super) async fn send(
        &self,
        method: Method,
        target: PathAndQuery,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, Problem> {
        headers.insert(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        *request.uri_mut() = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(target)
            .build()
            .map_err(Problem::internal)?;
        match tokio::time::timeout(self.answer_timeout, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(Problem::new(
                Kind::UpstreamTimeout,
                format!("the agent server did not answer within {} s", self.answer_timeout.as_secs()),
            )),
        }
    }
}

fn unreachable(error: &hyper_util::client::legacy::Error) -> Problem {
    let detail = if error.is_connect() {
        "the agent server can't be reached; nothing was sent to it"
    } else {
        "the agent server broke off before it answered; it may have done what was asked"
    };
    Problem::new(Kind::UpstreamUnreachable, detail).caused_by(chain(error))
}

/// Connects within a time that covers the TLS handshake too.
#[derive(Clone)]
struct Bounded(HttpsConnector<HttpConnector>);

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn Error + Send + Sync>>> + Send>>;

impl Service<Uri> for Bounded {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no TLS connection came about in time");
            tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await.map_err(|_| late())?
        })
    }
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
