//! What validation needs to know about every camera, in memory.
//!
//! Rebuilt from the database at start and changed with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use birthmark_protocol::{Digest, KeyId, NucHash, TableId};

/// Our number for a camera, as in the database.
pub type DeviceId = i64;

/// A certificate's serial number, with zeros in front so that numbers compare like numbers.
pub type SerialNumber = [u8; 20];

/// A camera.
#[derive(Debug)]
pub struct Device {
    /// Our number for it.
    pub id: DeviceId,
    /// Its tables.
    pub tables: [TableId; 3],
    /// Its model.
    pub family: Arc<str>,
    /// What it runs, if known.
    pub firmware: Option<Arc<str>>,
    /// Whether a TPM attested its key.
    pub attested: bool,
    /// Whether its NUC hash was made up, so that nothing is known about its sensor.
    pub simulated_nuc: bool,
    /// Whether it binds its tokens to photos: one bound to nothing is then not its own.
    pub binds_tokens: bool,
    /// The certificate that was issued to it.
    pub certificate: Option<IssuedCertificate>,
    /// The one before it, with which photos come that waited in the camera. Few have one, so it
    /// takes eight bytes of the others.
    pub former: Option<Box<IssuedCertificate>>,
    /// Validations since they were last written down.
    pub validations: AtomicU32,
}

/// What is remembered about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The serial number.
    pub serial: SerialNumber,
    /// From when it is valid, in seconds since 1970.
    pub issued_at: i64,
    /// The key that signed it; zeros if that was none of ours.
    pub issuer: KeyId,
    /// SHA-256 of the certified key's SubjectPublicKeyInfo.
    pub key_hash: Digest,
}

/// All cameras.
#[derive(Debug, Default)]
pub struct Cameras {
    devices: Vec<Device>,
    by_nuc: HashMap<[u8; 32], u32>,
    by_certificate: HashMap<SerialNumber, u32>,
    names: HashMap<Arc<str>, u64>,
}

impl Device {
    /// The certificates that photos of this camera come with, the present one first.
    pub fn certificates(&self) -> impl Iterator<Item = &IssuedCertificate> {
        self.certificate.iter().chain(self.former.as_deref())
    }
}

impl IssuedCertificate {
    /// The serial number without the zeros in front.
    pub fn serial_bytes(&self) -> &[u8] {
        let zeros = self.serial.iter().take_while(|byte| **byte == 0).count();
        // A number of nothing but zeros keeps one of them.
        let start = zeros.min(self.serial.len() - 1);
        self.serial.split_at(start).1
    }
}

/// A serial number with zeros in front, so that numbers compare like numbers.
pub fn padded(serial: &[u8]) -> SerialNumber {
    let mut out = [0; 20];
    out.iter_mut()
        .rev()
        .zip(serial.iter().rev())
        .for_each(|(to, from)| *to = *from);
    out
}

impl Cameras {
    /// Room for so many cameras.
    pub fn with_capacity(devices: usize) -> Self {
        Self {
            devices: Vec::with_capacity(devices),
            by_nuc: HashMap::with_capacity(devices),
            by_certificate: HashMap::with_capacity(devices),
            names: HashMap::new(),
        }
    }

    /// The shared copy of a model's or firmware's name: a million cameras have few of them.
    pub fn name(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.names.get_key_value(name) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = name.into();
        self.names.insert(Arc::clone(&shared), 0);
        shared
    }

    /// Adds a camera. The database made sure that its NUC hash is new.
    pub fn insert(&mut self, nuc: &NucHash, device: Device) {
        *self.names.entry(Arc::clone(&device.family)).or_default() += 1;
        // More than four billion cameras do not fit into this memory.
        if let Ok(place) = u32::try_from(self.devices.len()) {
            self.by_nuc.insert(*nuc.expose(), place);
            for certificate in device.certificates() {
                self.by_certificate.insert(certificate.serial, place);
            }
            self.devices.push(device);
        }
    }

    /// Gives a camera another certificate; the present one becomes the former one.
    pub fn renew(&mut self, id: DeviceId, certificate: IssuedCertificate) {
        let found = self.place_of(id);
        let Some((place, device)) = found.and_then(|at| Some((at, self.devices.get_mut(at)?)))
        else {
            return;
        };
        if let Some(gone) = device.former.take() {
            self.by_certificate.remove(&gone.serial);
        }
        device.former = device.certificate.replace(certificate).map(Box::new);
        // A place that does not fit was never inserted either.
        if let Ok(place) = u32::try_from(place) {
            self.by_certificate.insert(certificate.serial, place);
        }
    }

    /// The camera with this NUC hash.
    pub fn find(&self, nuc: &NucHash) -> Option<&Device> {
        self.by_nuc
            .get(nuc.expose())
            .and_then(|place| self.devices.get(usize::try_from(*place).ok()?))
    }

    /// The camera that the certificate with this serial number was issued to.
    pub fn by_certificate(&self, serial: &SerialNumber) -> Option<&Device> {
        self.by_certificate
            .get(serial)
            .and_then(|place| self.devices.get(usize::try_from(*place).ok()?))
    }

    /// The camera with our number for it.
    pub fn by_id(&self, id: DeviceId) -> Option<&Device> {
        self.place_of(id).and_then(|place| self.devices.get(place))
    }

    /// Cameras stand in the order of their numbers, as the database gave them out.
    fn place_of(&self, id: DeviceId) -> Option<usize> {
        let place = self
            .devices
            .binary_search_by_key(&id, |device| device.id)
            .ok();
        // Two that were registered at the same moment may stand the other way round.
        place.or_else(|| self.devices.iter().rposition(|device| device.id == id))
    }

    /// Every camera, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// How many cameras there are.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// How many cameras each model has.
    pub fn families(&self) -> Vec<(Arc<str>, u64)> {
        let mut families: Vec<_> = self
            .names
            .iter()
            .filter(|(_, amount)| **amount > 0)
            .map(|(name, amount)| (Arc::clone(name), *amount))
            .collect();
        families.sort();
        families
    }

    /// How many cameras hold each table.
    pub fn tables_in_use(&self) -> Vec<u32> {
        let mut tables = vec![0; usize::from(birthmark_protocol::numbers::TABLES)];
        for table in self.devices.iter().flat_map(|device| device.tables) {
            if let Some(amount) = tables.get_mut(usize::from(table.get())) {
                *amount += 1;
            }
        }
        tables
    }

    /// Takes the numbers of validations since the last time: cameras that had any.
    pub fn take_activity(&self) -> Vec<(DeviceId, i64)> {
        let busy = self
            .devices
            .iter()
            .filter(|device| device.validations.load(Ordering::Relaxed) > 0);
        busy.map(|device| {
            (
                device.id,
                i64::from(device.validations.swap(0, Ordering::Relaxed)),
            )
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(number: u8) -> IssuedCertificate {
        IssuedCertificate {
            serial: padded(&[number]),
            issued_at: 1000 + i64::from(number),
            issuer: KeyId::from_bytes([0; 8]),
            key_hash: Digest::of(b"a key"),
        }
    }

    fn device(id: DeviceId, family: Arc<str>, tables: [i64; 3]) -> Device {
        Device {
            id,
            tables: tables.map(|table| table.try_into().unwrap()),
            family,
            firmware: None,
            attested: false,
            simulated_nuc: false,
            binds_tokens: true,
            certificate: None,
            former: None,
            validations: 0.into(),
        }
    }

    fn nuc(id: DeviceId) -> NucHash {
        NucHash::from_bytes([id.try_into().unwrap(); 32])
    }

    /// Cameras with these numbers, all of one model.
    fn cameras(ids: &[DeviceId]) -> Cameras {
        let mut cameras = Cameras::with_capacity(ids.len());
        for id in ids {
            let family = cameras.name("Family");
            cameras.insert(&nuc(*id), device(*id, family, [0, 1, 2]));
        }
        cameras
    }

    #[test]
    fn serial_numbers_compare_like_numbers_and_lose_no_digit() {
        assert!(padded(&[0x02]) < padded(&[0x01, 0x00]));
        assert_eq!(padded(&[0, 0, 7]), padded(&[7]));
        for serial in [&[0_u8][..], &[7], &[1, 0], &[0xFF; 20]] {
            let mut kept = certificate(0);
            kept.serial = padded(serial);
            assert_eq!(kept.serial_bytes(), serial);
        }
    }

    #[test]
    fn a_camera_is_found_by_each_of_its_names() {
        // Two that were registered at the same moment may stand the other way round.
        let mut cameras = cameras(&[1, 3, 2]);
        for id in 1..=3 {
            assert_eq!(cameras.find(&nuc(id)).unwrap().id, id);
            assert_eq!(cameras.by_id(id).unwrap().id, id);
        }
        assert!(cameras.find(&nuc(4)).is_none() && cameras.by_id(4).is_none());

        for (number, former) in [(10, None), (11, Some(10)), (12, Some(11))] {
            cameras.renew(2, certificate(number));
            let found = cameras.by_certificate(&padded(&[number])).unwrap();
            assert_eq!(
                (found.id, found.certificate),
                (2, Some(certificate(number)))
            );
            let kept = found.former.as_deref().copied();
            assert_eq!(kept, former.map(certificate));
        }
        // The one before the former one names nobody any more.
        assert!(cameras.by_certificate(&padded(&[10])).is_none());
        assert!(cameras.by_certificate(&padded(&[11])).is_some());
        cameras.renew(9, certificate(13));
        assert!(cameras.by_certificate(&padded(&[13])).is_none());
    }

    #[test]
    fn models_and_tables_are_counted() {
        let mut cameras = cameras(&[1, 2]);
        let other = cameras.name("Other");
        // A name that no camera bears is no model.
        cameras.name("2.4.1");
        cameras.insert(&nuc(3), device(3, other, [0, 5, 2499]));
        let families = cameras.families();
        let counted: Vec<_> = families.iter().map(|(name, n)| (&**name, *n)).collect();
        assert_eq!(counted, [("Family", 2), ("Other", 1)]);
        let tables = cameras.tables_in_use();
        assert_eq!(tables.len(), 2500);
        assert_eq!(
            (tables[0], tables[1], tables[5], tables[2499]),
            (3, 2, 1, 1)
        );
        assert_eq!(tables.iter().sum::<u32>(), 9);
        let one = cameras.name("Family");
        assert!(Arc::ptr_eq(&one, &cameras.name("Family")), "kept once");
    }

    #[test]
    fn how_busy_a_camera_was_is_taken_once() {
        let cameras = cameras(&[1, 2, 3]);
        let busy = cameras.by_id(2).unwrap();
        busy.validations.fetch_add(5, Ordering::Relaxed);
        assert_eq!(cameras.take_activity(), [(2, 5)]);
        assert_eq!(cameras.take_activity(), []);
    }
}
