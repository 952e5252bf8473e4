//! A camera that is enrolled from its card: a text file on the FAT partition, an authority, and
//! nobody who types anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use birthmark_testkit::tpm::Swtpm;
use tempfile::TempDir;

use crate::institutions::Institutions;
use crate::outfit::Outfit;
use crate::process::{binary, run};
use crate::running::until;

/// The card's partitions as folders, and its scripts.
struct Card {
    folder: PathBuf,
}

impl Card {
    fn insert(folder: &Path) -> Self {
        for name in ["firmware", "card-state", "wifi", "light"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        Self {
            folder: folder.to_owned(),
        }
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Output {
        let programs = binary("birthmark");
        let programs = programs.parent().unwrap().display();
        Command::new("bash")
            .args(["-euo", "pipefail"])
            .arg(format!(
                "{}/../../images/{name}",
                env!("CARGO_MANIFEST_DIR")
            ))
            .args(arguments)
            .current_dir(&self.folder)
            .env(
                "PATH",
                format!("{programs}:{}", std::env::var("PATH").unwrap()),
            )
            .output()
            .unwrap()
    }

    fn set_up(&self, text: &str) {
        fs::write(self.folder.join("firmware/birthmark-setup.txt"), text).unwrap();
        let folders = ["firmware", "capture.toml", "card-state", "wifi", "light"];
        let ended = self.script("card-setup.sh", &folders);
        assert!(ended.status.success(), "{ended:?}");
    }

    /// One attempt; the status, and what the FAT partition says afterwards.
    fn enrol(&self) -> (bool, String) {
        let signer = self.folder.join("signer");
        let sockets = ["--signer-socket", signer.to_str().unwrap()];
        let places = ["firmware", "card-state/enrol"];
        let ended = self.script("card-enrol.sh", &[places, sockets].concat());
        let result = self.folder.join("firmware/birthmark-enrolment.result.txt");
        let said = fs::read_to_string(&result).unwrap_or_else(|_| panic!("{ended:?}"));
        (ended.status.success(), said)
    }
}

/// A camera that nobody has enrolled, its card, and the institutions, none of which runs.
fn a_new_camera(folder: &Path) -> (Institutions, Outfit, Card) {
    let tpm = Swtpm::start().unwrap();
    let makers = tpm.endorsement_authorities().unwrap();
    let institutions = Institutions::found(folder, &makers);
    let camera = Outfit::switch_on(folder, tpm, &institutions);
    (institutions, camera, Card::insert(folder))
}

#[test]
fn a_card_enrols_its_camera_once_the_authority_can_be_reached_and_forgets_the_token() {
    let folder = TempDir::new().unwrap();
    let (institutions, camera, card) = a_new_camera(folder.path());
    let folder = folder.path();
    let token = institutions.enrolment_token("card", "CARD-0001");
    let request = format!(
        "authority = {}\noperator_token = {}\nserial = CARD-0001\nfamily = Pi \"HQ\"\n",
        institutions.authority, token,
    );
    card.set_up(&request);

    let early = camera.birthmark(&["capture", "--json"]);
    assert_eq!(early.status, Some(0), "{}", early.text);
    let early = PathBuf::from(early.json()["path"].as_str().unwrap());

    let (enrolled, said) = card.enrol();
    assert!(!enrolled);
    assert!(said.contains("not enrolled yet"), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
    assert!(folder.join("card-state/enrol/token").exists());
    // The same answer is not written again: cards wear out.
    let result = folder.join("firmware/birthmark-enrolment.result.txt");
    let written = || fs::metadata(&result).unwrap().modified().unwrap();
    let before = written();
    assert_eq!(card.enrol(), (false, said));
    assert_eq!(written(), before);

    let _authority = institutions.start_authority();
    let (enrolled, said) = card.enrol();
    assert!(enrolled, "{said}");
    assert!(said.contains("provisioned CARD-0001"), "{said}");
    assert!(said.contains("attest"), "{said}");
    assert!(!said.contains("bma_"), "{said}");
    assert!(!folder.join("card-state/enrol").exists());
    camera.birthmark(&["info"]).well();
    until("the early photo's proof", || {
        let sidecar = fs::read_to_string(early.with_extension("json"));
        sidecar.is_ok_and(|sidecar| sidecar.contains("bundle_signature"))
    });

    its_certificate_is_renewed(&camera, folder, &early);

    // As if the power had gone before the request was forgotten, or somebody copied the file again.
    card.set_up(&request);
    let (enrolled, said) = card.enrol();
    assert!(enrolled, "{said}");
    assert!(said.contains("this camera is enrolled"), "{said}");
    assert!(!folder.join("card-state/enrol").exists());
}

/// The certificate in the sidecar of a photo: it comes with the signature, which the photo does not
/// wait for.
fn certificate_beside(photo: &Path) -> String {
    let mut certificate = None;
    until("the photo's signature", || {
        let sidecar = fs::read_to_string(photo.with_extension("json")).unwrap();
        let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
        certificate = sidecar["camera_cert"].as_str().map(str::to_owned);
        certificate.is_some()
    });
    certificate.unwrap()
}

/// By the chip alone: the operator's token is gone by now.
fn its_certificate_is_renewed(camera: &Outfit, folder: &Path, early: &Path) {
    let quiet = camera.birthmark(&["renew", "--if-due"]).well();
    assert_eq!(quiet, "");
    let said = camera.birthmark(&["renew"]).well();
    assert!(said.contains("renews nothing yet"), "{said}");

    // As the authority remembers it, the certificate ends in a minute.
    let database = folder.join("authority.db");
    let shorten = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], timeout=30); \
        c.execute('UPDATE certificates SET expires_at = ?', (int(time.time()) + 60,)); c.commit()";
    let mut python = Command::new("python3");
    run(python.args(["-c", shorten]).arg(database));
    let said = camera.birthmark(&["renew"]).well();
    assert!(said.contains("renewed the certificate"), "{said}");
    let late = camera.birthmark(&["capture", "--json"]).json();
    let late = PathBuf::from(late["path"].as_str().unwrap());
    assert_ne!(certificate_beside(&late), certificate_beside(early));
}

#[test]
fn an_authority_that_refuses_the_card_s_token_is_quoted_on_the_drive() {
    let folder = TempDir::new().unwrap();
    let (institutions, _camera, card) = a_new_camera(folder.path());
    let folder = folder.path();
    let _authority = institutions.start_authority();
    institutions.enrolment_token("anna", "CARD-0002");
    card.set_up(&format!(
        "authority = {}\noperator_token = bma_0123456789abcdef\nserial = CARD-0002\nfamily = Pi HQ\n",
        institutions.authority,
    ));
    let (enrolled, said) = card.enrol();
    assert!(!enrolled);
    assert!(said.contains("refuses: the token is not known"), "{said}");
    assert!(folder.join("card-state/enrol").exists());
}
