//! A private question from its beginning to its end, without a network: [`Session::wants`] says
//! which files to fetch, [`Session::take`] takes them, until nothing is missing. Whoever drives it
//! only fetches.
//!
//! The driver may be a browser, the command or a test; what is asked for, and so what the answerer
//! learns, is decided here.

use std::collections::{BTreeMap, BTreeSet};

use birthmark_ledger::index::{Prefix, Range};
use birthmark_ledger::part::{HeadersPart, RecordsPart, part_of_record};
use birthmark_ledger::{Receipt, Trusted, VerifyError};
use birthmark_protocol::Digest;
use birthmark_protocol::api::{Notice, Notices as NoticeList};

use super::{LookupError, Parts, Standing, draw_decoys, positions};
use crate::answer::{Answer, Choice, choose};
use crate::card::Card;
use crate::family::Family;
use crate::judge::{Fetched, Judged, judge};
use crate::metadata::Metadata;
use crate::subject::FileDigests;

/// Where everything that is known against records is asked for.
pub const NOTICES: &str = "api/v1/notices";
/// How often it is asked anew when the index has moved on. A validator keeps the indexes of some
/// blocks only.
const ATTEMPTS: u32 = 3;
/// How far back originals are followed.
const MOST_GENERATIONS: usize = 16;
const OLDER_RECORDS: &str = "Other records of it were not checked: they are older than the validators that are trusted here.";
const OLDER_ORIGINAL: &str = "Whether what it was made from was withdrawn is not known: its record is older than the validators that are trusted here.";
const NO_NOTICES: &str =
    "What was withdrawn after registration could not be asked here: a mirror does not know it.";

/// One question about some digests.
#[derive(Debug)]
pub struct Session {
    trusted: Trusted,
    asked: BTreeSet<Digest>,
    draw: Draw,
    attempts: u32,
    /// What `wants` named and nobody has brought yet.
    pending: BTreeSet<String>,
    state: State,
    failed: Option<LookupError>,
}

/// What is known under one newest block.
#[derive(Debug, Default)]
struct State {
    standing: Option<Standing>,
    /// Outer: whether it was asked. Inner: nothing where the answerer has no such list.
    notices: Option<Option<Vec<Notice>>>,
    /// What is looked up: first what was asked, then its originals.
    wanted: BTreeSet<Digest>,
    generations: usize,
    parts: Parts,
    /// Digests that came after the index.
    newest: Option<BTreeMap<Digest, Vec<u64>>>,
    ranges: BTreeMap<Prefix, Range>,
    found: BTreeMap<Digest, BTreeSet<u64>>,
    /// Parts of records that are fetched for what was found, decoys among them.
    drawn: BTreeSet<u64>,
    receipts: BTreeMap<u64, Receipt>,
    /// Why records have no receipt here: former validators decided them, and a later set is
    /// trusted.
    older: BTreeMap<u64, String>,
    answers: BTreeMap<Digest, Answer>,
}

/// Random numbers from a seed that nobody else knows.
#[derive(Debug)]
struct Draw {
    seed: [u8; 32],
    count: u64,
}

impl Draw {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.count += 1;
        let drawn = Digest::tagged(
            "birthmark/decoys/v1",
            &[&self.seed, &self.count.to_be_bytes()],
        );
        let [a, b, c, d, e, f, g, h, ..] = *drawn.as_bytes();
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        // Below `limit`, which is a usize.
        (number % (limit as u64).max(1)) as usize
    }
}

impl State {
    fn has_notices(&self) -> bool {
        matches!(&self.notices, Some(Some(notices)) if !notices.is_empty())
    }
}

impl Session {
    /// Asks about these digests under this genesis. The seed decides which decoys are drawn: fresh
    /// and random, or the answerer can tell them from what is wanted.
    pub fn new(
        trusted: Trusted,
        digests: impl IntoIterator<Item = Digest>,
        seed: [u8; 32],
    ) -> Self {
        Self {
            trusted,
            asked: digests.into_iter().collect(),
            draw: Draw { seed, count: 0 },
            attempts: 1,
            pending: BTreeSet::new(),
            state: State::default(),
            failed: None,
        }
    }

    /// Which files to fetch next, in this order or all at once; none when everything is answered.
    /// Each is then handed to [`Session::take`].
    pub fn wants(&mut self) -> Result<Vec<String>, &LookupError> {
        if self.failed.is_none() {
            match self.wanted() {
                Ok(files) => {
                    self.pending = files.iter().cloned().collect();
                    return Ok(files);
                }
                Err(error) => self.failed = Some(error),
            }
        }
        self.failed.as_ref().map_or(Ok(Vec::new()), Err)
    }

    /// Takes a file that [`Session::wants`] named, or that there is no such file. What is wrong
    /// with it, `wants` says.
    pub fn take(&mut self, file: &str, bytes: Option<&[u8]>) {
        // What was asked for before a new beginning belongs to an older block.
        if !self.pending.remove(file) {
            return;
        }
        if let Err(error) = self.read(file, bytes) {
            self.failed.get_or_insert(error);
        }
    }

    fn read(&mut self, file: &str, bytes: Option<&[u8]>) -> Result<(), LookupError> {
        let Some(bytes) = bytes else {
            return self.missing(file);
        };
        let state = &mut self.state;
        let number = |prefix: &str| file.strip_prefix(prefix)?.parse::<u64>().ok();
        if file == Standing::ADDRESS {
            let text = std::str::from_utf8(bytes).map_err(|_| LookupError::Text)?;
            state.standing = Some(Standing::read(&self.trusted, text)?);
        } else if file == NOTICES {
            let list: NoticeList = serde_json::from_slice(bytes).map_err(LookupError::Notices)?;
            state.notices = Some(Some(list.notices));
        } else if let Some(part) = number("api/v1/records/") {
            state.parts.records.insert(part, RecordsPart::parse(bytes)?);
        } else if let Some(part) = number("api/v1/headers/") {
            state.parts.headers.insert(part, HeadersPart::parse(bytes)?);
        } else if let Some(standing) = &state.standing {
            // Whatever else is taken is a range that was asked for; one that was not, leads to
            // nothing.
            let mut questions = state.wanted.iter().map(|digest| standing.question(digest));
            if let Some(asked) = questions.find(|asked| standing.address(*asked) == file) {
                let range = standing.range(asked, bytes)?;
                state.ranges.insert(asked, range);
            }
        }
        Ok(())
    }

    fn missing(&mut self, file: &str) -> Result<(), LookupError> {
        match file {
            NOTICES => {
                self.state.notices = Some(None);
                Ok(())
            }
            Standing::ADDRESS => Err(LookupError::NoIndex),
            // The index has moved on: whoever was slow begins again with the newest.
            _ if self.attempts < ATTEMPTS => {
                self.attempts += 1;
                self.state = State::default();
                self.pending.clear();
                Ok(())
            }
            other => Err(LookupError::NoFile(other.to_owned())),
        }
    }

    fn wanted(&mut self) -> Result<Vec<String>, LookupError> {
        loop {
            let files = self.missing_files()?;
            if !files.is_empty() {
                return Ok(files);
            }
            if !self.follow_originals() {
                self.finish()?;
                return Ok(files);
            }
        }
    }

    fn missing_files(&mut self) -> Result<Vec<String>, LookupError> {
        let state = &mut self.state;
        let Some(standing) = &state.standing else {
            return Ok(vec![Standing::ADDRESS.to_owned()]);
        };
        if state.generations == 0 {
            state.wanted = self.asked.clone();
        }
        // The list names nobody and nothing; it comes together with the headers.
        let notices = state.notices.is_none().then(|| NOTICES.to_owned());
        let headers = missing_headers(&state.parts, standing.header_parts());
        let files: Vec<_> = notices.into_iter().chain(headers).collect();
        if !files.is_empty() {
            return Ok(files);
        }
        let newest = match &state.newest {
            Some(newest) => newest,
            None => {
                let followed = standing.follow(&state.parts)?;
                let files = missing_records(&state.parts, followed.record_parts());
                if !files.is_empty() {
                    return Ok(files);
                }
                state.newest.insert(followed.digests(&state.parts)?)
            }
        };
        let questions: BTreeSet<_> = state
            .wanted
            .iter()
            .map(|digest| standing.question(digest))
            .collect();
        let files: Vec<_> = questions
            .iter()
            .filter(|asked| !state.ranges.contains_key(asked))
            .map(|asked| standing.address(*asked))
            .collect();
        if !files.is_empty() {
            return Ok(files);
        }
        let (mut fetched, mut hiding) = (BTreeSet::new(), BTreeSet::new());
        for digest in &state.wanted {
            let asked = standing.question(digest);
            let Some(range) = state.ranges.get(&asked) else {
                return Err(LookupError::NoFile(standing.address(asked)));
            };
            if state.found.contains_key(digest) {
                continue;
            }
            let found = positions(digest, range, newest)?;
            let parts = found.iter().copied().map(part_of_record);
            let away: BTreeSet<_> = parts
                .filter(|part| !state.parts.records.contains_key(part))
                .collect();
            if !away.is_empty() {
                hiding.insert(asked);
                fetched.extend(away);
            }
            state.found.insert(*digest, found);
        }
        for asked in hiding {
            if let Some(range) = state.ranges.get(&asked) {
                draw_decoys(range, &mut fetched, |limit| self.draw.below(limit));
            }
        }
        state.drawn.extend(fetched);
        let files = missing_records(&state.parts, state.drawn.iter().copied());
        if !files.is_empty() {
            return Ok(files);
        }
        let wanted = state.found.values().flatten().copied();
        Ok(missing_headers(&state.parts, state.parts.anchors(wanted)))
    }

    /// Whether there are originals to be looked up as well. Only where something is known against
    /// anybody: a second range tells the answerer that the photo is an edit, and mostly which one.
    fn follow_originals(&mut self) -> bool {
        let state = &mut self.state;
        if !state.has_notices() || state.generations >= MOST_GENERATIONS {
            return false;
        }
        let records = state.found.iter().flat_map(|(digest, found)| {
            let record = |position: &u64| state.parts.record_with(*position, digest);
            found.iter().filter_map(record)
        });
        let originals = records.filter_map(birthmark_ledger::Record::edited_from);
        let new: BTreeSet<_> = originals
            .filter(|original| !state.wanted.contains(original))
            .collect();
        if new.is_empty() {
            return false;
        }
        state.wanted.extend(new);
        state.generations += 1;
        true
    }

    /// Cuts and verifies a receipt of everything that was found, once each, and says what is
    /// answered.
    fn finish(&mut self) -> Result<(), LookupError> {
        let state = &mut self.state;
        let Some(standing) = &state.standing else {
            return Ok(());
        };
        for position in state.found.values().flatten() {
            if state.receipts.contains_key(position) {
                continue;
            }
            match standing.receipt(&state.parts, *position) {
                Ok(receipt) => drop(state.receipts.insert(*position, receipt)),
                // Former validators decided it, and a later set of them is trusted: that is no lie,
                // and no proof.
                Err(LookupError::Undecided(older @ VerifyError::TooOld { .. })) => {
                    state.older.insert(*position, older.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        let notices = state.notices.iter().flatten().flatten();
        let notices: Vec<_> = notices.cloned().collect();
        for (digest, found) in &state.found {
            let records = found
                .iter()
                .filter_map(|position| Some((*position, state.receipts.get(position)?)));
            state
                .answers
                .insert(*digest, Answer::proven(digest, records, &notices));
        }
        Ok(())
    }

    /// Where the registry stands, once that is known.
    pub const fn standing(&self) -> Option<&Standing> {
        self.state.standing.as_ref()
    }

    /// The record by which a file is answered about; nothing if it has none.
    pub fn choice(&self, file: &FileDigests) -> Option<Choice> {
        let answers = file.digests.iter().filter_map(|found| {
            let answer = self.state.answers.get(&found.digest)?;
            Some(answer.clone())
        });
        let answers: Vec<_> = answers.collect();
        let digests: Vec<_> = file.digests.iter().map(|found| found.digest).collect();
        let mut choice = choose(&answers, &digests)?;
        choice.notices.parent = self.withdrawn_original(choice.index);
        Some(choice)
    }

    /// The receipt of that record. It was verified.
    pub fn receipt(&self, choice: &Choice) -> Option<&Receipt> {
        self.state.receipts.get(&choice.index?)
    }

    /// What is shown of a file, once nothing is missing or something was refused.
    pub fn judge(&self, file: &FileDigests, metadata: Option<&Metadata>) -> Judged {
        if let Some(error) = &self.failed {
            return Card::refused(file, error).into();
        }
        let Some(standing) = &self.state.standing else {
            return Card::refused(file, &LookupError::NoIndex).into();
        };
        let older = file.digests.iter().find_map(|one| self.older(&one.digest));
        let Some(choice) = self.choice(file) else {
            return match older {
                Some(reason) => Card::unproven(file, reason).into(),
                None => Card::absent(file, standing).into(),
            };
        };
        let receipt = self.receipt(&choice);
        let fetched = Fetched {
            choice: &choice,
            receipt: receipt.ok_or("its record was not sent"),
            provenance: None,
            metadata,
        };
        let mut judged = judge(file, &fetched, &self.trusted);
        if matches!(&self.state.notices, Some(None)) {
            judged.card.notes.push(NO_NOTICES.to_owned());
        }
        if older.is_some() {
            judged.card.notes.push(OLDER_RECORDS.to_owned());
        }
        if self.has_older_original(choice.index) {
            judged.card.notes.push(OLDER_ORIGINAL.to_owned());
        }
        let originals = self.originals(choice.index);
        if let (Some(receipt), true) = (receipt, judged.card.holds() || !originals.is_empty()) {
            judged.family = Family::proven(receipt, &choice.digest, &originals);
        }
        judged
    }

    /// Why a record that may hold this digest was not checked: former validators decided it.
    fn older(&self, digest: &Digest) -> Option<&str> {
        let found = self.state.found.get(digest)?;
        let mut reasons = found.iter().filter_map(|at| self.state.older.get(at));
        reasons.next().map(String::as_str)
    }

    /// Whether something is known against anybody, and the originals of a record lead to one that
    /// former validators decided.
    fn has_older_original(&self, index: Option<u64>) -> bool {
        if !self.state.has_notices() {
            return false;
        }
        let last = self.originals(index).pop().map(|(receipt, _)| receipt);
        let last = last.or_else(|| self.state.receipts.get(&index?));
        let original = last.and_then(|receipt| receipt.record.edited_from());
        original.is_some_and(|original| self.older(&original).is_some())
    }

    /// What was withdrawn of the nearest original that a record leads to.
    fn withdrawn_original(&self, index: Option<u64>) -> Option<String> {
        let mut originals = self.originals(index).into_iter();
        originals.find_map(|(_, choice)| choice.notices.own)
    }

    /// The originals that a record leads to, nearest first, as far as they were looked up.
    fn originals(&self, index: Option<u64>) -> Vec<(&Receipt, Choice)> {
        let (mut originals, mut next) = (Vec::new(), index);
        while let Some(receipt) = next.and_then(|index| self.state.receipts.get(&index)) {
            let original = receipt.record.edited_from();
            let answer = original.and_then(|original| self.state.answers.get(&original));
            let Some(choice) = answer.and_then(Answer::choice) else {
                break;
            };
            next = choice.index;
            // A record is never its own original's original: the ledger has no circles. Nor is more
            // followed than was asked.
            if originals.len() >= MOST_GENERATIONS {
                break;
            }
            if let Some(receipt) = self.receipt(&choice) {
                originals.push((receipt, choice));
            }
        }
        originals
    }

    /// What the answerer learned, in one sentence that is true for this question.
    pub fn told(&self) -> String {
        let Some(standing) = &self.state.standing else {
            return "Whoever answered saw no photo and no digest: asked was for the newest block alone."
                .to_owned();
        };
        let records = standing.newest().tree_size;
        let ranges = self.state.ranges.len();
        let width = self
            .state
            .ranges
            .keys()
            .next()
            .map_or(0, |range| range.width());
        let held = records.unbounded_shr(width.into()).max(1);
        let parts = match self.state.drawn.len() {
            0 => String::new(),
            1 => ", and one part of the registry with about a thousand records".to_owned(),
            many => {
                format!(", and {many} parts of the registry with about a thousand records each")
            }
        };
        let (asked, told) = match (width, ranges) {
            (0, _) => (
                format!("the whole index, with {records} records"),
                "which tells nothing about the photo that was meant",
            ),
            (_, 1) => (
                format!("one range of the index, which holds about {held} records"),
                "so whoever has one photo in mind could see whether its range was asked for",
            ),
            (_, many) => (
                format!("{many} ranges of the index, which hold about {held} records each"),
                "so whoever has one photo in mind could see whether its range was asked for",
            ),
        };
        format!(
            "Whoever answered saw no photo and no digest: asked was for {asked}{parts}, {told}."
        )
    }
}

/// The parts of headers that are not here.
fn missing_headers(parts: &Parts, wanted: impl IntoIterator<Item = u64>) -> Vec<String> {
    let missing = wanted
        .into_iter()
        .filter(|part| !parts.headers.contains_key(part));
    missing
        .map(|part| format!("api/v1/headers/{part}"))
        .collect()
}

/// The parts of records that are not here, in ascending order, which tells nothing about which of
/// them is wanted.
fn missing_records(parts: &Parts, wanted: impl IntoIterator<Item = u64>) -> Vec<String> {
    let missing: BTreeSet<_> = wanted
        .into_iter()
        .filter(|part| !parts.records.contains_key(part))
        .collect();
    let files = missing.into_iter();
    files.map(|part| format!("api/v1/records/{part}")).collect()
}
