//! The shutter: from the press to one photo with its proof, in the order that survives a pulled
//! battery.

pub mod camera;
pub(crate) mod opener;
#[cfg(feature = "rehearsal")]
pub(crate) mod replay;
pub mod studio;
pub mod timeline;
