//! What others see of the camera: its Varlink interface, its button and its light.

pub mod client;
pub mod lamp;
pub mod messages;
pub(crate) mod page;
pub mod panel;
pub(crate) mod service;
