//! Datasets: made, resampled, weighted, standardised, read.

use std::fs;

use ndarray::ArrayView2;
use wgrad::data::{Dataset, Labels, Standardize, disk, idx};

use crate::draw::Draw;
use crate::{Case, path};

pub(crate) const CASES: &[Case] = &[
    ("new", new),
    ("change", change),
    ("resample", resample),
    ("folds", folds),
    ("weights", weights),
    ("standardize", standardize),
    ("read", read),
];

fn new(d: &mut Draw) {
    let (rows, inputs, outputs) = (d.small(), d.size(), d.size());
    let (n, m) = (d.near(rows * inputs.min(9)).min(100), d.near(rows * outputs.min(9)).min(100));
    let (x, t) = (d.reals(n), d.reals(m));
    let made = Dataset::new(x.clone(), inputs, t.clone(), outputs);
    if let Some(data) = d.see(made) {
        assert_eq!((data.len() * data.input_cols(), data.len() * data.target_cols()), (n, m));
        assert!(data.inputs().iter().chain(data.targets()).all(|value| value.is_finite()));
    }
    let rows = |values: &[f32], cols: usize| values.chunks(cols.clamp(1, 9)).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let from = Dataset::from_rows(&rows(&x, inputs), &rows(&t, outputs));
    d.see(from);
    let shape = |cols: usize, len: usize| (len.checked_div(cols.min(9)).unwrap_or(0), cols.min(9));
    let views = [(&x, shape(inputs, n)), (&t, shape(outputs, m))]
        .map(|(values, shape)| ArrayView2::from_shape(shape, &values[..shape.0 * shape.1]).unwrap());
    let from = Dataset::from_arrays(views[0], views[1]);
    d.see(from);
    // A number of points that fits into memory, or into none.
    let most = if usize::BITS == 64 { 30 } else { 3 };
    let points = if d.chance(0.1) { usize::MAX >> d.below(most) } else { d.small() };
    let (seed, labels) = (d.seed(), d.pick(&[Labels::OneHot, Labels::ZeroOne, Labels::PlusMinusOneHot]));
    let made = disk(points, seed, labels);
    d.see(made);
}

fn change(d: &mut Draw) {
    let Some(mut data) = d.dataset() else { return };
    if d.chance(0.5) {
        let names: Vec<String> = (0..d.small()).map(|_| d.text()).collect();
        data = data.with_class_names(names);
    }
    let _ = data.class_names();
    let classes = d.size();
    let coded = data.one_hot(classes);
    d.see(coded);
    let factor = d.real();
    let changed = data.map_targets(|target| target * factor);
    d.see(changed);
}

fn resample(d: &mut Draw) {
    let Some(data) = d.dataset() else { return };
    let chosen = d.sizes(data.len());
    let selected = data.select(&chosen);
    d.see(selected);
    let seed = d.seed();
    assert_eq!(data.shuffle(seed).len(), data.len());
    let other = d.dataset();
    let parts: Vec<&Dataset> = [Some(&data), other.as_ref()].into_iter().flatten().collect();
    let parts = if d.chance(0.1) { Vec::new() } else { parts };
    let whole = Dataset::concat(parts);
    d.see(whole);
    let share = d.share();
    for split in [data.split(share, seed), data.split_stratified(share, seed)] {
        if let Some((a, b)) = d.see(split) {
            assert_eq!(a.len() + b.len(), data.len());
        }
    }
}

fn folds(d: &mut Draw) {
    let series = d.reals(20);
    let (length, horizon) = (d.size(), d.size());
    let windows = Dataset::windows(&series, length, horizon);
    d.see(windows);
    let Some(data) = d.dataset() else { return };
    let (k, seed) = (d.size(), d.seed());
    let check = |d: &mut Draw, folds: wgrad::Result<Vec<(Dataset, Dataset)>>| {
        for (train, test) in d.see(folds).into_iter().flatten() {
            assert_eq!(train.len() + test.len(), data.len());
        }
    };
    check(d, data.folds(k, seed).map(Iterator::collect));
    check(d, data.stratified_folds(k, seed).map(Iterator::collect));
    let groups: Vec<usize> = (0..d.near(data.len()).min(100)).map(|_| d.below(4)).collect();
    check(d, data.grouped_folds(k, &groups).map(Iterator::collect));
}

fn weights(d: &mut Draw) {
    let Some(data) = d.dataset() else { return };
    let classes = d.size();
    let balanced = data.balanced_class_weights(classes);
    let balanced = d.see(balanced);
    let own = d.small();
    let weights = balanced.unwrap_or_else(|| d.reals(own));
    let weighted = data.clone().with_class_weights(&weights);
    let weighted = d.see(weighted);
    if let Some(weights) = weighted.as_ref().and_then(|data| data.weights()) {
        assert_eq!(weights.len(), data.len());
    }
    let len = d.near(data.len()).min(100);
    let weights = d.reals(len);
    let weighted = data.with_weights(weights);
    d.see(weighted);
}

fn standardize(d: &mut Draw) {
    let Some(data) = d.dataset() else { return };
    let (inputs, targets) = (Standardize::fit(&data), Standardize::fit_targets(&data));
    let other = d.dataset().unwrap_or_else(|| data.clone());
    let len = d.near(data.input_cols()).min(100);
    let values = d.reals(len);
    for scale in [&inputs, &targets] {
        for result in [scale.apply(&values), scale.invert(&values)] {
            d.see(result);
        }
        for result in [scale.apply_to_inputs(&other), scale.apply_to_targets(&other)] {
            d.see(result);
        }
    }
    let path = path("scale");
    let saved = inputs.save(&path);
    d.see(saved);
    let read = Standardize::load(&path);
    if let Some(read) = d.see(read) {
        assert_eq!(read, inputs);
    }
}

fn read(d: &mut Draw) {
    let bytes: Vec<u8> = (0..d.small() * 5).map(|_| d.below(256) as u8).collect();
    let (images, labels) = (path("images"), path("labels"));
    let header = |dimensions: &[u32]| {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        dimensions.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        bytes
    };
    let n = d.size() as u32;
    let cols = d.size() as u32;
    fs::write(&images, [header(&[n, cols]), bytes.clone()].concat()).unwrap();
    fs::write(&labels, [header(&[d.near(n as usize) as u32]), bytes].concat()).unwrap();
    let data = idx(&images, &labels);
    d.see(data);
    let missing = idx(path("nowhere"), d.text());
    d.see(missing);
}
