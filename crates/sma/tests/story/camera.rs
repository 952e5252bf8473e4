//! A camera as the authority provisioned it.

use birthmark_protocol::{
    CameraCertificate, CameraToken, Commitment, DerivationProfile, KeyIndex, MasterKey, NucHash,
    SealedNuc, TableId,
};
use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePublicKey;
use serde_json::{Value, json};

use crate::stand::Stand;

pub struct Camera {
    pub answer: Value,
}

/// A P-256 public key in PEM; its private half is forgotten.
pub fn public_key() -> String {
    let key = SigningKey::from_slice(&birthmark_sma::random::bytes::<32>().unwrap()).unwrap();
    key.verifying_key()
        .to_public_key_pem(p256::pkcs8::LineEnding::LF)
        .unwrap()
}

pub fn commitment(byte: u8) -> Commitment {
    Commitment::from_bytes([byte; 32])
}

impl Camera {
    pub async fn provision(stand: &Stand, serial: &str) -> Self {
        let request = json!({"device_serial": serial, "device_family": "Test Camera", "device_public_key": public_key()});
        let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
        assert_eq!(status, 201, "{answer}");
        Self { answer }
    }

    pub fn nuc(&self) -> NucHash {
        NucHash::from_hex(self.answer["nuc_hash"].as_str().unwrap()).unwrap()
    }

    pub fn table(&self, place: usize) -> (TableId, MasterKey) {
        let table = self.answer["table_assignments"][place].as_i64().unwrap();
        let key = MasterKey::from_hex(
            self.answer["master_keys"][table.to_string()]
                .as_str()
                .unwrap(),
        )
        .unwrap();
        (table.try_into().unwrap(), key)
    }

    /// A token bound to a photo, as our cameras make it.
    pub fn token(&self, commitment: &Commitment) -> CameraToken {
        let (table, master) = self.table(0);
        let index = KeyIndex::try_from(42).unwrap();
        CameraToken::issue(
            &self.nuc(),
            &master,
            table,
            index,
            birthmark_sma::random::bytes().unwrap(),
            commitment,
        )
    }

    /// A token bound to nothing, as older cameras make it.
    pub fn older_token(&self, profile: DerivationProfile) -> CameraToken {
        let (table, master) = self.table(1);
        let index = KeyIndex::try_from(999).unwrap();
        let nonce = birthmark_sma::random::bytes().unwrap();
        let sealed = SealedNuc::seal(&self.nuc(), &master.table_key(index, profile), nonce, &[]);
        CameraToken {
            sealed,
            table,
            index,
        }
    }

    /// What a node asks about a photo of this camera.
    pub fn question(&self, byte: u8) -> Value {
        let about = commitment(byte);
        json!({"camera_token": self.token(&about), "commitment": about.to_string()})
    }

    /// Whether the authority stands behind this camera now.
    pub async fn is_valid(&self, stand: &Stand) -> bool {
        let (status, answer) = stand.post("/validate", &self.question(1)).await;
        assert_eq!(status, 200, "{answer}");
        answer["valid"].as_bool().unwrap()
    }

    pub fn certificate(&self) -> CameraCertificate {
        CameraCertificate::from_pem_or_der(
            self.answer["device_certificate"]
                .as_str()
                .unwrap()
                .as_bytes(),
        )
        .unwrap()
    }

    pub fn certificate_base64(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(self.certificate().der())
    }
}
