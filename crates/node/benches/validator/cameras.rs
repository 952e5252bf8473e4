//! Cameras and their authority. What they send is signed before the clock starts.

use std::path::Path;

use birthmark_node::clock;
use birthmark_node::settings::AuthoritySettings;
use birthmark_protocol::{
    CameraCertificate, CameraExtensions, CameraToken, DeviceKey, KeyIndex, SealedNuc, TableId,
};
use birthmark_sma::ca::{CameraSubject, Issuer, PrivateKey};
use birthmark_trial::camera::Camera;

use crate::process::Process;

/// The authority whose cameras all have certificates the node never saw. Nobody answers for it.
const AWAY: &str = "bench-away";

/// A token that nobody opens: its authority is away.
fn token() -> CameraToken {
    CameraToken {
        sealed: SealedNuc::from_packed(&[7; 60]).unwrap(),
        table: TableId::try_from(42).unwrap(),
        index: KeyIndex::try_from(42).unwrap(),
    }
}

/// So many submissions, each under a certificate of its own: two signatures have to be checked for
/// each.
pub fn strangers(folder: &Path, count: usize) -> (AuthoritySettings, Vec<String>) {
    let settings = birthmark_sma::Settings::rehearsal(AWAY);
    let now = clock::now();
    let root = Issuer::root(&settings, now).unwrap();
    let issuer = root.intermediate(&settings, now).unwrap();
    let pem = folder.join("away.pem");
    std::fs::write(&pem, birthmark_sma::ca::pem(&issuer.der)).unwrap();
    // A port that was free a moment ago: whoever is asked there does not answer.
    let url = format!("http://{}", crate::process::free_address());
    let entry = AuthoritySettings {
        ca: vec![pem],
        ..AuthoritySettings::new(AWAY, &url)
    };
    let body = |_| {
        let key = PrivateKey::generate().unwrap();
        let device = DeviceKey::P256(key.public());
        let subject = CameraSubject {
            attested: false,
            key: &device,
            extensions: CameraExtensions {
                manufacturer_id: AWAY.into(),
                ma_endpoint: url.clone(),
                token: token(),
                device_family: "Bench Camera".into(),
            },
        };
        let der = issuer.certify(&settings, subject, now).unwrap();
        let camera = Camera::new(&key, &CameraCertificate::from_der(&der).unwrap()).unwrap();
        camera.photo().unwrap().body
    };
    (entry, (0..count).map(body).collect())
}

/// The process that is an authority: `authority FOLDER`.
pub async fn authority(folder: &Path) {
    birthmark_trial::authority::serve(folder).await.unwrap();
}

/// A running authority, and so many submissions of its cameras.
pub async fn friends(
    folder: &Path,
    cameras: usize,
    count: usize,
) -> (Process, AuthoritySettings, Vec<String>) {
    let at = folder.join("authority");
    std::fs::create_dir_all(&at).unwrap();
    let process = Process::role(&["authority", at.to_str().unwrap()]);
    let entry = birthmark_trial::authority::entry(&at, process.address);
    let mut known = Vec::new();
    for number in 0..cameras {
        known.push(Camera::provisioned(process.address, number).await.unwrap());
    }
    let bodies = (0..count)
        .map(|at| known[at % cameras].photo().unwrap().body)
        .collect();
    (process, entry, bodies)
}
