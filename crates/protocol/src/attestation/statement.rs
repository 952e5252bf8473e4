//! The chip's statement that a key lives in it (TPMS_ATTEST of TPM2_Certify).

use super::AttestationError;
use super::public_area::sized;
use crate::bytes::{DecodeError, Reader};

/// The chip puts this in front of everything it says itself, and signs nothing from outside that
/// begins with it.
const GENERATED: u32 = 0xff54_4347;
const ATTEST_CERTIFY: u16 = 0x8017;

/// A parsed statement about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifyStatement {
    /// What the verifier asked the chip to include.
    pub nonce: Vec<u8>,
    /// The name of the key the statement is about.
    pub name: Vec<u8>,
    /// The chip's firmware version.
    pub firmware: u64,
}

impl CertifyStatement {
    /// Reads the bytes strictly.
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestationError> {
        read(bytes).map_err(|error| AttestationError::Malformed("statement", error))
    }
}

fn read(bytes: &[u8]) -> Result<CertifyStatement, DecodeError> {
    let mut reader = Reader::new(bytes);
    if u32::from_be_bytes(reader.array("magic")?) != GENERATED {
        return Err(DecodeError::Value("magic"));
    }
    if u16::from_be_bytes(reader.array("type")?) != ATTEST_CERTIFY {
        return Err(DecodeError::Value("type"));
    }
    sized(&mut reader, 66, "signer")?;
    let nonce = sized(&mut reader, 64, "challenge")?.to_vec();
    reader.slice(16, "clock")?;
    reader.flag("clock's safety")?;
    let firmware = u64::from_be_bytes(reader.array("firmware version")?);
    let name = sized(&mut reader, 66, "name")?.to_vec();
    sized(&mut reader, 66, "qualified name")?;
    reader.end()?;
    Ok(CertifyStatement {
        nonce,
        name,
        firmware,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Vec<u8> {
        let mut out = GENERATED.to_be_bytes().to_vec();
        out.extend(ATTEST_CERTIFY.to_be_bytes());
        out.extend([0, 2, 8, 8]); // signer
        out.extend([0, 3, 1, 2, 3]); // challenge
        out.extend([0; 16]);
        out.push(1);
        out.extend(42_u64.to_be_bytes());
        out.extend([0, 2, 5, 6, 0, 0]); // name, qualified name
        out
    }

    #[test]
    fn the_parts_are_found() {
        let parsed = CertifyStatement::parse(&statement()).unwrap();
        assert_eq!(
            (parsed.nonce, parsed.name, parsed.firmware),
            (vec![1, 2, 3], vec![5, 6], 42)
        );
    }

    #[test]
    fn other_statements_truncations_and_tails_are_refused() {
        let good = statement();
        for end in 0..good.len() {
            assert!(
                CertifyStatement::parse(&good[..end]).is_err(),
                "{end} bytes"
            );
        }
        assert!(CertifyStatement::parse(&[good.clone(), vec![0]].concat()).is_err());
        for position in 0..6 {
            let mut other = good.clone();
            other[position] ^= 1;
            assert!(CertifyStatement::parse(&other).is_err(), "byte {position}");
        }
    }
}
