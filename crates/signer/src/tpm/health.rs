//! How the chip is: its own tests, and whether it still accepts authorisations.

use std::rc::Rc;

use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::structures::{CapabilityData, TaggedTpmPropertyList};

use super::chip::Chip;
use super::error::TpmError;
use crate::messages::{Chip as ChipDescription, Lockout};

/// The bit of the permanent attributes that says "in lockout".
const IN_LOCKOUT: u32 = 1 << 9;

/// Lets the chip test everything it has.
pub(super) fn self_test(chip: &Rc<Chip>) -> Result<(), TpmError> {
    chip.ask("test itself", |context| context.self_test(true))
        .map_err(|error| TpmError::SelfTest(error.to_string()))?;
    test_result(chip)
}

/// What the latest test found. Costs next to nothing.
pub(super) fn test_result(chip: &Rc<Chip>) -> Result<(), TpmError> {
    let (_, outcome) = chip.ask("report its self-test", |context| context.get_test_result())?;
    outcome.map_err(|error| TpmError::SelfTest(error.to_string()))
}

/// The state of the protection against guessed passwords.
pub(super) fn lockout(chip: &Rc<Chip>) -> Result<Lockout, TpmError> {
    let permanent = properties(chip, PropertyTag::Permanent)?;
    let counters = properties(chip, PropertyTag::LockoutCounter)?;
    Ok(Lockout {
        locked: value(&permanent, PropertyTag::Permanent) & IN_LOCKOUT != 0,
        failures: value(&counters, PropertyTag::LockoutCounter),
        allowed: value(&counters, PropertyTag::MaxAuthFail),
        recovery_seconds: value(&counters, PropertyTag::LockoutInterval),
    })
}

/// Reads the chip's manufacturer and firmware.
pub(super) fn describe(chip: &Rc<Chip>) -> Result<ChipDescription, TpmError> {
    let fixed = properties(chip, PropertyTag::Manufacturer)?;
    let firmware = (
        value(&fixed, PropertyTag::FirmwareVersion1),
        value(&fixed, PropertyTag::FirmwareVersion2),
    );
    let vendor = [
        PropertyTag::VendorString1,
        PropertyTag::VendorString2,
        PropertyTag::VendorString3,
        PropertyTag::VendorString4,
    ];
    Ok(ChipDescription {
        manufacturer: text(&[value(&fixed, PropertyTag::Manufacturer)]),
        model: text(&vendor.map(|tag| value(&fixed, tag))),
        firmware: format!(
            "{}.{}.{:x}",
            firmware.0 >> 16,
            firmware.0 & 0xffff,
            firmware.1
        ),
    })
}

fn properties(chip: &Rc<Chip>, first: PropertyTag) -> Result<TaggedTpmPropertyList, TpmError> {
    let (capability, _) = chip.ask("report its properties", |context| {
        context.get_capability(CapabilityType::TpmProperties, first.into(), 16)
    })?;
    match capability {
        CapabilityData::TpmProperties(list) => Ok(list),
        _ => Err(TpmError::Malformed("list of properties the TPM returned")),
    }
}

fn value(list: &TaggedTpmPropertyList, tag: PropertyTag) -> u32 {
    list.find(tag).map_or(0, |property| property.value())
}

/// Four characters per word, filled up with zeros.
fn text(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
    bytes.filter(u8::is_ascii_graphic).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_padding() {
        assert_eq!(text(&[u32::from_be_bytes(*b"IFX\0")]), "IFX");
        assert_eq!(
            text(&[
                u32::from_be_bytes(*b"SLB9"),
                u32::from_be_bytes(*b"670\0"),
                0
            ]),
            "SLB9670"
        );
    }
}
