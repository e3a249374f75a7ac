//! The one writer and the one reader of normalised clips and their variants.
//!
//! Every file made here goes through [`Mp4::to_bytes`], so all have the same boxes in the same order, the same
//! brands, handlers and time scales, and no time of making. Layout: `ftyp`, `moov`, `mdat`; one chunk of
//! picture and one of sound for each second, in turn. The encoder's priming packet stays in the file and
//! an edit list keeps it from being heard, so sound and picture begin together to the sample.

use counterpoint_messages::RejectReason;
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{
    Any, Atom, Audio, Avc1, Avcc, Codec, DecodeMaybe, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode,
    Esds, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvhd, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd,
    Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd,
};

use crate::MediaError;

/// Samples of each channel in one AAC packet.
pub(crate) const AAC_FRAME: u32 = 1024;

/// Samples by which an AAC encoder's output lags behind its input.
pub(crate) const AAC_PRIMING: u32 = 1024;

/// Units a second of the whole file's clock: a multiple of every common frame rate and of the sound rate.
const MOVIE_TIMESCALE: u32 = 48_000;

/// Units of the picture's clock for one frame.
const FRAME_UNITS: u32 = 1000;

/// Coded picture of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureTrack {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Frames a second.
    pub frame_rate: u32,
    /// H.264 packets, in the order in which they are decoded and shown.
    pub packets: Vec<PicturePacket>,
    /// Decoder configuration.
    pub(crate) avcc: Avcc,
}

/// One coded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PicturePacket {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Whether decoding can begin with it.
    pub key: bool,
}

/// Coded sound of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AacTrack {
    /// Samples a second and channel.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// Samples of each channel that are heard.
    pub frames: u64,
    /// Bits a second the encoder was set to.
    pub bitrate: u32,
    /// AAC packets, the priming one first.
    pub packets: Vec<Vec<u8>>,
    /// Decoder configuration (AudioSpecificConfig).
    pub(crate) config: Vec<u8>,
}

/// A file as its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mp4 {
    /// Its picture.
    pub picture: PictureTrack,
    /// Its sound, where it has one.
    pub sound: Option<AacTrack>,
}

impl Mp4 {
    /// Length of the picture in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.picture.packets.len() as u64 * 1000 / u64::from(self.picture.frame_rate.max(1))
    }

    /// The bytes of the file; the same packets give the same bytes.
    ///
    /// # Errors
    /// When the packets do not fit into one file of this form (4 GiB).
    pub fn to_bytes(&self) -> Result<Vec<u8>, MediaError> {
        let too_long = || MediaError::graph("mp4", "the packets do not fit into 4 GiB");
        let ftyp = encoded(&Ftyp {
            major_brand: FourCC::new(b"isom"),
            minor_version: 512,
            compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
        })?;
        let (mut picture_at, mut sound_at) = (Vec::new(), Vec::new());
        let mut mdat = Vec::new();
        let mut picture = self.picture.packets.chunks(self.picture_per_chunk());
        let mut sound = self.sound.iter().flat_map(|track| track.packets.chunks(track.per_chunk()));
        loop {
            let (frames, packets) = (picture.next(), sound.next());
            if frames.is_none() && packets.is_none() {
                break;
            }
            if let Some(frames) = frames {
                picture_at.push(u32::try_from(mdat.len()).map_err(|_| too_long())?);
                frames.iter().for_each(|packet| mdat.extend_from_slice(&packet.data));
            }
            if let Some(packets) = packets {
                sound_at.push(u32::try_from(mdat.len()).map_err(|_| too_long())?);
                packets.iter().for_each(|packet| mdat.extend_from_slice(packet));
            }
        }
        // The tables have the same length whatever offsets they hold: measured first, then written.
        let moov_length = encoded(&self.moov(&picture_at, &sound_at, 0)?)?.len();
        let base = u32::try_from(ftyp.len() + moov_length + 8).map_err(|_| too_long())?;
        let mdat_size = u32::try_from(mdat.len() + 8).map_err(|_| too_long())?;
        base.checked_add(mdat_size).ok_or_else(too_long)?;
        let mut bytes = ftyp;
        bytes.extend(encoded(&self.moov(&picture_at, &sound_at, base)?)?);
        bytes.extend(mdat_size.to_be_bytes());
        bytes.extend(b"mdat");
        bytes.extend(mdat);
        Ok(bytes)
    }

    fn picture_per_chunk(&self) -> usize {
        self.picture.frame_rate.max(1) as usize
    }

    /// Length of `count` units of `scale` to the second, on the file's clock.
    fn on_movie_clock(count: u64, scale: u32) -> u64 {
        count.saturating_mul(u64::from(MOVIE_TIMESCALE)) / u64::from(scale.max(1))
    }

    fn moov(&self, picture_at: &[u32], sound_at: &[u32], base: u32) -> Result<Moov, MediaError> {
        let duration = Self::on_movie_clock(self.picture.packets.len() as u64, self.picture.frame_rate);
        let mut trak = vec![self.picture.trak(duration, moved(picture_at, base)?)?];
        if let Some(sound) = &self.sound {
            trak.push(sound.trak(moved(sound_at, base)?)?);
        }
        Ok(Moov {
            mvhd: Mvhd {
                creation_time: 0,
                modification_time: 0,
                timescale: MOVIE_TIMESCALE,
                duration,
                rate: 1.into(),
                volume: 1.into(),
                matrix: Default::default(),
                next_track_id: 3,
            },
            trak,
            ..Moov::default()
        })
    }

    /// Reads a file that was made here.
    ///
    /// # Errors
    /// A reject when the bytes are anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, MediaError> {
        let mut rest = bytes;
        let mut moov = None;
        while let Some(atom) = Any::decode_maybe(&mut rest).map_err(|error| foreign(&error.to_string()))? {
            if let Any::Moov(found) = atom {
                moov = Some(found);
            }
        }
        Self::of_tables(&moov.ok_or_else(|| foreign("no moov box"))?, bytes)
    }

    /// Reads a file of which these are the tables; `None` unless it is to the byte what [`Mp4::to_bytes`] makes.
    pub(crate) fn read_exact(tables: &Moov, bytes: &[u8]) -> Option<Self> {
        // Nothing is copied for tables that claim the same bytes again and again.
        let sizes = tables.trak.iter().map(|trak| match &trak.mdia.minf.stbl.stsz.samples {
            StszSamples::Different { sizes } => sizes.iter().map(|size| u64::from(*size)).sum(),
            StszSamples::Identical { .. } => u64::MAX,
        });
        if sizes.fold(0_u64, u64::saturating_add) > bytes.len() as u64 {
            return None;
        }
        let clip = Self::of_tables(tables, bytes).ok()?;
        (clip.to_bytes().ok()? == bytes).then_some(clip)
    }

    fn of_tables(moov: &Moov, bytes: &[u8]) -> Result<Self, MediaError> {
        let (mut picture, mut sound) = (None, None);
        for trak in &moov.trak {
            let packets = packets_of(trak, bytes).ok_or_else(|| foreign("its tables point past its end"))?;
            match trak.mdia.minf.stbl.stsd.codecs.as_slice() {
                [Codec::Avc1(avc1)] => picture = Some(PictureTrack::from_trak(trak, avc1, packets)),
                [Codec::Mp4a(mp4a)] => {
                    sound = Some(AacTrack::from_trak(trak, mp4a, packets).ok_or_else(|| foreign("its AAC"))?)
                }
                _ => return Err(foreign("a codec other than H.264 and AAC")),
            }
        }
        Ok(Self { picture: picture.ok_or_else(|| foreign("no picture"))?, sound })
    }
}

/// The reject for a file that was not made here.
fn foreign(what: &str) -> MediaError {
    MediaError::reject(
        RejectReason::CorruptMedia,
        format!("the file is no normalised clip ({what}); make it with `counterpoint prepare`"),
    )
}

impl PictureTrack {
    fn trak(&self, duration: u64, chunks: Vec<u32>) -> Result<Trak, MediaError> {
        let timescale = self.frame_rate.saturating_mul(FRAME_UNITS);
        let keys = self.packets.iter().zip(1_u32..).filter(|(packet, _)| packet.key).map(|(_, at)| at);
        Ok(Trak {
            tkhd: Tkhd {
                track_id: 1,
                duration,
                enabled: true,
                in_movie: true,
                width: self.width.into(),
                height: self.height.into(),
                ..Tkhd::default()
            },
            mdia: Mdia {
                mdhd: mdhd(timescale, (self.packets.len() as u64).saturating_mul(u64::from(FRAME_UNITS))),
                hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".to_owned() },
                minf: Minf {
                    vmhd: Some(Vmhd::default()),
                    dinf: dinf(),
                    stbl: Stbl {
                        stss: Some(Stss { entries: keys.collect() }),
                        ..stbl(
                            Codec::Avc1(Avc1 {
                                visual: Visual {
                                    data_reference_index: 1,
                                    width: self.width,
                                    height: self.height,
                                    ..Visual::default()
                                },
                                avcc: self.avcc.clone(),
                                ..Avc1::default()
                            }),
                            FRAME_UNITS,
                            self.packets.iter().map(|packet| packet.data.len()),
                            self.frame_rate.max(1),
                            chunks,
                        )?
                    },
                    ..Minf::default()
                },
            },
            ..Trak::default()
        })
    }

    fn from_trak(trak: &Trak, avc1: &Avc1, packets: Vec<Vec<u8>>) -> Self {
        let keys = trak.mdia.minf.stbl.stss.as_ref().map_or(&[][..], |stss| &stss.entries);
        let packets = packets.into_iter().zip(1_u32..);
        Self {
            width: avc1.visual.width,
            height: avc1.visual.height,
            frame_rate: trak.mdia.mdhd.timescale / FRAME_UNITS,
            packets: packets
                .map(|(data, at)| PicturePacket { data, key: keys.binary_search(&at).is_ok() })
                .collect(),
            avcc: avc1.avcc.clone(),
        }
    }
}

impl AacTrack {
    fn per_chunk(&self) -> usize {
        self.rate.div_ceil(AAC_FRAME).max(1) as usize
    }

    fn trak(&self, chunks: Vec<u32>) -> Result<Trak, MediaError> {
        let heard = Mp4::on_movie_clock(self.frames, self.rate);
        let config = DecoderSpecific { raw: self.config.clone(), ..DecoderSpecific::default() };
        let too_fast = |_| MediaError::graph("mp4", format!("a rate of {} Hz does not fit", self.rate));
        Ok(Trak {
            tkhd: Tkhd {
                track_id: 2,
                duration: heard,
                alternate_group: 1,
                enabled: true,
                in_movie: true,
                volume: 1.into(),
                ..Tkhd::default()
            },
            edts: Some(Edts {
                elst: Some(Elst {
                    entries: vec![ElstEntry {
                        segment_duration: heard,
                        media_time: Some(u64::from(AAC_PRIMING)),
                        media_rate: 1.into(),
                    }],
                }),
            }),
            mdia: Mdia {
                mdhd: mdhd(self.rate, self.frames.saturating_add(u64::from(AAC_PRIMING))),
                hdlr: Hdlr { handler: FourCC::new(b"soun"), name: "SoundHandler".to_owned() },
                minf: Minf {
                    smhd: Some(Smhd::default()),
                    dinf: dinf(),
                    stbl: stbl(
                        Codec::Mp4a(Mp4a {
                            audio: Audio {
                                data_reference_index: 1,
                                channel_count: self.channels,
                                sample_size: 16,
                                sample_rate: u16::try_from(self.rate).map_err(too_fast)?.into(),
                            },
                            esds: Esds {
                                es_desc: EsDescriptor {
                                    es_id: 2,
                                    dec_config: DecoderConfig {
                                        object_type_indication: 0x40,
                                        stream_type: 5,
                                        max_bitrate: self.bitrate,
                                        avg_bitrate: self.bitrate,
                                        dec_specific: Some(config),
                                        ..DecoderConfig::default()
                                    },
                                    sl_config: SLConfig::default(),
                                    ..EsDescriptor::default()
                                },
                            },
                            btrt: None,
                            taic: None,
                        }),
                        AAC_FRAME,
                        self.packets.iter().map(Vec::len),
                        u32::try_from(self.per_chunk()).map_err(too_fast)?,
                        chunks,
                    )?,
                    ..Minf::default()
                },
            },
            ..Trak::default()
        })
    }

    fn from_trak(trak: &Trak, mp4a: &Mp4a, packets: Vec<Vec<u8>>) -> Option<Self> {
        let decoder = &mp4a.esds.es_desc.dec_config;
        Some(Self {
            rate: trak.mdia.mdhd.timescale,
            channels: mp4a.audio.channel_count,
            frames: trak.mdia.mdhd.duration.checked_sub(u64::from(AAC_PRIMING))?,
            bitrate: decoder.avg_bitrate,
            packets,
            config: decoder.dec_specific.as_ref()?.raw.clone(),
        })
    }
}

/// The sample table of a track whose packets all last `delta` units.
fn stbl(
    codec: Codec,
    delta: u32,
    sizes: impl Iterator<Item = usize>,
    per_chunk: u32,
    chunks: Vec<u32>,
) -> Result<Stbl, MediaError> {
    let sizes: Result<Vec<u32>, _> = sizes.map(u32::try_from).collect();
    let sizes = sizes.map_err(|error| MediaError::graph("mp4", error))?;
    let count = u32::try_from(sizes.len()).map_err(|error| MediaError::graph("mp4", error))?;
    let entry = |first_chunk, samples_per_chunk| StscEntry {
        first_chunk,
        samples_per_chunk,
        sample_description_index: 1,
    };
    let (full, rest) = (count / per_chunk, count % per_chunk);
    let mut runs = Vec::new();
    if full > 0 {
        runs.push(entry(1, per_chunk));
    }
    if rest > 0 {
        runs.push(entry(full.saturating_add(1), rest));
    }
    Ok(Stbl {
        stsd: Stsd { codecs: vec![codec] },
        stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta: delta }] },
        stsc: Stsc { entries: runs },
        stsz: Stsz { samples: StszSamples::Different { sizes } },
        stco: Some(Stco { entries: chunks }),
        ..Stbl::default()
    })
}

fn mdhd(timescale: u32, duration: u64) -> Mdhd {
    Mdhd { creation_time: 0, modification_time: 0, timescale, duration, language: "und".to_owned() }
}

fn dinf() -> Dinf {
    Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } }
}

fn moved(offsets: &[u32], base: u32) -> Result<Vec<u32>, MediaError> {
    let too_long = || MediaError::graph("mp4", "the packets do not fit into 4 GiB");
    offsets.iter().map(|offset| offset.checked_add(base).ok_or_else(too_long)).collect()
}

fn encoded(atom: &(impl Atom + Encode)) -> Result<Vec<u8>, MediaError> {
    let mut bytes = Vec::new();
    atom.encode(&mut bytes).map_err(|error| MediaError::graph("mp4", error))?;
    Ok(bytes)
}

/// The packets of a track, `None` where its tables contradict each other or the file.
fn packets_of(trak: &Trak, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let stbl = &trak.mdia.minf.stbl;
    let StszSamples::Different { sizes } = &stbl.stsz.samples else { return None };
    let chunks = &stbl.stco.as_ref()?.entries;
    let mut sizes_left = sizes.iter();
    let mut packets = Vec::with_capacity(sizes.len().min(bytes.len()));
    let mut runs = stbl.stsc.entries.iter().peekable();
    let mut per_chunk = 0;
    for (offset, chunk) in chunks.iter().zip(1_u32..) {
        while let Some(run) = runs.next_if(|run| run.first_chunk <= chunk) {
            per_chunk = run.samples_per_chunk;
        }
        let mut at = *offset as usize;
        for size in sizes_left.by_ref().take(per_chunk as usize) {
            let end = at.checked_add(*size as usize)?;
            packets.push(bytes.get(at..end)?.to_vec());
            at = end;
        }
    }
    sizes_left.next().is_none().then_some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> Mp4 {
        let packet = |index: u8| PicturePacket {
            data: vec![index; usize::from(index) + 1],
            key: index.is_multiple_of(25),
        };
        Mp4 {
            picture: PictureTrack {
                width: 64,
                height: 48,
                frame_rate: 25,
                packets: (0..60).map(packet).collect(),
                avcc: Avcc::new(&[0x67, 100, 0, 30], &[0x68, 1]).unwrap(),
            },
            sound: Some(AacTrack {
                rate: 48_000,
                channels: 2,
                frames: 115_200,
                bitrate: 128_000,
                packets: (0..114).map(|index| vec![index; 7]).collect(),
                config: vec![0x11, 0x90],
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let clip = clip();
        assert_eq!(Mp4::read(&clip.to_bytes().unwrap()).unwrap(), clip);
    }

    #[test]
    fn a_clip_without_sound_keeps_its_length() {
        let silent = Mp4 { sound: None, ..clip() };
        let read = Mp4::read(&silent.to_bytes().unwrap()).unwrap();
        assert_eq!((read.sound, read.picture.packets.len()), (None, 60));
        assert_eq!(silent.duration_ms(), 2400);
    }

    #[test]
    fn every_cut_of_a_clip_is_rejected_and_none_panics() {
        let bytes = clip().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(matches!(Mp4::read(&bytes[..length]), Err(MediaError::Reject(_))), "{length}");
        }
    }

    #[test]
    fn every_flipped_byte_of_the_header_is_read_or_rejected() {
        let bytes = clip().to_bytes().unwrap();
        for at in 0..bytes.len().min(2000) {
            let mut broken = bytes.clone();
            broken[at] ^= 0xff;
            let _ = Mp4::read(&broken);
        }
    }
}
