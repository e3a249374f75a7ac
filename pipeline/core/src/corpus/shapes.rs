//! Shapes as signed distances: negative inside, in units of the shape's radius; y grows downwards.

/// A shape that fits a circle of radius 1 around the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The lower part of a disc.
    Bowl,
    /// A ring with a hand.
    Dial,
    /// Two spread wings.
    Wings,
    /// Five points.
    Star,
    /// A square with round corners.
    Key,
    /// A toothed wheel with a hole.
    Cog,
    /// A moon.
    Crescent,
    /// A drop of water.
    Drop,
}

impl Shape {
    /// Distance of a point from the edge, negative inside.
    pub(super) fn distance(self, x: f32, y: f32) -> f32 {
        let radius = x.hypot(y);
        match self {
            Self::Bowl => (radius - 1.0).max(-0.25 - y),
            Self::Dial => ((radius - 0.82).abs() - 0.18).min(rounded_box(x, y + 0.3, 0.1, 0.42, 0.06)),
            Self::Wings => {
                let left = segment((x, y), (-0.75, 0.3), (0.0, -0.35));
                let right = segment((x, y), (0.75, 0.3), (0.0, -0.35));
                left.min(right) - 0.25
            }
            Self::Star => star(x, y),
            Self::Key => rounded_box(x, y, 0.72, 0.72, 0.22),
            Self::Cog => {
                let tooth = (2.5 * (9.0 * y.atan2(x)).sin()).clamp(-1.0, 1.0);
                (radius - 0.86 - 0.12 * tooth).max(0.32 - radius)
            }
            Self::Crescent => (radius - 1.0).max(0.85 - (x - 0.5).hypot(y + 0.1)),
            Self::Drop => drop(x, y),
        }
    }
}

fn segment((x, y): (f32, f32), (ax, ay): (f32, f32), (bx, by): (f32, f32)) -> f32 {
    let (px, py, dx, dy) = (x - ax, y - ay, bx - ax, by - ay);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    (px - dx * along).hypot(py - dy * along)
}

fn rounded_box(x: f32, y: f32, half_width: f32, half_height: f32, corner: f32) -> f32 {
    let (dx, dy) = (x.abs() - half_width + corner, y.abs() - half_height + corner);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - corner
}

/// A five-pointed star: the plane is folded onto one edge between a point and the notch beside it.
fn star(x: f32, y: f32) -> f32 {
    const POINT_ANGLE: f32 = std::f32::consts::TAU / 5.0;
    let angle = x.atan2(-y).rem_euclid(POINT_ANGLE);
    let folded = angle.min(POINT_ANGLE - angle);
    let (px, py) = (x.hypot(y) * folded.sin(), x.hypot(y) * folded.cos());
    let (notch_x, notch_y) = (0.48 * (POINT_ANGLE / 2.0).sin(), 0.48 * (POINT_ANGLE / 2.0).cos());
    let side = (py - 1.0) * notch_x - px * (notch_y - 1.0);
    segment((px, py), (0.0, 1.0), (notch_x, notch_y)).copysign(side)
}

/// A disc with a point above, joined by their common tangents.
fn drop(x: f32, y: f32) -> f32 {
    const RADIUS: f32 = 0.62;
    const TIP: f32 = 0.04;
    const HEIGHT: f32 = 1.25;
    let (px, py) = (x.abs(), 0.35 - y);
    let slope = (RADIUS - TIP) / HEIGHT;
    let run = (1.0 - slope * slope).sqrt();
    let along = run * py - slope * px;
    if along < 0.0 {
        px.hypot(py) - RADIUS
    } else if along > run * HEIGHT {
        px.hypot(py - HEIGHT) - TIP
    } else {
        run * px + slope * py - RADIUS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [Shape; 8] = [
        Shape::Bowl,
        Shape::Dial,
        Shape::Wings,
        Shape::Star,
        Shape::Key,
        Shape::Cog,
        Shape::Crescent,
        Shape::Drop,
    ];

    /// Points of a grid over the square around the unit circle.
    fn grid() -> impl Iterator<Item = (f32, f32)> {
        (-30..=30).flat_map(|row| (-30..=30).map(move |column| (column as f32 / 25.0, row as f32 / 25.0)))
    }

    #[test]
    fn every_shape_fills_a_good_part_of_its_circle_and_hardly_leaves_it() {
        for shape in SHAPES {
            let inside: Vec<(f32, f32)> = grid().filter(|(x, y)| shape.distance(*x, *y) < 0.0).collect();
            let share = inside.len() as f32 / (25.0 * 25.0 * std::f32::consts::PI);
            assert!((0.2..0.95).contains(&share), "{shape:?} fills {share}");
            assert!(inside.iter().all(|(x, y)| x.hypot(*y) <= 1.05), "{shape:?} leaves its circle");
        }
    }

    #[test]
    fn distances_never_change_faster_than_a_soft_edge_can_bear() {
        for shape in SHAPES {
            for (x, y) in grid() {
                let change = (shape.distance(x + 0.001, y) - shape.distance(x, y)).abs() / 0.001;
                let near_edge = shape.distance(x, y).abs() < 0.05;
                assert!(!near_edge || change < 4.0, "{shape:?} changes by {change} at {x} {y}");
            }
        }
    }
}
