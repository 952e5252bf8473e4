//! EMSA-PSS with SHA-384 and a salt of 48 bytes, for keys of 2,048 bits (RFC 8017, section 9.1.1).

use birthmark_protocol::one_time::{RSA_BYTES, RsaBytes};
use sha2::{Digest as _, Sha384};

/// How many bytes the hash and the salt have.
pub const HASH: usize = 48;
/// What is masked: zeros, a one, the salt.
const BLOCK: usize = RSA_BYTES - HASH - 1;

/// The number that is signed for `message`.
pub fn encode(message: &[u8], salt: &[u8; HASH]) -> RsaBytes {
    let hash = Sha384::new()
        .chain_update([0; 8])
        .chain_update(Sha384::digest(message))
        .chain_update(salt)
        .finalize();
    let mut out = [0; RSA_BYTES];
    let padding = [0; BLOCK - HASH - 1];
    let block = padding.iter().chain(&[1]).chain(salt).copied();
    let masked = block.zip(mask(&hash)).map(|(byte, mask)| byte ^ mask);
    let whole = masked.chain(hash).chain([0xbc]);
    out.iter_mut().zip(whole).for_each(|(to, byte)| *to = byte);
    // The number has 2,047 bits, one less than the modulus.
    out[0] &= 0x7f;
    out
}

/// MGF1 with SHA-384.
fn mask(seed: &[u8]) -> impl Iterator<Item = u8> + '_ {
    (0_u32..).flat_map(move |counter| {
        let block = Sha384::new().chain_update(seed);
        block.chain_update(counter.to_be_bytes()).finalize()
    })
}
