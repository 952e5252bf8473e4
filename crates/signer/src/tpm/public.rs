//! From the software stack's structures to bytes and to the protocol's types.

use birthmark_protocol::PublicKey;
use tss_esapi::structures::{EccParameter, Public};
use tss_esapi::traits::{Marshall, UnMarshall};

use super::error::TpmError;

/// The bytes of a public area (TPMT_PUBLIC).
pub(super) fn marshalled(public: &Public) -> Result<Vec<u8>, TpmError> {
    public
        .marshall()
        .map_err(|source| TpmError::from_tss("encode a public area", source))
}

/// A public area from its bytes.
pub(super) fn unmarshalled(bytes: &[u8]) -> Result<Public, TpmError> {
    Public::unmarshall(bytes).map_err(|_| TpmError::Malformed("public area of a stored key"))
}

/// The point of a P-256 key.
pub(super) fn public_key(public: &Public) -> Result<PublicKey, TpmError> {
    let Public::Ecc { unique, .. } = public else {
        return Err(TpmError::Malformed("public key"));
    };
    let sec1 = [&[4][..], &padded(unique.x())?, &padded(unique.y())?].concat();
    PublicKey::from_sec1(&sec1).map_err(|_| TpmError::Malformed("public key"))
}

/// The chip leaves out leading zeros; everybody else expects 32 bytes.
fn padded(number: &EccParameter) -> Result<[u8; 32], TpmError> {
    let bytes = number.value();
    let mut out = [0; 32];
    let start = out
        .len()
        .checked_sub(bytes.len())
        .ok_or(TpmError::Malformed("coordinate"))?;
    for (to, from) in out.iter_mut().skip(start).zip(bytes) {
        *to = *from;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_coordinates_are_filled_from_the_left() {
        let short = EccParameter::try_from(vec![1, 2]).unwrap();
        let mut expected = [0; 32];
        expected[30..].copy_from_slice(&[1, 2]);
        assert_eq!(padded(&short).unwrap(), expected);
        let long = EccParameter::try_from(vec![1; 33]).unwrap();
        assert!(padded(&long).is_err());
    }
}
