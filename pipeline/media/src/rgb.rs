//! RGB of decoded frames that already have the size asked for.
//!
//! This is what sampling the normal form comes to. GStreamer's converter does it too, by way of four bytes a pixel,
//! in several times the time and with values that are two of 255 off in the mean.

use gstreamer_video::{
    VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameExt as _, VideoFrameRef, VideoInfo,
    VideoInterlaceMode, VideoOrientationMethod,
};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_rgb};

use crate::MediaError;
use crate::reader::Frame;

/// Writes `frame` as rows of RGB without gaps; false, and nothing written, where it first has to be scaled, turned,
/// or converted from anything but plain 4:2:0 in the colours of [`crate::Colours`]. Each value is the standard's,
/// within rounding; luma below black counts as black.
///
/// # Errors
/// When the frame is not as its format says.
pub(crate) fn write(
    frame: &Frame,
    size: u32,
    orientation: VideoOrientationMethod,
    rgb: &mut [u8],
) -> Result<bool, MediaError> {
    let Some(matrix) = matrix_of(&frame.info, size, orientation) else { return Ok(false) };
    let fault = |error: &dyn std::fmt::Display| MediaError::graph("rgb", error);
    let view = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &frame.info);
    // A frame that is not as large as its format says is turned away where the others are converted.
    let Ok(view) = view else { return Ok(false) };
    let plane = |index: u32| -> Result<(&[u8], u32), MediaError> {
        let stride = view.plane_stride().get(index as usize).and_then(|stride| u32::try_from(*stride).ok());
        let bytes = view.plane_data(index).map_err(|error| fault(&error))?;
        Ok((bytes, stride.ok_or_else(|| fault(&"a plane without a stride"))?))
    };
    let ((y_plane, y_stride), (u_plane, u_stride), (v_plane, v_stride)) = (plane(0)?, plane(1)?, plane(2)?);
    let picture =
        YuvPlanarImage { y_plane, y_stride, u_plane, u_stride, v_plane, v_stride, width: size, height: size };
    yuv420_to_rgb(&picture, rgb, size.saturating_mul(3), YuvRange::Limited, matrix)
        .map_err(|error| fault(&error))?;
    Ok(true)
}

/// How the colours of such a frame are turned into RGB; `None` of any other.
fn matrix_of(info: &VideoInfo, size: u32, orientation: VideoOrientationMethod) -> Option<YuvStandardMatrix> {
    let colours = info.colorimetry();
    let fits = info.format() == VideoFormat::I420
        && (info.width(), info.height()) == (size, size)
        && info.par().numer() == info.par().denom()
        && info.interlace_mode() == VideoInterlaceMode::Progressive
        && orientation == VideoOrientationMethod::Identity
        && colours.range() == VideoColorRange::Range16_235;
    match colours.matrix() {
        VideoColorMatrix::Bt709 if fits => Some(YuvStandardMatrix::Bt709),
        VideoColorMatrix::Bt601 if fits => Some(YuvStandardMatrix::Bt601),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use gstreamer::Buffer;

    use super::*;
    use crate::Colours;

    const SIDE: u32 = 40;

    fn frame(colours: Colours, change: impl Fn(&mut Vec<u8>)) -> Frame {
        gstreamer::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::I420, SIDE, SIDE)
            .colorimetry(&colours.colorimetry().unwrap())
            .build()
            .unwrap();
        let mut bytes: Vec<u8> = (0..info.size()).map(|at| (at * 37 % 251) as u8).collect();
        change(&mut bytes);
        Frame { buffer: Buffer::from_slice(bytes), info, time: 0, duration: None }
    }

    #[test]
    fn each_value_is_within_one_of_the_standard() {
        // Weights of red and blue in luma.
        for (colours, (red, blue)) in [(Colours::Bt601, (0.299, 0.114)), (Colours::Bt709, (0.2126, 0.0722))] {
            let luma = (SIDE * SIDE) as usize;
            let frame =
                frame(colours, |bytes| bytes[..luma].iter_mut().for_each(|byte| *byte = 16 + *byte % 220));
            let mut rgb = vec![0; (SIDE * SIDE * 3) as usize];
            assert!(write(&frame, SIDE, VideoOrientationMethod::Identity, &mut rgb).unwrap());
            let bytes = frame.buffer.map_readable().unwrap();
            let side = SIDE as usize;
            for at in 0..side * side {
                let (row, column) = (at / side, at % side);
                let chroma = |plane: usize| {
                    let at = side * side + plane * side * side / 4 + row / 2 * (side / 2) + column / 2;
                    (f64::from(bytes[at]) - 128.0) / 224.0
                };
                let (luma, cb, cr) = ((f64::from(bytes[at]) - 16.0) / 219.0, chroma(0), chroma(1));
                let (r, b) = (luma + 2.0 * (1.0 - red) * cr, luma + 2.0 * (1.0 - blue) * cb);
                let g = (luma - red * r - blue * b) / (1.0 - red - blue);
                for (value, wanted) in rgb[at * 3..].iter().zip([r, g, b]) {
                    let wanted = (wanted * 255.0).clamp(0.0, 255.0);
                    assert!((f64::from(*value) - wanted).abs() <= 1.5, "{colours:?} {at}: {value}, {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_has_to_be_scaled_turned_or_is_cut_is_left_to_the_converter() {
        let mut rgb = vec![0; 100 * 100 * 3];
        let whole = frame(Colours::Bt601, |_| {});
        let cut = frame(Colours::Bt601, |bytes| bytes.truncate(900));
        assert!(!write(&whole, SIDE + 2, VideoOrientationMethod::Identity, &mut rgb).unwrap());
        assert!(!write(&whole, SIDE, VideoOrientationMethod::_90r, &mut rgb).unwrap());
        assert!(!write(&cut, SIDE, VideoOrientationMethod::Identity, &mut rgb).unwrap());
    }
}
