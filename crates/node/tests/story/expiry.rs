//! A certificate that has ended: what was taken in time is taken in, for as long as a camera may have been offline.

use birthmark_protocol::Timestamp;
use birthmark_sma::ca::{self, CameraSubject, Issuer};
use serde_json::Value;

use crate::authority::{Authority, NAME};
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World};

const DAY: i64 = 86_400;

/// The camera with a certificate that ended so many days ago.
fn ended(camera: &Camera, issuer: &Issuer, days: i64) -> Camera {
    let mut settings = birthmark_sma::Settings::rehearsal(NAME);
    settings.certificates.device_days = 730;
    let present = camera.certificate();
    let subject = CameraSubject {
        key: present.key(),
        extensions: present.extensions().clone(),
        attested: false,
    };
    let issued = now().plus(-(730 + days) * DAY);
    let der = issuer.certify(&settings, subject, issued).unwrap();
    let mut provisioned = camera.provisioned.clone();
    provisioned["device_certificate"] = ca::pem(&der).into();
    camera.with(provisioned)
}

async fn handed_in(world: &World, camera: &Camera, taken: Timestamp) -> (u16, Value) {
    let body = camera.ours_at([digest(), digest(), digest()], taken);
    world.post("/api/v1/submit-cert", &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_taken_in_time_is_taken_in_half_a_year_after_its_certificate_ended() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let settings = birthmark_sma::Settings::rehearsal(NAME);
    let issuer = Issuer::root(&settings, now().plus(-1_500 * DAY)).unwrap();
    let pinned = folder.path().join("older.pem");
    std::fs::write(&pinned, ca::pem(&issuer.der)).unwrap();
    let mut entry = authority.entry();
    entry.ca.push(pinned);
    let world = World::started(Base::Sqlite, folder, vec![entry]).await;

    let of_late = ended(&camera, &issuer, 100);
    let in_time = now().plus(-101 * DAY);
    let (status, answer) = handed_in(&world, &of_late, in_time).await;
    assert_eq!(status, 202, "{answer}");
    // A photo of today was not taken under it, nor one of the day after its end.
    for taken in [now(), now().plus(-99 * DAY)] {
        let (status, answer) = handed_in(&world, &of_late, taken).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains("expired at"), "{answer}");
    }
    // Nor is a photo believed for ever that says it was.
    let long_ago = ended(&camera, &issuer, 181);
    let (status, answer) = handed_in(&world, &long_ago, now().plus(-200 * DAY)).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("expired at"), "{answer}");
}
