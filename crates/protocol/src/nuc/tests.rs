use proptest::prelude::*;

use super::*;

fn header() -> NucHeader {
    NucHeader {
        width: 4,
        height: 3,
        filter: ColourFilter::Rggb,
        bit_depth: 12,
        black_levels: [256, 257, 258, 259],
        dark_frames: 64,
        flat_frames: 65,
        exposure_us: 10_000,
        gain_milli: 1000,
        temperature_milli: -1500,
        time: Timestamp::from_unix(1_795_000_000),
        sensor: "imx477".into(),
        nonce: [9; 32],
    }
}

fn map() -> NucMap {
    let dark = (0..12)
        .map(|pixel| if pixel == 5 { DEFECTIVE } else { pixel - 6 })
        .collect();
    let gain = (0..12)
        .map(|pixel| if pixel == 5 { DEFECTIVE } else { 6 - pixel })
        .collect();
    NucMap::new(header(), dark, gain).unwrap()
}

#[test]
fn the_header_stands_where_the_format_says() {
    let file = map().encode();
    assert_eq!(file.len(), 128 + 24);
    assert_eq!(&file[..14], b"BMNUC1\0\0\0\x04\0\x03\0\x0c");
    assert_eq!(&file[14..22], [1, 0, 1, 1, 1, 2, 1, 3]);
    assert_eq!(&file[22..28], [0, 64, 0, 65, 0, 0]);
    assert_eq!(i32::from_be_bytes(file[36..40].try_into().unwrap()), -1500);
    assert_eq!(&file[48..56], b"imx477\0\0");
    assert_eq!(&file[80..112], [9; 32]);
    assert_eq!(file[128] as i8, -6);
    assert_eq!(file[128 + 12] as i8, 6);
}

#[test]
fn the_hash_is_that_of_the_whole_file() {
    let file = map().encode();
    assert_eq!(nuc_hash(&file).expose(), Digest::of(&file).as_bytes());
    assert_eq!(NucMap::decode(&file).unwrap(), map());
}

#[test]
fn every_byte_of_the_header_matters() {
    let file = map().encode();
    for position in 0..HEADER_LENGTH {
        let mut changed = file.clone();
        changed[position] ^= 1;
        assert_ne!(NucMap::decode(&changed), Ok(map()), "byte {position}");
    }
}

#[test]
fn wrong_files_are_refused_by_name() {
    let file = map().encode();
    let with = |position: usize, byte: u8| {
        let mut changed = file.clone();
        changed[position] = byte;
        NucMap::decode(&changed)
    };
    assert_eq!(NucMap::decode(b"BMNUC2\0\0"), Err(NucError::Magic));
    assert_eq!(
        NucMap::decode(&file[..151]),
        Err(DecodeError::Truncated("gain corrections").into())
    );
    assert_eq!(
        NucMap::decode(&[&file[..], &[0]].concat()),
        Err(DecodeError::Trailing(1).into())
    );
    assert_eq!(with(12, 4), Err(NucError::Header("colour filter")));
    assert_eq!(with(13, 17), Err(NucError::Header("bits per sample")));
    assert_eq!(with(27, 1), Err(NucError::Header("a reserved field")));
    assert_eq!(with(127, 1), Err(NucError::Header("a reserved field")));
    assert_eq!(with(50, 0), Err(NucError::Header("sensor name")));
    assert_eq!(with(48, 0xFF), Err(NucError::Header("sensor name")));
    assert_eq!(with(9, 0), Err(NucError::Header("width")));
    assert_eq!(with(128 + 5, 0), Err(NucError::HalfDefective(5)));
}

#[test]
fn a_plane_of_another_size_is_refused() {
    let made = NucMap::new(header(), vec![0; 12], vec![0; 11]);
    assert_eq!(
        made,
        Err(NucError::PlaneSize {
            plane: "gain",
            got: 11,
            expected: 12
        })
    );
}

proptest! {
    #[test]
    fn every_map_reads_back(
        (width, height) in (1u16..20, 1u16..20),
        filter in 0u8..4,
        sensor in "[ -~]{0,31}[!-~]",
        time: i64,
        nonce: [u8; 32],
        seed: i8,
    ) {
        let filter = ColourFilter::from_byte(filter).unwrap();
        let header = NucHeader { width, height, filter, sensor, time: Timestamp::from_unix(time), nonce, ..header() };
        let plane = vec![seed; header.pixels()];
        let map = NucMap::new(header, plane.clone(), plane).unwrap();
        prop_assert_eq!(NucMap::decode(&map.encode()).unwrap(), map);
    }

    #[test]
    fn any_bytes_either_read_back_exactly_or_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        bytes.splice(..bytes.len().min(8), MAGIC.iter().copied());
        if let Ok(map) = NucMap::decode(&bytes) {
            prop_assert_eq!(map.encode(), bytes);
        }
    }
}
