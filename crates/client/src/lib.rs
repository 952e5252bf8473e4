//! Asking validators and authorities over HTTP.
//!
//! Whatever comes back is a stranger's bytes: every answer is bounded in size and time, no redirect
//! is followed (what is sent goes to the configured address and nowhere else), and an error counts
//! as the other side's word only in the form this house writes it. What an address has as a path
//! stays in front of every request's.

mod answer;
mod authority;
mod error;
mod http;
mod validator;

pub use answer::Answer;
pub use authority::Authority;
pub use error::{CallError, SetupError};
pub use http::{HttpClient, Options};
pub use reqwest::{Method, Url};
pub use validator::Validator;
