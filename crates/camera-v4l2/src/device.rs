//! A video device that streams.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel::{
    self, BUFFER_CAPTURE, Buffer, BufferRequest, CAN_CAPTURE, CAN_STREAM, Call, Capability,
    FIELD_NONE, FLAG_ERROR, FLAG_TIME_MASK, FLAG_TIME_MONOTONIC, FormatRequest, MEMORY_MMAP,
    Mapping, call, zeroed,
};

/// Buffers in rotation: enough that the sensor never waits for us.
const BUFFERS: u32 = 4;
/// How many frames may be stale or damaged before we give up.
const PATIENCE: usize = 64;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The system said no.
    #[error("{path}: {action}: {source}", path = path.display())]
    System {
        /// The device.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else than a camera.
    #[error("{path} is no video capture device that streams", path = .0.path.display())]
    NoCamera(Which),
    /// It cannot deliver any of the wanted formats.
    #[error("{path} delivers none of the formats {wanted}", path = path.display())]
    NoFormat {
        /// The device.
        path: PathBuf,
        /// What was wanted.
        wanted: String,
    },
    /// Nothing usable came in time.
    #[error("{path} delivered no usable frame", path = .0.path.display())]
    Late(Which),
}

/// Which device.
#[derive(Debug)]
pub struct Which {
    /// Its path.
    pub path: PathBuf,
}

/// What the device delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Samples in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Four letters that name the layout.
    pub fourcc: [u8; 4],
    /// Bytes from one row to the next.
    pub stride: u32,
}

/// One frame, copied.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The bytes, rows `stride` apart.
    pub bytes: Vec<u8>,
    /// How long ago the driver says it was taken, if it says.
    pub age: Option<Duration>,
}

/// A streaming device. It stops when dropped.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
    format: Format,
    buffers: Vec<Mapping>,
}

impl Device {
    /// Opens `path` and starts streaming in the first of the formats `wanted` that the device has,
    /// as close to `width` by `height` as it can.
    pub fn open(
        path: &Path,
        width: u32,
        height: u32,
        wanted: &[[u8; 4]],
    ) -> Result<Self, DeviceError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path);
        let file = opened.map_err(system(path, "opening"))?;
        check_camera(&file, path)?;
        let format = choose(&file, path, (width, height), wanted)?;
        let mut device = Self {
            path: path.to_owned(),
            file,
            format,
            buffers: Vec::new(),
        };
        device.start()?;
        Ok(device)
    }

    /// What it delivers.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The first sound frame taken after now.
    pub fn frame(&mut self, patience: Duration) -> Result<Frame, DeviceError> {
        let asked = kernel::monotonic();
        let mut undated = 0;
        for _ in 0..PATIENCE {
            if !kernel::readable(&self.file, patience).map_err(system(&self.path, "waiting"))? {
                break;
            }
            let Some(buffer) = self.dequeue()? else {
                continue;
            };
            let taken = dated(&buffer);
            // Frames without a date are fresh once every buffer has been round.
            let fresh = taken.map_or(undated >= self.buffers.len(), |taken| taken >= asked);
            undated += usize::from(taken.is_none());
            let sound = fresh && buffer.flags & FLAG_ERROR == 0;
            let bytes = sound.then(|| self.copy(&buffer)).transpose()?;
            self.queue(buffer.index)?;
            if let Some(bytes) = bytes {
                let age = taken.map(|taken| kernel::monotonic().saturating_sub(taken));
                return Ok(Frame { bytes, age });
            }
        }
        Err(DeviceError::Late(Which {
            path: self.path.clone(),
        }))
    }

    fn start(&mut self) -> Result<(), DeviceError> {
        let mut request: BufferRequest = zeroed();
        (request.count, request.kind, request.memory) = (BUFFERS, BUFFER_CAPTURE, MEMORY_MMAP);
        self.call(Call::RequestBuffers, &mut request, "requesting buffers")?;
        for index in 0..request.count {
            let mut buffer = numbered(index);
            self.call(Call::QueryBuffer, &mut buffer, "asking for a buffer")?;
            // The offset shares its eight bytes with a pointer we do not use: only four count.
            let mapping = Mapping::new(
                &self.file,
                buffer.offset & 0xffff_ffff,
                buffer.length as usize,
            );
            self.buffers
                .push(mapping.map_err(system(&self.path, "mapping a buffer"))?);
            self.queue(index)?;
        }
        let mut kind = BUFFER_CAPTURE.cast_signed();
        self.call(Call::StreamOn, &mut kind, "starting the stream")
    }

    fn dequeue(&self) -> Result<Option<Buffer>, DeviceError> {
        let mut buffer = numbered(0);
        match call(&self.file, Call::DequeueBuffer, &mut buffer) {
            Ok(()) => Ok(Some(buffer)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(system(&self.path, "taking a frame")(error)),
        }
    }

    fn queue(&self, index: u32) -> Result<(), DeviceError> {
        self.call(
            Call::QueueBuffer,
            &mut numbered(index),
            "giving a buffer back",
        )
    }

    /// The bytes of a filled buffer. A driver that names a buffer we never mapped has gone mad.
    fn copy(&self, buffer: &Buffer) -> Result<Vec<u8>, DeviceError> {
        let mapping = self.buffers.get(buffer.index as usize);
        let unknown = || system(&self.path, "taking a frame")(io::ErrorKind::InvalidData.into());
        let mapping = mapping.ok_or_else(unknown)?;
        Ok(mapping.copy(buffer.bytesused as usize))
    }

    fn call<R: kernel::Request>(
        &self,
        number: Call,
        request: &mut R,
        action: &'static str,
    ) -> Result<(), DeviceError> {
        call(&self.file, number, request).map_err(system(&self.path, action))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let mut kind = BUFFER_CAPTURE.cast_signed();
        // The device may be gone already.
        let _ = call(&self.file, Call::StreamOff, &mut kind);
    }
}

fn check_camera(file: &File, path: &Path) -> Result<(), DeviceError> {
    let mut about: Capability = zeroed();
    call(file, Call::QueryCapability, &mut about).map_err(|_| {
        DeviceError::NoCamera(Which {
            path: path.to_owned(),
        })
    })?;
    // One driver may have several devices: the capabilities of this one count, where they are told.
    let can = if about.device_caps == 0 {
        about.capabilities
    } else {
        about.device_caps
    };
    match can & CAN_CAPTURE != 0 && can & CAN_STREAM != 0 {
        true => Ok(()),
        false => Err(DeviceError::NoCamera(Which {
            path: path.to_owned(),
        })),
    }
}

fn choose(
    file: &File,
    path: &Path,
    (width, height): (u32, u32),
    wanted: &[[u8; 4]],
) -> Result<Format, DeviceError> {
    for fourcc in wanted {
        let mut request: FormatRequest = zeroed();
        request.kind = BUFFER_CAPTURE;
        request.pix.width = width;
        request.pix.height = height;
        request.pix.pixelformat = u32::from_le_bytes(*fourcc);
        request.pix.field = FIELD_NONE;
        let given = call(file, Call::SetFormat, &mut request);
        // A driver that does not have the format sets another one and says so.
        if given.is_ok() && request.pix.pixelformat == u32::from_le_bytes(*fourcc) {
            let pix = request.pix;
            return Ok(Format {
                width: pix.width,
                height: pix.height,
                fourcc: *fourcc,
                stride: pix.bytesperline,
            });
        }
    }
    let wanted: Vec<_> = wanted
        .iter()
        .map(|fourcc| String::from_utf8_lossy(fourcc).into_owned())
        .collect();
    Err(DeviceError::NoFormat {
        path: path.to_owned(),
        wanted: wanted.join(", "),
    })
}

fn numbered(index: u32) -> Buffer {
    let mut buffer: Buffer = zeroed();
    (buffer.index, buffer.kind, buffer.memory) = (index, BUFFER_CAPTURE, MEMORY_MMAP);
    buffer
}

/// When the driver says the frame was taken, on the clock we can compare with.
fn dated(buffer: &Buffer) -> Option<Duration> {
    let monotonic = buffer.flags & FLAG_TIME_MASK == FLAG_TIME_MONOTONIC;
    let seconds = u64::try_from(buffer.seconds).ok()?;
    let micros = u64::try_from(buffer.microseconds).ok()?;
    monotonic.then(|| Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
}

fn system(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> DeviceError {
    let path = path.to_owned();
    move |source| DeviceError::System {
        path,
        action,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_camera_is_refused_by_name() {
        let missing =
            Device::open(Path::new("/dev/no-such-video"), 640, 480, &[*b"RG12"]).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("/dev/no-such-video: opening")
        );
        let other = Device::open(Path::new("/dev/null"), 640, 480, &[*b"RG12"]).unwrap_err();
        assert_eq!(
            other.to_string(),
            "/dev/null is no video capture device that streams"
        );
    }

    #[test]
    fn only_dates_of_the_monotonic_clock_count() {
        let mut buffer = numbered(0);
        (buffer.seconds, buffer.microseconds) = (3, 500_000);
        assert_eq!(dated(&buffer), None);
        buffer.flags = FLAG_TIME_MONOTONIC;
        assert_eq!(dated(&buffer), Some(Duration::from_millis(3_500)));
        buffer.seconds = -1;
        assert_eq!(dated(&buffer), None);
    }
}
