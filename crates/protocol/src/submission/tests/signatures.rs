use super::*;

#[test]
fn python_texts_are_recognised_with_null_and_with_nothing() {
    let signed = |body: &Json, text: &str| {
        let body = with(
            body,
            "device_certificate",
            STANDARD.encode(certificate()).into(),
        );
        let body = with(
            &body,
            "device_signature",
            hex::encode(sign(&Digest::of(text.as_bytes())).to_der()).into(),
        );
        read(SubmissionRoute::Submit, &body)
            .unwrap()
            .camera
            .signed()
            .unwrap()
            .verify()
    };
    let body = camera_plan();
    let token = r#"{"auth_tag": "03030303030303030303030303030303", "ciphertext": "0101010101010101010101010101010101010101010101010101010101010101", "key_index": 137, "nonce": "020202020202020202020202", "table_id": 42}"#;
    let hash = "AB".repeat(32);
    let with_null = format!(
        r#"{{"camera_token": {token}, "gps_hash": null, "image_hash": "{hash}", "timestamp": {TIME}}}"#
    );
    let without_null =
        format!(r#"{{"camera_token": {token}, "image_hash": "{hash}", "timestamp": {TIME}}}"#);
    for sent in [&body, &without(&body, "gps_hash")] {
        assert_eq!(signed(sent, &with_null), Ok(SignedForm::Python));
        assert_eq!(signed(sent, &without_null), Ok(SignedForm::Python));
    }
    assert_eq!(
        signed(&with(&body, "timestamp", (TIME + 1).into()), &with_null),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        signed(
            &with(&body, "gps_hash", "ab".repeat(32).into()),
            &without_null
        ),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn a_device_certificate_demands_a_checkable_signature() {
    let body = with(
        &camera_plan(),
        "device_certificate",
        STANDARD.encode(certificate()).into(),
    );
    let expected =
        "body.device_signature: expected an ECDSA P-256 signature, DER in base64 or hexadecimal";
    assert_eq!(refusal(SubmissionRoute::Submit, &body), expected);
    let two = with(
        &two_hashes(),
        "device_certificate",
        STANDARD.encode(certificate()).into(),
    );
    assert_eq!(
        refusal(SubmissionRoute::Submit, &two),
        "body.device_signature: field required"
    );
}

#[test]
fn the_texts_of_a_certificate_request_are_tried_in_order() {
    let verify = |body: &Json| {
        read(SubmissionRoute::Certificate, body)
            .unwrap()
            .camera
            .signed()
            .unwrap()
            .verify()
    };
    let signed =
        |body: &Json, text: &str| verify(&with(body, "bundle_signature", sign_text(text).into()));
    let (body, certificate) = (certificate_plan(), STANDARD.encode(certificate()));
    let lower = "ab".repeat(32);
    let place = with(&body, "gps_hash", "CD".repeat(32).into());

    let bundle = read(SubmissionRoute::Certificate, &body).unwrap().bundle;
    let ours = with(
        &body,
        "bundle_signature",
        STANDARD
            .encode(sign(&bundle.digest(None).unwrap()).to_der())
            .into(),
    );
    assert_eq!(verify(&ours), Ok(SignedForm::Bundle));
    assert_eq!(
        signed(&body, &format!("{lower}\n{certificate}\n{TIME}\n\n")),
        Ok(SignedForm::CertificateLines)
    );
    let with_place = format!("{lower}\n{certificate}\n{TIME}\n{}\n", "cd".repeat(32));
    assert_eq!(
        signed(&place, &with_place),
        Ok(SignedForm::CertificateLines)
    );
    let short = format!("{}{TIME}", "AB".repeat(32));
    assert_eq!(signed(&body, &short), Ok(SignedForm::HashAndTime));
    assert_eq!(
        signed(&place, &short),
        Err(SignatureError::Mismatch),
        "it says nothing about the place"
    );
    assert_eq!(signed(&body, &with_place), Err(SignatureError::Mismatch));
}

#[test]
fn an_older_text_never_signs_what_it_does_not_name() {
    let text = format!("{}{TIME}", "AB".repeat(32));
    let body = with(
        &certificate_plan(),
        "bundle_signature",
        sign_text(&text).into(),
    );
    let token = serde_json::to_value(token()).unwrap();
    let fresh = with(
        &with(&body, "camera_token", token),
        "opening",
        "05".repeat(32).into(),
    );
    let mut ours = with(&body, "bundle_version", 1.into());
    ours["source"] = "sensor".into();
    ours["image_hashes"] = json!([{"image_hash": body["image_hash"], "modification_level": 0}]);
    for body in [fresh, without(&ours, "image_hash")] {
        let read = read(SubmissionRoute::Certificate, &body).unwrap();
        assert_eq!(
            read.camera.signed().unwrap().verify(),
            Err(SignatureError::Mismatch)
        );
    }
}

#[test]
fn the_public_texts_are_those_that_are_checked() {
    let text = serde_json::to_vec(&camera_plan()).unwrap();
    let Value::Object(fields) = Value::parse(&text).unwrap() else {
        panic!("an object")
    };
    assert!(!python_text(&fields).contains("device_signature"));
    let time = Timestamp::from_unix(5);
    assert_eq!(
        certificate_lines(&Digest::from_bytes([0; 32]), "Q0VSVA==", time, None),
        format!("{}\nQ0VSVA==\n5\n\n", "00".repeat(32))
    );
    assert_eq!(hash_and_time("ab", time), "ab5");
}
