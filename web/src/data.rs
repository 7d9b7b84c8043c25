//! The data sets of the page.

use std::f64::consts::PI;

use wgrad::Result;
use wgrad::data::Dataset;

use crate::spec::Spec;

/// What the targets are.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Class numbers, of classes with these names.
    Classes(Vec<String>),
    /// Numbers.
    Numbers,
}

/// Samples as they are, before anything is made of them.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Inputs [n, i] and class numbers or values [n, 1].
    pub data: Dataset,
    /// What the targets are.
    pub kind: Kind,
    /// The names of the inputs' columns.
    pub names: Vec<String>,
    /// The name of what is predicted.
    pub target: String,
    /// Whether columns are of scales of their own, and are standardised.
    pub scaled: bool,
}

/// Random numbers that are the same on every machine (splitmix64).
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From -1 to 1.
    fn signed(&mut self) -> f64 {
        2.0 * self.uniform() - 1.0
    }

    /// Normally distributed. By `libm`, whose bits are the same everywhere, as those of systems' libraries are not.
    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(2.0 * PI * self.uniform())
    }
}

/// A point, and its class or value.
type Point = ([f64; 2], f64);

/// What draws the i-th of n points; numbers from -1 to 1.
type Draw = fn(&mut Random, usize, usize) -> Point;

/// The sets that are drawn at random: name, how many classes (0: numbers), and how.
const SETS: [(&str, usize, Draw); 7] = [
    ("disk", 2, |random, _, _| {
        let at = [random.signed(), random.signed()];
        // Half of the square.
        (at, f64::from(at[0] * at[0] + at[1] * at[1] < 2.0 / PI))
    }),
    ("moons", 2, |random, i, _| {
        let angle = PI * random.uniform();
        let (x, y) = (0.6 * libm::cos(angle), 0.6 * libm::sin(angle));
        if i % 2 == 0 { ([x - 0.3, y - 0.2], 0.0) } else { ([0.3 - x, 0.2 - y], 1.0) }
    }),
    ("spirals", 2, |random, i, _| {
        let way = libm::sqrt(random.uniform());
        let angle = 3.3 * PI * way + if i % 2 == 0 { 0.0 } else { PI };
        ([0.9 * way * libm::cos(angle), 0.9 * way * libm::sin(angle)], (i % 2) as f64)
    }),
    ("xor", 2, |random, _, _| {
        let at = [random.signed(), random.signed()];
        (at, f64::from(at[0] * at[1] < 0.0))
    }),
    ("islands", 3, |random, i, _| {
        let places = [[-0.55, -0.5], [0.55, 0.5], [0.5, -0.55], [-0.5, 0.55], [0.0, 0.0]];
        let [x, y] = places[i % 5];
        ([x + 0.16 * random.normal(), y + 0.16 * random.normal()], [0.0, 0.0, 1.0, 1.0, 2.0][i % 5])
    }),
    ("hills", 0, |random, _, _| {
        let at = [random.signed(), random.signed()];
        let hill = |x: f64, y: f64| libm::exp(-5.0 * ((at[0] - x) * (at[0] - x) + (at[1] - y) * (at[1] - y)));
        (at, hill(0.5, 0.4) - hill(-0.5, -0.3) + 0.6 * hill(-0.45, 0.6))
    }),
    ("saddle", 0, |random, _, _| {
        let at = [random.signed(), random.signed()];
        (at, at[0] * at[0] - at[1] * at[1])
    }),
];

/// The samples of a run, but for `csv`, which comes from a file.
///
/// # Errors
/// A name that no set has; points drawn by hand that are too few or not of two classes.
pub fn samples(spec: &Spec) -> Result<Samples, String> {
    if spec.data == "points" {
        return points(&spec.points);
    }
    let Some((_, classes, draw)) = SETS.iter().find(|(name, ..)| *name == spec.data) else {
        return Err(format!("There is no data set '{}'.", spec.data));
    };
    let mut random = Random(spec.seed);
    let noise = spec.noise / 100.0;
    let points = (0..spec.samples).map(|i| {
        let (at, target) = draw(&mut random, i, spec.samples);
        let off = [0.5 * noise * random.normal(), 0.5 * noise * random.normal()];
        // Noise moves a point behind its back, or falsifies a value.
        if *classes > 0 { ([at[0] + off[0], at[1] + off[1]], target) } else { (at, target + off[0]) }
    });
    of_points(&points.collect::<Vec<_>>(), *classes)
}

/// Points drawn by hand: five letters each, two for x, two for y (0 to 1295 to base 36, from left to right and from bottom to top),
/// and the class.
fn points(text: &str) -> Result<Samples, String> {
    let fault = || "The points in this link can't be read; draw them again.".to_string();
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(36)).collect();
    let digits = digits.filter(|digits| digits.len() % 5 == 0).ok_or_else(fault)?;
    let place = |high: u32, low: u32| f64::from(36 * high + low) / 1295.0 * 2.0 - 1.0;
    let points: Vec<Point> =
        digits.chunks_exact(5).map(|p| ([place(p[0], p[1]), place(p[2], p[3])], f64::from(p[4]))).collect();
    let classes = points.iter().map(|point| point.1 as usize + 1).max().unwrap_or(0);
    let has = |class: usize| points.iter().any(|point| point.1 as usize == class);
    if points.len() < 4 || classes < 2 || !(0..classes).all(has) {
        return Err("Draw at least four points, of two classes: click into the picture.".into());
    }
    of_points(&points, classes)
}

fn of_points(points: &[Point], classes: usize) -> Result<Samples, String> {
    let inputs = points.iter().flat_map(|(at, _)| at.map(|x| x as f32)).collect();
    let targets = points.iter().map(|(_, target)| *target as f32).collect();
    let data = Dataset::new(inputs, 2, targets, 1).map_err(|error| error.to_string())?;
    let names = ["blue", "orange", "green", "violet", "yellow"];
    let kind = match classes {
        0 => Kind::Numbers,
        _ => Kind::Classes((0..classes).map(|class| names.get(class).unwrap_or(&"other").to_string()).collect()),
    };
    let names = ["x", "y"].map(String::from).to_vec();
    Ok(Samples { data, kind, names, target: "value".into(), scaled: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_its_classes_within_the_picture() {
        for (name, classes, _) in SETS {
            let spec = Spec { data: name.into(), samples: 200, noise: 0.0, ..Spec::default() };
            let samples = samples(&spec).unwrap();
            assert!(samples.data.inputs().iter().all(|x| x.abs() <= 1.3), "{name}");
            match &samples.kind {
                Kind::Classes(names) => {
                    let has = |class: usize| samples.data.targets().contains(&(class as f32));
                    assert!(names.len() == classes && (0..classes).all(has), "{name}");
                }
                Kind::Numbers => assert!(classes == 0 && samples.data.targets().iter().all(|y| y.abs() <= 1.3)),
            }
        }
    }

    #[test]
    fn points_are_read_or_the_fault_is_told() {
        let spec = |points: &str| Spec { data: "points".into(), points: points.into(), ..Spec::default() };
        let read = samples(&spec("00000zzzz1zz000i0zz1")).unwrap();
        assert_eq!(read.data.inputs()[..6], [-1.0, -1.0, 1.0, 1.0, 1.0, -1.0]);
        assert!(samples(&spec("0000")).unwrap_err().contains("can't be read"));
        assert!(samples(&spec("00000000010000000000")).is_ok());
        assert!(samples(&spec("00000000000000000000")).unwrap_err().contains("two classes"));
    }
}
