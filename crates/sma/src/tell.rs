//! What others learn, and who may ask: HTTP, revocation lists, tokens, rate limits.

pub mod api;
pub mod crl_cache;
pub mod operators;
pub mod revocation;
pub mod signed_list;
