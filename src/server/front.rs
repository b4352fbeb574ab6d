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

use crate::gateway::{Gateway, is_forward_auth, is_ours};

/// Everything behind a listener.
#[derive(Clone)]
pub(super) struct Front {
    own: TowerToHyperService<Router>,
    gateway: Option<Arc<Gateway>>,
}

impl Front {
    pub(super) fn new(own: Router, gateway: Option<Arc<Gateway>>) -> Self {
        Self { own: TowerToHyperService::new(own), gateway }
    }

    pub(super) async fn answer(
        self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        match &self.gateway {
            Some(gateway) if is_forward_auth(path) => Ok(gateway.forward_auth(request, peer).await),
            Some(gateway) if gateway.is_open() && !is_ours(path) => Ok(gateway.handle(request, peer).await),
            _ => Box::pin(self.own.call(request)).await,
        }
    }

    pub(super) fn end_streams(&self) {
        if let Some(gateway) = &self.gateway {
            gateway.stop();
        }
    }
}
