//! Witnesses (c2sp.org/tlog-witness), both ways: others cosign this registry's checkpoints, and this
//! validator cosigns those of other registries.

mod asking;
mod being;

pub use asking::{AskError, Asking, Witnesses};
pub use being::{Refused, Witness};

use birthmark_protocol::api::WitnessStatus;

/// What a status line says about a witness of this registry.
pub fn in_words(witness: &WitnessStatus) -> String {
    let signed = match (&witness.records, &witness.time) {
        (Some(records), Some(time)) => format!("cosigned {records} records at {time}"),
        _ => "has cosigned nothing yet".to_owned(),
    };
    match &witness.trouble {
        Some(trouble) => format!("{signed}; it {trouble}"),
        None => signed,
    }
}
