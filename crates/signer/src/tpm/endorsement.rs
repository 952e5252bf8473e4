//! The endorsement key: what the chip's maker vouches for. It proves nothing by itself but that the
//! chip is genuine.

use std::rc::Rc;

use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ek};
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Public;

use super::chip::{Chip, Loaded, Resident, Session};
use super::error::TpmError;

/// Where the TCG's profile puts the certificates, the better one first.
const PLACES: [(u32, AsymmetricAlgorithmSelection); 2] = [
    (
        0x01c0_000a,
        AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
    ),
    (
        0x01c0_0002,
        AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048),
    ),
];

/// Every chip reads at least this much at once.
const CHUNK: u16 = 512;

/// What the chip's maker gave it.
pub(super) struct Endorsement {
    /// The certificate as stored, without padding; none if the maker stored none.
    pub certificate: Option<Vec<u8>>,
    algorithm: AsymmetricAlgorithmSelection,
}

/// Finds the endorsement certificate: on P-256 where there is one, else on RSA-2048, which every
/// chip has.
pub(super) fn find(chip: &Rc<Chip>, session: &Session) -> Result<Endorsement, TpmError> {
    let present = chip.handles(0x0100_0000)?;
    for (index, algorithm) in PLACES {
        let Ok(place) = NvIndexTpmHandle::new(index) else {
            continue;
        };
        if present.contains(&TpmHandle::NvIndex(place)) {
            let certificate = read(chip, session, place)?;
            return Ok(Endorsement {
                certificate: Some(certificate),
                algorithm,
            });
        }
    }
    let (_, algorithm) = PLACES[1];
    Ok(Endorsement {
        certificate: None,
        algorithm,
    })
}

impl Endorsement {
    /// Derives the endorsement key from the chip's own seed, by the profile's template: the same as
    /// in the certificate.
    pub fn key(&self, chip: &Rc<Chip>) -> Result<(Loaded, Public), TpmError> {
        let template = ek::create_ek_public_from_default_template_2(self.algorithm, None)
            .map_err(|source| TpmError::from_tss("describe the endorsement key", source))?;
        let created = chip.run(
            "create the endorsement key",
            (Some(AuthSession::Password), None, None),
            |context| {
                context.create_primary(Hierarchy::Endorsement, template, None, None, None, None)
            },
        )?;
        Ok((Loaded::new(chip, created.key_handle), created.out_public))
    }
}

fn read(chip: &Rc<Chip>, session: &Session, place: NvIndexTpmHandle) -> Result<Vec<u8>, TpmError> {
    let index = Resident::find(chip, TpmHandle::NvIndex(place))?;
    let handle = NvIndexHandle::from(index.handle());
    let (public, _) = chip.ask("describe the endorsement certificate", |context| {
        context.nv_read_public(handle)
    })?;
    let size = u16::try_from(public.data_size())
        .map_err(|_| TpmError::Malformed("size of the endorsement certificate"))?;
    let mut stored = Vec::with_capacity(size.into());
    for offset in (0..size).step_by(CHUNK.into()) {
        let length = CHUNK.min(size - offset);
        let part = chip.run(
            "read the endorsement certificate",
            session.alone(),
            |context| context.nv_read(NvAuth::NvIndex(handle), handle, length, offset),
        )?;
        stored.extend_from_slice(part.value());
    }
    without_padding(&stored).ok_or(TpmError::Malformed(
        "endorsement certificate stored in the TPM",
    ))
}

/// Some makers fill the index up behind the certificate; its own DER header says where it ends.
fn without_padding(stored: &[u8]) -> Option<Vec<u8>> {
    let (&[tag, first], rest) = stored.split_first_chunk::<2>()?;
    if tag != 0x30 {
        return None;
    }
    let (header, length) = match first {
        0x00..=0x7f => (2, usize::from(first)),
        0x81 => (3, usize::from(*rest.first()?)),
        0x82 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        _ => return None,
    };
    stored.get(..header + length).map(<[u8]>::to_vec)
}

/// An endorsement key of a kind the emulator has no certificate for.
#[cfg(test)]
pub(super) fn with_algorithm(algorithm: AsymmetricAlgorithmSelection) -> Endorsement {
    Endorsement {
        certificate: None,
        algorithm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_behind_the_certificate_is_cut_off() {
        assert_eq!(
            without_padding(&[0x30, 2, 1, 2, 0xff, 0xff]).unwrap(),
            [0x30, 2, 1, 2]
        );
        let mut long = vec![0x30, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        let padded = [long.clone(), vec![0; 9]].concat();
        assert_eq!(without_padding(&padded).unwrap(), long);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x31, 1, 0],
            &[0x30, 5, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x82, 1],
        ] {
            assert_eq!(without_padding(bytes), None);
        }
    }
}
