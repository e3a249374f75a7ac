//! Makes sound: a timbre over white noise, with an accent and a step in pitch at each moment.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    noise::Noise,
    script::{Beat, ClipScript, Stream},
};

/// What a class sounds like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timbre {
    /// A long tone that beats slowly.
    Tone,
    /// A tone switched on and off.
    PulsedTone,
    /// Rising whistles.
    Chirps,
    /// Bursts of white noise, too many to count.
    NoiseBursts,
    /// Short clicks at irregular times.
    Clicks,
    /// A low square wave.
    SquareWave,
    /// A fifth, sung with vibrato.
    TwoTones,
    /// Noise that is louder the lower it is.
    BrownNoise,
}

/// Steps by which the pitch changes at a moment, up or down.
const PITCH_STEP: std::ops::Range<f32> = 1.25..1.5;

/// Samples over which pitch and accent stay the same: a millisecond at the default rate.
const BLOCK: usize = 16;

/// The sound of a script, mono.
pub(super) fn pcm(script: &ClipScript) -> Vec<f32> {
    let moments = script.moments();
    let mut rng = script.rng(Stream::Sound);
    let steps = pitch_steps(moments.len(), &mut rng);
    let mut voice = Voice::new(script.sound.timbre(), script.sample_rate(), &mut rng);
    let mut hiss = Noise::new(script.seed, 1);
    let mut samples = vec![0.0; script.sample_count()];
    for (number, block) in samples.chunks_mut(BLOCK).enumerate() {
        let time = (number * BLOCK) as f32 / script.sample_rate().max(1) as f32;
        let beat = Beat::at(time, &moments);
        let pitch = steps.get(beat.passed).copied().unwrap_or(1.0);
        let loudness = 0.3 * (1.0 + 1.3 * beat.fading(0.2));
        for sample in block {
            let noise = script.format.sound_noise * hiss.next();
            *sample = (loudness * voice.next(pitch) + noise).clamp(-1.0, 1.0);
        }
    }
    samples
}

/// Pitch before the first moment and after each, as factors of the first; up and down in turn, so that it
/// stays within an octave.
fn pitch_steps(moments: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let up_first: bool = rng.random();
    let mut steps = vec![1.0];
    for number in 0..moments {
        let step = rng.random_range(PITCH_STEP);
        let up = (number % 2 == 0) == up_first;
        steps.push(steps[number] * if up { step } else { 1.0 / step });
    }
    steps
}

/// An instrument: its next sample depends on what it played so far.
struct Voice {
    timbre: Timbre,
    /// Seconds between samples.
    step: f32,
    /// Frequency in Hz.
    pitch: f32,
    /// Repetitions a second.
    rate: f32,
    /// Where the wave is, in rounds.
    phase: f32,
    /// Where the repetition is, in rounds.
    cycle: f32,
    /// Loudness of what decays.
    level: f32,
    /// The last value of what is filtered.
    filtered: f32,
    noise: Noise,
}

impl Voice {
    fn new(timbre: Timbre, sample_rate: u32, rng: &mut ChaCha8Rng) -> Self {
        let (pitch, rate) = match timbre {
            Timbre::Tone => (220.0..440.0, 0.8..1.6),
            Timbre::PulsedTone => (700.0..1100.0, 2.5..4.0),
            Timbre::Chirps => (1600.0..2400.0, 4.0..6.0),
            Timbre::NoiseBursts => (900.0..1600.0, 18.0..28.0),
            Timbre::Clicks => (1500.0..2500.0, 6.0..9.0),
            Timbre::SquareWave => (70.0..130.0, 5.0..9.0),
            Timbre::TwoTones => (260.0..420.0, 4.5..6.0),
            Timbre::BrownNoise => (150.0..300.0, 0.2..0.5),
        };
        Self {
            timbre,
            step: 1.0 / sample_rate.max(1) as f32,
            pitch: rng.random_range(pitch),
            rate: rng.random_range(rate),
            phase: rng.random(),
            cycle: rng.random(),
            level: 0.0,
            filtered: 0.0,
            noise: Noise::new(rng.random(), 0),
        }
    }

    /// The next sample at `pitch` times the voice's own, about -1 to 1.
    fn next(&mut self, pitch: f32) -> f32 {
        let frequency = self.pitch * pitch;
        self.cycle = (self.cycle + self.rate * self.step).fract();
        match self.timbre {
            Timbre::Tone => {
                let swell = 0.85 + 0.15 * (TAU * self.cycle).sin();
                swell * (self.sine(frequency, 1.0) + 0.25 * (TAU * 2.0 * self.phase).sin())
            }
            Timbre::PulsedTone => {
                let edge = 40.0 * self.cycle.min(0.45 - self.cycle);
                edge.clamp(0.0, 1.0) * self.sine(frequency, 1.0)
            }
            Timbre::Chirps => {
                let whistle = (1.0 - self.cycle / 0.7).max(0.0);
                (TAU / 2.0 * whistle).sin() * self.sine(frequency, 1.0 + self.cycle)
            }
            Timbre::NoiseBursts => {
                self.strike(self.rate * pitch, 0.02);
                1.6 * self.level * self.noise.next()
            }
            Timbre::Clicks => {
                self.strike(self.rate, 0.004);
                2.0 * self.level * self.sine(frequency, 1.0)
            }
            Timbre::SquareWave => {
                let throb = 0.9 + 0.1 * (TAU * self.cycle).sin();
                0.7 * throb * (8.0 * self.sine(frequency, 1.0)).clamp(-1.0, 1.0)
            }
            Timbre::TwoTones => {
                let vibrato = 1.0 + 0.006 * (TAU * self.cycle).sin();
                let first = self.sine(frequency, vibrato);
                0.6 * (first + (TAU * 1.5 * self.phase).sin())
            }
            Timbre::BrownNoise => {
                let share = (TAU * frequency * self.step).min(1.0);
                self.filtered += share * (self.noise.next() - self.filtered);
                4.0 * self.filtered
            }
        }
    }

    fn sine(&mut self, frequency: f32, bend: f32) -> f32 {
        // Two rounds are kept, so that the fifth above (one and a half rounds) never breaks.
        self.phase = (self.phase + frequency * bend * self.step) % 2.0;
        (TAU * self.phase).sin()
    }

    /// Lets the level decay, and now and then sets it back to one: `rate` times a second on average.
    fn strike(&mut self, rate: f32, decay_seconds: f32) {
        self.level *= 1.0 - (self.step / decay_seconds).min(1.0);
        if self.noise.next() < 2.0 * rate * self.step - 1.0 {
            self.level = 1.0;
        }
    }
}
