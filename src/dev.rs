//! `hallpass dev`: the server that frontend developers keep open.

pub mod agent_server;
