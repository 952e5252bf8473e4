//! The validators of one camera: which one is asked next.
//!
//! They are equals of one registry. One that answered is asked first the next time, so that a
//! silent one costs a timeout once and not for every photo.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::node::{Line, Node, SetupError};
use crate::keep::queue::Refusal;

/// At least one validator.
#[derive(Debug)]
pub struct Nodes {
    all: Vec<Node>,
    /// Where the search begins: at the one that answered last.
    first: AtomicUsize,
}

impl Nodes {
    /// The validators at `addresses`, all reached in the same way.
    pub fn new(addresses: &[String], line: &Line) -> Result<Self, SetupError> {
        let nodes = addresses.iter().map(|address| Node::new(address, line));
        Ok(Self {
            all: nodes.collect::<Result<_, _>>()?,
            first: AtomicUsize::new(0),
        })
    }

    /// Whether there is anybody else to ask.
    pub fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Those that did not refuse this proof, in the order in which they are asked.
    pub fn willing<'a>(&'a self, refusals: &'a [Refusal]) -> impl Iterator<Item = &'a Node> {
        let first = self.first.load(Ordering::Relaxed);
        let (before, after) = self.all.split_at(first.min(self.all.len()));
        let refused = |node: &Node| refusals.iter().any(|no| no.node == node.address());
        let in_order = after.iter().chain(before);
        in_order.filter(move |node| !refused(node))
    }

    /// The validator with this address, unless the settings have forgotten it.
    pub fn at(&self, address: &str) -> Option<&Node> {
        self.all.iter().find(|node| node.address() == address)
    }

    /// Asks this one first from now on.
    pub fn prefer(&self, node: &Node) {
        self.begin(node, 0);
    }

    /// Asks the one after this one first from now on.
    pub fn avoid(&self, node: &Node) {
        self.begin(node, 1);
    }

    fn begin(&self, node: &Node, after: usize) {
        let found = self
            .all
            .iter()
            .position(|other| other.address() == node.address());
        if let Some(index) = found {
            let next = (index + after) % self.all.len();
            self.first.store(next, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_answered_is_first_and_who_refused_is_left_out() {
        let addresses = [
            "http://127.0.0.1:1",
            "http://127.0.0.1:2",
            "http://127.0.0.1:3",
        ];
        let nodes = Nodes::new(&addresses.map(str::to_owned), &Line::default()).unwrap();
        let order = |refusals: &[Refusal]| -> Vec<String> {
            let willing = nodes.willing(refusals);
            let port = |node: &Node| node.address().trim_end_matches('/').chars().last().unwrap();
            willing.map(|node| port(node).to_string()).collect()
        };
        assert_eq!(order(&[]), ["1", "2", "3"]);
        nodes.prefer(nodes.willing(&[]).nth(1).unwrap());
        assert_eq!(order(&[]), ["2", "3", "1"]);
        nodes.avoid(nodes.willing(&[]).nth(1).unwrap());
        assert_eq!(order(&[]), ["1", "2", "3"]);
        let no = |index: usize| Refusal {
            node: nodes.willing(&[]).nth(index).unwrap().address().to_owned(),
            reason: "no".to_owned(),
        };
        assert_eq!(order(&[no(0), no(2)]), ["2"]);
        assert!(order(&[no(0), no(1), no(2)]).is_empty());
    }
}
