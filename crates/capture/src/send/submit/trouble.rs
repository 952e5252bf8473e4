//! Why an entry does not come further, and what validators say against one.

use std::io;

use super::contents::Lacks;
use super::node::{Node, NodeError};
use crate::keep::queue::{QueueError, Refusal};
use crate::send::registry::{GenesisProblem, ReceiptFault};
use crate::send::signer::SignerError;

/// Why an entry did not come further.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the receipt cannot be written: {0}")]
    Disk(io::Error),
    /// The one validator that was given the proof is silent; others may be well.
    #[error(transparent)]
    Silent(NodeError),
    #[error(
        "no registry is known, and {0} cannot introduce one over plain http, where anybody on the way could show his own: set `genesis`, or use https"
    )]
    NoIntroduction(String),
    #[error(transparent)]
    Genesis(#[from] GenesisProblem),
    #[error(transparent)]
    Receipt(#[from] ReceiptFault),
    #[error(
        "the camera's certificate ended too long ago: photos taken under it are signed once it is renewed (`birthmark renew`)"
    )]
    Outdated,
    #[error(transparent)]
    Entry(#[from] Lacks),
}

pub(super) fn refusal(node: &Node, reason: String) -> Refusal {
    Refusal {
        node: node.address().to_owned(),
        reason,
    }
}

/// A single reason stands for itself; of several it is told whose they are.
pub(super) fn reasons(refusals: &[Refusal]) -> String {
    match refusals {
        [only] => only.reason.clone(),
        several => {
            let said = several
                .iter()
                .map(|no| format!("{}: {}", no.node, no.reason));
            said.collect::<Vec<_>>().join("; ")
        }
    }
}
