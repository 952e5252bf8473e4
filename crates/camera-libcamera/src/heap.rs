//! Memory that a camera writes and we read, from the kernel's DMA heaps.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::{self, NonNull};

/// Cached memory first; the last is for machines without a camera of their own.
const HEAPS: [&str; 3] = [
    "/dev/dma_heap/vidbuf_cached",
    "/dev/dma_heap/linux,cma",
    "/dev/dma_heap/system",
];
/// `_IOWR('H', 0, struct dma_heap_allocation_data)`.
const ALLOCATE: libc::Ioctl = 0xc018_4800_u32 as libc::Ioctl;
/// `_IOW('b', 0, struct dma_buf_sync)`.
const SYNCHRONISE: libc::Ioctl = 0x4008_6200;
const SYNC_READ: u64 = 1;
const SYNC_END: u64 = 4;

#[repr(C)]
struct Allocation {
    length: u64,
    descriptor: u32,
    flags: u32,
    heap_flags: u64,
}

/// One of the kernel's heaps.
#[derive(Debug)]
pub(crate) struct Heap(File);

impl Heap {
    /// The first heap there is.
    pub(crate) fn open() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for path in HEAPS {
            match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => return Ok(Self(file)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A buffer of `length` bytes.
    pub(crate) fn allocate(&self, length: usize) -> io::Result<SharedBuffer> {
        let flags = (libc::O_RDWR | libc::O_CLOEXEC).cast_unsigned();
        let mut request = Allocation {
            length: length as u64,
            descriptor: 0,
            flags,
            heap_flags: 0,
        };
        // SAFETY: a valid pointer to the structure this call reads and writes.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), ALLOCATE, ptr::from_mut(&mut request)) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        let descriptor = unsafe { OwnedFd::from_raw_fd(request.descriptor.cast_signed()) };
        SharedBuffer::map(descriptor, length)
    }
}

/// A mapped buffer.
#[derive(Debug)]
pub(crate) struct SharedBuffer {
    descriptor: OwnedFd,
    start: NonNull<u8>,
    length: usize,
}

impl SharedBuffer {
    fn map(descriptor: OwnedFd, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice, of a descriptor we own.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            descriptor,
            start,
            length,
        })
    }

    /// Another descriptor of the same buffer, for the camera.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }

    /// Copies the first `length` bytes out, synchronised. The camera must not be writing: its
    /// request is complete.
    pub(crate) fn copy(&self, length: usize) -> io::Result<Vec<u8>> {
        self.synchronise(SYNC_READ)?;
        let length = length.min(self.length);
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: the mapping is readable for `self.length` bytes while `self` lives, the new
        // vector has room for `length`, and all of them are written before its length says so.
        unsafe {
            ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), length);
            bytes.set_len(length);
        }
        self.synchronise(SYNC_READ | SYNC_END)?;
        Ok(bytes)
    }

    fn synchronise(&self, flags: u64) -> io::Result<()> {
        loop {
            // SAFETY: a valid pointer to the eight bytes this call reads.
            if unsafe {
                libc::ioctl(
                    self.descriptor.as_raw_fd(),
                    SYNCHRONISE,
                    ptr::from_ref(&flags),
                )
            } >= 0
            {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if !matches!(
                error.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
            ) {
                return Err(error);
            }
        }
    }
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and nothing refers to it any
        // more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The clock that libcamera dates frames by.
pub(crate) fn since_boot() -> std::time::Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid structure for the kernel to fill in; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    std::time::Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
