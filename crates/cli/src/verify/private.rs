//! Asking a validator, or a mirror of its files, without naming the photo.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use birthmark_ledger::index::{Prefix, Range};
use birthmark_ledger::part::{HeadersPart, RecordsPart};
use birthmark_ledger::{Genesis, Receipt};
use birthmark_protocol::Digest;
use birthmark_protocol::api::{Notice, Notices};
use birthmark_verify::answer::{Answer, choose};
use birthmark_verify::private::{Parts, Standing, decoys, positions};

use super::answer::Validator;

/// How often it is asked anew when the index has moved on.
const ATTEMPTS: u32 = 3;
/// How far back originals are followed.
const MOST_GENERATIONS: usize = 16;

/// What was found out, each of it proven under the genesis that was asked with.
pub struct Asked {
    /// An answer for each digest.
    pub answers: Vec<Answer>,
    /// The receipts of all records in them, by place in the registry.
    pub receipts: BTreeMap<u64, Receipt>,
    /// What is said of a digest that is not registered.
    pub absence: String,
    /// What could not be found out in this way.
    pub caution: Option<&'static str>,
}

struct Session<'a> {
    validator: &'a Validator,
    standing: Standing,
    /// Digests that came after the index.
    newest: BTreeMap<Digest, Vec<u64>>,
    ranges: BTreeMap<Prefix, Range>,
    parts: Parts,
    notices: Vec<Notice>,
}

/// Something that is not there any more, or not there at all.
#[derive(Debug, thiserror::Error)]
#[error("it has no {0}")]
struct Missing(String);

/// Asks about many digests. A validator keeps the indexes of some blocks only: whoever was slow begins again with its newest.
pub async fn ask(
    validator: &Validator,
    genesis: &Genesis,
    digests: &[Digest],
) -> anyhow::Result<Asked> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match ask_once(validator, genesis, digests).await {
            Err(error) if error.is::<Missing>() && attempts < ATTEMPTS => {}
            done => return done,
        }
    }
}

async fn ask_once(
    validator: &Validator,
    genesis: &Genesis,
    digests: &[Digest],
) -> anyhow::Result<Asked> {
    let head = validator.file(Standing::ADDRESS).await?.context(
        "it has no index of its digests, so it cannot be asked without naming the photo; --direct names it",
    )?;
    let standing = Standing::read(genesis, std::str::from_utf8(&head)?)?;
    let notices = validator.file("api/v1/notices").await?;
    let caution = notices.is_none().then_some(NO_NOTICES);
    let notices = match notices {
        Some(text) => serde_json::from_slice::<Notices>(&text)?.notices,
        None => Vec::new(),
    };
    let mut session = Session {
        validator,
        standing,
        newest: BTreeMap::new(),
        ranges: BTreeMap::new(),
        parts: Parts::default(),
        notices,
    };
    session.read_newest().await?;
    let answers = session.answers(digests).await?;
    let receipts = session.receipts(&answers)?;
    Ok(Asked {
        absence: session.standing.absence(),
        answers,
        receipts,
        caution,
    })
}

const NO_NOTICES: &str =
    "What was withdrawn after registration could not be asked here: a mirror does not know it.";

impl Asked {
    /// What was withdrawn of the images that a record was made from, each looked up in the same way.
    pub async fn withdrawn_original(
        &self,
        validator: &Validator,
        genesis: &Genesis,
        record: &Receipt,
    ) -> anyhow::Result<Option<String>> {
        let mut next = record.record.edited_from();
        for _ in 0..MOST_GENERATIONS {
            let Some(original) = next.take() else {
                return Ok(None);
            };
            let asked = Box::pin(ask(validator, genesis, &[original])).await?;
            let choice = choose(&asked.answers, &[original]);
            let Some(choice) = choice else {
                return Ok(None);
            };
            if choice.notices.own.is_some() {
                return Ok(choice.notices.own);
            }
            let receipt = choice.index.and_then(|index| asked.receipts.get(&index));
            next = receipt.and_then(|receipt| receipt.record.edited_from());
        }
        Ok(None)
    }
}

impl Session<'_> {
    /// Reads what came after the index that the newest header names.
    async fn read_newest(&mut self) -> anyhow::Result<()> {
        self.read_headers(self.standing.header_parts().collect())
            .await?;
        let newest = self.standing.follow(&self.parts)?;
        self.read_records(newest.record_parts().collect()).await?;
        self.newest = newest.digests(&self.parts)?;
        Ok(())
    }

    async fn answers(&mut self, digests: &[Digest]) -> anyhow::Result<Vec<Answer>> {
        let (mut wanted, mut others) = (BTreeMap::new(), BTreeSet::new());
        for digest in digests {
            let range = self.range(digest).await?;
            let found = positions(digest, &range, &self.newest)?;
            if found.iter().any(|position| !self.is_here(*position)) {
                others.extend(decoys(&range, below)?);
            }
            wanted.insert(*digest, found);
        }
        // In ascending order, which tells nothing about which of them is wanted.
        others.extend(wanted.values().flatten());
        let parts = others
            .iter()
            .copied()
            .map(birthmark_ledger::part::part_of_record);
        self.read_records(parts.collect()).await?;
        self.read_headers(self.parts.anchors(others)).await?;
        let answer = |digest| {
            let found = wanted.get(digest).context("a digest was not looked up")?;
            let answer = self
                .standing
                .answer(digest, found, &self.parts, &self.notices);
            anyhow::Ok(answer?)
        };
        digests.iter().map(answer).collect()
    }

    fn receipts(&self, answers: &[Answer]) -> anyhow::Result<BTreeMap<u64, Receipt>> {
        let records = answers.iter().flat_map(|answer| &answer.records);
        let receipt = |index| Ok((index, self.standing.receipt(&self.parts, index)?));
        records.map(|record| receipt(record.index)).collect()
    }

    fn is_here(&self, position: u64) -> bool {
        let part = birthmark_ledger::part::part_of_record(position);
        self.parts.records.contains_key(&part)
    }

    async fn range(&mut self, digest: &Digest) -> anyhow::Result<Range> {
        let asked = self.standing.question(digest);
        if let Some(range) = self.ranges.get(&asked) {
            return Ok(range.clone());
        }
        let address = self.standing.address(asked);
        let bytes = self.must(&address).await?;
        let range = self.standing.range(asked, &bytes)?;
        self.ranges.insert(asked, range.clone());
        Ok(range)
    }

    async fn read_records(&mut self, parts: BTreeSet<u64>) -> anyhow::Result<()> {
        for part in parts {
            if !self.parts.records.contains_key(&part) {
                let bytes = self.must(&format!("api/v1/records/{part}")).await?;
                self.parts.records.insert(part, RecordsPart::parse(&bytes)?);
            }
        }
        Ok(())
    }

    async fn read_headers(&mut self, parts: BTreeSet<u64>) -> anyhow::Result<()> {
        for part in parts {
            if !self.parts.headers.contains_key(&part) {
                let bytes = self.must(&format!("api/v1/headers/{part}")).await?;
                self.parts.headers.insert(part, HeadersPart::parse(&bytes)?);
            }
        }
        Ok(())
    }

    async fn must(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let file = self.validator.file(path).await?;
        Ok(file.ok_or_else(|| Missing(path.to_owned()))?)
    }
}

/// A number below `count`, which is not 0.
fn below(count: usize) -> anyhow::Result<usize> {
    let drawn = birthmark_daemon::random::below(u32::try_from(count)?)?;
    Ok(drawn.context("there is nothing to draw from")? as usize)
}
