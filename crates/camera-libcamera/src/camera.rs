//! One camera, streaming nothing until it is asked for a frame.

use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use libcamera::camera::{ActiveCamera, CameraConfiguration};
use libcamera::camera_manager::CameraManager;
use libcamera::control::ControlList;
use libcamera::framebuffer::{
    AsFrameBuffer as _, FrameBufferPlane, FrameMetadataStatus, OwnedFrameBuffer,
};
use libcamera::geometry::Size;
use libcamera::pixel_format::PixelFormat;
use libcamera::request::{Request, RequestStatus, ReuseFlag};
use libcamera::stream::{Stream, StreamRole};
use libcamera::{controls, properties};

use crate::heap::{Heap, SharedBuffer, since_boot};

/// Frames until automatic exposure has settled after the start.
const SETTLING: usize = 12;
/// Frames until a new exposure time must have arrived.
const OBEYING: usize = 12;
/// `BGR888`: red, green and blue, in this order in memory.
const DEVELOPED: u32 = u32::from_le_bytes(*b"BG24");
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// libcamera or the kernel said no.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What was said.
        source: io::Error,
    },
    /// There is no such camera.
    #[error("there is no camera{0}")]
    Missing(String),
    /// The camera cannot deliver raw and developed frames together.
    #[error("the camera offers no raw stream: {0}")]
    Format(String),
    /// Nothing came in time, or it was cut short.
    #[error("the camera delivered no whole frame within {} seconds", PATIENCE.as_secs())]
    Late,
}

/// One exposure: the sensor's bytes and, if the camera could, the picture its own processor made of
/// them.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The sensor's bytes, rows `stride` apart.
    pub raw: Vec<u8>,
    /// Samples in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Four letters that name the layout, as V4L2 does.
    pub fourcc: [u8; 4],
    /// The developed picture.
    pub still: Option<Still>,
    /// How long ago the exposure began.
    pub age: Option<Duration>,
    /// Microseconds of light.
    pub exposure_us: Option<u32>,
    /// Amplification.
    pub analogue_gain: Option<f32>,
    /// Amplification of red and blue.
    pub colour_gains: Option<[f32; 2]>,
    /// From balanced camera colours to linear sRGB.
    pub colour_matrix: Option<[[f32; 3]; 3]>,
    /// Of the light, in kelvin.
    pub colour_temperature: Option<u32>,
    /// The sample that means no light, for 16-bit samples.
    pub black_level: Option<u16>,
    /// Of the sensor, in degrees Celsius.
    pub temperature: Option<f32>,
}

/// A picture: red, green, blue, eight bits each, without padding.
#[derive(Debug, Clone)]
pub struct Still {
    /// Points in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Three bytes per point.
    pub rgb: Vec<u8>,
}

/// One stream and the buffer it is written to.
struct Output {
    stream: Stream,
    buffer: SharedBuffer,
    fourcc: u32,
    size: Size,
    stride: usize,
}

/// An acquired camera. It must stay on the thread that opened it.
pub struct Camera {
    name: String,
    completed: Receiver<Request>,
    request: Option<Request>,
    raw: Output,
    still: Option<Output>,
    fixed: Option<(u32, f32)>,
    // Dropped in this order: the camera before the manager it belongs to.
    active: ActiveCamera<'static>,
    _manager: CameraManager,
}

impl Camera {
    /// Opens the camera with this id, or the first one, and lets its exposure settle.
    pub fn open(id: Option<&str>) -> Result<Self, CameraError> {
        let manager = CameraManager::new().map_err(system("starting libcamera"))?;
        let camera = match id {
            Some(id) => manager.get(id),
            None => manager.cameras().get(0),
        };
        let camera = camera.ok_or_else(|| {
            CameraError::Missing(id.map(|id| format!(" named {id}")).unwrap_or_default())
        })?;
        let model = camera
            .properties()
            .get::<properties::Model>()
            .map_or_else(|_| camera.id().to_owned(), |model| model.0);
        let size = camera
            .properties()
            .get::<properties::PixelArraySize>()
            .map(|size| size.0);
        let mut active = camera.acquire().map_err(system("acquiring the camera"))?;
        let mut configuration = configuration(&active, size.ok())?;
        active
            .configure(&mut configuration)
            .map_err(system("configuring the camera"))?;
        let heap = Heap::open().map_err(system("opening a DMA heap"))?;
        let raw = output(&configuration, 0, &heap)?;
        let still = output(&configuration, 1, &heap)?;
        // Anything else is developed by us, from the raw frame.
        let still = Some(still).filter(|still| still.fourcc == DEVELOPED);
        let request = request(&mut active, &raw, still.as_ref())?;
        let completed = active.subscribe_request_completed();
        active.start(None).map_err(system("starting the camera"))?;
        let mut camera = Self {
            name: model,
            completed,
            request: Some(request),
            raw,
            still,
            fixed: None,
            active,
            _manager: manager,
        };
        for _ in 0..SETTLING {
            camera.expose()?;
        }
        Ok(camera)
    }

    /// What the camera calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets exposure time in microseconds and gain, or lets the camera choose again.
    pub fn fix_exposure(&mut self, fixed: Option<(u32, f32)>) -> Result<(), CameraError> {
        self.fixed = fixed;
        for _ in 0..OBEYING {
            self.expose()?;
            let (Some((wanted, _)), Some(request)) = (fixed, &self.request) else {
                continue;
            };
            let got = request
                .metadata()
                .get::<controls::ExposureTime>()
                .map(|time| time.0.unsigned_abs());
            if got.is_ok_and(|got| got.abs_diff(wanted) <= wanted / 50 + 20) {
                return Ok(());
            }
        }
        match fixed {
            Some(_) => Err(CameraError::Format(
                "the camera does not obey a fixed exposure time".to_owned(),
            )),
            None => Ok(()),
        }
    }

    /// Exposes a frame now.
    pub fn frame(&mut self) -> Result<Frame, CameraError> {
        self.expose()?;
        let request = self.request.as_ref().ok_or(CameraError::Late)?;
        let metadata = request.metadata();
        let raw = self.raw.copy(request)?;
        let still = self
            .still
            .as_ref()
            .map(|still| still.picture(request))
            .transpose()?;
        let taken = metadata
            .get::<controls::SensorTimestamp>()
            .ok()
            .and_then(|time| u64::try_from(time.0).ok());
        Ok(Frame {
            raw,
            width: self.raw.size.width,
            height: self.raw.size.height,
            stride: self.raw.stride,
            fourcc: self.raw.fourcc.to_le_bytes(),
            still,
            age: taken.map(|taken| since_boot().saturating_sub(Duration::from_nanos(taken))),
            exposure_us: metadata
                .get::<controls::ExposureTime>()
                .ok()
                .map(|time| time.0.unsigned_abs()),
            analogue_gain: metadata
                .get::<controls::AnalogueGain>()
                .ok()
                .map(|gain| gain.0),
            colour_gains: metadata
                .get::<controls::ColourGains>()
                .ok()
                .map(|gains| gains.0),
            colour_matrix: metadata
                .get::<controls::ColourCorrectionMatrix>()
                .ok()
                .map(|matrix| matrix.0),
            colour_temperature: metadata
                .get::<controls::ColourTemperature>()
                .ok()
                .map(|kelvin| kelvin.0.unsigned_abs()),
            black_level: black_level(metadata),
            temperature: metadata
                .get::<controls::SensorTemperature>()
                .ok()
                .map(|degrees| degrees.0),
        })
    }

    /// Sends the request and waits for it; afterwards it is here again, complete, with its buffers.
    fn expose(&mut self) -> Result<(), CameraError> {
        let mut request = self.request.take().ok_or(CameraError::Late)?;
        if request.status() != RequestStatus::Pending {
            request.reuse(ReuseFlag::REUSE_BUFFERS);
        }
        self.set_controls(request.controls_mut())?;
        self.active
            .queue_request(request)
            .map_err(|(_, source)| system("queueing a request")(source))?;
        let request = self
            .completed
            .recv_timeout(PATIENCE)
            .map_err(|_| CameraError::Late)?;
        if request.status() != RequestStatus::Complete {
            return Err(CameraError::Late);
        }
        self.request = Some(request);
        Ok(())
    }

    fn set_controls(&self, list: &mut ControlList) -> Result<(), CameraError> {
        let refused =
            |_| CameraError::Format("the camera has no control of its exposure".to_owned());
        list.set(controls::AeEnable(self.fixed.is_none()))
            .map_err(refused)?;
        if let Some((exposure_us, gain)) = self.fixed {
            list.set(controls::ExposureTime(
                i32::try_from(exposure_us).unwrap_or(i32::MAX),
            ))
            .map_err(refused)?;
            list.set(controls::AnalogueGain(gain)).map_err(refused)?;
        }
        Ok(())
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // The device may be gone already.
        let _ = self.active.stop();
    }
}

impl Output {
    /// The bytes of a complete request.
    fn copy(&self, request: &Request) -> Result<Vec<u8>, CameraError> {
        let buffer: &OwnedFrameBuffer = request.buffer(&self.stream).ok_or(CameraError::Late)?;
        let metadata = buffer.metadata().ok_or(CameraError::Late)?;
        if metadata.status() != FrameMetadataStatus::Success {
            return Err(CameraError::Late);
        }
        let used = metadata
            .planes()
            .get(0)
            .map_or(0, |plane| plane.bytes_used as usize);
        self.buffer.copy(used).map_err(system("reading a frame"))
    }

    /// The same without padding, as a picture.
    fn picture(&self, request: &Request) -> Result<Still, CameraError> {
        let bytes = self.copy(request)?;
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in bytes.chunks(self.stride.max(1)).take(height) {
            rgb.extend_from_slice(row.get(..width * 3).ok_or(CameraError::Late)?);
        }
        if rgb.len() != width * height * 3 {
            return Err(CameraError::Late);
        }
        Ok(Still {
            width: self.size.width,
            height: self.size.height,
            rgb,
        })
    }
}

/// Asks for the whole sensor, raw and developed, and accepts what the camera makes of that.
fn configuration(
    camera: &ActiveCamera<'_>,
    size: Option<Size>,
) -> Result<CameraConfiguration, CameraError> {
    let both = camera.generate_configuration(&[StreamRole::Raw, StreamRole::StillCapture]);
    let mut both = both.filter(|both| both.len() == 2).ok_or_else(|| {
        CameraError::Format("raw and developed frames together are not supported".to_owned())
    })?;
    if let Some(size) = size {
        for index in 0..2 {
            if let Some(mut stream) = both.get_mut(index) {
                stream.set_size(size);
            }
        }
    }
    if let Some(mut still) = both.get_mut(1) {
        still.set_pixel_format(PixelFormat::new(DEVELOPED, 0));
    }
    if both.validate().is_invalid() {
        return Err(CameraError::Format(
            "the camera refuses every configuration".to_owned(),
        ));
    }
    Ok(both)
}

/// What was configured, read back: flips change the order of colours, and strides are the camera's
/// to choose.
fn output(
    configuration: &CameraConfiguration,
    index: usize,
    heap: &Heap,
) -> Result<Output, CameraError> {
    let missing = || CameraError::Format(format!("stream {index} is missing"));
    let stream = configuration.get(index).ok_or_else(missing)?;
    Ok(Output {
        stream: stream.stream().ok_or_else(missing)?,
        buffer: heap
            .allocate(stream.get_frame_size() as usize)
            .map_err(system("allocating a buffer"))?,
        fourcc: stream.get_pixel_format().fourcc(),
        size: stream.get_size(),
        stride: stream.get_stride() as usize,
    })
}

fn request(
    camera: &mut ActiveCamera<'_>,
    raw: &Output,
    still: Option<&Output>,
) -> Result<Request, CameraError> {
    let refused = || system("creating a request")(io::ErrorKind::OutOfMemory.into());
    let mut request = camera.create_request(None).ok_or_else(refused)?;
    for output in std::iter::once(raw).chain(still) {
        let fd = output.buffer.share().map_err(system("sharing a buffer"))?;
        let length = u32::try_from(output.stride.saturating_mul(output.size.height as usize))
            .unwrap_or(u32::MAX);
        let plane = FrameBufferPlane {
            fd,
            offset: 0,
            length,
        };
        let buffer =
            OwnedFrameBuffer::new(vec![plane], None).map_err(system("importing a buffer"))?;
        request
            .add_buffer(&output.stream, buffer)
            .map_err(system("attaching a buffer"))?;
    }
    Ok(request)
}

/// libcamera scales black levels to 16 bits.
fn black_level(metadata: &ControlList) -> Option<u16> {
    let levels = metadata.get::<controls::SensorBlackLevels>().ok()?.0;
    levels.first().and_then(|level| u16::try_from(*level).ok())
}

fn system(action: &'static str) -> impl FnOnce(io::Error) -> CameraError {
    move |source| CameraError::System { action, source }
}
