use ebur128::{EbuR128, Mode};

use crate::MediaError;

/// Loudness that stands for silence: the absolute gate of EBU R 128.
pub const SILENCE_LUFS: f64 = -70.0;

/// True peak that no gain may pass, in dBTP: room for the overshoot of a lossy codec (EBU R 128, section 7).
const PEAK_DBTP: f64 = -1.0;

/// Integrated loudness and true peak of a sound (EBU R 128, ITU-R BS.1770).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness in LUFS, at least [`SILENCE_LUFS`].
    pub integrated_lufs: f64,
    /// Highest true peak of any channel in dBTP.
    pub true_peak_dbtp: f64,
}

impl Loudness {
    /// Measures interleaved samples.
    ///
    /// # Errors
    /// When the meter does not take the rate or the channels.
    pub fn of(samples: &[f32], channels: u32, rate: u32) -> Result<Self, MediaError> {
        let fault = |error| MediaError::graph("loudness", format!("{error:?}"));
        let mut meter = EbuR128::new(channels, rate, Mode::I | Mode::TRUE_PEAK).map_err(fault)?;
        meter.add_frames_f32(samples).map_err(fault)?;
        let integrated = meter.loudness_global().map_err(fault)?;
        let mut peak = 0.0_f64;
        for channel in 0..channels {
            peak = peak.max(meter.true_peak(channel).map_err(fault)?);
        }
        let integrated_lufs =
            if integrated.is_finite() { integrated.max(SILENCE_LUFS) } else { SILENCE_LUFS };
        Ok(Self { integrated_lufs, true_peak_dbtp: 20.0 * peak.max(1e-9).log10() })
    }

    /// The one linear gain that brings the sound to `target_lufs`, held back where a peak would clip.
    /// Silence is left alone.
    pub fn gain_to(&self, target_lufs: f64) -> f32 {
        if self.integrated_lufs <= SILENCE_LUFS {
            return 1.0;
        }
        let gain_db = (target_lufs - self.integrated_lufs).min(PEAK_DBTP - self.true_peak_dbtp);
        10.0_f64.powf(gain_db / 20.0) as f32
    }
}
