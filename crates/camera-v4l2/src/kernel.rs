//! The structures and calls of `linux/videodev2.h` that we use, as they are on 64-bit machines.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::{self, NonNull};
use std::time::Duration;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("the layouts below are those of 64-bit Linux");

pub(crate) const BUFFER_CAPTURE: u32 = 1;
pub(crate) const MEMORY_MMAP: u32 = 1;
pub(crate) const FIELD_NONE: u32 = 1;
pub(crate) const CAN_CAPTURE: u32 = 1;
pub(crate) const CAN_STREAM: u32 = 0x0400_0000;
pub(crate) const FLAG_ERROR: u32 = 0x40;
pub(crate) const FLAG_TIME_MASK: u32 = 0xe000;
pub(crate) const FLAG_TIME_MONOTONIC: u32 = 0x2000;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Capability {
    names: [u8; 80],
    version: u32,
    pub(crate) capabilities: u32,
    pub(crate) device_caps: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PixFormat {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixelformat: u32,
    pub(crate) field: u32,
    pub(crate) bytesperline: u32,
    pub(crate) sizeimage: u32,
    rest: [u32; 6],
    /// The union is 200 bytes long, of which the fields above are 48.
    unused: [u64; 19],
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct FormatRequest {
    pub(crate) kind: u32,
    padding: u32,
    pub(crate) pix: PixFormat,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct BufferRequest {
    pub(crate) count: u32,
    pub(crate) kind: u32,
    pub(crate) memory: u32,
    capabilities: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) index: u32,
    pub(crate) kind: u32,
    pub(crate) bytesused: u32,
    pub(crate) flags: u32,
    field: u32,
    padding: u32,
    pub(crate) seconds: i64,
    pub(crate) microseconds: i64,
    timecode: [u32; 4],
    pub(crate) sequence: u32,
    pub(crate) memory: u32,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    reserved: [u32; 3],
}

// The kernel refuses a call whose number names another size: these are what its headers give.
const _: () = assert!(size_of::<Capability>() == 104);
const _: () = assert!(size_of::<FormatRequest>() == 208);
const _: () = assert!(size_of::<BufferRequest>() == 20);
const _: () = assert!(size_of::<Buffer>() == 88);

/// A structure the kernel reads and writes, made of numbers only.
///
/// # Safety
///
/// Every pattern of bits must be a value, and the layout that of the call whose number is `NUMBER`.
pub(crate) unsafe trait Request: Copy {}

// SAFETY: all four are `repr(C)`, hold nothing but integers, and have the sizes asserted above.
unsafe impl Request for Capability {}
// SAFETY: as above.
unsafe impl Request for FormatRequest {}
// SAFETY: as above.
unsafe impl Request for BufferRequest {}
// SAFETY: as above.
unsafe impl Request for Buffer {}
// SAFETY: an integer, for turning streams on and off.
unsafe impl Request for i32 {}

/// A structure of zeros, to be filled in.
pub(crate) fn zeroed<R: Request>() -> R {
    // SAFETY: zeros are a value of every `Request`.
    unsafe { std::mem::zeroed() }
}

/// The calls, by their numbers in the header.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Call {
    QueryCapability = 0x8068_5600,
    SetFormat = 0xc0d0_5605,
    RequestBuffers = 0xc014_5608,
    QueryBuffer = 0xc058_5609,
    QueueBuffer = 0xc058_560f,
    DequeueBuffer = 0xc058_5611,
    StreamOn = 0x4004_5612,
    StreamOff = 0x4004_5613,
}

impl Call {
    /// The size of its structure, which is part of its number.
    const fn size(self) -> usize {
        ((self as u64 >> 16) & 0x3fff) as usize
    }
}

/// Makes a call; the kernel may change the structure.
pub(crate) fn call<R: Request>(file: &File, call: Call, request: &mut R) -> io::Result<()> {
    if call.size() != size_of::<R>() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    loop {
        // SAFETY: `request` is a valid pointer to as many bytes as the call's number says the
        // kernel touches; none of our structures holds a pointer the kernel would follow.
        let outcome = unsafe {
            libc::ioctl(
                file.as_raw_fd(),
                call as libc::Ioctl,
                ptr::from_mut(request),
            )
        };
        if outcome >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// A buffer of the driver, mapped read-only.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the mapping alone and is not tied to the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    pub(crate) fn new(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file we hold open; it
        // disturbs no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, length })
    }

    /// Copies the first `length` bytes out. The buffer must be dequeued: then the driver does not
    /// write to it.
    pub(crate) fn copy(&self, length: usize) -> Vec<u8> {
        let length = length.min(self.length);
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: the mapping is `self.length` bytes long and readable for as long as `self` lives;
        // the new vector has room for `length` bytes, which are all written before its length says
        // so.
        unsafe {
            ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), length);
            bytes.set_len(length);
        }
        bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and nothing refers to it any
        // more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Waits until a frame can be dequeued; says whether one can.
pub(crate) fn readable(file: &File, patience: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "24 days are as long as is ever waited"
    )]
    let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid structure, and we say it is one.
    match unsafe { libc::poll(&mut poll, 1, patience) } {
        0 => Ok(false),
        1.. if poll.revents & libc::POLLIN != 0 => Ok(true),
        1.. => Err(io::Error::from(io::ErrorKind::NotConnected)),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// The clock that drivers date frames by.
pub(crate) fn monotonic() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid structure for the kernel to fill in; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    Duration::from_secs(now.tv_sec.unsigned_abs())
        + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_names_the_size_of_its_structure() {
        assert_eq!(Call::QueryCapability.size(), size_of::<Capability>());
        assert_eq!(Call::SetFormat.size(), size_of::<FormatRequest>());
        assert_eq!(Call::RequestBuffers.size(), size_of::<BufferRequest>());
        for call in [Call::QueryBuffer, Call::QueueBuffer, Call::DequeueBuffer] {
            assert_eq!(call.size(), size_of::<Buffer>());
        }
        assert_eq!(Call::StreamOn.size(), size_of::<i32>());
    }

    #[test]
    fn a_structure_of_another_size_never_reaches_the_kernel() {
        let file = File::open("/dev/null").unwrap();
        let error = call(&file, Call::SetFormat, &mut zeroed::<Buffer>()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_can_be_mapped_and_copied() {
        let file = File::open("/proc/self/exe").unwrap();
        let mapping = Mapping::new(&file, 0, 4096).unwrap();
        assert_eq!(mapping.copy(4), b"\x7fELF");
        assert_eq!(mapping.copy(1 << 20).len(), 4096);
    }

    #[test]
    fn the_clock_goes_forward() {
        let before = monotonic();
        assert!(before > Duration::ZERO && monotonic() >= before);
    }
}
