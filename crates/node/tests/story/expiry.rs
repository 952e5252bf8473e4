//! Dates of certificates, and one that has ended: what was taken in time is taken in, for as long
//! as a camera may have been offline.

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

/// A certificate for this camera that `issuer` issued so many days ago (or ahead).
fn issued(camera: &Camera, issuer: &Issuer, days: i64) -> Camera {
    ended(camera, issuer, days - 730)
}

/// The same key under another certificate: it issues what its own certificate would not allow.
fn careless(issuer: &Issuer, other: &Issuer) -> Issuer {
    Issuer {
        certificate: other.certificate.clone(),
        ..issuer.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_held_against_the_dates_of_its_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let settings = birthmark_sma::Settings::rehearsal(NAME);
    let root = |days: i64| Issuer::root(&settings, now().plus(-days * DAY)).unwrap();
    // Roots last ten years: this one ended fifty days ago.
    let (gone, fresh, long) = (root(3653 + 50), root(1), root(1_500));
    let mut entry = authority.entry();
    for (issuer, name) in [(&gone, "gone.pem"), (&fresh, "fresh.pem")] {
        let pinned = folder.path().join(name);
        std::fs::write(&pinned, ca::pem(&issuer.der)).unwrap();
        entry.ca.push(pinned);
    }
    let world = World::started(Base::Sqlite, folder, vec![entry]).await;

    let coming = issued(&camera, &fresh, -1);
    let outlives = issued(&camera, &careless(&gone, &long), 100);
    let older = issued(&camera, &careless(&fresh, &long), 10);
    let younger = issued(&camera, &careless(&gone, &long), 20);
    for (camera, taken, said) in [
        (&coming, now(), "not valid before"),
        // The issuer's end counts as the certificate's own.
        (&outlives, now(), "expired at"),
        (&outlives, now().plus(-49 * DAY), "expired at"),
        // Issued before its issuer was there, and after it was gone: once here, and once from what
        // is remembered.
        (
            &older,
            now(),
            "when its issuer's own certificate was not valid",
        ),
        (
            &younger,
            now(),
            "when its issuer's own certificate was not valid",
        ),
        (
            &younger,
            now(),
            "when its issuer's own certificate was not valid",
        ),
    ] {
        let (status, answer) = handed_in(&world, camera, taken).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains(said), "{answer}");
    }
    let (status, answer) = handed_in(&world, &outlives, now().plus(-60 * DAY)).await;
    assert_eq!(status, 202, "{answer}");
}
