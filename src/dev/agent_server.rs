//! stub
use crate::clock::Clock;
use std::sync::Arc;
pub struct AgentServer;
impl AgentServer {
    pub fn new(_seed: u64, _clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self)
    }
    pub fn router(self: &Arc<Self>, _secret: &str) -> axum::Router {
        axum::Router::new().fallback(async || "{}")
    }
    pub fn reset(&self) {}
    pub fn agents(&self) -> Vec<(String, String)> {
        vec![("agent-5f0c1c1a-6d5e-4b1a-9c3d-2f8a7b6c5d4e".to_owned(), "Support assistant".to_owned())]
    }
}
