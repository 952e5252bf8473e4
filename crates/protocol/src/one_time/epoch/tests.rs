use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use proptest::prelude::*;

use super::*;

pub fn key() -> EpochKey {
    let mut modulus = [0x5a; RSA_BYTES];
    (modulus[0], modulus[RSA_BYTES - 1]) = (0xc1, 0x07);
    EpochKey {
        authority: "maker.example".into(),
        family: "Model".into(),
        time: Timestamp::from_unix(1_794_000_000),
        epoch: 1483,
        from: Timestamp::from_unix(1_794_355_200),
        until: Timestamp::from_unix(1_795_564_800),
        grace: 28 * 86_400,
        is_made_up: false,
        modulus,
    }
}

fn signed(statement: EpochStatement) -> (SignedEpochStatement, PublicKey) {
    let key = SigningKey::from_slice(&[5; 32]).unwrap();
    let signature: p256::ecdsa::Signature =
        key.sign_prehash(statement.digest().as_bytes()).unwrap();
    let signature = Signature::from(signature).normalized();
    let public = PublicKey::from(*key.verifying_key());
    (
        SignedEpochStatement {
            statement,
            signature,
        },
        public,
    )
}

#[test]
fn a_key_counts_from_its_first_to_its_last_moment_by_block_time() {
    let key = key();
    assert_eq!(key.accepts(key.from), Ok(()));
    assert_eq!(key.accepts(key.last()), Ok(()));
    let early = key.accepts(key.from.plus(-1)).unwrap_err();
    let over = key.accepts(key.last().plus(1)).unwrap_err();
    assert!(early.is_temporary() && !over.is_temporary());
    assert_eq!(key.last().since(key.until), 28 * 86_400);
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut EpochKey)| {
        let mut key = key();
        change(&mut key);
        EpochStatement::Key(key).check().unwrap_err()
    };
    assert_eq!(refused(|key| key.until = key.from), EpochError::Span);
    let long = |key: &mut EpochKey| key.until = key.from.plus(MAX_SPAN);
    assert_eq!(refused(long), EpochError::Span);
    let endless = |key: &mut EpochKey| key.until = Timestamp::from_unix(i64::MAX);
    assert_eq!(refused(endless), EpochError::Span);
    assert_eq!(refused(|key| key.modulus[0] = 0x7f), EpochError::Modulus);
    assert_eq!(refused(|key| key.modulus[255] = 2), EpochError::Modulus);
    let nameless = refused(|key| key.family.clear());
    assert_eq!(nameless, EpochError::Name("the device family"));
    let broken = refused(|key| key.authority.push('\n'));
    assert_eq!(broken, EpochError::Name("the authority"));
}

#[test]
fn each_kind_is_signed_under_a_domain_of_its_own() {
    let (signed, public) = signed(EpochStatement::Key(key()));
    assert_eq!(signed.verify(&public), Ok(()));
    let other = EpochStatement::Count(EpochCount {
        authority: "maker.example".into(),
        family: "Model".into(),
        time: Timestamp::from_unix(1),
        epoch: 1483,
        issued: 7,
    });
    assert_ne!(other.domain(), signed.statement.domain());
    let moved = SignedEpochStatement {
        statement: other,
        ..signed
    };
    let mismatch = EpochError::Signature(SignatureError::Mismatch);
    assert_eq!(moved.verify(&public), Err(mismatch));
}

#[test]
fn everything_about_a_key_is_in_its_id() {
    let id = key().id();
    let changes: [fn(&mut EpochKey); 7] = [
        |key| key.authority.push('x'),
        |key| key.family.push('x'),
        |key| key.epoch += 1,
        |key| key.from = key.from.plus(1),
        |key| key.grace += 1,
        |key| key.is_made_up = true,
        |key| key.modulus[100] ^= 1,
    ];
    for change in changes {
        let mut other = key();
        change(&mut other);
        assert_ne!(other.id(), id);
    }
}

fn statements() -> impl Strategy<Value = EpochStatement> {
    let names = ("[a-z.]{1,20}", "[ -~]{1,20}");
    (
        names,
        any::<(i64, u32, u64, u8, bool)>(),
        0_i64..MAX_SPAN / 2,
    )
        .prop_map(
            |((authority, family), (time, epoch, issued, byte, flag), span)| {
                let time = Timestamp::from_unix(time);
                let from = Timestamp::from_unix(i64::from(epoch));
                match issued % 3 {
                    0 => EpochStatement::Key(EpochKey {
                        authority,
                        family,
                        time,
                        epoch,
                        from,
                        until: from.plus(span + 1),
                        grace: u32::from(byte),
                        is_made_up: flag,
                        modulus: [byte | 0x81; RSA_BYTES],
                    }),
                    1 => EpochStatement::Count(EpochCount {
                        authority,
                        family,
                        time,
                        epoch,
                        issued,
                    }),
                    _ => EpochStatement::Withdrawal(EpochWithdrawal {
                        authority,
                        family,
                        time,
                        epoch: flag.then_some(epoch),
                        from,
                    }),
                }
            },
        )
}

proptest! {
    #[test]
    fn every_statement_reads_back(statement in statements()) {
        let (signed, _) = signed(statement);
        prop_assert_eq!(SignedEpochStatement::decode(&signed.encode()), Ok(signed));
    }

    #[test]
    fn one_changed_byte_is_refused_or_another_statement(statement in statements(), at: usize, bit in 0_u8..8) {
        let (signed, public) = signed(statement);
        let mut bytes = signed.encode();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(other) = SignedEpochStatement::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
            prop_assert!(other.verify(&public).is_err());
        }
    }
}
