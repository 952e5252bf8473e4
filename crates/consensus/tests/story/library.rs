//! A library with one validator, an authority, and a memory in place of a database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use birthmark_blind::EpochVerifier;
use birthmark_consensus::message::SentBlock;
use birthmark_consensus::*;
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::*;
use birthmark_protocol::one_time::{EpochStatement, RsaBytes, SignedEpochStatement};
use birthmark_protocol::*;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;

pub const START: i64 = 1_796_000_000;
pub const MAKER: &str = "EXAMPLE_MAKER";
pub const FAMILY: &str = "Raspberry Pi";

pub fn at(seconds: f64) -> BlockTime {
    BlockTime::from_millis(START * 1000 + (seconds * 1000.0) as i64)
}

pub fn digest(name: impl AsRef<str>) -> Digest {
    Digest::of(name.as_ref().as_bytes())
}

/// Test keys of validator `number`.
pub fn keys(number: u8) -> ValidatorKeys<VoteKey> {
    ValidatorKeys {
        vote: VoteKey::from_bytes(&[number + 1; 32]).unwrap(),
        checkpoint: CheckpointKey::from_seed(&[number + 101; 32]),
    }
}

/// The entry under this name with the test keys of this number.
pub fn entry_with(name: u8, number: u8) -> Validator {
    Validator {
        name: format!("library-{name}.example").parse().unwrap(),
        vote_key: keys(number).vote.public_key(),
        checkpoint_key: keys(number).checkpoint.public_key(),
        log_key: keys(number).checkpoint.log_public_key(),
    }
}

pub fn genesis(validators: u8) -> Genesis {
    let entry = |number| entry_with(number, number);
    Genesis {
        chain_id: "birthmark.example/registry".parse().unwrap(),
        start: Timestamp::from_unix(START),
        rehearsal: false,
        validators: ValidatorSet::new((0..validators).map(entry).collect()).unwrap(),
    }
}

pub fn origin(source: Source) -> Origin {
    Origin {
        source,
        authority: MAKER.parse().unwrap(),
        family: FAMILY.parse().unwrap(),
        made_up_fingerprint: false,
    }
}

pub fn photo_at(name: &str, time: i64, source: Source) -> Record {
    let claim = ImageClaim {
        digest: digest(name),
        role: DigestRole::File,
        level: ModificationLevel::RAW,
        parent: None,
    };
    let bundle = Bundle::new(vec![claim], Timestamp::from_unix(time), None).unwrap();
    Record::new(bundle, origin(source)).unwrap()
}

pub fn photo(name: &str) -> Record {
    photo_at(name, START, Source::CameraToken)
}

pub fn opening(record: &Record) -> Opening {
    Opening::from_bytes(*digest(format!("opening of {}", record.images()[0].digest)).as_bytes())
}

pub fn commitment(record: &Record) -> Commitment {
    Commitment::new(&record.bundle().digest(None).unwrap(), &opening(record))
}

fn authority_key() -> SigningKey {
    SigningKey::from_slice(&[77; 32]).unwrap()
}

/// A statement about an epoch, signed by the authority.
pub fn stated(statement: EpochStatement) -> SignedEpochStatement {
    let signature: p256::ecdsa::Signature = authority_key()
        .sign_prehash(statement.digest().as_bytes())
        .unwrap();
    SignedEpochStatement {
        signature: Signature::from(signature).normalized(),
        statement,
    }
}

pub fn verdict(manufacturer: &str, items: Vec<VerdictItem>) -> SignedVerdict {
    verdict_by(&authority_key(), manufacturer, items)
}

/// The verdict of somebody whose key no authority has.
pub fn foreign_verdict(manufacturer: &str, items: Vec<VerdictItem>) -> SignedVerdict {
    verdict_by(
        &SigningKey::from_slice(&[78; 32]).unwrap(),
        manufacturer,
        items,
    )
}

fn verdict_by(key: &SigningKey, manufacturer: &str, items: Vec<VerdictItem>) -> SignedVerdict {
    let verdict = Verdict::new(manufacturer, Timestamp::from_unix(START), items).unwrap();
    let signature: p256::ecdsa::Signature = key.sign_prehash(verdict.digest().as_bytes()).unwrap();
    SignedVerdict {
        verdict,
        signature: signature.into(),
    }
}

pub fn yes(record: &Record) -> VerdictItem {
    VerdictItem {
        commitment: commitment(record),
        valid: true,
        proof: Proof::Token,
        is_made_up: false,
        device_family: FAMILY.into(),
    }
}

/// One signed yes over all of the records.
pub fn vouched(records: &[Record]) -> Evidence {
    let vouching = records.iter().map(|record| Vouching::Verdict {
        verdict: 0,
        opening: opening(record),
        signed: CameraSigned::Nothing,
    });
    Evidence {
        verdicts: vec![verdict(MAKER, records.iter().map(yes).collect())],
        certificates: Vec::new(),
        vouching: vouching.collect(),
    }
}

pub fn transaction(records: Vec<Record>) -> Transaction {
    Transaction::sign(&genesis(1).hash(), records, &keys(0).vote).unwrap()
}

/// An offer of validator `number` in the registry `chain`.
pub fn offer_of(number: u8, chain: &Digest, records: Vec<Record>) -> Offer {
    let evidence = vouched(&records);
    Offer {
        transaction: Transaction::sign(chain, records, &keys(number).vote).unwrap(),
        evidence,
    }
}

pub fn offer(records: Vec<Record>) -> Offer {
    let evidence = vouched(&records);
    Offer {
        transaction: transaction(records),
        evidence,
    }
}

/// A submission server's record, with nothing but this library's word.
pub fn on_my_word(record: Record) -> Offer {
    Offer {
        transaction: transaction(vec![record]),
        evidence: Evidence {
            vouching: vec![Vouching::Word],
            ..Evidence::default()
        },
    }
}

/// Knows one authority, and takes this library's word for submission servers only.
pub struct Configured;

impl Authorities for Configured {
    fn verdict_keys(&self, authority: &Label, _at: Timestamp) -> Vec<PublicKey> {
        let known = authority.as_str() == MAKER;
        known
            .then(|| PublicKey::from(*authority_key().verifying_key()))
            .into_iter()
            .collect()
    }

    fn key_signature_holds(&self, modulus: &RsaBytes, name: &Digest, signature: &RsaBytes) -> bool {
        let verifier = EpochVerifier::from_modulus(modulus).unwrap();
        verifier.verify(name, signature).is_ok()
    }

    fn accepts_word(&self, submitter: &ValidatorId, origin: &Origin) -> bool {
        origin.source == Source::Server && *submitter == ValidatorId::of(&keys(0).vote.public_key())
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory is gone")]
pub struct Gone;

/// When the memory fails next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Before it did anything.
    Before,
    /// After it did it: the answer is lost.
    After,
}

/// What a database would hold.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub pool: Vec<(Offer, BlockTime)>,
    pub chain: Vec<Decided>,
    pub discarded: BTreeMap<TransactionHash, String>,
    pub next_failure: Option<Failure>,
    pub fail_reads: bool,
    pub index_is_behind: bool,
    pub genesis: Option<Genesis>,
    pub promised: u64,
    pub reported: Vec<Misbehaviour>,
    pub change: Option<SetChange>,
}

impl Memory {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn push(&self, offer: Offer, since: BlockTime) {
        self.state().pool.push((offer, since));
    }

    pub fn photos(&self) -> Vec<Digest> {
        let state = self.state();
        let blocks = state.chain.iter().map(|decided| &decided.block);
        let records = blocks.flat_map(|block| {
            block
                .records()
                .map(|(_, _, record)| record.images()[0].digest)
        });
        records.collect()
    }

    fn read(&self) -> Result<MutexGuard<'_, State>, Gone> {
        let state = self.state();
        if state.fail_reads {
            Err(Gone)
        } else {
            Ok(state)
        }
    }
}

impl Application for Memory {
    type Error = Gone;

    async fn tip(&self) -> Result<Tip, Gone> {
        let state = self.read()?;
        let genesis = state.genesis.clone().unwrap_or_else(|| genesis(1));
        Ok(state
            .chain
            .last()
            .map_or_else(|| Tip::genesis(&genesis), |decided| decided.tip.clone()))
    }

    async fn backlog(&self) -> Result<Backlog, Gone> {
        let state = self.read()?;
        let records = state
            .pool
            .iter()
            .map(|(offer, _)| offer.transaction.records().len())
            .sum();
        // What changes the validators makes a block due as a photo does.
        let change = state.change.iter().map(|_| at(0.0));
        let oldest = state.pool.iter().map(|(_, since)| *since).chain(change);
        Ok(Backlog {
            records,
            oldest: oldest.min(),
        })
    }

    async fn waiting(&self, records: usize) -> Result<Vec<Offer>, Gone> {
        let state = self.read()?;
        let mut total = 0;
        let fitting = state.pool.iter().take_while(|(offer, _)| {
            total += offer.transaction.records().len();
            total <= records
        });
        Ok(fitting.map(|(offer, _)| offer.clone()).collect())
    }

    async fn known(&self, lookups: &Lookups) -> Result<Known, Gone> {
        let state = self.read()?;
        let blocks = || state.chain.iter().map(|decided| &decided.block);
        let committed: BTreeSet<_> = blocks()
            .flat_map(|block| &block.transactions)
            .map(Transaction::hash)
            .collect();
        let transactions = committed
            .intersection(&lookups.transactions)
            .copied()
            .collect();
        let anchors = blocks().map(|block| (block.header.height, block.hash()));
        let wanted = |(height, _): &(Height, Digest)| lookups.anchors.contains(height);
        let mut known = Known {
            transactions,
            anchors: anchors.filter(wanted).collect(),
            ..Known::default()
        };
        for (_, _, record) in blocks().flat_map(Block::records) {
            for image in record
                .images()
                .iter()
                .filter(|image| lookups.originals.contains(&image.digest))
            {
                let lowest = known.originals.entry(image.digest).or_insert(image.level);
                *lowest = image.level.min(*lowest);
            }
        }
        Ok(known)
    }

    async fn index(&self, tip: &Tip) -> Result<IndexRoot, Gone> {
        let state = self.read()?;
        let mut follower = IndexFollower::genesis();
        let committed = state.chain.iter().map(|decided| &decided.block);
        committed.for_each(|block| follower.follow(block).unwrap());
        assert_eq!(follower.newest().height, tip.height());
        Ok(follower.newest())
    }

    async fn index_root(&self, height: Height) -> Result<Option<Digest>, Gone> {
        let state = self.read()?;
        if state.index_is_behind {
            return Ok(None);
        }
        let mut follower = IndexFollower::genesis();
        let committed = state.chain.iter().map(|decided| &decided.block);
        committed.for_each(|block| follower.follow(block).unwrap());
        Ok(follower.root(height))
    }

    async fn discard(&self, transaction: &TransactionHash, reason: &str) -> Result<(), Gone> {
        let mut state = self.read()?;
        state
            .pool
            .retain(|(offer, _)| offer.transaction.hash() != *transaction);
        state.discarded.insert(*transaction, reason.to_owned());
        Ok(())
    }

    async fn commit(&self, decided: &Decided) -> Result<(), Gone> {
        let mut state = self.state();
        let failure = state.next_failure.take();
        if failure == Some(Failure::Before) {
            return Err(Gone);
        }
        let gone: BTreeSet<_> = decided
            .block
            .transactions
            .iter()
            .map(Transaction::hash)
            .collect();
        state
            .pool
            .retain(|(offer, _)| !gone.contains(&offer.transaction.hash()));
        let next = state.chain.len() as u64 + 1;
        assert_eq!(
            decided.block.header.height.get(),
            next,
            "blocks follow one another"
        );
        state.chain.push(decided.clone());
        if decided.block.change.is_some() {
            state.change = None;
        }
        if failure == Some(Failure::After) {
            Err(Gone)
        } else {
            Ok(())
        }
    }

    async fn change(&self, _tip: &Tip) -> Result<Option<SetChange>, Gone> {
        Ok(self.read()?.change.clone())
    }

    fn authorities(&self) -> Arc<dyn Authorities> {
        Arc::new(Configured)
    }
}

impl Shared for Memory {
    async fn promised(&self) -> Result<Height, Gone> {
        Ok(Height::new(self.read()?.promised))
    }

    async fn promise(&self, height: Height) -> Result<(), Gone> {
        self.read()?.promised = height.get();
        Ok(())
    }

    async fn pooled(&self, names: &[TransactionHash]) -> Result<Vec<Option<Offer>>, Gone> {
        let state = self.read()?;
        let find = |name: &TransactionHash| {
            let mut offers = state.pool.iter().map(|(offer, _)| offer);
            offers.find(|offer| offer.transaction.hash() == *name)
        };
        Ok(names.iter().map(|name| find(name).cloned()).collect())
    }

    async fn blocks(&self, from: Height, bytes: usize) -> Result<Vec<SentBlock>, Gone> {
        let state = self.read()?;
        let mut total = 0;
        let sent = state
            .chain
            .iter()
            .skip(from.get() as usize - 1)
            .map(|decided| SentBlock {
                block: decided.block.encode(),
                certificate: decided.certificate.encode(),
                lines: decided.checkpoint_lines.clone(),
            });
        let fitting = sent.take_while(|sent| {
            total += sent.block.len();
            total <= bytes.min(20_000)
        });
        Ok(fitting.collect())
    }

    async fn cosigned(&self, height: Height) -> Result<Option<Cosigned>, Gone> {
        let state = self.read()?;
        let decided = state.chain.get(height.get() as usize - 1);
        let before = state.chain.get((height.get() as usize).wrapping_sub(2));
        let validators = before.map_or_else(
            || {
                state
                    .genesis
                    .clone()
                    .unwrap_or_else(|| genesis(1))
                    .validators
            },
            |before| before.tip.validators().clone(),
        );
        Ok(decided.map(|decided| Cosigned {
            header: decided.block.header.clone(),
            validators,
            lines: decided.checkpoint_lines.clone(),
        }))
    }

    async fn add_lines(&self, height: Height, lines: Vec<NoteSignature>) -> Result<(), Gone> {
        let mut state = self.read()?;
        state.chain[height.get() as usize - 1].checkpoint_lines = lines;
        Ok(())
    }

    async fn report(&self, misbehaviour: &Misbehaviour) -> Result<(), Gone> {
        let mut state = self.read()?;
        if !state.reported.contains(misbehaviour) {
            state.reported.push(*misbehaviour);
        }
        Ok(())
    }
}

pub fn library(memory: &Memory) -> SingleValidator<Memory, VoteKey> {
    SingleValidator::new(
        memory.clone(),
        keys(0),
        genesis(1).chain_id,
        Pacing::default(),
    )
}

/// Judges the whole chain as a stranger would: every block against the one before, every
/// certificate and cosignature.
pub fn audit(memory: &Memory) {
    let genesis = memory.state().genesis.clone().unwrap_or_else(|| genesis(1));
    let (mut tip, mut seen) = (Tip::genesis(&genesis), Known::default());
    for decided in &memory.state().chain {
        let Decided {
            block,
            certificate,
            checkpoint_lines,
            ..
        } = decided;
        tip = tip.check(block, &seen).unwrap();
        assert_eq!(tip, decided.tip);
        certificate
            .verify(&block.header, &genesis.validators)
            .unwrap();
        let checkpoint = Checkpoint::after(genesis.chain_id.clone(), &block.header);
        let signed = SignedCheckpoint {
            checkpoint,
            signatures: checkpoint_lines.clone(),
        };
        signed
            .verify(&genesis.chain_id, &genesis.validators)
            .unwrap();
        seen.transactions
            .extend(block.transactions.iter().map(Transaction::hash));
    }
}

pub fn committed(step: Step) -> Decided {
    match step {
        Step::Committed(decided) => *decided,
        other => panic!("expected a block, got {other:?}"),
    }
}
