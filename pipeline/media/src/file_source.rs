//! Where untrusted bytes enter a graph: an element that reads a file which somebody else opened.
//!
//! GStreamer's own `filesrc` opens a path, which the worker may not; `fdsrc` cannot be read at random,
//! which every demuxer wants. This one reads at any place, shares no position with anybody, and says
//! whether it waits for the disk.

use std::fs::File;
use std::io;

use gstreamer::glib;
use gstreamer::subclass::prelude::ObjectSubclassIsExt;

glib::wrapper! {
    /// See the module.
    pub struct FileSource(ObjectSubclass<imp::FileSource>)
        @extends gstreamer_base::BaseSrc, gstreamer::Element, gstreamer::Object;
}

impl FileSource {
    /// An element that reads `file`.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        let source: Self = glib::Object::new();
        *source.imp().file.lock() = Some(file.try_clone()?);
        Ok(source)
    }

    /// How often it has read so far.
    pub(crate) fn reads(&self) -> u64 {
        self.imp().reads.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Whether it waits for the disk right now.
    pub(crate) fn is_reading(&self) -> bool {
        self.imp().reading.load(std::sync::atomic::Ordering::Acquire)
    }
}

mod imp {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use gstreamer::subclass::prelude::*;
    use gstreamer::{
        BufferRef, Caps, FlowError, FlowSuccess, PadDirection, PadPresence, PadTemplate, ResourceError, glib,
    };
    use gstreamer_base::subclass::prelude::*;
    use parking_lot::Mutex;

    /// What the element holds.
    #[derive(Debug, Default)]
    pub struct FileSource {
        pub(super) file: Mutex<Option<File>>,
        pub(super) reading: AtomicBool,
        pub(super) reads: AtomicU64,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for FileSource {
        const NAME: &'static str = "CounterpointFileSource";
        type Type = super::FileSource;
        type ParentType = gstreamer_base::BaseSrc;
    }

    impl ObjectImpl for FileSource {}
    impl GstObjectImpl for FileSource {}

    impl ElementImpl for FileSource {
        fn pad_templates() -> &'static [PadTemplate] {
            static TEMPLATES: LazyLock<Vec<PadTemplate>> = LazyLock::new(|| {
                let any = Caps::new_any();
                PadTemplate::new("src", PadDirection::Src, PadPresence::Always, &any).into_iter().collect()
            });
            &TEMPLATES
        }
    }

    impl BaseSrcImpl for FileSource {
        fn is_seekable(&self) -> bool {
            true
        }

        fn size(&self) -> Option<u64> {
            Some(self.file.lock().as_ref()?.metadata().ok()?.len())
        }

        fn fill(&self, offset: u64, length: u32, buffer: &mut BufferRef) -> Result<FlowSuccess, FlowError> {
            let read = {
                let mut bytes = buffer.map_writable().map_err(|_| FlowError::Error)?;
                let length = bytes.len().min(length as usize);
                let file = self.file.lock();
                let file = file.as_ref().ok_or(FlowError::Error)?;
                self.reads.fetch_add(1, Ordering::AcqRel);
                self.reading.store(true, Ordering::Release);
                let read = read_full_at(file, &mut bytes[..length], offset);
                self.reading.store(false, Ordering::Release);
                read
            };
            match read {
                Ok(0) if length > 0 => Err(FlowError::Eos),
                Ok(read) => {
                    buffer.set_size(read);
                    Ok(FlowSuccess::Ok)
                }
                Err(error) => {
                    gstreamer::element_imp_error!(self, ResourceError::Read, ("{error}"));
                    Err(FlowError::Error)
                }
            }
        }
    }

    /// Reads until the buffer is full or the file ends.
    fn read_full_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}
