//! Columns brought to mean 0 and deviation 1.

use std::path::PathBuf;

use wgrad::ErrorKind;
use wgrad::data::{Dataset, Standardize};

use crate::file;

#[test]
fn standardised_columns_have_mean_0_and_deviation_1() {
    // Three columns: spread, all the same (a value whose sums round), and far from 0 with little spread.
    let rows: Vec<[f32; 3]> = (0..1000).map(|i| [i as f32 * 0.37 - 50.0, 0.1, 1e6 + (i % 7) as f32]).collect();
    let targets: Vec<[f32; 1]> = rows.iter().map(|row| [row[0] * 2.0]).collect();
    let data = Dataset::from_rows(&rows, &targets).unwrap();
    let scale = Standardize::fit(&data);
    let scaled = scale.apply_to_inputs(&data).unwrap();
    assert_eq!(scaled.targets(), data.targets());
    for col in [0, 2] {
        let values = || scaled.inputs().iter().skip(col).step_by(3).map(|v| f64::from(*v));
        let mean = values().sum::<f64>() / 1000.0;
        let variance = values().map(|v| v * v).sum::<f64>() / 1000.0;
        // Each value is one rounding to f32 off, and none is larger than 2.
        let bound = 2.0 * f64::from(f32::EPSILON);
        assert!(mean.abs() <= bound && (variance - 1.0).abs() <= 2.0 * bound, "column {col}: {mean}, {variance}");
    }
    assert!(scaled.inputs().iter().skip(1).step_by(3).all(|v| *v == 0.0));
    // And back, to the roundings of a value of up to 2 deviations.
    let back = scale.invert(scaled.inputs()).unwrap();
    let deviations = [107.0, 1.0, 2.0];
    for (i, (back, value)) in back.iter().zip(data.inputs()).enumerate() {
        let bound = f32::EPSILON * (2.0 * deviations[i % 3] + value.abs());
        assert!((back - value).abs() <= bound, "column {}: {back}, not {value}", i % 3);
    }
    // A value of another than the constant is seen.
    assert_eq!(scale.apply(&[0.0, 1.1, 1e6]).unwrap()[1], 1.0);
}

#[test]
fn a_scale_lies_beside_the_model_and_refuses_what_is_not_its() {
    let data = Dataset::from_rows(&[[0.1, 1e-30], [0.7, 3e-30], [0.2, 7e30]], &[[1.0], [2.0], [4.0]]).unwrap();
    let scale = Standardize::fit(&data);
    let path = file("scale.csv", b"");
    scale.save(&path).unwrap();
    assert_eq!(Standardize::load(&path).unwrap(), scale);
    assert_eq!(scale.apply(&[1.0; 3]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(scale.apply_to_targets(&data).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(Standardize::fit_targets(&data).apply_to_inputs(&data).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(scale.apply(&[f32::NAN, 0.0]).unwrap_err().kind(), ErrorKind::InvalidInput);
    let tiny: Standardize = "mean,std\n0,1e-30\n".parse().unwrap();
    assert_eq!(tiny.apply(&[1e30]).unwrap_err().kind(), ErrorKind::InvalidInput);
    for text in [
        "",
        "mean,std",
        "std,mean\n0,1\n",
        "mean,std\n1\n",
        "mean,std\n0,0\n",
        "mean,std\n0,-1\n",
        "mean,std\nNaN,1\n",
        "mean,std\n0,inf\n",
        "mean,std\n1,2,3\n",
    ] {
        assert_eq!(text.parse::<Standardize>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text:?}");
    }
    let told = |error: wgrad::Error| error.to_string().split(": ").next().unwrap().to_string();
    assert_eq!(told(scale.apply(&[1.0; 3]).unwrap_err()), "Standardize::apply");
    assert_eq!(told(scale.invert(&[f32::NAN, 1.0]).unwrap_err()), "Standardize::invert");
    assert_eq!(told(scale.apply_to_targets(&data).unwrap_err()), "Standardize::apply_to_targets");
    let fourth = "mean,std\n\n0,1\n1,x\n".parse::<Standardize>().unwrap_err().to_string();
    assert!(fourth.contains("line 4: '1,x' is not"), "{fourth}");
    let nowhere = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no such folder").join("scale.csv");
    assert_eq!(scale.save(&nowhere).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(Standardize::load(&nowhere).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn its_text_may_have_been_through_an_editor() {
    let expected: Standardize = "mean,std\n2.5,1\n200,100\n".parse().unwrap();
    for text in [
        "\u{feff}mean,std\n2.5,1\n200,100\n",
        "mean,std\r\n2.5,1\r\n200,100\r\n",
        "mean,std\n2.5,1\n200,100\n\n\n",
        "\n mean,std\n 2.5, 1 \n200,100",
    ] {
        assert_eq!(text.parse::<Standardize>().unwrap(), expected, "{text:?}");
        assert_eq!(Standardize::load(file("edited.scale", text.as_bytes())).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn moments_are_those_of_f64() {
    // numpy, in f64, of these f32: mean 16777217.2, deviation 1.6. In f32 the mean alone would be off by 0.8.
    let values = [16_777_216.0f32, 16_777_216.0, 16_777_216.0, 16_777_218.0, 16_777_220.0];
    let data = Dataset::new(values.to_vec(), 1, vec![0.0; 5], 1).unwrap();
    let text = Standardize::fit(&data).to_string();
    let (mean, std) = text.lines().nth(1).unwrap().split_once(',').unwrap();
    let (mean, std): (f64, f64) = (mean.parse().unwrap(), std.parse().unwrap());
    // A rounding of the mean, to a unit of 4e-9, moves all differences.
    assert!((mean - 16_777_217.2).abs() <= 4e-9 && (std - 1.6).abs() <= 4e-9, "{text}");
}
