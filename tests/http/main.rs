//! The real router in process, on a fresh database, at a time that the test decides.

mod client;
mod create;
mod delete;
mod hygiene;
mod list;
mod standards;
