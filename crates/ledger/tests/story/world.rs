//! Institutions with test keys, and a registry they run.

use birthmark_ledger::*;
use birthmark_protocol::one_time::{EpochKey, EpochStatement, SignedEpochStatement};
use birthmark_protocol::{
    Bundle, Capture, Digest, DigestRole, ImageClaim, ModificationLevel, PixelSource, Timestamp,
};

pub const START: i64 = 1_790_000_000;

/// Test keys, in the order of their set.
pub struct Member {
    pub vote: VoteKey,
    pub checkpoint: CheckpointKey,
    pub entry: Validator,
}

pub fn member(number: u8) -> Member {
    let vote = VoteKey::from_bytes(&[number + 1; 32]).unwrap();
    let checkpoint = CheckpointKey::from_seed(&[number + 101; 32]);
    let entry = Validator {
        name: format!("library-{number}.example").parse().unwrap(),
        vote_key: vote.public_key(),
        checkpoint_key: checkpoint.public_key(),
        log_key: checkpoint.log_public_key(),
    };
    Member {
        vote,
        checkpoint,
        entry,
    }
}

pub fn members(numbers: impl IntoIterator<Item = u8>) -> Vec<Member> {
    let mut members: Vec<_> = numbers.into_iter().map(member).collect();
    members.sort_by_key(|member| member.entry.id());
    members
}

pub fn set_of(members: &[Member]) -> ValidatorSet {
    ValidatorSet::new(members.iter().map(|member| member.entry.clone()).collect()).unwrap()
}

/// A registry with everything a node would keep of it.
pub struct World {
    pub genesis: Genesis,
    pub members: Vec<Member>,
    pub tip: Tip,
    pub frontiers: Vec<Frontier>,
    pub blocks: Vec<(Block, CommitCertificate)>,
}

impl World {
    pub fn new(validators: u8) -> Self {
        let members = members(0..validators);
        let genesis = Genesis {
            chain_id: "birthmark.example/registry".parse().unwrap(),
            start: Timestamp::from_unix(START),
            rehearsal: false,
            validators: set_of(&members),
        };
        let tip = Tip::genesis(&genesis);
        Self {
            genesis,
            members,
            tip,
            frontiers: vec![Frontier::new()],
            blocks: vec![],
        }
    }

    /// The same, but a rehearsal.
    pub fn rehearsal() -> Self {
        let mut world = Self::new(1);
        world.genesis.rehearsal = true;
        world.tip = Tip::genesis(&world.genesis);
        world
    }

    pub fn now(&self) -> BlockTime {
        BlockTime::from_millis((START + 60) * 1000 + 1000 * self.tip.height().get() as i64)
    }

    pub fn transaction(&self, records: Vec<Record>) -> Transaction {
        Transaction::sign(self.tip.chain(), records, &self.members[0].vote).unwrap()
    }

    pub fn build(&self, transactions: Vec<Transaction>, change: Option<SetChange>) -> Block {
        let known = Known::default();
        let mut builder = self.tip.builder(self.now(), &known);
        transactions
            .into_iter()
            .for_each(|transaction| builder.add(transaction).unwrap());
        builder.finish(self.members[0].entry.id(), *self.tip.index(), change)
    }

    pub fn certify(&self, block: &Block) -> CommitCertificate {
        certify(&self.members, block, 0..self.tip.validators().quorum())
    }

    pub fn commit(&mut self, block: Block) {
        self.tip = self.tip.check(&block, &Known::default()).unwrap();
        self.frontiers.push(self.tip.frontier().clone());
        let certificate = certify(&self.members, &block, 0..set_of(&self.members).quorum());
        self.blocks.push((block, certificate));
    }

    pub fn commit_records(&mut self, records: Vec<Record>) {
        let block = self.build(vec![self.transaction(records)], None);
        self.commit(block);
    }

    pub fn decided(&self, height: Height) -> DecidedHeader {
        let (block, certificate) = &self.blocks[height.get() as usize - 1];
        DecidedHeader {
            header: block.header.clone(),
            certificate: certificate.clone(),
        }
    }

    pub fn receipt(&self, height: usize, index: u64, sets: Vec<SetLink>) -> Receipt {
        let (block, certificate) = &self.blocks[height - 1];
        let chain_id = self.genesis.chain_id.clone();
        let (_, _, record) = block.records().find(|(at, ..)| *at == index).unwrap();
        let anchor = needed_anchor(record).map(|height| self.decided(height));
        Receipt::cut(
            chain_id,
            block,
            certificate.clone(),
            &self.frontiers[height - 1],
            index,
            anchor,
            Handover::chain(&self.genesis.validators, &sets),
        )
        .unwrap()
    }

    pub fn cosigned(
        &self,
        block: &Block,
        signers: impl IntoIterator<Item = usize>,
    ) -> SignedCheckpoint {
        let checkpoint = Checkpoint::after(self.genesis.chain_id.clone(), &block.header);
        let time = block.header.time.timestamp();
        let members = signers.into_iter().map(|at| &self.members[at]);
        let lines = members.flat_map(|member| {
            let lines = checkpoint.sign(&member.entry.name, &member.checkpoint, time);
            lines.unwrap()
        });
        SignedCheckpoint {
            signatures: lines.collect(),
            checkpoint,
        }
    }
}

pub fn certify(
    members: &[Member],
    block: &Block,
    signers: impl IntoIterator<Item = usize>,
) -> CommitCertificate {
    let (height, round) = (block.header.height, 0);
    let vote = Vote {
        chain: block.header.chain,
        kind: VoteKind::Precommit,
        height,
        round,
        block: Some(block.hash()),
    };
    let sign = |position: usize| SetSignature {
        validator: position as u16,
        signature: members[position].vote.sign(&vote.signed_bytes()).unwrap(),
    };
    CommitCertificate {
        height,
        round,
        block: block.hash(),
        signatures: signers.into_iter().map(sign).collect(),
    }
}

pub fn digest(name: impl AsRef<str>) -> Digest {
    Digest::of(name.as_ref().as_bytes())
}

pub fn origin(source: Source) -> Origin {
    Origin {
        source,
        authority: "EXAMPLE_MAKER".parse().unwrap(),
        family: "Raspberry Pi".parse().unwrap(),
        made_up_fingerprint: false,
    }
}

/// A photo of a camera of ours.
pub fn captured(name: &str, source: PixelSource, anchor: Option<u64>) -> Record {
    let capture = Capture {
        source,
        software: Some(digest("software")),
        anchor,
        disclosure: Some(digest(format!("leaves of {name}"))),
    };
    let claim = claim(name, DigestRole::File, 0, None);
    let bundle = Bundle::captured(vec![claim], Timestamp::from_unix(START), capture).unwrap();
    Record::new(bundle, origin(Source::CameraAttested)).unwrap()
}

pub fn claim(name: &str, role: DigestRole, level: u8, parent: Option<&str>) -> ImageClaim {
    ImageClaim {
        digest: digest(name),
        role,
        level: ModificationLevel::try_from(i64::from(level)).unwrap(),
        parent: parent.map(digest),
    }
}

/// A photo with its three digests.
pub fn photo(name: &str) -> Record {
    let (raw, file) = (format!("{name} raw"), format!("{name} file"));
    let images = vec![
        claim(&raw, DigestRole::Raw, 0, None),
        claim(&file, DigestRole::File, 1, Some(&raw)),
        claim(
            &format!("{name} image-data"),
            DigestRole::ImageData,
            1,
            Some(&file),
        ),
    ];
    let bundle = Bundle::new(
        images,
        Timestamp::from_unix(START + 7),
        Some(digest("a place")),
    )
    .unwrap();
    Record::new(bundle, origin(Source::CameraAttested)).unwrap()
}

/// A photo with one digest, as older cameras send it.
pub fn single(name: &str, time: i64) -> Record {
    let bundle = Bundle::new(
        vec![claim(name, DigestRole::Unstated, 0, None)],
        Timestamp::from_unix(time),
        None,
    );
    Record::new(bundle.unwrap(), origin(Source::CameraToken)).unwrap()
}

/// An image made from the one named `original`.
pub fn edit(name: &str, level: u8, original: &str) -> Record {
    let bundle = Bundle::new(
        vec![claim(name, DigestRole::File, level, None)],
        Timestamp::from_unix(START + 9),
        None,
    );
    Record::edited(bundle.unwrap(), digest(original), origin(Source::Software)).unwrap()
}

/// A statement signed by a test key of the authority.
pub fn stated(statement: EpochStatement) -> SignedEpochStatement {
    let key = VoteKey::from_bytes(&[0x77; 32]).unwrap();
    SignedEpochStatement {
        signature: key.sign(&statement.signed_message()).unwrap().normalized(),
        statement,
    }
}

/// The key of an epoch that begins with the registry and lasts an hour, with half an hour of grace.
pub fn epoch_key(epoch: u32) -> EpochKey {
    let mut modulus = [0xa5; 256];
    modulus[1] = epoch as u8;
    EpochKey {
        authority: "EXAMPLE_MAKER".into(),
        family: "Raspberry Pi".into(),
        time: Timestamp::from_unix(START - 60),
        epoch,
        from: Timestamp::from_unix(START),
        until: Timestamp::from_unix(START + 3600),
        grace: 1800,
        is_made_up: false,
        modulus,
    }
}

/// A photo under the one-time key of this name.
pub fn one_time(name: &str, key: &str, epoch: u32) -> Record {
    let bundle = captured(name, PixelSource::Sensor, None).bundle().clone();
    let spent = SpentKey {
        epoch,
        name: digest(key),
    };
    Record::one_time(bundle, origin(Source::CameraOneTime), spent).unwrap()
}
