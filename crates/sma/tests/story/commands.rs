//! What operators do at the command line, with the authority running and without, and the files it
//! begins with.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use birthmark_sma::ca::{Issuer, pem};
use birthmark_sma::clock;
use serde_json::{Value, json};

use crate::camera::{Camera, commitment, public_key};
use crate::stand::{PASSPHRASE, Stand, openssl};

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Registers a camera by command; the file it loads.
async fn provision(stand: &Stand, serial: &str, rest: &[&str]) -> Result<Value, String> {
    let out = stand.path(&format!("{serial}.json"));
    let out_text = out.display().to_string();
    let call = ["provision", "--serial", serial, "--family", "Test Camera"];
    let call = [&call[..], &["--out", &out_text], rest].concat();
    stand.command(&call).await?;
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    Ok(json_file(&out))
}

#[tokio::test]
async fn cameras_are_registered_by_command_beside_the_running_authority_and_without_it() {
    let mut stand = Stand::sqlite().await;
    let folder = stand.folder.path().to_owned();
    openssl(
        &folder,
        &[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            "key.pem",
        ],
    );
    openssl(
        &folder,
        &[
            "req", "-new", "-key", "key.pem", "-subj", "/CN=x", "-out", "csr.pem",
        ],
    );
    std::fs::write(stand.path("public.pem"), public_key()).unwrap();
    let (csr, public) = (stand.path("csr.pem"), stand.path("public.pem"));
    let nuc = "5a".repeat(32);

    let with_csr = ["--csr", csr.to_str().unwrap(), "--firmware", "1.2.3"];
    let first = provision(&stand, "CAM-1", &with_csr).await.unwrap();
    assert_eq!(first["certificate_chain"].as_array().unwrap().len(), 2);
    let first = Camera { answer: first };
    assert!(
        first.is_valid(&stand).await,
        "known to the running authority"
    );
    let (_, camera) = stand.get("/api/v1/devices/CAM-1").await;
    assert_eq!(camera["firmware"], "1.2.3");

    // A camera file is never overwritten, and a serial is registered once.
    let again = provision(&stand, "CAM-1", &with_csr).await.unwrap_err();
    assert!(again.contains("exists already"), "{again}");
    std::fs::remove_file(stand.path("CAM-1.json")).unwrap();
    // Whoever lost the file asks again with the same key, and with no other.
    let again = provision(&stand, "CAM-1", &with_csr).await.unwrap();
    assert_eq!(again, first.answer);
    std::fs::remove_file(stand.path("CAM-1.json")).unwrap();
    let other_key = ["--public-key", public.to_str().unwrap()];
    let again = provision(&stand, "CAM-1", &other_key).await.unwrap_err();
    assert!(again.contains("provisioned already"), "{again}");
    assert!(!stand.path("CAM-1.json.unfinished").exists());
    stand.stop().await;

    let with_key = ["--public-key", public.to_str().unwrap(), "--nuc-hash", &nuc];
    let second = provision(&stand, "CAM-2", &with_key).await.unwrap();
    assert_eq!(second["nuc_hash"], nuc);
    // One key is of one camera, and so is one NUC hash.
    let same_key = provision(&stand, "CAM-3", &with_key).await.unwrap_err();
    assert!(
        same_key.contains("certified already, for camera CAM-2"),
        "{same_key}"
    );
    std::fs::write(&public, public_key()).unwrap();
    let same_nuc = provision(&stand, "CAM-3", &with_key).await.unwrap_err();
    assert!(same_nuc.contains("NUC hash"), "{same_nuc}");
    stand.start().await;
    assert!(Camera { answer: second }.is_valid(&stand).await);
    stand.stop().await;
}

#[tokio::test]
async fn an_authority_makes_up_no_nuc_hash_unless_told_to() {
    let stand = Stand::with(crate::stand::Base::Sqlite, |settings| {
        settings.provisioning.simulate_nuc = false;
    });
    let mut stand = stand.await;
    let request =
        json!({"device_serial": "CAM-1", "device_family": "x", "device_public_key": public_key()});
    let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "nuc_hash"]));
    stand.stop().await;

    // One that was made up is marked wherever somebody could take it for a sensor's.
    let mut stand = Stand::sqlite().await;
    let made_up = Camera::provision(&stand, "CAM-1").await;
    let measured = json!({"device_serial": "CAM-2", "device_family": "x", "device_public_key": public_key(), "nuc_hash": "5a".repeat(32)});
    let (status, measured) = stand.post("/api/v1/devices/provision", &measured).await;
    assert_eq!(status, 201, "{measured}");
    let measured = Camera { answer: measured };
    for (camera, serial, simulated) in [(&made_up, "CAM-1", true), (&measured, "CAM-2", false)] {
        let word = if simulated { "made up" } else { "given" };
        assert_eq!(camera.answer["nuc"], word);
        let (_, listed) = stand.get(&format!("/api/v1/devices/{serial}")).await;
        assert_eq!(listed["simulated_nuc"], simulated, "{listed}");
        let (_, verdict) = stand.post("/validate", &camera.question(1)).await;
        assert_eq!(verdict["simulated_nuc"], simulated, "{verdict}");
    }
    assert_eq!(stand.get("/api/v1/overview").await.1["simulated_nucs"], 1);
    stand.stop().await;
}

#[tokio::test]
async fn every_scope_is_revoked_and_lifted_by_command() {
    let mut stand = Stand::sqlite().await;
    let public = stand.path("public.pem");
    let register = async |serial, firmware| {
        std::fs::write(&public, public_key()).unwrap();
        let rest = [
            "--public-key",
            public.to_str().unwrap(),
            "--firmware",
            firmware,
        ];
        Camera {
            answer: provision(&stand, serial, &rest).await.unwrap(),
        }
    };
    let (old, new) = (
        register("CAM-1", "1.9").await,
        register("CAM-2", "1.10").await,
    );
    let number = hex::encode(old.certificate().serial());
    let certificates = format!("{number}..{number}");
    let scopes = [
        ("--device", "CAM-1", false),
        ("--firmware", "1.0..1.9.9", false),
        ("--certificates", &certificates, false),
        ("--family", "Test Camera", true),
        (
            "--issued",
            "2020-01-01T00:00:00Z..2100-01-01T00:00:00Z",
            true,
        ),
    ];
    for ((option, value, both), id) in scopes.into_iter().zip(1..) {
        let revoke = ["revoke", option, value, "--reason", "a test"];
        let printed = stand.command(&revoke).await.unwrap();
        let covered = if both { 2 } else { 1 };
        let sentence = format!("Revocation {id} is in force; it covers {covered} registered");
        assert!(printed.contains(&sentence), "{printed}");
        assert!(!old.is_valid(&stand).await, "{option}");
        assert_eq!(new.is_valid(&stand).await, !both, "{option}");
        stand.command(&["lift", &id.to_string()]).await.unwrap();
        assert!(
            old.is_valid(&stand).await && new.is_valid(&stand).await,
            "{option}"
        );
    }
    // One that is over, and one that has not begun.
    for (from, until) in [("1000", "2000"), ("4000000000", "4000000001")] {
        let range = ["--from", from, "--until", until, "--reason", "a test"];
        let revoke = [&["revoke", "--device", "CAM-1"][..], &range].concat();
        stand.command(&revoke).await.unwrap();
        assert!(old.is_valid(&stand).await);
    }
    let listed: Value =
        serde_json::from_str(&stand.command(&["revocations"]).await.unwrap()).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 7);
    assert!(listed[6]["lifted_at"].is_i64() && listed[0]["lifted_at"].is_null());
    stand.stop().await;
}

/// A serial that does not exist is refused; so is a model that no camera is of, unless it is meant.
#[tokio::test]
async fn revoking_a_model_that_no_camera_is_of_asks_first() {
    let mut stand = Stand::sqlite().await;
    Camera::provision(&stand, "CAM-1").await;
    let revoke = ["revoke", "--family", "Tset Camera", "--reason", "typo"];
    let refused = stand.command(&revoke).await.unwrap_err();
    assert!(refused.contains("0 registered cameras"), "{refused}");
    let (status, answer) = stand
        .post(
            "/api/v1/revocations",
            &json!({"scope": {"kind": "firmware", "from": "1", "to": "2"}, "reason": "x"}),
        )
        .await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(stand.get("/api/v1/revocations").await.1, json!([]));
    // A model may be revoked before its first camera comes.
    let meant = [&revoke[..], &["--even-if-none"]].concat();
    let printed = stand.command(&meant).await.unwrap();
    assert!(printed.contains("covers 0 registered"), "{printed}");
    let printed = stand.command(&["lift", "1"]).await.unwrap();
    assert!(printed.contains("Revocation 1 is lifted"), "{printed}");
    stand.stop().await;
}

#[tokio::test]
async fn a_field_that_is_unknown_is_refused_instead_of_lost() {
    let mut stand = Stand::sqlite().await;
    let request = json!({"device_serial": "CAM-1", "device_family": "x", "device_public_key": public_key(), "firmware_version": "1.2"});
    let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 422, "{answer}");
    let answer = answer.to_string();
    assert!(answer.contains("firmware_version"), "{answer}");
    assert!(answer.contains("`firmware`"), "{answer}");
    stand.stop().await;
}

/// Why a camera was revoked is for the authority's own people, unless something is said for
/// everybody.
#[tokio::test]
async fn the_public_list_says_no_more_than_what_was_said_for_everybody() {
    let mut stand = Stand::sqlite().await;
    Camera::provision(&stand, "CAM-1").await;
    let quiet = [
        "revoke",
        "--device",
        "CAM-1",
        "--reason",
        "Anna's was stolen",
    ];
    stand.command(&quiet).await.unwrap();
    let said = ["--public-reason", "withdrawn by its owner"];
    stand.command(&[&quiet[..], &said].concat()).await.unwrap();
    let (_, list) = stand.get("/revocations").await;
    let list: Value = serde_json::from_str(list["signed"].as_str().unwrap()).unwrap();
    let reasons: Vec<_> = list["revocations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["", "withdrawn by its owner"]);
    let (_, own) = stand.get("/api/v1/revocations").await;
    assert_eq!(own[0]["reason"], "Anna's was stolen");
    stand.stop().await;
}

/// A root and an intermediate as openssl makes them, the intermediate's key encrypted.
fn foreign_authority(folder: &Path) {
    let config = "[root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n[middle]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n[req]\ndistinguished_name=dn\n[dn]\n";
    std::fs::write(folder.join("openssl.cnf"), config).unwrap();
    for name in ["root", "middle", "stranger"] {
        let key = format!("{name}.plain.pem");
        openssl(
            folder,
            &[
                "ecparam",
                "-name",
                "prime256v1",
                "-genkey",
                "-noout",
                "-out",
                &key,
            ],
        );
    }
    let new = ["req", "-config", "openssl.cnf", "-new"];
    let root = [
        "-x509",
        "-key",
        "root.plain.pem",
        "-subj",
        "/O=Maker/CN=Maker Root",
    ];
    let rest = [
        "-extensions",
        "root",
        "-days",
        "3650",
        "-out",
        "root.cert.pem",
    ];
    openssl(folder, &[&new[..], &root, &rest].concat());
    let middle = [
        "-key",
        "middle.plain.pem",
        "-subj",
        "/O=Maker/CN=Maker Cameras",
    ];
    openssl(
        folder,
        &[&new[..], &middle, &["-out", "middle.csr"]].concat(),
    );
    let sign = ["x509", "-req", "-in", "middle.csr", "-CA", "root.cert.pem"];
    let by = [
        "-CAkey",
        "root.plain.pem",
        "-CAcreateserial",
        "-days",
        "1000",
    ];
    let rest = [
        "-extfile",
        "openssl.cnf",
        "-extensions",
        "middle",
        "-out",
        "middle.cert.pem",
    ];
    openssl(folder, &[&sign[..], &by, &rest].concat());
    let passphrase = format!("pass:{PASSPHRASE}");
    let seal = [
        "pkcs8",
        "-topk8",
        "-in",
        "middle.plain.pem",
        "-passout",
        &passphrase,
    ];
    openssl(folder, &[&seal[..], &["-out", "middle.key.pem"]].concat());
}

/// Begins an authority with imported files.
async fn import(stand: &Stand, intermediate: &str, key: &str) -> Result<String, String> {
    let path = |name: &str| stand.path(name).display().to_string();
    let (root, intermediate, key) = (path("root.cert.pem"), path(intermediate), path(key));
    let out = path("public");
    let _ = std::fs::create_dir(&out);
    let call = ["init", "--out", &out, "--import-root", &root];
    let files = [
        "--import-intermediate",
        &intermediate,
        "--import-intermediate-key",
        &key,
    ];
    stand.command(&[&call[..], &files].concat()).await
}

#[tokio::test]
async fn an_existing_certificate_authority_is_imported_from_pem() {
    let mut stand = Stand::sqlite().await;
    stand.stop().await;
    let folder = stand.folder.path().to_owned();
    foreign_authority(&folder);
    stand.settings.database = format!("sqlite://{}", stand.path("imported.db").display());

    let good = stand.settings.database.clone();
    let nowhere = stand.path("no/folder/authority.db");
    stand.settings.database = format!("sqlite://{}", nowhere.display());
    let refused = import(&stand, "middle.cert.pem", "middle.key.pem").await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("there is no folder"), "{refused}");
    stand.settings.database = good;

    // A key of somebody else, an intermediate of somebody else, no certificate at all.
    let wrong = import(&stand, "middle.cert.pem", "stranger.plain.pem")
        .await
        .unwrap_err();
    assert!(wrong.contains("does not belong"), "{wrong}");
    let foreign = stand.path("foreign.pem");
    std::fs::write(&foreign, &stand.founded.intermediate).unwrap();
    let wrong = import(&stand, "foreign.pem", "middle.key.pem")
        .await
        .unwrap_err();
    assert!(wrong.contains("does not belong"), "{wrong}");
    let wrong = import(&stand, "middle.key.pem", "middle.key.pem")
        .await
        .unwrap_err();
    assert!(wrong.contains("not a CERTIFICATE"), "{wrong}");

    import(&stand, "middle.cert.pem", "middle.key.pem")
        .await
        .unwrap();
    // Whoever runs a validator copies these.
    for public in ["root.pem", "intermediate.pem", "verdict-key.pem"] {
        let file = stand.path("public").join(public);
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{public}");
    }
    stand.start().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let certificate = camera.answer["device_certificate"].as_str().unwrap();
    std::fs::write(stand.path("camera.pem"), certificate).unwrap();
    let verify = ["verify", "-x509_strict", "-CAfile", "root.cert.pem"];
    let chain = ["-untrusted", "middle.cert.pem", "camera.pem"];
    let verified = openssl(&folder, &[&verify[..], &chain].concat());
    assert!(verified.contains("camera.pem: OK"), "{verified}");
    let question = json!({"camera_cert": camera.certificate_base64(), "image_hash": commitment(1).to_string()});
    assert_eq!(
        stand.post("/validate-cert", &question).await.1["valid"],
        true
    );
    // Rotation works with the imported root's key, too.
    let root_key = stand.path("root.plain.pem");
    let rotate = ["rotate-ca", "--root-key", root_key.to_str().unwrap()];
    stand.command(&rotate).await.unwrap();
    assert_eq!(
        stand.post("/validate-cert", &question).await.1["valid"],
        true
    );
    stand.stop().await;
}

/// Puts a chain where `import` looks for it.
fn put_chain(stand: &Stand, root: &Issuer, middle: &Issuer) {
    std::fs::write(stand.path("root.cert.pem"), pem(&root.der)).unwrap();
    std::fs::write(stand.path("middle.pem"), pem(&middle.der)).unwrap();
    let key = middle.key.to_encrypted_pem(PASSPHRASE).unwrap();
    std::fs::write(stand.path("middle.key.pem"), key.as_bytes()).unwrap();
}

#[tokio::test]
async fn an_authority_is_imported_only_with_a_chain_that_holds_today() {
    const DAY: i64 = 86_400;
    let mut stand = Stand::sqlite().await;
    stand.stop().await;
    stand.settings.database = format!("sqlite://{}", stand.path("imported.db").display());
    let (settings, now) = (stand.settings.clone(), clock::now());
    let root_of = |days: i64| Issuer::root(&settings, now.plus(days * DAY)).unwrap();
    let under = |root: &Issuer, days: i64| root.intermediate(&settings, now.plus(days * DAY));
    // Ten years for a root, five for what is under it.
    let (old, older) = (root_of(-6 * 365), root_of(-11 * 365));
    let fresh = root_of(0);
    let mut before_its_root = fresh.clone();
    before_its_root.certificate = root_of(-30).certificate;
    for (root, middle, said) in [
        (&old, under(&old, -6 * 365), "Camera CA"),
        (&older, under(&older, -3 * 365), "ended at"),
        (&fresh, under(&fresh, 1), "is not valid before"),
        (&fresh, under(&before_its_root, -10), "was not valid"),
        (&root_of(0), under(&fresh, 0), "did not issue"),
    ] {
        put_chain(&stand, root, &middle.unwrap());
        let refused = import(&stand, "middle.pem", "middle.key.pem").await;
        let refused = refused.unwrap_err();
        assert!(
            refused.contains(said) && refused.contains("the chain that is imported"),
            "{refused}"
        );
    }
    put_chain(&stand, &old, &under(&old, -30).unwrap());
    let imported = import(&stand, "middle.pem", "middle.key.pem").await;
    imported.unwrap();
}
