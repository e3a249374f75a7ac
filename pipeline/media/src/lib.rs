//! GStreamer graphs: everything that touches media, and nothing that touches messages' topics or the log.
//!
//! Runs inside the worker program only, never in a process that holds anything dear. The jobs are
//! [`prepare`], [`sample`], [`compose`] and [`encode_clip`]; one graph a file does their work: the two that meet
//! untrusted bytes (the reader of any file, and that of the normal form), and the H.264, AAC and FLAC coders. Files
//! are written and read packet by packet in [`Mp4`]. Before the first job, [`start`] takes every decoder that is
//! not needed out of reach.

mod aac;
mod budget;
mod chain;
mod compose;
mod elements;
mod error;
mod file_source;
mod flac;
mod frame;
mod frame_clock;
mod graph;
mod h264;
mod loudness;
mod mp4;
mod normal_form;
mod pcm;
mod picture;
mod prepare;
mod reader;
mod rgb;
mod sample;
mod skipping;
mod sound_track;
mod source_facts;
mod statistics;
mod stillness;
mod synthesize;
mod tables;
mod window;

pub use aac::encode_aac;
pub use budget::{Budget, process_cpu};
pub use compose::{ParentFiles, compose};
pub use elements::{check, start};
pub use error::MediaError;
pub use flac::{read_flac, write_flac};
pub use h264::H264Encoder;
pub use loudness::{Loudness, SILENCE_LUFS};
pub use mp4::{AacTrack, Mp4, PicturePacket, PictureTrack};
pub use pcm::Pcm;
pub use picture::Colours;
pub use prepare::prepare;
pub use reader::{Frame, Reader};
pub use sample::sample;
pub use sound_track::SoundTrack;
pub use synthesize::encode_clip;
