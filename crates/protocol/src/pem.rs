//! PEM: how people and their tools keep certificates and public keys in files and messages.

use der::pem::LineEnding;

/// A certificate in DER as PEM.
pub fn certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// A SubjectPublicKeyInfo in DER as PEM.
pub fn public_key(spki_der: &[u8]) -> String {
    encode("PUBLIC KEY", spki_der)
}

fn encode(label: &'static str, der: &[u8]) -> String {
    #[expect(
        clippy::expect_used,
        reason = "encoding into a text fails only for a wrong label or for more bytes than memory holds"
    )]
    der::pem::encode_string(label, LineEnding::LF, der).expect("PEM of bytes in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_openssl_writes_it() {
        let written = include_str!("../tests/fixtures/test-p384.pub.pem");
        let spki = include_bytes!("../tests/fixtures/test-p384.spki.der");
        assert_eq!(public_key(spki), written);
    }

    /// Readers of PEM give up at longer lines; one that is exactly full gets no empty line after it.
    #[test]
    fn lines_have_64_characters_and_there_is_no_empty_one() {
        for length in [1, 47, 48, 49, 96] {
            let text = certificate(&vec![7; length]);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines[0], "-----BEGIN CERTIFICATE-----");
            assert_eq!(lines[lines.len() - 1], "-----END CERTIFICATE-----");
            let body = &lines[1..lines.len() - 1];
            assert_eq!(body.len(), length.div_ceil(48), "{text}");
            assert!(
                body.iter().all(|line| (1..=64).contains(&line.len())),
                "{text}"
            );
            assert!(text.ends_with('\n'));
        }
    }
}
