//! The interface `org.birthmark.Signer`. Whoever may connect can at most sign bundles that say what
//! they say, and use up tokens; only administrators can change what this camera is.

mod arguments;
mod status;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::clock;
use birthmark_daemon::varlink::Peers;
use birthmark_protocol::attestation::Credential;
use birthmark_protocol::{Bundle, Commitment, Timestamp, pem};
use zeroize::Zeroizing;
use zlink::Connection;
use zlink::connection::socket::{FetchPeerCredentials, Socket};

use self::arguments::{counted, decoded, digest, epoch_number, refusal};
use self::status::{not_after, pcrs, status, table_ids};
use crate::error::SignerError;
use crate::keeper::Keeper;
use crate::messages::{
    ActivateReply, AnswerChallengeReply, AttestReply, BatchRequestReply, DraftKeysReply,
    EnrolReply, EpochStock, GpsSaltReply, IssueTokenReply, KeyStoreKind, OneTimeStockReply,
    OpenedKey, ProvisionReply, RenewReply, ResealReply, SelfTestReply, SignBundleReply,
    SignOnceReply, SignerRefusal, StatusReply, TakeSignaturesReply,
};
use crate::vault::Vault;

/// Who may do what.
#[derive(Debug)]
pub(crate) struct Roles {
    /// May sign and issue tokens.
    pub callers: Peers,
    /// May change what this camera is.
    pub administrators: Peers,
}

/// The service behind one connection.
#[derive(Clone)]
pub(crate) struct Signer {
    keeper: Keeper,
    key_store: KeyStoreKind,
    roles: Arc<Roles>,
    /// Why the last import at start failed.
    import_problem: Option<Arc<str>>,
}

impl Signer {
    pub(crate) fn new(
        keeper: Keeper,
        key_store: KeyStoreKind,
        roles: Roles,
        import_problem: Option<String>,
    ) -> Self {
        Self {
            keeper,
            key_store,
            roles: Arc::new(roles),
            import_problem: import_problem.map(Arc::from),
        }
    }

    /// Asks the key store's thread; a refusal is logged here, where it is handled.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vault) -> Result<T, SignerError> + Send + 'static,
    ) -> Result<T, SignerRefusal> {
        self.keeper.ask(work).await.map_err(refusal)
    }
}

#[zlink::service(
    interface = "org.birthmark.Signer",
    vendor = "Birthmark",
    product = "birthmark-signer",
    version = "1",
    url = "https://github.com/Birthmark-Standard/Birthmark"
)]
impl<Sock> Signer
where
    Sock: Socket,
    Sock::ReadHalf: FetchPeerCredentials,
{
    /// Signs a bundle given as its canonical bytes in base64, with the hash of the block it is
    /// anchored to, if it is to one (64 hexadecimal characters). The digest is computed here; a
    /// digest alone is refused.
    async fn sign_bundle(
        &self,
        bundle: String,
        anchor_block: Option<String>,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<SignBundleReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "have bundles signed").await?;
        let bytes = STANDARD
            .decode(bundle)
            .map_err(|error| refusal(SignerError::input("bundle", error)))?;
        let bundle =
            Bundle::decode(&bytes).map_err(|error| refusal(SignerError::input("bundle", error)))?;
        let anchor_block = anchor_block
            .map(|text| digest("anchor_block", &text))
            .transpose()?;
        let signed = self
            .ask(move |vault| vault.sign(&bundle, anchor_block.as_ref(), now()))
            .await?;
        Ok(SignBundleReply {
            bundle_digest: signed.digest.to_hex(),
            signature: STANDARD.encode(signed.signature.to_der()),
            certificate: STANDARD.encode(signed.certificate),
            key_store: self.key_store,
        })
    }

    /// Issues a token bound to a commitment (64 hexadecimal characters).
    async fn issue_token(
        &self,
        commitment: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<IssueTokenReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "have tokens issued").await?;
        let commitment = Commitment::from_bytes(*digest("commitment", &commitment)?.as_bytes());
        let token = self
            .ask(move |vault| vault.issue_token(&commitment))
            .await?;
        Ok(IssueTokenReply {
            ciphertext: hex::encode(token.sealed.ciphertext),
            nonce: hex::encode(token.sealed.nonce),
            auth_tag: hex::encode(token.sealed.tag),
            table_id: token.table.into(),
            key_index: token.index.into(),
            key_store: self.key_store,
        })
    }

    /// Derives the salt that hides the place of the photo with this raw digest (64 hexadecimal
    /// characters).
    async fn gps_salt(
        &self,
        image: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<GpsSaltReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "derive GPS salts").await?;
        let raw = digest("image", &image)?;
        let salt = self.ask(move |vault| vault.gps_salt(&raw)).await?;
        Ok(GpsSaltReply {
            salt: hex::encode(salt.expose()),
            key_store: self.key_store,
        })
    }

    /// Makes some more one-time keys of a batch of `keys` for the epoch that the authority stated
    /// (base64). Asked again until all are made: in between, photos are signed.
    async fn draft_keys(
        &self,
        statement: String,
        keys: i64,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<DraftKeysReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "have one-time keys made").await?;
        let statement = decoded("statement", &statement)?;
        let keys =
            usize::try_from(keys).map_err(|error| refusal(SignerError::input("keys", error)))?;
        let made = self
            .ask(move |vault| vault.draft_keys(&statement, keys))
            .await?;
        Ok(DraftKeysReply {
            made: counted(made),
            key_store: self.key_store,
        })
    }

    /// The batch of an epoch, as it goes to the authority.
    async fn batch_request(
        &self,
        epoch: i64,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<BatchRequestReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "ask for a batch").await?;
        let epoch = epoch_number(epoch)?;
        let request = self.ask(move |vault| vault.batch_request(epoch)).await?;
        Ok(BatchRequestReply {
            blinded: STANDARD.encode(request.blinded),
            signature: STANDARD.encode(request.signature.to_der()),
            certificate: STANDARD.encode(request.certificate),
            key_store: self.key_store,
        })
    }

    /// Has the chip speak about the keys that a challenge (64 hexadecimal characters) chose. Asked
    /// again until complete.
    async fn answer_challenge(
        &self,
        epoch: i64,
        challenge: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<AnswerChallengeReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "answer a challenge").await?;
        let (epoch, challenge) = (epoch_number(epoch)?, digest("challenge", &challenge)?);
        let answer = self
            .ask(move |vault| vault.answer_challenge(epoch, challenge.as_bytes()))
            .await?;
        let Some(answer) = answer else {
            return Ok(AnswerChallengeReply {
                is_complete: false,
                opened: Vec::new(),
                left: String::new(),
                signature: String::new(),
                certificate: String::new(),
                key_store: self.key_store,
            });
        };
        let opened = answer.opened.iter().map(|one| OpenedKey {
            seed: hex::encode(one.seed.expose()),
            public: STANDARD.encode(&one.public),
            statement: STANDARD.encode(&one.statement),
            signature: STANDARD.encode(&one.signature),
        });
        Ok(AnswerChallengeReply {
            is_complete: true,
            opened: opened.collect(),
            left: STANDARD.encode(&answer.left),
            signature: STANDARD.encode(answer.signature.to_der()),
            certificate: STANDARD.encode(answer.certificate),
            key_store: self.key_store,
        })
    }

    /// Takes the authority's signatures (base64) of the keys that were not opened.
    async fn take_signatures(
        &self,
        epoch: i64,
        challenge: String,
        signatures: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<TakeSignaturesReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "take signatures").await?;
        let (epoch, challenge) = (epoch_number(epoch)?, digest("challenge", &challenge)?);
        let signatures = decoded("signatures", &signatures)?;
        let ready = self
            .ask(move |vault| vault.take_signatures(epoch, challenge.as_bytes(), &signatures))
            .await?;
        Ok(TakeSignaturesReply {
            ready: counted(ready),
            key_store: self.key_store,
        })
    }

    /// Signs a bundle, as `SignBundle` does, with a key that signs nothing else.
    async fn sign_once(
        &self,
        bundle: String,
        anchor_block: Option<String>,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<SignOnceReply, SignerRefusal> {
        allow(connection, &self.roles.callers, "have bundles signed").await?;
        let bundle = Bundle::decode(&decoded("bundle", &bundle)?)
            .map_err(|error| refusal(SignerError::input("bundle", error)))?;
        let anchor_block = anchor_block
            .map(|text| digest("anchor_block", &text))
            .transpose()?;
        let signed = self
            .ask(move |vault| vault.sign_once(&bundle, anchor_block.as_ref(), now()))
            .await?;
        Ok(SignOnceReply {
            bundle_digest: signed.digest.to_hex(),
            signature: STANDARD.encode(signed.signature.to_der()),
            one_time_key: hex::encode(signed.key.to_compressed()),
            key_signature: STANDARD.encode(signed.key_signature),
            good_until: signed.epoch.last().unix(),
            authority: signed.epoch.authority,
            device_family: signed.epoch.family,
            epoch: signed.epoch.epoch.into(),
            key_store: self.key_store,
        })
    }

    /// How many one-time keys there are.
    async fn one_time_stock(&self) -> Result<OneTimeStockReply, SignerRefusal> {
        let stock = self.ask(|vault| vault.one_time_stock(now())).await?;
        let epochs = stock.iter().map(|stock| EpochStock {
            epoch: stock.epoch.into(),
            from: stock.from.unix(),
            until: stock.until.unix(),
            drafts: counted(stock.drafts),
            ready: counted(stock.ready),
        });
        Ok(OneTimeStockReply {
            epochs: epochs.collect(),
            key_store: self.key_store,
        })
    }

    /// Tells how the camera's keys are.
    async fn status(&self) -> Result<StatusReply, SignerRefusal> {
        let mut reply = self.ask(|vault| Ok(status(vault))).await?;
        if reply.problem.is_none() {
            reply.problem = self.import_problem.as_deref().map(str::to_owned);
        }
        Ok(reply)
    }

    /// Tests the key store thoroughly.
    async fn self_test(&self) -> Result<SelfTestReply, SignerRefusal> {
        self.ask(Vault::test).await?;
        Ok(SelfTestReply {
            key_store: self.key_store,
        })
    }

    /// Makes the camera's key, or finds it. `again` destroys everything of an earlier camera first.
    async fn enrol(
        &self,
        again: bool,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<EnrolReply, SignerRefusal> {
        allow(connection, &self.roles.administrators, "enrol this camera").await?;
        let key = self.ask(move |vault| vault.enrol(again)).await?;
        Ok(EnrolReply {
            public_key: pem::public_key(&key.to_spki_der()),
            key_store: self.key_store,
        })
    }

    /// Has the chip speak about the camera's key, as an answer to a nonce (64 hexadecimal
    /// characters).
    async fn attest(
        &self,
        nonce: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<AttestReply, SignerRefusal> {
        allow(connection, &self.roles.administrators, "attest this camera").await?;
        let nonce = digest("nonce", &nonce)?;
        let evidence = self
            .ask(move |vault| vault.attest(nonce.as_bytes()))
            .await?;
        Ok(AttestReply {
            endorsement_certificate: evidence
                .endorsement_certificate
                .map(|der| STANDARD.encode(der)),
            endorsement_key: STANDARD.encode(evidence.endorsement_key),
            attestation_key: STANDARD.encode(evidence.attestation_key),
            signing_key: STANDARD.encode(evidence.signing_key),
            statement: STANDARD.encode(evidence.statement),
            signature: STANDARD.encode(evidence.signature),
            key_store: self.key_store,
        })
    }

    /// Opens a credential (blob and encrypted seed in base64) that an authority made for this chip.
    async fn activate(
        &self,
        blob: String,
        encrypted_seed: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<ActivateReply, SignerRefusal> {
        allow(
            connection,
            &self.roles.administrators,
            "activate a credential",
        )
        .await?;
        let decode = |field, text: &str| {
            STANDARD
                .decode(text)
                .map_err(|error| refusal(SignerError::input(field, error)))
        };
        let credential = Credential {
            blob: decode("blob", &blob)?,
            encrypted_seed: decode("encrypted_seed", &encrypted_seed)?,
        };
        let secret = self.ask(move |vault| vault.activate(&credential)).await?;
        Ok(ActivateReply {
            secret: hex::encode(secret),
            key_store: self.key_store,
        })
    }

    /// Takes over a provisioning file, given as its JSON text: checks it, seals it, tests what was
    /// sealed. The caller destroys the clear copy afterwards.
    async fn provision(
        &self,
        provisioning: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<ProvisionReply, SignerRefusal> {
        let provisioning = Zeroizing::new(provisioning);
        allow(
            connection,
            &self.roles.administrators,
            "provision this camera",
        )
        .await?;
        let camera = self
            .ask(move |vault| vault.provision(&provisioning, now()).cloned())
            .await?;
        log::info!("provisioned with tables {:?}", table_ids(&camera));
        Ok(ProvisionReply {
            table_ids: table_ids(&camera),
            device_serial: camera.device_serial,
            device_family: camera.device_family,
            key_store: self.key_store,
        })
    }

    /// Takes over a new certificate for the same key, with its issuers' certificates, all in PEM.
    /// It holds no secret.
    async fn renew(
        &self,
        certificate: String,
        chain: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<RenewReply, SignerRefusal> {
        allow(
            connection,
            &self.roles.administrators,
            "renew this camera's certificate",
        )
        .await?;
        let camera = self
            .ask(move |vault| vault.renew(&certificate, &chain, now()).cloned())
            .await?;
        let until = not_after(&camera);
        log::info!("the certificate was renewed, its last second is {until:?}");
        Ok(RenewReply {
            certificate_not_after: until,
            key_store: self.key_store,
        })
    }

    /// Seals the secrets anew, to the measurements the configuration names as they are now.
    async fn reseal(
        &self,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<ResealReply, SignerRefusal> {
        allow(
            connection,
            &self.roles.administrators,
            "reseal this camera's secrets",
        )
        .await?;
        let camera = self.ask(|vault| vault.reseal().cloned()).await?;
        Ok(ResealReply {
            sealed_to_pcrs: pcrs(&camera),
            key_store: self.key_store,
        })
    }
}

/// Lets a caller through whom the kernel knows to be one of `peers`.
async fn allow<Sock>(
    connection: &mut Connection<Sock>,
    peers: &Peers,
    action: &'static str,
) -> Result<(), SignerRefusal>
where
    Sock: Socket,
    Sock::ReadHalf: FetchPeerCredentials,
{
    let user = match connection.peer_credentials().await {
        Ok(peer) => peer.unix_user_id().as_raw(),
        Err(error) => {
            log::warn!("refused a caller whom the kernel does not name: {error}");
            return Err(refusal(SignerError::NotAllowed {
                user: u32::MAX,
                action,
            }));
        }
    };
    if peers.contain(user) {
        Ok(())
    } else {
        Err(refusal(SignerError::NotAllowed { user, action }))
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(clock::seconds())
}
