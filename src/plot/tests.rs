//! Pictures of whatever numbers there are: drawn, or refused with a word.

use std::path::PathBuf;

use super::{Axes, Curve, confusion_matrix, curves, decision_boundary};
use crate::data::Dataset;
use crate::error::ErrorKind;
use crate::metrics::{ConfusionMatrix, Decision};

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wgrad-plot-{name}-{}.svg", std::process::id()))
}

/// Smallest, largest and usual numbers, of both signs.
const LADDER: [f64; 19] = [
    f64::MIN,
    -1e300,
    -1e9,
    -1.0,
    -1e-9,
    -f64::MIN_POSITIVE,
    -5e-324,
    0.0,
    5e-324,
    1e-310,
    1e-9,
    0.1,
    0.1 + 1.4e-17,
    1.0,
    1.0 + f64::EPSILON,
    1e6,
    1.7e9,
    1e300,
    f64::MAX,
];

#[test]
fn curves_are_drawn_through_all_finite_numbers() {
    let path = path("ladder");
    for a in LADDER {
        for b in LADDER {
            for axes in [Axes::new("x", "y"), Axes::new("x", "y").log_y()] {
                let list = [
                    Curve::new("along y", [(0.0, a), (1.0, b)]),
                    Curve::scatter("along x", [(a, a), (b, b)]),
                    Curve::new("one", [(b, a)]).mark(b),
                ];
                let result = curves(&path, "title", axes.clone(), &list);
                if axes.log_y && (a <= 0.0 || b <= 0.0) {
                    let message = result.unwrap_err().to_string();
                    assert!(message.contains("a logarithmic axis"), "{message}");
                    continue;
                }
                result.unwrap_or_else(|error| panic!("{a:e}, {b:e}: {error}"));
                let svg = std::fs::read_to_string(&path).unwrap();
                assert!(svg.len() < 100_000, "{a:e}, {b:e}: {} bytes", svg.len());
                // All is within the picture, a line of the legend's frame and half a letter apart.
                for number in numbers(&svg) {
                    assert!((-40..=800).contains(&number), "{a:e}, {b:e}: {number}");
                }
            }
        }
    }
    std::fs::remove_file(path).unwrap();
}

/// The coordinates in a picture.
fn numbers(svg: &str) -> Vec<i64> {
    let attributes = ["x", "y", "cx", "cy", "x1", "x2", "y1", "y2", "points"].map(|name| format!(" {name}=\""));
    let values = attributes.iter().flat_map(|name| svg.split(name.as_str()).skip(1));
    let values = values.filter_map(|rest| rest.split('"').next()).flat_map(|value| value.split([',', ' ']));
    values.filter(|value| !value.is_empty()).map(|value| value.parse::<f64>().unwrap() as i64).collect()
}

#[test]
fn bands_are_drawn_or_refused() {
    let path = path("bands");
    for a in LADDER {
        for b in LADDER {
            let band = Curve::over_runs("runs", [[(0.0, a), (1.0, b)], [(0.0, b), (1.0, b)]]).unwrap();
            for axes in [Axes::new("x", "y"), Axes::new("x", "y").log_y()] {
                if let Err(error) = curves(&path, "title", axes, std::slice::from_ref(&band)) {
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{a:e}, {b:e}: {error}");
                    let extreme = [a, b].iter().any(|v| v.abs() > 1e150 || *v <= 0.0);
                    assert!(extreme, "{a:e}, {b:e}: {error}");
                }
            }
        }
    }
    let _ = std::fs::remove_file(path);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for curve in [Curve::new("bad", [(bad, 0.0)]), Curve::scatter("bad", [(0.0, 0.0), (0.0, bad)])] {
            let error = curves(std::env::temp_dir().join("not-drawn.svg"), "title", ["x", "y"], &[curve]).unwrap_err();
            assert!(error.to_string().contains("leave out what is not finite"), "{error}");
        }
    }
}

#[test]
fn a_plane_is_drawn_of_all_points() {
    let path = path("plane");
    let ladder = LADDER.map(|value| value as f32).map(|value| value.clamp(f32::MIN, f32::MAX));
    for a in ladder {
        for b in ladder {
            let points = Dataset::from_rows(&[[a, b], [b, a]], &[[0.0], [1.0]]).unwrap();
            for output in [0.0, 1e-45, f32::MAX, f32::MIN, f32::NAN, f32::INFINITY] {
                let predict = |inputs: &[f32]| {
                    assert!(inputs.iter().all(|value| value.is_finite()), "{a:e}, {b:e}");
                    Ok(inputs.chunks(2).map(|point| if point[0] > 0.0 { output } else { 0.5 }).collect())
                };
                if output == 0.0 || a == 0.0 || b == f32::MAX {
                    let decision = Decision::between(0.0, 1.0);
                    let drawn = decision_boundary(&path, "title", predict, decision, &points, ["x", "y"], &[]);
                    // NaN is no class.
                    assert!(drawn.is_ok() || output.is_nan(), "{drawn:?}");
                }
            }
        }
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_confusion_of_too_many_or_very_long_names_has_its_bounds() {
    let path = path("confusion");
    let matrix = |classes: usize, name: &str| {
        let rows: Vec<_> = (0..classes).map(|i| [i as f32]).collect();
        let targets: Vec<f32> =
            (0..classes * classes).map(|i| if i % (classes + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let inputs: Vec<f32> = rows.into_iter().flatten().collect();
        let data = Dataset::new(inputs, 1, targets.clone(), classes).unwrap();
        let data = data.with_class_names((0..classes).map(|i| format!("{name}{i}")));
        ConfusionMatrix::new(&targets, &data, Decision::Argmax).unwrap()
    };
    confusion_matrix(&path, "title", &matrix(100, "class ")).unwrap();
    let message = confusion_matrix(&path, "title", &matrix(101, "class ")).unwrap_err().to_string();
    assert!(message.contains("101 x 101"), "{message}");
    confusion_matrix(&path, "title", &matrix(3, &"long ".repeat(100_000))).unwrap();
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(svg.len() < 20_000 && svg.contains('…'), "{} bytes", svg.len());
    std::fs::remove_file(path).unwrap();
}
