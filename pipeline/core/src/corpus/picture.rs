//! Draws frames: a lit shape with a soft shadow drifts and turns over a slowly turning gradient.

use std::f32::consts::TAU;

use rand::Rng;

use super::{
    noise::Noise,
    script::{Beat, ClipScript, Stream},
    shapes::Shape,
};

/// A colour, 0 to 1 a channel.
type Rgb = [f32; 3];

/// How far a hue strays from its class, on a colour wheel of length 1.
const HUE_JITTER: f32 = 0.02;

/// Frame `index` as RGB bytes.
pub(super) fn frame(script: &ClipScript, index: u32) -> Vec<u8> {
    let time = index as f32 / script.frame_rate().max(1) as f32;
    let moments = script.moments();
    let scene = Scene::new(script, moments.len());
    let size = usize::from(script.format.size);
    let mut canvas = scene.background(time, size);
    scene.figure(time, &Beat::at(time, &moments)).draw(&mut canvas, size);
    let amplitude = 255.0 * script.format.picture_noise;
    let mut noise = Noise::new(script.seed, u64::from(index));
    for pixel in &mut canvas {
        let noise = noise.next_pixel();
        *pixel = std::array::from_fn(|channel| pixel[channel] + amplitude * noise[channel]);
    }
    // A float cast saturates, so what is darker than black or lighter than white stays that.
    canvas.into_iter().flatten().map(|level| level as u8).collect()
}

/// All that is random in a clip's picture. Lengths are shares of the picture's width.
struct Scene {
    shape: Shape,
    colour: Rgb,
    radius: f32,
    angle: f32,
    /// Turns a second.
    spin: f32,
    /// Where the shape is before the first moment, and after each of them.
    places: Vec<(f32, f32)>,
    /// Radius and phase of the drift around that place, and rounds a second.
    drift: (f32, f32, f32),
    backdrop: [Rgb; 2],
    backdrop_angle: f32,
    backdrop_spin: f32,
}

impl Scene {
    fn new(script: &ClipScript, moments: usize) -> Self {
        let mut rng = script.rng(Stream::Picture);
        let hue = script.picture.hue() + rng.random_range(-HUE_JITTER..HUE_JITTER);
        let backdrop_hue: f32 = rng.random();
        let mut places = vec![(rng.random_range(0.3..0.7), rng.random_range(0.3..0.7))];
        for number in 0..moments {
            let (x, y): (f32, f32) = places[number];
            let (angle, reach) = (rng.random_range(0.0..TAU), rng.random_range(0.16..0.26));
            let (dx, dy) = (reach * angle.cos(), reach * angle.sin());
            // A jump that would leave the picture goes the other way.
            let jump =
                |from: f32, by: f32| if (0.27..0.73).contains(&(from + by)) { from + by } else { from - by };
            places.push((jump(x, dx).clamp(0.25, 0.75), jump(y, dy).clamp(0.25, 0.75)));
        }
        Self {
            shape: script.picture.shape(),
            colour: hsv(hue, rng.random_range(0.68..0.85), rng.random_range(0.85..0.97)),
            radius: rng.random_range(0.24..0.34),
            angle: rng.random_range(-0.3..0.3),
            spin: rng.random_range(0.02..0.08) * if rng.random() { 1.0 } else { -1.0 },
            places,
            drift: (rng.random_range(0.03..0.06), rng.random_range(0.0..TAU), rng.random_range(0.15..0.35)),
            backdrop: [
                hsv(backdrop_hue, 0.25, 0.14),
                hsv(backdrop_hue + rng.random_range(0.05..0.2), 0.2, 0.34),
            ],
            backdrop_angle: rng.random_range(0.0..TAU),
            backdrop_spin: rng.random_range(0.01..0.03),
        }
    }

    /// The gradient, 0 to 255 a channel; lighter towards the middle.
    fn background(&self, time: f32, size: usize) -> Vec<Rgb> {
        let (sin, cos) = (self.backdrop_angle + TAU * self.backdrop_spin * time).sin_cos();
        let [dark, bright] = self.backdrop;
        let range: Rgb = std::array::from_fn(|channel| bright[channel] - dark[channel]);
        let at = |place: usize| (place as f32 + 0.5) / size.max(1) as f32 - 0.5;
        let columns: Vec<f32> = (0..size).map(at).collect();
        let mut canvas = Vec::with_capacity(size * size);
        for y in columns.iter().copied() {
            canvas.extend(columns.iter().map(|x| {
                let blend = 0.5 + 0.7 * (x * cos + y * sin);
                let light = 255.0 * (1.1 - 0.7 * (x * x + y * y));
                std::array::from_fn::<f32, 3, _>(|channel| light * (dark[channel] + range[channel] * blend))
            }));
        }
        canvas
    }

    /// The shape as it is at a time: it jumps, turns, swells and flashes at each moment.
    fn figure(&self, time: f32, beat: &Beat) -> Figure {
        let (x, y) = self.places.get(beat.passed).copied().unwrap_or((0.5, 0.5));
        let (reach, phase, rounds) = self.drift;
        let way = phase + TAU * rounds * time;
        Figure {
            shape: self.shape,
            colour: mix(self.colour, [1.0; 3], 0.75 * beat.fading(0.15)),
            x: x + reach * way.cos(),
            y: y + reach * (1.3 * way).sin(),
            radius: self.radius * (1.0 + 0.45 * beat.fading(0.3)),
            angle: self.angle + TAU * self.spin * time + 0.5 * beat.passed as f32,
        }
    }
}

/// A shape in its place.
struct Figure {
    shape: Shape,
    colour: Rgb,
    x: f32,
    y: f32,
    radius: f32,
    angle: f32,
}

impl Figure {
    fn draw(&self, canvas: &mut [Rgb], size: usize) {
        let scale = size as f32;
        let radius = self.radius * scale;
        let (sin, cos) = self.angle.sin_cos();
        // The shadow falls below and reaches further than the shape.
        let (left, right) = span(self.x * scale, 1.35 * radius, size);
        let (top, bottom) = span(self.y * scale, 1.45 * radius, size);
        for row in top..bottom {
            let y = (row as f32 + 0.5 - self.y * scale) / radius;
            for column in left..right {
                let x = (column as f32 + 0.5 - self.x * scale) / radius;
                let distance = |x: f32, y: f32| self.shape.distance(x * cos + y * sin, y * cos - x * sin);
                let edge = distance(x, y);
                let coverage = (0.5 - edge * radius).clamp(0.0, 1.0);
                let shadow = 0.4 * (1.0 - 3.0 * distance(x - 0.05, y - 0.12)).clamp(0.0, 1.0);
                let light = 0.9 - 0.15 * (x + y) - 0.25 * (1.0 + 9.0 * edge).clamp(0.0, 1.0);
                for (level, colour) in canvas[row * size + column].iter_mut().zip(self.colour) {
                    let shaded = *level * (1.0 - shadow);
                    *level = shaded + (255.0 * colour * light.clamp(0.3, 1.05) - shaded) * coverage;
                }
            }
        }
    }
}

/// Pixels from `centre - reach` to `centre + reach`, cut to the picture.
fn span(centre: f32, reach: f32, size: usize) -> (usize, usize) {
    // A float cast saturates, so a negative start becomes the first pixel.
    (((centre - reach).floor() as usize).min(size), ((centre + reach).ceil() as usize).min(size))
}

fn mix(from: Rgb, to: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// Hue, saturation and value to RGB; a hue outside 0 to 1 goes round the wheel.
fn hsv(hue: f32, saturation: f32, value: f32) -> Rgb {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|shift| {
        let distance = ((hue + shift).rem_euclid(1.0) * 6.0 - 3.0).abs() - 1.0;
        value * (1.0 - saturation * (1.0 - distance.clamp(0.0, 1.0)))
    })
}
