//! A request of a camera of the documents, as evidence carries it.
//!
//! Two thirds of such a request are the camera's certificate, the same in each of its photos. Many
//! photos of few cameras wait together, so each certificate is carried once and cut out of the
//! requests: what travels to every validator, and waits on its disk, is a third of what was sent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::submission::MAX_SUBMISSION;

/// The body of a request, byte for byte, but for a certificate that may have been cut out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestBody {
    rest: Vec<u8>,
    cut: Option<Cut>,
}

/// What was cut out: a certificate's DER in base64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cut {
    /// Which of the evidence's certificates, from 0.
    certificate: u16,
    /// Behind so many bytes of what is left.
    at: u32,
}

impl RequestBody {
    /// The body as it was sent, with nothing cut out.
    pub const fn sent(body: Vec<u8>) -> Self {
        Self {
            rest: body,
            cut: None,
        }
    }

    /// Without the certificate `der`, which the evidence carries at this position. A body that
    /// writes it in another way stays whole.
    pub fn without(mut body: Vec<u8>, certificate: u16, der: &[u8]) -> Self {
        let text = STANDARD.encode(der);
        let found = find(&body, text.as_bytes());
        let cut = found.and_then(|place| {
            let at = u32::try_from(place).ok()?;
            body.drain(place..place + text.len());
            Some(Cut { certificate, at })
        });
        Self { rest: body, cut }
    }

    /// The body as it was sent, from the certificates of its evidence. `None` if none was sent like
    /// this.
    pub fn whole(&self, certificates: &[Vec<u8>]) -> Option<Cow<'_, [u8]>> {
        let Some(Cut { certificate, at }) = self.cut else {
            return Some(Cow::Borrowed(&self.rest));
        };
        let der = certificates.get(usize::from(certificate))?;
        let (before, after) = self.rest.split_at_checked(at as usize)?;
        let text = STANDARD.encode(der);
        let whole = [before, text.as_bytes(), after].concat();
        (whole.len() <= MAX_SUBMISSION).then_some(Cow::Owned(whole))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.cut.is_some()));
        if let Some(Cut { certificate, at }) = self.cut {
            out.extend(certificate.to_be_bytes());
            out.extend(at.to_be_bytes());
        }
        out.extend((self.rest.len() as u32).to_be_bytes());
        out.extend(&self.rest);
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let cut = match reader.flag("certificate cut out of a request")? {
            false => None,
            true => Some(Cut {
                certificate: u16::from_be_bytes(reader.array("position of a certificate")?),
                at: u32::from_be_bytes(reader.array("place of a certificate")?),
            }),
        };
        let length = u32::from_be_bytes(reader.array("length of a request")?) as usize;
        if length > MAX_SUBMISSION {
            return Err(DecodeError::Value("length of a request"));
        }
        let rest = reader.slice(length, "request")?.to_vec();
        Ok(Self { rest, cut })
    }
}

/// Where `wanted` begins first.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len().max(1))
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DER: &[u8] = b"a certificate, or what stands for one here";

    fn body() -> Vec<u8> {
        format!(
            r#"{{"a":1,"camera_cert":"{}","b":2}}"#,
            STANDARD.encode(DER)
        )
        .into_bytes()
    }

    fn again(body: &RequestBody) -> RequestBody {
        let mut bytes = Vec::new();
        body.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = RequestBody::take(&mut reader).unwrap();
        reader.end().unwrap();
        read
    }

    #[test]
    fn what_was_cut_out_is_put_back_where_it_was() {
        let certificates = [b"another".to_vec(), DER.to_vec()];
        let cut = RequestBody::without(body(), 1, DER);
        assert!(cut.rest.len() + DER.len() < body().len());
        assert_eq!(again(&cut), cut);
        assert_eq!(cut.whole(&certificates).unwrap(), body());
        // Written in another way, nothing is cut out and nothing is lost.
        let escaped = RequestBody::without(br#"{"camera_cert":"QQ=="}"#.to_vec(), 1, DER);
        assert_eq!(
            escaped,
            RequestBody::sent(br#"{"camera_cert":"QQ=="}"#.to_vec())
        );
        assert_eq!(again(&escaped), escaped);
    }

    #[test]
    fn a_place_or_a_certificate_that_is_not_there_is_no_request() {
        let certificates = [DER.to_vec()];
        let cut = |certificate, at| RequestBody {
            rest: b"12345".to_vec(),
            cut: Some(Cut { certificate, at }),
        };
        assert!(cut(0, 5).whole(&certificates).is_some());
        assert_eq!(cut(0, 6).whole(&certificates), None);
        assert_eq!(cut(1, 5).whole(&certificates), None);
        let large = [vec![0; MAX_SUBMISSION]];
        assert_eq!(cut(0, 5).whole(&large), None);
    }
}
