//! The connection to the chip, and values that give back what they occupy in it.
//!
//! A TPM has three slots for keys and a few for sessions. One forgotten handle in a process that
//! runs for months is a camera that stops signing, so nothing here hands out a bare handle: each is
//! a value that is flushed when it goes.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::tss::{
    TPM2_ACTIVE_SESSION_FIRST, TPM2_LOADED_SESSION_FIRST, TPM2_TRANSIENT_FIRST,
};
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{CapabilityData, SymmetricDefinition};
use tss_esapi::{Context, TctiNameConf};

use super::error::{TpmError, occupied};

/// How the chip is reached, as the TPM software stack writes it: `device:/dev/tpmrm0`,
/// `swtpm:host=…,port=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti {
    text: String,
    name: TctiNameConf,
}

impl FromStr for Tcti {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = TctiNameConf::from_str(text).map_err(|_| {
            format!("\"{text}\" is no way to reach a TPM: write device:/dev/tpmrm0 or swtpm:host=ADDRESS,port=NUMBER")
        })?;
        Ok(Self {
            text: text.to_owned(),
            name,
        })
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Tcti {
    /// Whether the kernel's resource manager stands between: then every process sees only its own
    /// handles, and whatever a dead one held is gone with its file descriptor.
    fn is_managed(&self) -> bool {
        self.text.starts_with("device:/dev/tpmrm") || self.text.starts_with("tabrmd")
    }
}

/// Up to three sessions a command is run under.
pub(super) type Sessions = (
    Option<AuthSession>,
    Option<AuthSession>,
    Option<AuthSession>,
);

/// The open connection.
pub(super) struct Chip {
    context: RefCell<Context>,
}

impl Chip {
    /// Connects, and clears what an earlier owner left behind where nobody else can own anything.
    pub fn open(tcti: &Tcti) -> Result<Rc<Self>, TpmError> {
        let chip = Self::connect(tcti)?;
        if !tcti.is_managed() {
            chip.flush_leftovers()?;
        }
        Ok(chip)
    }

    /// Connects and touches nothing.
    pub fn connect(tcti: &Tcti) -> Result<Rc<Self>, TpmError> {
        let context = Context::new(tcti.name.clone()).map_err(|source| TpmError::Unreachable {
            tcti: tcti.to_string(),
            reason: source.to_string(),
        })?;
        Ok(Rc::new(Self {
            context: RefCell::new(context),
        }))
    }

    /// Runs one command; `operation` names it in the error.
    pub fn run<T>(
        &self,
        operation: &'static str,
        sessions: Sessions,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, TpmError> {
        let mut context = self
            .context
            .try_borrow_mut()
            .map_err(|_| occupied(operation))?;
        context
            .execute_with_sessions(sessions, command)
            .map_err(|source| TpmError::from_tss(operation, source))
    }

    /// Runs a command that needs no authorisation.
    pub fn ask<T>(
        &self,
        operation: &'static str,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, TpmError> {
        self.run(operation, (None, None, None), command)
    }

    /// The handles of one kind that the chip knows now, from `first` upwards.
    pub fn handles(&self, first: u32) -> Result<Vec<TpmHandle>, TpmError> {
        let (capability, _) = self.ask("list handles", |context| {
            context.get_capability(CapabilityType::Handles, first, 64)
        })?;
        match capability {
            CapabilityData::Handles(list) => Ok(list.into_inner()),
            _ => Ok(Vec::new()),
        }
    }

    /// Everything in the chip that will not survive a reset: keys, sessions, saved sessions.
    pub fn volatile_handles(&self) -> Result<Vec<TpmHandle>, TpmError> {
        let mut all = self.handles(TPM2_TRANSIENT_FIRST)?;
        all.extend(self.handles(TPM2_LOADED_SESSION_FIRST)?);
        all.extend(self.handles(TPM2_ACTIVE_SESSION_FIRST)?);
        Ok(all)
    }

    fn flush_leftovers(&self) -> Result<(), TpmError> {
        for handle in self.volatile_handles()? {
            self.ask("flush a handle left by an earlier run", |context| {
                let object = context.tr_from_tpm_public(handle)?;
                context.flush_context(object)
            })?;
        }
        Ok(())
    }

    fn flush(&self, object: ObjectHandle) {
        // A chip that lost power has flushed it already, so this cannot matter to anyone but a
        // reader of traces.
        if let Err(error) = self.ask("flush", |context| context.flush_context(object)) {
            log::debug!("a TPM handle could not be flushed: {error}");
        }
    }
}

/// A key or sealed object in one of the chip's volatile slots.
pub(super) struct Loaded {
    chip: Rc<Chip>,
    handle: KeyHandle,
}

impl Loaded {
    /// Takes over a handle the chip has just given out.
    pub fn new(chip: &Rc<Chip>, handle: KeyHandle) -> Self {
        Self {
            chip: Rc::clone(chip),
            handle,
        }
    }

    /// The handle, valid while this value lives.
    pub fn handle(&self) -> KeyHandle {
        self.handle
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.chip.flush(self.handle.into());
    }
}

/// What the software stack remembers about an object that stays in the chip; closing it leaves the
/// object alone.
pub(super) struct Resident {
    chip: Rc<Chip>,
    handle: ObjectHandle,
}

impl Resident {
    /// Looks up a persistent key or an NV index.
    pub fn find(chip: &Rc<Chip>, handle: TpmHandle) -> Result<Self, TpmError> {
        let handle = chip.ask("look up a handle", |context| {
            context.tr_from_tpm_public(handle)
        })?;
        Ok(Self {
            chip: Rc::clone(chip),
            handle,
        })
    }

    /// Takes over a handle the software stack has just made.
    pub fn new(chip: &Rc<Chip>, handle: ObjectHandle) -> Self {
        Self {
            chip: Rc::clone(chip),
            handle,
        }
    }

    /// The handle, valid while this value lives.
    pub fn handle(&self) -> ObjectHandle {
        self.handle
    }

    /// Gives the handle to a command that closes it itself.
    pub fn into_handle(mut self) -> ObjectHandle {
        std::mem::replace(&mut self.handle, ObjectHandle::None)
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if self.handle == ObjectHandle::None {
            return;
        }
        let mut handle = self.handle;
        if let Err(error) = self
            .chip
            .ask("close", |context| context.tr_close(&mut handle))
        {
            log::debug!("a TPM handle could not be closed: {error}");
        }
    }
}

/// A session whose key was agreed with a key inside the chip, and whose parameters travel
/// encrypted: somebody with probes on the bus neither reads a secret nor exchanges a digest.
pub(super) struct Session {
    chip: Rc<Chip>,
    session: AuthSession,
}

impl Session {
    /// A session that authorises by HMAC. It stays open until dropped.
    pub fn hmac(chip: &Rc<Chip>, salt: &Loaded) -> Result<Self, TpmError> {
        Self::start(chip, Some(salt), SessionType::Hmac)
    }

    /// A session that authorises by policy.
    pub fn policy(chip: &Rc<Chip>, salt: &Loaded) -> Result<Self, TpmError> {
        Self::start(chip, Some(salt), SessionType::Policy)
    }

    /// A session that only computes what a policy's digest would be.
    pub fn trial(chip: &Rc<Chip>) -> Result<Self, TpmError> {
        Self::start(chip, None, SessionType::Trial)
    }

    fn start(chip: &Rc<Chip>, salt: Option<&Loaded>, kind: SessionType) -> Result<Self, TpmError> {
        let salt = salt.map(Loaded::handle);
        let session = chip
            .ask("start a session", |context| {
                let symmetric = SymmetricDefinition::AES_128_CFB;
                context.start_auth_session(
                    salt,
                    None,
                    None,
                    kind,
                    symmetric,
                    HashingAlgorithm::Sha256,
                )
            })?
            .ok_or_else(|| occupied("start a session"))?;
        let session = Self {
            chip: Rc::clone(chip),
            session,
        };
        if kind != SessionType::Trial {
            let (attributes, mask) = SessionAttributesBuilder::new()
                .with_decrypt(true)
                .with_encrypt(true)
                .with_continue_session(true)
                .build();
            chip.ask("encrypt a session", |context| {
                context.tr_sess_set_attributes(session.session, attributes, mask)
            })?;
        }
        Ok(session)
    }

    /// For commands with one authorisation.
    pub fn alone(&self) -> Sessions {
        (Some(self.session), None, None)
    }

    /// This session as an authorisation.
    pub fn auth(&self) -> AuthSession {
        self.session
    }

    /// This session as a policy.
    pub fn as_policy(&self) -> Result<PolicySession, TpmError> {
        PolicySession::try_from(self.session)
            .map_err(|source| TpmError::from_tss("use a policy", source))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.chip.flush(SessionHandle::from(self.session).into());
    }
}
