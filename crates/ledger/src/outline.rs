//! A block as its bytes, with marks in them: one record is read without the others. This is for
//! answering lookups from blocks that were judged before; judging takes a [`Block`](crate::Block).

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::block::{BlockFormatError, MAX_TRANSACTIONS};
use crate::change::SetChange;
use crate::header::BlockHeader;
use crate::record::Record;
use crate::rules::MAX_BLOCK_BYTES;
use crate::transaction::packing::{Previous, pass_maker, pass_record, read_one};
use crate::transaction::{
    MAX_RECORDS, STATEMENTS_VERSION, TRANSACTION_VERSION, TransactionError, TransactionHash,
    take_statements,
};
use crate::validators::ValidatorId;
use crate::{signatures, varint};

/// Every so many records there is a mark.
const STEP: usize = 8;

/// A block's bytes and where in them its records stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outline {
    header: BlockHeader,
    bytes: Vec<u8>,
    transactions: Vec<Passed>,
}

/// One record of a block, with what its transaction says about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    /// The record.
    pub record: Record,
    /// The validator that submitted it.
    pub submitter: ValidatorId,
    /// The transaction it came in.
    pub transaction: TransactionHash,
}

/// A transaction that was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Passed {
    hash: TransactionHash,
    submitter: ValidatorId,
    makers: usize,
    first: usize,
    records: usize,
    marks: Vec<Mark>,
}

/// Where a record begins, and what the one before it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    at: usize,
    previous: Previous,
}

/// Reads forward and knows where it is.
struct Cursor<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
}

impl<'a> Cursor<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            reader: Reader::new(bytes),
        }
    }

    const fn at(&self) -> usize {
        self.bytes.len() - self.reader.remaining()
    }
}

impl Outline {
    /// Takes a block's canonical bytes. Their layout is checked here, each record's content when it
    /// is read.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BlockFormatError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockFormatError::TooLong(bytes.len()));
        }
        let mut cursor = Cursor::new(&bytes);
        let header = BlockHeader::take(&mut cursor.reader)?;
        let count = varint::take_count(
            &mut cursor.reader,
            0,
            MAX_TRANSACTIONS,
            "number of transactions",
        )?;
        let (mut transactions, mut first) = (Vec::with_capacity(count), 0);
        for position in 0..count {
            let passed = pass(&mut cursor, first)
                .map_err(|error| BlockFormatError::Transaction { position, error })?;
            first += passed.records;
            transactions.push(passed);
        }
        if cursor.reader.flag("set change")? {
            SetChange::take(&mut cursor.reader)?;
        }
        cursor.reader.end()?;
        if usize::try_from(header.records) != Ok(first) {
            return Err(DecodeError::Value("number of records").into());
        }
        Ok(Self {
            header,
            bytes,
            transactions,
        })
    }

    /// The block's header.
    pub const fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        let marks: usize = self.transactions.iter().map(|one| one.marks.len()).sum();
        size_of::<Self>()
            + self.bytes.capacity()
            + self.transactions.len() * size_of::<Passed>()
            + marks * size_of::<Mark>()
    }

    /// The record at an index of the registry, if this block holds it.
    pub fn record(&self, leaf: u64) -> Result<Option<Excerpt>, TransactionError> {
        let position = leaf.checked_sub(self.header.first_index());
        let Some(position) = position.and_then(|position| usize::try_from(position).ok()) else {
            return Ok(None);
        };
        let after = self
            .transactions
            .partition_point(|passed| passed.first <= position);
        let Some(passed) = self.transactions.get(..after).and_then(<[Passed]>::last) else {
            return Ok(None);
        };
        if position - passed.first >= passed.records {
            return Ok(None);
        }
        self.read(passed, position - passed.first).map(Some)
    }

    fn read(&self, passed: &Passed, position: usize) -> Result<Excerpt, TransactionError> {
        let from = |at: usize| Reader::new(self.bytes.get(at..).unwrap_or_default());
        let mark = passed
            .marks
            .get(position / STEP)
            .ok_or(DecodeError::Truncated("record"))?;
        let (mut reader, mut previous) = (from(mark.at), mark.previous);
        for _ in 0..position % STEP {
            pass_record(&mut reader, &mut previous, |_| ())?;
        }
        Ok(Excerpt {
            record: read_one(from(passed.makers), &mut reader, previous)?,
            submitter: passed.submitter,
            transaction: passed.hash,
        })
    }

    /// Every digest in it and the index of the record that holds it.
    pub fn digests(&self) -> Result<Vec<(Digest, u64)>, DecodeError> {
        let mut digests = Vec::with_capacity(self.header.records as usize);
        let mut leaf = self.header.first_index();
        for passed in &self.transactions {
            let Some(mark) = passed.marks.first() else {
                continue;
            };
            let mut reader = Reader::new(self.bytes.get(mark.at..).unwrap_or_default());
            let mut previous = mark.previous;
            for _ in 0..passed.records {
                pass_record(&mut reader, &mut previous, |digest| {
                    digests.push((digest, leaf))
                })?;
                leaf += 1;
            }
        }
        Ok(digests)
    }
}

fn pass(cursor: &mut Cursor<'_>, first: usize) -> Result<Passed, TransactionError> {
    let start = cursor.at();
    let version = cursor.reader.byte("transaction version")?;
    let submitter = ValidatorId::from_bytes(cursor.reader.array("submitter")?);
    let makers = match version {
        TRANSACTION_VERSION => {
            let count = varint::take_count(&mut cursor.reader, 1, MAX_RECORDS, "number of makers")?;
            let makers = cursor.at();
            for _ in 0..count {
                pass_maker(&mut cursor.reader)?;
            }
            makers
        }
        STATEMENTS_VERSION => {
            take_statements(&mut cursor.reader)?;
            cursor.at()
        }
        other => return Err(DecodeError::Version(other).into()),
    };
    let (mut records, mut marks) = (0, Vec::new());
    if version == TRANSACTION_VERSION {
        records = varint::take_count(&mut cursor.reader, 1, MAX_RECORDS, "number of records")?;
        marks = pass_records(cursor, records)?;
    }
    signatures::take_one(&mut cursor.reader)?;
    let bytes = cursor.bytes.get(start..cursor.at()).unwrap_or_default();
    Ok(Passed {
        hash: TransactionHash::of(bytes),
        submitter,
        makers,
        first,
        records,
        marks,
    })
}

fn pass_records(cursor: &mut Cursor<'_>, records: usize) -> Result<Vec<Mark>, DecodeError> {
    let mut marks = Vec::with_capacity(records.div_ceil(STEP));
    let mut previous = Previous::default();
    for position in 0..records {
        if position.is_multiple_of(STEP) {
            marks.push(Mark {
                at: cursor.at(),
                previous,
            });
        }
        pass_record(&mut cursor.reader, &mut previous, |_| ())?;
    }
    Ok(marks)
}
