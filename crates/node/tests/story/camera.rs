//! Cameras of every plan, with real keys, tokens and certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::json::Value as PlainJson;
use birthmark_protocol::submission::{OurSubmission, certificate_lines, python_text};
use birthmark_protocol::{
    Bundle, CameraCertificate, CameraToken, Capture, Commitment, DerivationProfile, Digest,
    DigestRole, ImageClaim, KeyIndex, MasterKey, ModificationLevel, NucHash, Opening, PixelSource,
    SealedNuc, Signature, TableId, Timestamp,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use crate::authority::Authority;

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub fn digest() -> Digest {
    Digest::from_bytes(random())
}

pub fn now() -> Timestamp {
    birthmark_node::clock::now()
}

pub struct Camera {
    key: SigningKey,
    pub provisioned: Value,
}

impl Camera {
    pub async fn new(authority: &Authority, serial: &str) -> Self {
        let key = SigningKey::from_slice(&random::<32>()).unwrap();
        let pem = key
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .unwrap();
        Self {
            provisioned: authority.provision(serial, &pem).await,
            key,
        }
    }

    /// The same key with other papers.
    pub fn with(&self, provisioned: Value) -> Self {
        Self {
            key: self.key.clone(),
            provisioned,
        }
    }

    /// The same certificate in the hands of somebody without its key.
    pub fn stolen_certificate(&self) -> Self {
        Self {
            key: SigningKey::from_slice(&random::<32>()).unwrap(),
            provisioned: self.provisioned.clone(),
        }
    }

    fn nuc(&self) -> NucHash {
        NucHash::from_hex(self.provisioned["nuc_hash"].as_str().unwrap()).unwrap()
    }

    fn table(&self, place: usize) -> (TableId, MasterKey) {
        let table = self.provisioned["table_assignments"][place]
            .as_i64()
            .unwrap();
        let key = self.provisioned["master_keys"][table.to_string()]
            .as_str()
            .unwrap();
        (table.try_into().unwrap(), MasterKey::from_hex(key).unwrap())
    }

    pub fn certificate(&self) -> CameraCertificate {
        CameraCertificate::from_pem_or_der(
            self.provisioned["device_certificate"]
                .as_str()
                .unwrap()
                .as_bytes(),
        )
        .unwrap()
    }

    fn sign(&self, digest: &Digest) -> Signature {
        let signature: p256::ecdsa::Signature = self.key.sign_prehash(digest.as_bytes()).unwrap();
        signature.into()
    }

    /// A token bound to nothing, as older cameras make it.
    pub fn token(&self) -> CameraToken {
        let (table, master) = self.table(1);
        let index = KeyIndex::try_from(7).unwrap();
        let sealed = SealedNuc::seal(
            &self.nuc(),
            &master.table_key(index, DerivationProfile::A),
            random(),
            &[],
        );
        CameraToken {
            sealed,
            table,
            index,
        }
    }

    /// The camera plan: structured token, text signed as Python writes it.
    pub fn camera_plan(&self, image: Digest, token: &CameraToken, with_certificate: bool) -> Value {
        let mut body = json!({"image_hash": image, "camera_token": token, "timestamp": now(), "gps_hash": null});
        let text = body.to_string();
        let PlainJson::Object(fields) = PlainJson::parse(text.as_bytes()).unwrap() else {
            panic!()
        };
        let signature = self.sign(&Digest::of(python_text(&fields).as_bytes()));
        body["device_signature"] = hex::encode(signature.to_der()).into();
        if with_certificate {
            body["device_certificate"] = STANDARD.encode(self.certificate().der()).into();
        }
        body
    }

    /// The camera plan with another camera's token beside this camera's certificate, packed or
    /// structured. The signature is this camera's and holds.
    pub fn with_token_of(&self, other: &Self, image: Digest, packed: bool) -> Value {
        let token = other.token();
        if !packed {
            return self.camera_plan(image, &token, true);
        }
        let mut body = json!({
            "image_hash": image,
            "encrypted_nuc_token": STANDARD.encode(token.sealed.to_packed()),
            "table_references": [1, token.table, 9],
            "key_indices": [42, token.index, 891],
            "timestamp": now(),
        });
        let text = body.to_string();
        let PlainJson::Object(fields) = PlainJson::parse(text.as_bytes()).unwrap() else {
            panic!()
        };
        let signature = self.sign(&Digest::of(python_text(&fields).as_bytes()));
        body["device_signature"] = hex::encode(signature.to_der()).into();
        body["device_certificate"] = STANDARD.encode(self.certificate().der()).into();
        body
    }

    /// The integration plan: two hashes, a named authority.
    pub fn two_hashes(
        &self,
        raw: Digest,
        processed: Digest,
        authority: &str,
        endpoint: &str,
    ) -> Value {
        json!({
            "submission_type": "camera",
            "image_hashes": [
                {"image_hash": raw, "modification_level": 0, "parent_image_hash": null},
                {"image_hash": processed, "modification_level": 1, "parent_image_hash": raw}
            ],
            "camera_token": self.token(),
            "manufacturer_cert": {"authority_id": authority, "validation_endpoint": endpoint},
            "timestamp": now()
        })
    }

    /// The node plan's older form: packed token and decoys.
    pub fn legacy(&self, image: Digest) -> Value {
        let token = self.token();
        json!({
            "image_hash": image,
            "encrypted_nuc_token": STANDARD.encode(token.sealed.to_packed()),
            "table_references": [1, token.table, 9],
            "key_indices": [42, token.index, 891],
            "timestamp": now(),
            "gps_hash": Digest::of(b"place"),
            "device_signature": STANDARD.encode(self.sign(&Digest::of(b"decoys were rolled again")).to_der())
        })
    }

    /// The node plan's certificate form.
    pub fn certificate_plan(&self, image: Digest, time: Timestamp) -> Value {
        let certificate = STANDARD.encode(self.certificate().der());
        let text = certificate_lines(&image, &certificate, time, None);
        let signature = self.sign(&Digest::of(text.as_bytes()));
        json!({
            "image_hash": image, "camera_cert": certificate, "software_cert": null, "timestamp": time,
            "bundle_signature": STANDARD.encode(signature.to_der())
        })
    }

    /// Ours: three digests, fresh bound token, opening.
    pub fn ours(&self, images: [Digest; 3]) -> Value {
        self.ours_at(images, now())
    }

    pub fn ours_at(&self, images: [Digest; 3], time: Timestamp) -> Value {
        self.captured(images, time, PixelSource::Sensor, None)
    }

    /// The same, with what the camera says of its pixels and the newest block it has checked.
    pub fn captured(
        &self,
        [raw, file, data]: [Digest; 3],
        time: Timestamp,
        source: PixelSource,
        anchor: Option<(u64, Digest)>,
    ) -> Value {
        let capture = Capture {
            source,
            software: Some(Digest::of(b"a system image")),
            anchor: anchor.map(|(height, _)| height),
            disclosure: Some(Digest::of(b"salted leaves")),
        };
        let claim = |digest, role, level, parent| ImageClaim {
            digest,
            role,
            level,
            parent,
        };
        let images = vec![
            claim(raw, DigestRole::Raw, ModificationLevel::RAW, None),
            claim(
                file,
                DigestRole::File,
                ModificationLevel::PROCESSED,
                Some(raw),
            ),
            claim(
                data,
                DigestRole::ImageData,
                ModificationLevel::PROCESSED,
                Some(file),
            ),
        ];
        let bundle = Bundle::captured(images, time, capture).unwrap();
        let block = anchor.map(|(_, block)| block);
        let digest = bundle.digest(block.as_ref()).unwrap();
        let opening = Opening::from_bytes(random());
        let (table, master) = self.table(0);
        let commitment = Commitment::new(&digest, &opening);
        let token = CameraToken::issue(
            &self.nuc(),
            &master,
            table,
            KeyIndex::try_from(3).unwrap(),
            random(),
            &commitment,
        );
        let signature = self.sign(&digest);
        let submission = OurSubmission::new(
            &bundle,
            block,
            self.certificate().der(),
            token,
            &opening,
            &signature,
        );
        serde_json::to_value(submission.unwrap()).unwrap()
    }
}
