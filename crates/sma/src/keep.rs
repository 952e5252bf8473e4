//! What outlives the process: the database, what is sealed in it, and the files that go in and out.

pub mod audit;
pub mod disk;
pub mod dump;
pub mod exchange;
pub mod keyring;
pub mod rows;
pub mod store;
pub mod vault;
