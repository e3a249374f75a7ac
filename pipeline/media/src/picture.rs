use counterpoint_messages::RejectReason;
use gstreamer_video::{
    VideoColorMatrix, VideoColorimetry, VideoConverter, VideoConverterConfig, VideoFormat, VideoFrame,
    VideoFrameRef, VideoInfo, VideoOrientationMethod, VideoResamplerMethod,
};

use crate::MediaError;
use crate::reader::Frame;

/// Colours of a picture made here, in limited range: those of its source, as turning one kind into the other
/// would cost as much sharpness as the coding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// ITU-R BT.601, which decoders assume of a small picture that does not say.
    Bt601,
    /// ITU-R BT.709.
    Bt709,
}

impl Colours {
    /// Those that come nearest to the colours of decoded frames.
    pub(crate) fn of(frame: &VideoInfo) -> Self {
        match frame.colorimetry().matrix() {
            VideoColorMatrix::Bt709 => Self::Bt709,
            _ => Self::Bt601,
        }
    }

    /// Name in GStreamer's formats.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bt601 => "bt601",
            Self::Bt709 => "bt709",
        }
    }

    /// As GStreamer describes them.
    pub(crate) fn colorimetry(self) -> Result<VideoColorimetry, MediaError> {
        self.name().parse().map_err(|error| MediaError::graph("picture", error))
    }
}

/// Parameters B and C of the cubic that scales (Mitchell and Netravali): those that ffmpeg scales with. A linear
/// one blurs what it enlarges: measured against the source's frames, it costs more than the coding does.
const CUBIC: (f64, f64) = (0.0, 0.6);

/// Brings decoded frames of any size, shape and format to one square form: scaled, keeping the aspect
/// ratio, until they cover it, cropped in the centre, turned upright.
///
/// Crop, scale and colour conversion are one pass over the pixels; turning works on the small square.
#[derive(Debug)]
pub(crate) struct Squarer {
    size: u32,
    format: VideoFormat,
    orientation: VideoOrientationMethod,
    /// Those of the first frame, which all squares have.
    colours: Option<Colours>,
    converter: Option<(VideoInfo, VideoConverter)>,
}

impl Squarer {
    /// Makes squares of `size` pixels in `format` (I420 or RGB).
    pub(crate) fn new(size: u32, format: VideoFormat, orientation: VideoOrientationMethod) -> Self {
        Self { size, format, orientation, colours: None, converter: None }
    }

    /// The square picture of `frame`.
    pub(crate) fn square(&mut self, frame: &Frame) -> Result<gstreamer::Buffer, MediaError> {
        self.colours.get_or_insert(Colours::of(&frame.info));
        let (converter, target) = self.converter_for(&frame.info)?;
        let unusable = |_| {
            MediaError::reject(
                RejectReason::CorruptMedia,
                "a decoded frame is not as large as its format says; re-encode the file",
            )
        };
        let source = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &frame.info).map_err(unusable)?;
        let buffer = gstreamer::Buffer::with_size(target.size())
            .map_err(|error| MediaError::graph("picture", error))?;
        let mut square = VideoFrame::from_buffer_writable(buffer, &target)
            .map_err(|_| MediaError::graph("picture", "a new frame cannot be written"))?;
        converter.frame_ref(&source, &mut square.as_mut_video_frame_ref());
        for plane in 0..target.n_planes() {
            let (side, bytes) = match (self.format, plane) {
                (VideoFormat::Rgb, _) => (self.size as usize, 3),
                (_, 0) => (self.size as usize, 1),
                _ => (self.size as usize / 2, 1),
            };
            let stride = usize::try_from(target.stride()[plane as usize]).unwrap_or(0);
            if let Ok(pixels) = square.plane_data_mut(plane) {
                turn(pixels, stride, side, bytes, self.orientation);
            }
        }
        Ok(square.into_buffer())
    }

    /// Writes the square picture of `frame`, which is RGB, as rows without gaps.
    pub(crate) fn write_rgb(&mut self, frame: &Frame, rgb: &mut [u8]) -> Result<(), MediaError> {
        let square = self.square(frame)?;
        let fault = |error: &dyn std::fmt::Display| MediaError::graph("picture", error);
        let info = VideoInfo::builder(VideoFormat::Rgb, self.size, self.size).build();
        let info = info.map_err(|error| fault(&error))?;
        let view = VideoFrameRef::from_buffer_ref_readable(&square, &info).map_err(|error| fault(&error))?;
        let pixels = view.plane_data(0).map_err(|error| fault(&error))?;
        let stride = usize::try_from(info.stride()[0]).unwrap_or(0).max(1);
        let row = (self.size as usize).saturating_mul(3).max(1);
        for (line, row) in pixels.chunks(stride).zip(rgb.chunks_mut(row)) {
            row.copy_from_slice(line.get(..row.len()).ok_or_else(|| fault(&"a frame is cut"))?);
        }
        Ok(())
    }

    fn converter_for(&mut self, source: &VideoInfo) -> Result<(&VideoConverter, VideoInfo), MediaError> {
        let fault = |error: &dyn std::fmt::Display| MediaError::graph("picture", error);
        let mut target = VideoInfo::builder(self.format, self.size, self.size)
            .fps(source.fps())
            .interlace_mode(source.interlace_mode());
        let colorimetry = self.colours.unwrap_or(Colours::of(source)).colorimetry()?;
        if self.format != VideoFormat::Rgb {
            target = target.colorimetry(&colorimetry);
        }
        let target = target.build().map_err(|error| fault(&error))?;
        let known = self.converter.take().filter(|(info, _)| info == source);
        let known = match known {
            Some(known) => known,
            None => {
                let crop = Crop::centred(source);
                let mut config = VideoConverterConfig::new();
                config.set_resampler_method(VideoResamplerMethod::Cubic);
                config.set("GstVideoResampler.cubic-b", CUBIC.0);
                config.set("GstVideoResampler.cubic-c", CUBIC.1);
                config.set_src_x(crop.x);
                config.set_src_y(crop.y);
                config.set_src_width(Some(crop.width));
                config.set_src_height(Some(crop.height));
                let converter =
                    VideoConverter::new(source, &target, Some(config)).map_err(|_| unconvertible(source))?;
                (source.clone(), converter)
            }
        };
        let (_, converter) = self.converter.insert(known);
        Ok((converter, target))
    }
}

/// The reject for a picture that no conversion takes.
fn unconvertible(source: &VideoInfo) -> MediaError {
    let (format, width, height) = (source.format(), source.width(), source.height());
    MediaError::reject(
        RejectReason::UnsupportedCodec,
        format!("a picture of {width}x{height} in {format} cannot be converted; re-encode the file"),
    )
}

/// The part of a stored frame that a square shows, in stored pixels.
#[derive(Debug, PartialEq, Eq)]
struct Crop {
    x: i32,
    y: i32,
    width: i32,
    height: i32,
}

impl Crop {
    /// The largest centred part that is displayed as a square; even, as chroma is stored by pairs.
    fn centred(info: &VideoInfo) -> Self {
        let (width, height) = (f64::from(info.width()), f64::from(info.height()));
        let aspect = f64::from(info.par().numer()) / f64::from(info.par().denom().max(1));
        let aspect = if aspect > 0.0 { aspect } else { 1.0 };
        let side = height.min(width * aspect);
        let even = |length: f64, whole: f64| (((length / 2.0).round() * 2.0).min(whole) as i32).max(1);
        let crop_width = even(side / aspect, width);
        let crop_height = even(side, height);
        let start = |whole: u32, part: i32| (i32::try_from(whole).unwrap_or(i32::MAX) - part).max(0) / 4 * 2;
        Self {
            x: start(info.width(), crop_width),
            y: start(info.height(), crop_height),
            width: crop_width,
            height: crop_height,
        }
    }
}

/// Turns a square plane of `side` pixels of `bytes` each in its place.
fn turn(plane: &mut [u8], stride: usize, side: usize, bytes: usize, orientation: VideoOrientationMethod) {
    use VideoOrientationMethod::{_90l, _90r, Horiz, UlLr, UrLl, Vert};
    let end = side.saturating_sub(1);
    // For each pixel of the turned plane, the pixel it comes from: (row, column).
    let origin: fn(usize, usize, usize) -> (usize, usize) = match orientation {
        _90r => |row, column, end| (end - column, row),
        _90l => |row, column, end| (column, end - row),
        VideoOrientationMethod::_180 => |row, column, end| (end - row, end - column),
        Horiz => |row, column, end| (row, end - column),
        Vert => |row, column, end| (end - row, column),
        UlLr => |row, column, _| (column, row),
        UrLl => |row, column, end| (end - column, end - row),
        _ => return,
    };
    let stored = plane.to_vec();
    for row in 0..side {
        for column in 0..side {
            let (from_row, from_column) = origin(row, column, end);
            let from = from_row * stride + from_column * bytes;
            let to = row * stride + column * bytes;
            plane[to..to + bytes].copy_from_slice(&stored[from..from + bytes]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crop(width: u32, height: u32, par: (i32, i32)) -> Crop {
        gstreamer::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::I420, width, height)
            .par(gstreamer::Fraction::new(par.0, par.1))
            .build()
            .unwrap();
        Crop::centred(&info)
    }

    #[test]
    fn a_wide_picture_loses_its_sides() {
        assert_eq!(crop(320, 240, (1, 1)), Crop { x: 40, y: 0, width: 240, height: 240 });
    }

    #[test]
    fn a_tall_picture_loses_top_and_bottom() {
        assert_eq!(crop(100, 300, (1, 1)), Crop { x: 0, y: 100, width: 100, height: 100 });
    }

    #[test]
    fn wide_pixels_count_as_displayed() {
        assert_eq!(crop(100, 200, (2, 1)), Crop { x: 0, y: 0, width: 100, height: 200 });
    }

    #[test]
    fn a_single_pixel_is_a_picture() {
        assert_eq!(crop(1, 1, (1, 1)), Crop { x: 0, y: 0, width: 1, height: 1 });
    }

    #[test]
    fn turning_right_moves_the_top_left_to_the_top_right() {
        let mut plane = vec![1, 2, 0, 3, 4, 0];
        turn(&mut plane, 3, 2, 1, VideoOrientationMethod::_90r);
        assert_eq!(plane, [3, 1, 0, 4, 2, 0]);
        turn(&mut plane, 3, 2, 1, VideoOrientationMethod::_90l);
        assert_eq!(plane, [1, 2, 0, 3, 4, 0]);
    }
}
