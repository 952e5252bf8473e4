//! The storage root: the key everything else in the chip hangs from, made again from the owner's
//! seed at each start.

use std::rc::Rc;

use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Public;

use super::chip::{Chip, Loaded};
use super::error::TpmError;
use super::template::{Purpose, ecc_template};

/// Derives the storage root. The same chip gives the same key each time until it is cleared, so
/// nothing of it is stored. The empty password of this one command is the owner hierarchy's public
/// default, not a secret.
pub(super) fn create(chip: &Rc<Chip>) -> Result<(Loaded, Public), TpmError> {
    let template = ecc_template(Purpose::Storage)
        .map_err(|source| TpmError::from_tss("describe the storage root", source))?;
    let created = chip.run(
        "create the storage root",
        (Some(AuthSession::Password), None, None),
        |context| context.create_primary(Hierarchy::Owner, template, None, None, None, None),
    )?;
    Ok((Loaded::new(chip, created.key_handle), created.out_public))
}
