use proptest::prelude::*;

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("../../tests/fixtures/test-camera-raw.der");

fn token() -> CameraToken {
    let sealed = SealedNuc {
        ciphertext: [1; 32],
        nonce: [2; 12],
        tag: [3; 16],
    };
    CameraToken {
        sealed,
        table: 42.try_into().unwrap(),
        index: 137.try_into().unwrap(),
    }
}

fn bytes(body: &Json) -> Vec<u8> {
    serde_json::to_vec(body).unwrap()
}

fn tokens_of(question: &Question) -> Vec<CameraToken> {
    match &question.proof {
        CameraProof::Token(claim) => claim.candidates().collect(),
        CameraProof::Certificate(certificate, _) => vec![certificate.extensions().token],
    }
}

#[test]
fn all_three_spellings_of_a_packed_token_are_read() {
    let packed = token().sealed.to_packed();
    let base64 = STANDARD.encode(packed);
    for ciphertext in [
        hex::encode(packed),
        hex::encode_upper(packed),
        base64.clone(),
        hex::encode(&base64),
    ] {
        let body = json!({"ciphertext": ciphertext, "table_references": [1, 42, 9], "key_indices": [2, 137, 891]});
        let question = Question::parse_token(&bytes(&body)).unwrap();
        assert_eq!(tokens_of(&question)[1], token());
        assert_eq!(tokens_of(&question).len(), 3);
    }
}

#[test]
fn the_plans_nuc_question_has_its_tag_behind_or_beside_the_ciphertext() {
    let (ciphertext, tag) = (hex::encode([1; 32]), hex::encode([3; 16]));
    let mut body = json!({"encrypted_nuc_hash": ciphertext, "auth_tag": tag, "table_id": 42, "key_index": 137, "nonce": hex::encode([2; 12])});
    assert_eq!(
        tokens_of(&Question::parse_nuc(&bytes(&body)).unwrap()),
        [token()]
    );
    body.as_object_mut().unwrap().remove("auth_tag");
    assert_eq!(
        Question::parse_nuc(&bytes(&body)).unwrap_err().status(),
        422
    );
    body["encrypted_nuc_hash"] = (ciphertext + &tag).into();
    assert_eq!(
        tokens_of(&Question::parse_nuc(&bytes(&body)).unwrap()),
        [token()]
    );
}

#[test]
fn an_unknown_table_is_a_sentence_and_bad_hex_a_field() {
    let body = |table: i64, nonce: &str| json!({"encrypted_nuc_hash": "00".repeat(48), "table_id": table, "key_index": 1, "nonce": nonce});
    let unknown = Question::parse_nuc(&bytes(&body(2500, &"00".repeat(12)))).unwrap_err();
    assert_eq!(unknown, RequestError::Sentence("unknown table 2500".into()));
    let malformed = Question::parse_nuc(&bytes(&body(1, "xyz"))).unwrap_err();
    assert_eq!(
        malformed.to_string(),
        "body.nonce: expected 24 hexadecimal characters"
    );
}

#[test]
fn older_nodes_send_the_commitments_place_filled_with_something_else() {
    let body = json!({"camera_cert": STANDARD.encode(CERTIFICATE), "image_hash": "AB".repeat(32)});
    let question = Question::parse_certificate(&bytes(&body)).unwrap();
    assert_eq!(
        question.commitment,
        Some(Commitment::from_bytes([0xAB; 32]))
    );
    assert_eq!(tokens_of(&question)[0].table.get(), 42);
    let without = json!({"camera_cert": STANDARD.encode(CERTIFICATE)});
    assert_eq!(
        Question::parse_certificate(&bytes(&without))
            .unwrap_err()
            .to_string(),
        "body.image_hash: field required"
    );
}

#[test]
fn one_bad_question_spoils_no_other() {
    let good = json!({"commitment": "ab".repeat(32), "camera_token": structured_json(&token())});
    let body = json!({"requests": [good, 7, {"camera_token": {}}, good]});
    let read = Batch::parse(&bytes(&body)).unwrap().questions;
    assert_eq!(
        read.iter()
            .map(|question| question.is_ok())
            .collect::<Vec<_>>(),
        [true, false, false, true]
    );
    let error = read.into_iter().nth(2).unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "body.requests[2].commitment: field required"
    );
}

#[test]
fn a_batch_has_its_limits() {
    assert!(Batch::parse(br#"{"requests": []}"#).is_err());
    let many = format!("{{\"requests\": [{}0]}}", "0,".repeat(MAX_ITEMS));
    let error = Batch::parse(many.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error,
        "body.requests: expected at most 1000 items, got 1001"
    );
    assert_eq!(
        Batch::parse(&vec![b' '; MAX_BATCH + 1])
            .unwrap_err()
            .status(),
        413
    );
    assert_eq!(
        Question::parse_token(&vec![b' '; MAX_QUESTION + 1])
            .unwrap_err()
            .status(),
        413
    );
}

proptest! {
    #[test]
    fn what_we_ask_is_read_back(
        (ciphertext, nonce, tag) in any::<([u8; 32], [u8; 12], [u8; 16])>(),
        keys in proptest::array::uniform3((0i64..2500, 0i64..1000)),
        shape in 0..5,
        commitment: [u8; 32],
    ) {
        let sealed = SealedNuc { ciphertext, nonce, tag };
        let keys = keys.map(|(table, index)| (table.try_into().unwrap(), index.try_into().unwrap()));
        let token = CameraToken { sealed, table: keys[0].0, index: keys[0].1 };
        let certificate = || Box::new(CameraCertificate::from_der(CERTIFICATE).unwrap());
        let proof = match shape {
            0 => CameraProof::Token(TokenClaim::Structured(token)),
            1 => CameraProof::Token(TokenClaim::Packed(PackedToken { sealed, keys })),
            2 => CameraProof::Certificate(certificate(), Some(TokenClaim::Structured(token))),
            3 => CameraProof::Certificate(certificate(), Some(TokenClaim::Packed(PackedToken { sealed, keys }))),
            _ => CameraProof::Certificate(certificate(), None),
        };
        let question = Question { commitment: Some(Commitment::from_bytes(commitment)), proof, authority_id: Some("maker".into()) };
        let body = bytes(&question.to_json());
        let alone = if shape < 2 { Question::parse_token(&body) } else { Question::parse_certificate(&body) };
        let in_batch = Batch::parse(&bytes(&Batch::to_json([&question]))).unwrap().questions.remove(0);
        for read in [alone.unwrap(), in_batch.unwrap()] {
            prop_assert_eq!(format!("{:?}", read), format!("{:?}", question));
        }
    }
}
