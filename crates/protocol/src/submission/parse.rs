//! From the bytes of a request to a [`Submission`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::signed_text::{certificate_lines, hash_and_time, python_texts};
use super::{
    Camera, FreshToken, MAX_SUBMISSION, NamedAuthority, SignedClaims, SignedForm, SignedText,
    Submission, SubmissionRoute,
};
use crate::bundle::{BUNDLE_VERSION, Bundle, Capture, ImageClaim, MAX_IMAGES, PixelSource};
use crate::certificate::CameraCertificate;
use crate::commitment::Opening;
use crate::digest::{Digest, DigestRole};
use crate::numbers::{ModificationLevel, Timestamp};
use crate::public_key::Signature;
use crate::request::{Form, RequestError};
use crate::token_claim::{TokenClaim, structured};

type Result<T> = std::result::Result<T, RequestError>;

/// A hash that a separate submission server registers. The server answers for it; there is no
/// camera to ask about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredHash {
    /// The server's name, to be held against its bearer token.
    pub server_id: String,
    /// The digest, its level and its parent, which may be any digest.
    pub image: ImageClaim,
    /// When the photo is said to be taken.
    pub time: Timestamp,
    /// The commitment to the place.
    pub gps: Option<Digest>,
}

impl RegisteredHash {
    /// Reads the body of `/api/v1/blockchain/submit`.
    pub fn parse(body: &[u8]) -> Result<Self> {
        Form::read(body, MAX_SUBMISSION, |form| {
            let image = ImageClaim {
                digest: form.digest("image_hash")?,
                role: DigestRole::Unstated,
                level: form.number("modification_level")?,
                parent: form.optional_digest("parent_image_hash")?,
            };
            if image.parent == Some(image.digest) {
                return Err(form.wrong("parent_image_hash", "a photo is not its own parent"));
            }
            Ok(Self {
                server_id: form.name("submission_server_id")?.to_owned(),
                image,
                time: form.timestamp("timestamp")?,
                gps: form.optional_digest("gps_hash")?,
            })
        })
    }
}

pub(super) fn parse(route: SubmissionRoute, body: &[u8]) -> Result<Submission> {
    Form::read(body, MAX_SUBMISSION, |form| match route {
        SubmissionRoute::Submit if form.has("image_hashes") => two_hashes(&form),
        SubmissionRoute::Submit if !form.has("encrypted_nuc_token") => camera_plan(&form),
        SubmissionRoute::Submit | SubmissionRoute::Legacy => node_plan(&form),
        SubmissionRoute::Certificate => certificate(&form),
    })
}

/// `image_hash` with a structured token.
fn camera_plan(form: &Form<'_>) -> Result<Submission> {
    let bundle = single(form)?;
    let token = TokenClaim::Structured(structured(form, "camera_token")?);
    form.text("device_signature")?;
    Ok(Submission {
        bundle,
        anchor_block: None,
        camera: Camera::Token {
            token,
            signed: device_signed(form)?,
        },
        named_authority: None,
    })
}

/// `image_hashes` of one shot: raw and processed.
fn two_hashes(form: &Form<'_>) -> Result<Submission> {
    if form.has("submission_type") && form.text("submission_type")? != "camera" {
        return Err(form.refuse("submission_type", "literal_error", "expected camera"));
    }
    let bundle = several(form)?;
    let levels: Vec<_> = bundle.images().iter().map(|image| image.level).collect();
    if levels != [ModificationLevel::RAW, ModificationLevel::PROCESSED] {
        return Err(form.wrong(
            "image_hashes",
            "expected two hashes of modification levels 0 and 1",
        ));
    }
    let token = TokenClaim::Structured(structured(form, "camera_token")?);
    let authority = form.form("manufacturer_cert")?;
    let named_authority = NamedAuthority {
        id: authority.name("authority_id")?.to_owned(),
        endpoint: authority.name("validation_endpoint")?.to_owned(),
    };
    let camera = Camera::Token {
        token,
        signed: device_signed(form)?,
    };
    Ok(Submission {
        bundle,
        anchor_block: None,
        camera,
        named_authority: Some(named_authority),
    })
}

/// `image_hash` with a packed token and decoys.
fn node_plan(form: &Form<'_>) -> Result<Submission> {
    let bundle = single(form)?;
    let token = TokenClaim::packed(form, "encrypted_nuc_token")?;
    form.text("device_signature")?;
    Ok(Submission {
        bundle,
        anchor_block: None,
        camera: Camera::Token {
            token,
            signed: device_signed(form)?,
        },
        named_authority: None,
    })
}

/// One hash or several with a camera certificate.
fn certificate(form: &Form<'_>) -> Result<Submission> {
    if form.has("software_cert") {
        return Err(form.wrong("software_cert", "software certificates are not accepted"));
    }
    let is_ours = form.has("bundle_version");
    let (bundle, anchor_block) = match (is_ours, form.has("image_hashes")) {
        (true, _) => our_claims(form)?,
        (false, true) => (several(form)?, None),
        (false, false) => (single(form)?, None),
    };
    let fresh = fresh_token(form)?;
    let signed = SignedClaims {
        certificate: read_certificate(form, "camera_cert")?,
        signature: read_signature(form, "bundle_signature")?,
        texts: certificate_texts(form, &bundle, anchor_block.as_ref(), fresh.is_some())?,
    };
    Ok(Submission {
        bundle,
        anchor_block,
        camera: Camera::Certificate { signed, fresh },
        named_authority: None,
    })
}

/// Older texts do not cover what our own requests add, so they count only where nothing was added.
/// There they come first: a text that is tried in vain costs as much as the right one.
fn certificate_texts(
    form: &Form<'_>,
    bundle: &Bundle,
    anchor_block: Option<&Digest>,
    fresh: bool,
) -> Result<Vec<SignedText>> {
    let ours = SignedText::bundle(bundle, anchor_block);
    let ours = ours.map_err(|problem| form.wrong("anchor", problem))?;
    let [image] = bundle.images() else {
        return Ok(vec![ours]);
    };
    if fresh || form.has("bundle_version") || form.has("image_hashes") {
        return Ok(vec![ours]);
    }
    let lines = certificate_lines(
        &image.digest,
        form.text("camera_cert")?,
        bundle.time(),
        bundle.gps().as_ref(),
    );
    let mut texts = vec![SignedText::new(SignedForm::CertificateLines, &lines)];
    if bundle.gps().is_none() {
        let text = hash_and_time(form.text("image_hash")?, bundle.time());
        texts.push(SignedText::new(SignedForm::HashAndTime, &text));
    }
    texts.push(ours);
    Ok(texts)
}

fn fresh_token(form: &Form<'_>) -> Result<Option<FreshToken>> {
    if !form.has("opening") && !form.has("camera_token") {
        return Ok(None);
    }
    let opening = Opening::from_bytes(form.hex("opening")?);
    Ok(Some(FreshToken {
        token: structured(form, "camera_token")?,
        opening,
    }))
}

/// What flows without a certificate of their own may bring along: then the signature must be
/// checkable.
fn device_signed(form: &Form<'_>) -> Result<Option<SignedClaims>> {
    if !form.has("device_certificate") {
        return Ok(None);
    }
    Ok(Some(SignedClaims {
        certificate: read_certificate(form, "device_certificate")?,
        signature: read_signature(form, "device_signature")?,
        texts: python_texts(form.object()),
    }))
}

/// Base64 of DER or of PEM.
fn read_certificate(form: &Form<'_>, name: &'static str) -> Result<CameraCertificate> {
    let bytes = STANDARD
        .decode(form.text(name)?.trim())
        .map_err(|_| form.wrong(name, "expected base64"))?;
    let certificate =
        CameraCertificate::from_pem_or_der(&bytes).map_err(|problem| form.wrong(name, problem))?;
    if certificate.key().p256().is_none() {
        return Err(form.wrong(name, "only P-256 keys sign submissions"));
    }
    Ok(certificate)
}

/// DER in hex or base64.
pub(crate) fn read_signature(form: &Form<'_>, name: &'static str) -> Result<Signature> {
    let text = form.text(name)?.trim();
    let from_hex = || Signature::from_der(&hex::decode(text).ok()?).ok();
    let from_base64 = || Signature::from_der(&STANDARD.decode(text).ok()?).ok();
    from_hex().or_else(from_base64).ok_or_else(|| {
        form.wrong(
            name,
            "expected an ECDSA P-256 signature, DER in base64 or hexadecimal",
        )
    })
}

/// One digest. By the documents it is that of the sensor's data.
fn single(form: &Form<'_>) -> Result<Bundle> {
    let digest = form.digest("image_hash")?;
    let image = ImageClaim {
        digest,
        role: DigestRole::Unstated,
        level: ModificationLevel::RAW,
        parent: None,
    };
    bundle(form, "image_hash", vec![image])
}

fn several(form: &Form<'_>) -> Result<Bundle> {
    bundle(form, "image_hashes", images(form)?)
}

fn images(form: &Form<'_>) -> Result<Vec<ImageClaim>> {
    if form.has("image_hash") {
        return Err(form.wrong("image_hash", "give image_hash or image_hashes, not both"));
    }
    form.forms("image_hashes", MAX_IMAGES)?
        .map(|item| image(&item?))
        .collect()
}

/// The bundle of a camera of ours, and the hash of the block it is anchored to.
pub(crate) fn our_claims(form: &Form<'_>) -> Result<(Bundle, Option<Digest>)> {
    if form.integer("bundle_version")? != i64::from(BUNDLE_VERSION) {
        return Err(form.wrong("bundle_version", format_args!("expected {BUNDLE_VERSION}")));
    }
    if form.has("gps_hash") {
        let problem = "a bundle of version 1 has its place under disclosure_root";
        return Err(form.wrong("gps_hash", problem));
    }
    let (anchor, anchor_block) = anchor(form)?.unzip();
    let capture = Capture {
        source: source(form)?,
        software: form.optional_digest("software")?,
        anchor,
        disclosure: form.optional_digest("disclosure_root")?,
    };
    let bundle = Bundle::captured(images(form)?, form.timestamp("timestamp")?, capture);
    let bundle = bundle.map_err(|problem| form.wrong("image_hashes", problem))?;
    Ok((bundle, anchor_block))
}

fn source(form: &Form<'_>) -> Result<PixelSource> {
    let name = form.text("source")?;
    let sources = [
        PixelSource::Sensor,
        PixelSource::File,
        PixelSource::Simulated,
    ];
    let found = sources.into_iter().find(|source| source.name() == name);
    found.ok_or_else(|| {
        form.refuse(
            "source",
            "literal_error",
            "expected sensor, file or simulated",
        )
    })
}

fn anchor(form: &Form<'_>) -> Result<Option<(u64, Digest)>> {
    if !form.has("anchor") {
        return Ok(None);
    }
    let anchor = form.form("anchor")?;
    let height = u64::try_from(anchor.integer("height")?)
        .map_err(|_| anchor.wrong("height", "expected a block's height"))?;
    Ok(Some((height, anchor.digest("block_hash")?)))
}

fn image(form: &Form<'_>) -> Result<ImageClaim> {
    Ok(ImageClaim {
        digest: form.digest("image_hash")?,
        role: if form.has("role") {
            role(form)?
        } else {
            DigestRole::Unstated
        },
        level: form.number("modification_level")?,
        parent: form.optional_digest("parent_image_hash")?,
    })
}

fn role(form: &Form<'_>) -> Result<DigestRole> {
    let name = form.text("role")?;
    let roles = [
        DigestRole::Unstated,
        DigestRole::Raw,
        DigestRole::File,
        DigestRole::ImageData,
    ];
    let found = roles.into_iter().find(|role| role.name() == name);
    found.ok_or_else(|| {
        form.refuse(
            "role",
            "literal_error",
            "expected raw, file, image-data or unstated",
        )
    })
}

fn bundle(form: &Form<'_>, name: &'static str, images: Vec<ImageClaim>) -> Result<Bundle> {
    let bundle = Bundle::new(
        images,
        form.timestamp("timestamp")?,
        form.optional_digest("gps_hash")?,
    );
    bundle.map_err(|problem| form.wrong(name, problem))
}
