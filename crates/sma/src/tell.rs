//! What others learn, and who may ask: HTTP, revocation lists, tokens, rate limits.

pub mod api;
pub mod cached;
pub mod limits;
pub mod lists;
pub mod operators;
pub mod responders;
pub mod revocation;
pub mod signed_list;
