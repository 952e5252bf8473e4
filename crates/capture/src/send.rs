//! What leaves this process: to the signer for a signature, to a validator for a receipt.

pub mod anchor;
pub mod certificate;
pub mod one_time;
pub mod registry;
pub mod signer;
pub mod submit;
