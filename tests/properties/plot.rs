//! Pictures of anything.

use wgrad::metrics::{ConfusionMatrix, Decision};
use wgrad::plot::{Axes, Curve, check_path, confusion_matrix, curves, decision_boundary, heat_map};
use wgrad::{Error, Result};

use crate::draw::Draw;
use crate::{Case, path};

pub(crate) const CASES: &[Case] = &[("pictures", pictures)];

fn points(d: &mut Draw) -> Vec<(f64, f64)> {
    (0..d.small())
        .map(|_| if d.chance(0.7) { (d.share(), d.share()) } else { (f64::from(d.real()) * 1e300, 1.0) })
        .collect()
}

fn curve(d: &mut Draw) -> Result<Curve> {
    let (label, points) = (d.text(), points(d));
    let curve = match d.below(3) {
        0 => Curve::new(label, points),
        1 => Curve::scatter(label, points),
        _ => Curve::over_runs(label, [points.clone(), points, self::points(d)])?,
    };
    Ok(if d.chance(0.3) { curve.mark(d.share()) } else { curve })
}

fn pictures(d: &mut Draw) {
    let path = match d.below(8) {
        0 => path("picture"),
        1 => path("nowhere").join("x.svg"),
        2 => path("picture.png"),
        3 => "".into(),
        _ => path("picture.svg"),
    };
    let checked = check_path(&path);
    d.see(checked);
    let mut all = Vec::new();
    for _ in 0..d.below(4) {
        let curve = curve(d);
        all.extend(d.see(curve));
    }
    let axes = Axes::new(d.text(), d.text());
    let axes = if d.chance(0.3) { axes.log_y() } else { axes };
    let (title, number) = (d.text(), d.real());
    let drawn = curves(&path, &title, axes.clone(), &all);
    d.see(drawn);
    let Some(data) = d.dataset() else { return };
    let decision = d.pick(&[Decision::Regression, Decision::logits(), Decision::Argmax]);
    let cols = data.target_cols();
    let how = d.below(5);
    let predict = |inputs: &[f32]| match how {
        0 => Err(Error::new(wgrad::ErrorKind::InvalidInput, "predict", "nothing")),
        1 => Ok(Vec::new()),
        2 => Ok(vec![f32::NAN; inputs.len() / 2 * cols]),
        _ => Ok(inputs.chunks(2).flat_map(|x| vec![x[0] * number - x[1]; cols]).collect()),
    };
    if d.chance(0.3) {
        let drawn = decision_boundary(&path, &title, predict, decision, &data, axes, &all);
        d.see(drawn);
    }
    let matrix = ConfusionMatrix::new(data.targets(), &data, Decision::Argmax);
    if let Some(matrix) = d.see(matrix) {
        let drawn = confusion_matrix(&path, &title, &matrix);
        d.see(drawn);
    }
    let (rows, cols): (Vec<String>, Vec<String>) =
        ((0..d.small()).map(|_| d.text()).collect(), (0..d.small()).map(|_| d.text()).collect());
    let len = d.near(rows.len() * cols.len());
    let values: Vec<f64> = d.reals(len).iter().map(|value| f64::from(*value)).collect();
    let drawn = heat_map(&path, &title, (&d.text(), &rows), (&d.text(), &cols), &values);
    d.see(drawn);
}
