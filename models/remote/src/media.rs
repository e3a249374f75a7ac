//! A clip as servers take it.

use std::{fs::File, io::Read, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use counterpoint_models::{AskError, Sound};

/// The file in base64.
///
/// # Errors
/// [`AskError::Unavailable`] if it cannot be read, which is no fault of the clip; [`AskError::Refused`] if it
/// is larger than a request may be.
pub(crate) fn file(model: &str, path: &Path, max_bytes: usize) -> Result<String, AskError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        file.take(u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)
    });
    read.map_err(|error| AskError::Unavailable {
        model: model.to_owned(),
        problem: format!("{} cannot be read: {error}", path.display()),
        retry_after: None,
    })?;
    if bytes.len() > max_bytes {
        return Err(too_large(model, &path.display().to_string(), max_bytes));
    }
    Ok(STANDARD.encode(bytes))
}

pub(crate) fn too_large(model: &str, what: &str, max_bytes: usize) -> AskError {
    AskError::Refused {
        model: model.to_owned(),
        problem: format!("{what} is larger than the {max_bytes} bytes of remote.max_request_bytes"),
    }
}

/// A WAV file of 16-bit samples, in base64.
pub(crate) fn wav(sound: &Sound) -> String {
    STANDARD.encode(wav_bytes(sound))
}

fn wav_bytes(sound: &Sound) -> Vec<u8> {
    const BYTES_PER_SAMPLE: u32 = 2;
    let samples = u32::try_from(sound.pcm().len()).unwrap_or(u32::MAX);
    // A file of more than 4 GiB cannot say so; no request is as large.
    let data = samples.saturating_mul(BYTES_PER_SAMPLE);
    let mut wav = Vec::with_capacity(sound.pcm().len().saturating_mul(2).saturating_add(44));
    wav.extend(b"RIFF");
    wav.extend(data.saturating_add(36).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // Integer PCM, one channel.
    wav.extend(1_u16.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(sound.rate().to_le_bytes());
    wav.extend(sound.rate().saturating_mul(BYTES_PER_SAMPLE).to_le_bytes());
    wav.extend(2_u16.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(data.to_le_bytes());
    for sample in sound.pcm() {
        #[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest integer in range")]
        let sample = (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16;
        wav.extend(sample.to_le_bytes());
    }
    wav
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_has_a_right_header_and_clamped_samples() {
        let sound = Sound::new(vec![0.0, 0.5, -1.0, 7.0], 16_000).unwrap();
        let wav = wav_bytes(&sound);
        let number = |at: usize| u32::from_le_bytes(wav[at..at + 4].try_into().unwrap());
        assert_eq!((&wav[..4], &wav[8..16], &wav[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
        assert_eq!(number(4) as usize, wav.len() - 8);
        assert_eq!((number(24), number(28), number(40) as usize), (16_000, 32_000, wav.len() - 44));
        assert_eq!(wav[20..24], [1, 0, 1, 0]);
        assert_eq!(wav[32..36], [2, 0, 16, 0]);
        let samples: Vec<i16> =
            wav[44..].chunks(2).map(|pair| i16::from_le_bytes(pair.try_into().unwrap())).collect();
        assert_eq!(samples, [0, 16_384, -32_767, 32_767]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_our_fault_and_one_too_large_the_clips() {
        let missing = file("m", Path::new("no/such.mp4"), 10).unwrap_err();
        assert!(matches!(missing, AskError::Unavailable { .. }), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        std::fs::write(&path, [7; 11]).unwrap();
        assert!(matches!(file("m", &path, 10), Err(AskError::Refused { .. })));
        assert_eq!(file("m", &path, 11).unwrap(), STANDARD.encode([7; 11]));
    }
}
