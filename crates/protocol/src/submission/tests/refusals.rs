use super::*;

#[test]
fn two_hashes_must_be_raw_and_processed() {
    let refused = |change: fn(&mut Json)| {
        let mut body = two_hashes();
        change(&mut body);
        refusal(SubmissionRoute::Submit, &body)
    };
    let levels = "body.image_hashes: expected two hashes of modification levels 0 and 1";
    assert_eq!(
        refused(|body| body["image_hashes"][1]["modification_level"] = 2.into()),
        levels
    );
    assert_eq!(
        refused(|body| drop(body["image_hashes"].as_array_mut().unwrap().pop())),
        levels
    );
    let orphan = refused(|body| body["image_hashes"][1]["parent_image_hash"] = Json::Null);
    assert!(orphan.contains("names no earlier digest"), "{orphan}");
    let first =
        refused(|body| body["image_hashes"][0]["parent_image_hash"] = "cd".repeat(32).into());
    assert!(first.contains("cannot have a parent"), "{first}");
    let typed = refused(|body| body["image_hashes"][1]["image_hash"] = 7.into());
    assert_eq!(typed, "body.image_hashes[1].image_hash: expected a text");
    assert_eq!(
        refused(|body| body["submission_type"] = "software".into()),
        "body.submission_type: expected camera"
    );
    assert_eq!(
        refused(|body| body["manufacturer_cert"] = Json::Null),
        "body.manufacturer_cert: expected an object"
    );
}

#[test]
fn half_of_a_fresh_token_is_refused() {
    let body = ours(&photo());
    assert_eq!(
        refusal(SubmissionRoute::Certificate, &without(&body, "opening")),
        "body.opening: field required"
    );
    assert_eq!(
        refusal(
            SubmissionRoute::Certificate,
            &without(&body, "camera_token")
        ),
        "body.camera_token: field required"
    );
    assert_eq!(
        refusal(
            SubmissionRoute::Certificate,
            &with(&body, "bundle_version", 2.into())
        ),
        "body.bundle_version: expected 1"
    );
    let short = with(&body, "opening", "05".into());
    assert_eq!(
        refusal(SubmissionRoute::Certificate, &short),
        "body.opening: expected 64 hexadecimal characters"
    );
    let role = "body.image_hashes[0].role: expected raw, file, image-data or unstated";
    let mut odd = body;
    odd["image_hashes"][0]["role"] = "cooked".into();
    assert_eq!(refusal(SubmissionRoute::Certificate, &odd), role);
}

#[test]
fn every_required_field_is_named_when_it_is_missing() {
    for (route, body) in [
        (SubmissionRoute::Submit, camera_plan()),
        (SubmissionRoute::Legacy, node_plan()),
        (SubmissionRoute::Certificate, certificate_plan()),
        (SubmissionRoute::Certificate, ours(&photo())),
    ] {
        for name in body.as_object().unwrap().keys() {
            let optional = [
                "gps_hash",
                "software_cert",
                "bundle_version",
                "software",
                "anchor",
                "disclosure_root",
            ];
            let result = read(route, &without(&body, name));
            let is_optional = optional.contains(&name.as_str());
            assert_eq!(result.is_ok(), is_optional, "{route:?} without {name}");
            if let Err(error) = result {
                assert_eq!(error.to_string(), format!("body.{name}: field required"));
            }
        }
    }
}

#[test]
fn strangers_bodies_are_refused_with_a_status() {
    let status = |body: &[u8]| {
        Submission::parse(SubmissionRoute::Submit, body)
            .unwrap_err()
            .status()
    };
    assert_eq!(status(&vec![b' '; MAX_SUBMISSION + 1]), 413);
    assert_eq!(status(b"not json"), 422);
    assert_eq!(status(b"[]"), 422);
    assert_eq!(status(br#"{"image_hash": "a", "image_hash": "b"}"#), 422);
    assert_eq!(
        status(&[b"[".repeat(40_000), b"]".repeat(20_000)].concat()),
        422
    );
    let both = with(&two_hashes(), "image_hash", "ab".repeat(32).into());
    assert_eq!(
        refusal(SubmissionRoute::Submit, &both),
        "body.image_hash: give image_hash or image_hashes, not both"
    );
    let software = with(&certificate_plan(), "software_cert", "x".into());
    assert_eq!(
        refusal(SubmissionRoute::Certificate, &software),
        "body.software_cert: software certificates are not accepted"
    );
}

#[test]
fn numbers_are_integers() {
    for time in [
        json!(1.5),
        json!("1795000000"),
        json!(true),
        json!(null),
        json!(1e30),
    ] {
        assert_eq!(
            refusal(
                SubmissionRoute::Submit,
                &with(&camera_plan(), "timestamp", time)
            ),
            "body.timestamp: expected an integer"
        );
    }
    let large = serde_json::to_string(&camera_plan())
        .unwrap()
        .replace(&TIME.to_string(), "99999999999999999999");
    let error = Submission::parse(SubmissionRoute::Submit, large.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "body.timestamp: the number does not fit 64 bits"
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let body = with(
        &camera_plan(),
        "camera_firmware",
        json!({"version": [1, 2, 3]}),
    );
    assert_eq!(
        read(SubmissionRoute::Submit, &body).unwrap().bundle,
        read(SubmissionRoute::Submit, &camera_plan())
            .unwrap()
            .bundle
    );
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read(text in "[{}\\[\\]\",:a-z0-9_ ]{0,80}") {
        for route in [SubmissionRoute::Submit, SubmissionRoute::Legacy, SubmissionRoute::Certificate] {
            prop_assert!(Submission::parse(route, text.as_bytes()).is_err());
        }
    }
}
