//! The names of the tags that pictures carry, as TIFF 6.0, Exif 2.32 and DNG 1.4 give them.

// TIFF, and TIFF/EP for the colour filter: the picture itself.
pub(crate) const NEW_SUBFILE_TYPE: u16 = 0x00FE;
pub(crate) const IMAGE_WIDTH: u16 = 0x0100;
pub(crate) const IMAGE_LENGTH: u16 = 0x0101;
pub(crate) const BITS_PER_SAMPLE: u16 = 0x0102;
pub(crate) const COMPRESSION: u16 = 0x0103;
pub(crate) const PHOTOMETRIC_INTERPRETATION: u16 = 0x0106;
pub(crate) const MAKE: u16 = 0x010F;
pub(crate) const MODEL: u16 = 0x0110;
pub(crate) const STRIP_OFFSETS: u16 = 0x0111;
pub(crate) const ORIENTATION: u16 = 0x0112;
pub(crate) const SAMPLES_PER_PIXEL: u16 = 0x0115;
pub(crate) const ROWS_PER_STRIP: u16 = 0x0116;
pub(crate) const STRIP_BYTE_COUNTS: u16 = 0x0117;
pub(crate) const X_RESOLUTION: u16 = 0x011A;
pub(crate) const Y_RESOLUTION: u16 = 0x011B;
pub(crate) const RESOLUTION_UNIT: u16 = 0x0128;
pub(crate) const SOFTWARE: u16 = 0x0131;
pub(crate) const DATE_TIME: u16 = 0x0132;
pub(crate) const SUB_IFDS: u16 = 0x014A;
pub(crate) const THUMBNAIL_OFFSET: u16 = 0x0201;
pub(crate) const THUMBNAIL_LENGTH: u16 = 0x0202;
pub(crate) const YCBCR_POSITIONING: u16 = 0x0213;
pub(crate) const CFA_REPEAT_PATTERN_DIM: u16 = 0x828D;
pub(crate) const CFA_PATTERN: u16 = 0x828E;

// Exif: how and when it was taken. The first two lead to directories of their own.
pub(crate) const EXIF_IFD: u16 = 0x8769;
pub(crate) const GPS_IFD: u16 = 0x8825;
pub(crate) const EXPOSURE_TIME: u16 = 0x829A;
pub(crate) const PHOTOGRAPHIC_SENSITIVITY: u16 = 0x8827;
pub(crate) const SENSITIVITY_TYPE: u16 = 0x8830;
pub(crate) const EXIF_VERSION: u16 = 0x9000;
pub(crate) const DATE_TIME_ORIGINAL: u16 = 0x9003;
pub(crate) const DATE_TIME_DIGITIZED: u16 = 0x9004;
pub(crate) const OFFSET_TIME: u16 = 0x9010;
pub(crate) const OFFSET_TIME_ORIGINAL: u16 = 0x9011;
pub(crate) const OFFSET_TIME_DIGITIZED: u16 = 0x9012;
pub(crate) const COMPONENTS_CONFIGURATION: u16 = 0x9101;
pub(crate) const SUB_SEC_TIME_ORIGINAL: u16 = 0x9291;
pub(crate) const FLASHPIX_VERSION: u16 = 0xA000;
pub(crate) const COLOR_SPACE: u16 = 0xA001;
pub(crate) const PIXEL_X_DIMENSION: u16 = 0xA002;
pub(crate) const PIXEL_Y_DIMENSION: u16 = 0xA003;
pub(crate) const SENSING_METHOD: u16 = 0xA217;
pub(crate) const SCENE_TYPE: u16 = 0xA301;
pub(crate) const EXPOSURE_MODE: u16 = 0xA402;
pub(crate) const WHITE_BALANCE: u16 = 0xA403;
pub(crate) const SCENE_CAPTURE_TYPE: u16 = 0xA406;

// Exif: where. These numbers count only inside the GPS directory.
pub(crate) const GPS_VERSION_ID: u16 = 0x0000;
pub(crate) const GPS_LATITUDE_REF: u16 = 0x0001;
pub(crate) const GPS_LATITUDE: u16 = 0x0002;
pub(crate) const GPS_LONGITUDE_REF: u16 = 0x0003;
pub(crate) const GPS_LONGITUDE: u16 = 0x0004;
pub(crate) const GPS_ALTITUDE_REF: u16 = 0x0005;
pub(crate) const GPS_ALTITUDE: u16 = 0x0006;
pub(crate) const GPS_TIME_STAMP: u16 = 0x0007;
pub(crate) const GPS_MAP_DATUM: u16 = 0x0012;
pub(crate) const GPS_DATE_STAMP: u16 = 0x001D;

// DNG: the sensor's frame.
pub(crate) const DNG_VERSION: u16 = 0xC612;
pub(crate) const DNG_BACKWARD_VERSION: u16 = 0xC613;
pub(crate) const UNIQUE_CAMERA_MODEL: u16 = 0xC614;
pub(crate) const BLACK_LEVEL: u16 = 0xC61A;
pub(crate) const WHITE_LEVEL: u16 = 0xC61D;
pub(crate) const COLOR_MATRIX_1: u16 = 0xC621;
pub(crate) const AS_SHOT_NEUTRAL: u16 = 0xC628;
pub(crate) const CALIBRATION_ILLUMINANT_1: u16 = 0xC65A;
