//! Proposed blocks that came by the names of their transactions, and what is missing of them.

use std::sync::Arc;

use birthmark_ledger::{BlockTime, Height, KeyName, Transaction, VoteSigner};

use super::{Agreement, AgreementError, BlockHash, Clock, Links};
use crate::application::{Offer, Shared};
use crate::bare::BareProposal;
use crate::evidence::Evidence;
use crate::message::{Message, SentTransaction};

/// A proposed block of which some transactions are not here yet.
pub(super) struct Incomplete {
    bare: BareProposal,
    /// In the order of the block.
    offers: Vec<Option<Offer>>,
    pub(super) from: KeyName,
}

impl Incomplete {
    /// Where the block has transactions that are not here.
    fn missing(&self) -> Vec<u16> {
        let places = self.offers.iter().zip(0..);
        places
            .filter(|(offer, _)| offer.is_none())
            .map(|(_, place)| place)
            .collect()
    }

    /// Takes a transaction, if it is the one at its place.
    fn fill(&mut self, sent: &SentTransaction) {
        let place = usize::from(sent.place);
        let (Some(name), Some(offer)) = (
            self.bare.transactions.get(place),
            self.offers.get_mut(place),
        ) else {
            return;
        };
        let transaction = Transaction::parse(&sent.transaction);
        let (Ok(transaction), Ok(evidence)) = (transaction, Evidence::parse(&sent.evidence)) else {
            return;
        };
        if transaction.hash() == *name {
            offer.get_or_insert(Offer {
                transaction,
                evidence,
            });
        }
    }
}

impl<A: Shared, V: VoteSigner + Send + Sync, L: Links, C: Clock> Agreement<A, V, L, C> {
    /// Takes what waits here for a block of names, and asks its sender for the rest.
    pub(super) async fn learn_bare(
        &mut self,
        from: &KeyName,
        bare: BareProposal,
        now: BlockTime,
    ) -> Result<(), AgreementError> {
        let (block, height) = (bare.block(), bare.header.height);
        if height != self.tip.height().next()
            || self.bodies.get(&block).is_some()
            || self.bodies.incomplete.contains_key(&block)
        {
            return Ok(());
        }
        let offers = match self.application.pooled(&bare.transactions).await {
            Ok(offers) => offers,
            // Whoever sent it has them.
            Err(error) => {
                log::debug!("the pool cannot be looked at: {error}");
                vec![None; bare.transactions.len()]
            }
        };
        let from = from.clone();
        let incomplete = Incomplete { bare, offers, from };
        let places = incomplete.missing();
        if !places.is_empty() {
            let wanted = Message::WantTransactions {
                height,
                block,
                places,
            };
            self.links.send(&incomplete.from, &wanted);
        }
        self.bodies.incomplete.insert(block, incomplete);
        self.complete(block, now).await
    }

    /// Takes transactions of a block that were asked for. What is still missing then comes with the
    /// whole block, which is asked for by a timer.
    pub(super) async fn take_transactions(
        &mut self,
        from: &KeyName,
        height: Height,
        block: BlockHash,
        transactions: Vec<SentTransaction>,
        now: BlockTime,
    ) -> Result<(), AgreementError> {
        if height != self.tip.height().next() {
            return Ok(());
        }
        let incomplete = self.bodies.incomplete.get_mut(&block);
        let Some(incomplete) = incomplete.filter(|incomplete| incomplete.from == *from) else {
            return Ok(());
        };
        transactions.iter().for_each(|sent| incomplete.fill(sent));
        self.complete(block, now).await
    }

    /// Judges a block as soon as nothing of it is missing.
    async fn complete(&mut self, block: BlockHash, now: BlockTime) -> Result<(), AgreementError> {
        let is_whole = |body: &Incomplete| body.offers.iter().all(Option::is_some);
        if !self.bodies.incomplete.get(&block).is_some_and(is_whole) {
            return Ok(());
        }
        let Some(whole) = self.bodies.incomplete.remove(&block) else {
            return Ok(());
        };
        let Incomplete { bare, offers, from } = whole;
        let proposal = bare.with(offers.into_iter().flatten().collect());
        let bytes: Arc<[u8]> = proposal.encode().into();
        self.learn_whole(&from, proposal, bytes, now).await
    }

    /// Sends transactions of a proposed block to whoever lacks them.
    pub(super) fn send_transactions(
        &self,
        to: &KeyName,
        height: Height,
        block: &BlockHash,
        places: &[u16],
    ) {
        if height != self.tip.height().next() {
            return;
        }
        let Some(body) = self.bodies.get(block) else {
            return;
        };
        let transactions = places.iter().filter_map(|place| {
            let at = usize::from(*place);
            Some(SentTransaction {
                place: *place,
                transaction: body.proposal.block.transactions.get(at)?.encode(),
                evidence: body.proposal.evidence.get(at)?.encode(),
            })
        });
        let answer = Message::Transactions {
            height,
            block: *block,
            transactions: transactions.collect(),
        };
        self.links.send(to, &answer);
    }
}
