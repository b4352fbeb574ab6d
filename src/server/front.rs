//! Who answers a request: our own endpoints, or the gateway.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;

use super::Answers;
use crate::app::App;
use crate::gateway::{Gateway, is_forward_auth, is_ours};

/// Everything behind a listener.
#[derive(Clone)]
pub struct Front {
    own: TowerToHyperService<Router>,
    gateway: Option<Arc<Gateway>>,
}

impl Front {
    /// Our own endpoints, and the gateway.
    pub fn new(app: Arc<App>, gateway: Arc<Gateway>) -> Self {
        Self { own: TowerToHyperService::new(crate::api::router(app)), gateway: Some(gateway) }
    }

    /// A router and nothing else.
    pub(super) fn router(router: Router) -> Self {
        Self { own: TowerToHyperService::new(router), gateway: None }
    }
}

impl Answers for Front {
    async fn answer(self, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        match &self.gateway {
            Some(gateway) if is_forward_auth(path) => Ok(gateway.forward_auth(request, peer).await),
            Some(gateway) if gateway.is_open() && !is_ours(path) => Ok(gateway.handle(request, peer).await),
            _ => Box::pin(self.own.call(request)).await,
        }
    }

    fn end_streams(&self) {
        if let Some(gateway) = &self.gateway {
            gateway.stop();
        }
    }
}
