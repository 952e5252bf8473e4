use birthmark_ledger::{
    Block, BlockTime, CommitCertificate, Frontier, Genesis, IndexFollower, IndexTree, Known,
    Origin, Record, SetSignature, Source, Tip, Transaction, ValidatorId, VoteKey, VoteSigner as _,
};
use birthmark_protocol::api::Notice;
use birthmark_protocol::{Bundle, DigestRole, ImageClaim, ModificationLevel, PublicKey, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::answer::{Answer, choose};

mod complete;
mod sessions;

const START: i64 = 1_790_000_000;

/// A registry of one validator, and the index that its newest header names.
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    key: VoteKey,
    tip: Tip,
    follower: IndexFollower,
    named: IndexTree,
    before: Vec<Frontier>,
    pub(crate) blocks: Vec<(Block, CommitCertificate)>,
    /// What is known against cameras, as the interface says it.
    notices: Value,
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// A photo whose name ends so has three digests, as one of a camera has.
const THREE: &str = " in three";

/// A camera's photo, or an edit of one where its name says so.
fn record(name: &str) -> Record {
    let original = name.strip_prefix("edit of ");
    let level = match original {
        None => ModificationLevel::RAW,
        Some(_) => ModificationLevel::MODIFIED,
    };
    let image = ImageClaim {
        digest: digest(name),
        role: DigestRole::File,
        level,
        parent: None,
    };
    let (source, family) = match original {
        None => (Source::CameraAttested, "Test camera"),
        Some(_) => (Source::Software, "Test editor"),
    };
    let origin = Origin {
        source,
        authority: "TEST_MAKER".parse().unwrap(),
        family: family.parse().unwrap(),
        made_up_fingerprint: false,
    };
    let mut images = vec![image];
    if name.ends_with(THREE) {
        let made_of = |role, of: &str, parent| ImageClaim {
            digest: digest(&format!("{name}{of}")),
            role,
            level: ModificationLevel::PROCESSED,
            parent: Some(parent),
        };
        let raw = ImageClaim {
            digest: digest(&format!("{name} raw")),
            role: DigestRole::Raw,
            ..image
        };
        let file = made_of(DigestRole::File, "", raw.digest);
        let data = made_of(DigestRole::ImageData, " data", file.digest);
        images = vec![raw, file, data];
    }
    let bundle = Bundle::new(images, Timestamp::from_unix(START), None).unwrap();
    Record::with_original(bundle, original.map(digest), origin).unwrap()
}

impl World {
    /// A block for each of these lists of photos.
    pub(crate) fn of(blocks: &[&[&str]]) -> Self {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let point: PublicKey = key.public_key();
        let checkpoint = birthmark_ledger::CheckpointKey::from_seed(&[8; 32]);
        let entry = json!({
            "name": "library.example",
            "vote_key": hex(&point.to_compressed()),
            "checkpoint_key": hex(&checkpoint.public_key().to_bytes()),
            "log_key": hex(&checkpoint.log_public_key().to_bytes()),
        });
        let text = json!({"chain_id": "test.example/one", "start": START, "validators": [entry]});
        let genesis = Genesis::from_json(&text.to_string()).unwrap();
        let mut world = Self {
            tip: Tip::genesis(&genesis),
            genesis,
            key,
            follower: IndexFollower::genesis(),
            named: IndexTree::new(),
            before: Vec::new(),
            blocks: Vec::new(),
            notices: json!({"notices": []}),
        };
        blocks.iter().for_each(|names| world.commit(names));
        world
    }

    fn commit(&mut self, names: &[&str]) {
        let index = self.follower.newest();
        let block = self.block(names, index);
        self.follower.check(&block.header).unwrap();
        self.decide(block, names);
    }

    /// An empty block with this index in its header, decided like any other.
    pub(crate) fn commit_with_index(&mut self, index: birthmark_ledger::IndexRoot) {
        let block = self.block(&[], index);
        self.decide(block, &[]);
    }

    fn block(&self, names: &[&str], index: birthmark_ledger::IndexRoot) -> Block {
        let known = self.known(names);
        let time = START * 1000 + 60_000 + self.tip.height().get() as i64;
        let mut builder = self.tip.builder(BlockTime::from_millis(time), &known);
        if !names.is_empty() {
            let records = names.iter().map(|name| record(name)).collect();
            let transaction = Transaction::sign(self.tip.chain(), records, &self.key).unwrap();
            builder.add(transaction).unwrap();
        }
        let proposer = ValidatorId::of(&self.key.public_key());
        builder.finish(proposer, index, None)
    }

    /// Every photo so far may be an edit's original, where one is among these.
    fn known(&self, names: &[&str]) -> Known {
        if !names.iter().any(|name| name.starts_with("edit of ")) {
            return Known::default();
        }
        let digests = self.blocks.iter().flat_map(|(block, _)| block.digests());
        Known {
            originals: digests
                .map(|(one, _)| (one, ModificationLevel::RAW))
                .collect(),
            ..Known::default()
        }
    }

    fn decide(&mut self, block: Block, names: &[&str]) {
        self.before.push(self.tip.frontier().clone());
        self.tip = self.tip.check(&block, &self.known(names)).unwrap();
        self.named = self.follower.tree().clone();
        self.follower.add(block.header.height, block.digests());
        let vote = CommitCertificate {
            height: block.header.height,
            round: 0,
            block: block.hash(),
            signatures: Vec::new(),
        };
        let signature = self
            .key
            .sign(&vote.vote(block.header.chain).signed_bytes())
            .unwrap();
        let signed = SetSignature {
            validator: 0,
            signature,
        };
        let certificate = CommitCertificate {
            signatures: vec![signed],
            ..vote
        };
        self.blocks.push((block, certificate));
    }

    pub(crate) fn head(&self) -> Value {
        let (block, certificate) = self.blocks.last().unwrap();
        json!({
            "format": "birthmark/head/v1",
            "chain_id": self.genesis.chain_id,
            "header": block.header,
            "certificate": certificate,
            "sets": [],
        })
    }

    fn standing(&self) -> Standing {
        Standing::read(&Trusted::genesis(&self.genesis), &self.head().to_string()).unwrap()
    }

    /// All of the registry, in its first parts, but for the block that is left out.
    pub(crate) fn parts(&self, left_out: Option<usize>) -> Parts {
        let (records, headers) = self.parts_bytes(left_out);
        Parts {
            records: [(0, RecordsPart::parse(&records).unwrap())].into(),
            headers: [(0, HeadersPart::parse(&headers).unwrap())].into(),
        }
    }

    /// The same as bytes: records, then headers.
    fn parts_bytes(&self, left_out: Option<usize>) -> (Vec<u8>, Vec<u8>) {
        let headers: Vec<_> = self
            .blocks
            .iter()
            .map(|(block, by)| (block.header.encode(), by.encode()))
            .collect();
        let headers = HeadersPart::write(headers.iter().map(|(header, by)| (&header[..], &by[..])));
        let mut blocks: Vec<_> = self.blocks.iter().collect();
        left_out.map(|at| blocks.remove(at));
        // Parts of records hold no empty blocks.
        blocks.retain(|(block, _)| block.header.records > 0);
        let stored: Vec<_> = blocks
            .iter()
            .map(|(block, by)| (block.encode(), by.encode()))
            .collect();
        let before = self.before[0].encode();
        let bytes = stored.iter().map(|(block, by)| (&block[..], &by[..]));
        (RecordsPart::write(&before, bytes), headers)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a validator with these parts and this index makes one believe about a photo.
fn asked(
    world: &World,
    parts: &Parts,
    index: &IndexTree,
    name: &str,
) -> Result<Answer, LookupError> {
    let standing = world.standing();
    let newest = standing.follow(parts)?.digests(parts)?;
    let question = standing.question(&digest(name));
    let range = standing.range(question, &index.prove(question).encode())?;
    let positions = positions(&digest(name), &range, &newest)?;
    answered(&standing, parts, &digest(name), &positions, &[])
}

fn answered(
    standing: &Standing,
    parts: &Parts,
    digest: &Digest,
    positions: &BTreeSet<u64>,
    notices: &[Notice],
) -> Result<Answer, LookupError> {
    let receipt = |position: &u64| Ok((*position, standing.receipt(parts, *position)?));
    let receipts: Result<BTreeMap<_, _>, LookupError> = positions.iter().map(receipt).collect();
    let receipts = receipts?;
    let records = receipts
        .iter()
        .map(|(position, receipt)| (*position, receipt));
    Ok(Answer::proven(digest, records, notices))
}

#[test]
fn photos_of_the_index_and_after_it_are_found_with_receipts_and_others_are_proven_absent() {
    let world = World::of(&[&["one", "two"], &[], &["three"], &["one", "four"]]);
    let parts = world.parts(None);
    for (name, records) in [
        ("one", vec![0, 3]),
        ("two", vec![1]),
        ("three", vec![2]),
        ("four", vec![4]),
    ] {
        let answer = asked(&world, &parts, &world.named, name).unwrap();
        let found: Vec<_> = answer.records.iter().map(|record| record.index).collect();
        assert_eq!(found, records, "{name}");
        assert!(choose(&[answer], &[digest(name)]).is_some());
    }
    let absent = asked(&world, &parts, &world.named, "five").unwrap();
    assert!(!absent.verified && absent.records.is_empty());
    assert!(world.standing().absence().contains("as of block 4"));
}

#[test]
fn the_first_block_is_read_without_an_index_before_it() {
    let world = World::of(&[&["one"]]);
    let parts = world.parts(None);
    assert!(asked(&world, &parts, &world.named, "one").unwrap().verified);
    assert!(!asked(&world, &parts, &world.named, "two").unwrap().verified);
}

#[test]
fn an_answerer_that_hides_a_record_is_caught() {
    let world = World::of(&[&["one"], &["two"], &["three"]]);
    let parts = world.parts(None);
    let mut hiding = IndexTree::new();
    hiding.insert_all([(digest("one"), 0)]);
    let lie = asked(&world, &parts, &hiding, "two");
    assert!(matches!(lie, Err(LookupError::Range(RangeError::Root))));
    // The newest block, whose digests no index holds yet.
    let lie = asked(&world, &world.parts(Some(2)), &world.named, "three");
    assert!(matches!(lie, Err(LookupError::Records(2))));
    let missing = Parts {
        headers: BTreeMap::new(),
        ..parts.clone()
    };
    let lie = asked(&world, &missing, &world.named, "one");
    assert!(matches!(lie, Err(LookupError::Headers(_))));
    let missing = Parts {
        records: BTreeMap::new(),
        ..parts
    };
    let lie = asked(&world, &missing, &world.named, "one");
    assert!(matches!(lie, Err(LookupError::Records(_))));
}

#[test]
fn a_registry_of_another_genesis_and_an_undecided_head_are_refused() {
    let world = World::of(&[&["one"], &["two"]]);
    let mut other = world.genesis.clone();
    other.rehearsal = true;
    let head = world.head().to_string();
    assert!(matches!(
        Standing::read(&Trusted::genesis(&other), &head),
        Err(LookupError::Undecided(VerifyError::OtherRegistry(_)))
    ));
    let mut bent = world.head();
    bent["header"]["index_root"] = digest("a lie").to_string().into();
    assert!(matches!(
        Standing::read(&Trusted::genesis(&world.genesis), &bent.to_string()),
        Err(LookupError::Undecided(_))
    ));
}

#[test]
fn what_is_known_against_a_family_stands_beside_its_records() {
    let world = World::of(&[&["one"], &["two"]]);
    let notice = |family: Option<&str>, from: i64| Notice {
        authority: "TEST_MAKER".into(),
        device_family: family.map(str::to_owned),
        from: Timestamp::from_unix(from),
        until: None,
        reason: "firmware 2.0".into(),
    };
    let parts = world.parts(None);
    let said = |notice| {
        let answer = answered(
            &world.standing(),
            &parts,
            &digest("one"),
            &[0].into(),
            &[notice],
        );
        answer.unwrap().records[0].revocation.clone()
    };
    let told = Some("firmware 2.0".to_owned());
    assert_eq!(said(notice(Some("Test camera"), START)), told);
    assert_eq!(said(notice(None, START)), told);
    assert_eq!(said(notice(Some("Another camera"), START)), None);
    assert_eq!(said(notice(None, START + 1000)), None);
}

/// A registry of so many photos, each with three digests, in one index.
fn range_of(photos: u64) -> Range {
    let mut tree = IndexTree::new();
    let of = |photo: u64| {
        ["raw", "file", "data"].map(|role| (digest(&format!("{photo} {role}")), photo))
    };
    tree.insert_all((0..photos).flat_map(of));
    let index = birthmark_ledger::IndexRoot {
        height: Height::new(1),
        root: tree.root(),
    };
    let asked = Prefix::hiding(IndexKey::of(&digest("0 raw")), photos, AMONG);
    tree.prove(asked).verify(asked, &index).unwrap()
}

#[test]
fn the_fetched_parts_hold_enough_other_photos_of_the_range_and_no_more_than_that_is_fetched() {
    let drawn = |photos: u64, wanted: u64| {
        let (mut parts, mut count) = (BTreeSet::from([part_of_record(wanted)]), 0);
        let range = range_of(photos);
        draw_decoys(&range, &mut parts, |limit| {
            count += 7919;
            count % limit
        });
        let records: BTreeSet<_> = range.entries().iter().filter_map(first_of).collect();
        let held = records
            .iter()
            .filter(|record| parts.contains(&part_of_record(**record)));
        (held.count(), parts.len())
    };
    // Everything stands in one part.
    assert_eq!(drawn(5, 0), (5, 1));
    // In a small registry the photo's own part holds enough of its range.
    let (held, parts) = drawn(4000, 0);
    assert!(held > DECOYS && parts == 1, "{held} {parts}");
    // In one of a hundred parts it does so only with others.
    let (held, parts) = drawn(100 * 1024, 0);
    assert!(
        held > DECOYS && (1..=DECOYS + 1).contains(&parts),
        "{held} {parts}"
    );
}

#[test]
fn a_part_that_has_grown_since_the_newest_header_was_read_is_no_lie() {
    let mut world = World::of(&[&["one"], &["two"]]);
    let (old, named) = (world.standing(), world.named.clone());
    world.commit(&["three"]);
    let parts = world.parts(None);
    let newest = old.follow(&parts).unwrap().digests(&parts).unwrap();
    assert!(newest.contains_key(&digest("two")) && !newest.contains_key(&digest("three")));
    let asked = old.question(&digest("one"));
    old.range(asked, &named.prove(asked).encode()).unwrap();
}
