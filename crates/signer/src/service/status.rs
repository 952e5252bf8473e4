//! What the signer says of itself.

use birthmark_protocol::numbers::at_most;
use birthmark_protocol::{CameraCertificate, Timestamp, pem};

use crate::camera::Camera;
use crate::messages::StatusReply;
use crate::vault::Vault;

pub(super) fn status(vault: &mut Vault) -> StatusReply {
    let health = vault.health();
    let public_key = vault.public_key();
    let problem = health
        .as_ref()
        .err()
        .or(public_key.as_ref().err())
        .map(ToString::to_string);
    let camera = vault.camera();
    let (last_signature, signatures) = vault.signatures();
    let (self_test_passed, health) = (health.is_ok(), health.ok());
    let (chip, lockout) = health.map_or((None, None), |health| (health.chip, health.lockout));
    StatusReply {
        key_store: vault.kind(),
        public_key: public_key
            .ok()
            .map(|key| pem::public_key(&key.to_spki_der())),
        provisioned: camera.is_some(),
        device_serial: camera.map(|camera| camera.device_serial.clone()),
        device_family: camera.map(|camera| camera.device_family.clone()),
        table_ids: camera.map_or_else(Vec::new, table_ids),
        certificate_not_after: camera.and_then(not_after),
        authority: camera.and_then(authority),
        sealed_to_pcrs: camera.map_or_else(Vec::new, pcrs),
        last_signature: last_signature.map(Timestamp::unix),
        signatures: at_most(signatures),
        self_test_passed,
        chip,
        lockout,
        problem,
    }
}

pub(super) fn table_ids(camera: &Camera) -> Vec<i64> {
    camera.tables.iter().map(|table| (*table).into()).collect()
}

pub(super) fn pcrs(camera: &Camera) -> Vec<i64> {
    camera
        .secrets
        .pcrs
        .iter()
        .map(|number| (*number).into())
        .collect()
}

pub(super) fn not_after(camera: &Camera) -> Option<i64> {
    camera.last_moment().map(Timestamp::unix)
}

/// The address of the authority, as it stands in the certificate.
fn authority(camera: &Camera) -> Option<String> {
    let certificate = CameraCertificate::from_der(&camera.certificate).ok()?;
    Some(certificate.extensions().ma_endpoint.clone())
}
