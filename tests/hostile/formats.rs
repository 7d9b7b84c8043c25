//! The formats: files that are whole, and their readers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use wgrad::data::{Csv, Dataset, Missing, Standardize, Table, idx};
use wgrad::export::{Export, Onnx};
use wgrad::nn::{
    BatchNorm1d, Dropout, Embedding, LayerNorm, Linear, Mse, Parameters, Predictor, ReLU, Residual, Sequential,
};
use wgrad::optim::Adam;
use wgrad::table::{Classifier, Settings};
use wgrad::{Device, Fit, Result, Trainer};

pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) bases: fn() -> Vec<Vec<u8>>,
    pub(crate) read: fn(&[u8]) -> Result<()>,
}

pub(crate) const FORMATS: &[Format] = &[
    Format { name: "csv", bases: csv_files, read: read_csv },
    Format { name: "idx", bases: || vec![idx_bytes(8, &[3, 4, 5], 60)], read: |bytes| read_idx("idx", bytes) },
    Format { name: "gz", bases: || vec![packed(&idx_bytes(8, &[3, 4, 5], 60))], read: |bytes| read_idx("gz", bytes) },
    Format { name: "safetensors", bases: || vec![written(|path| save(&model(), path))], read: read_safetensors },
    Format { name: "model", bases: || vec![written(|path| save(&model(), path))], read: read_model },
    Format { name: "checkpoint", bases: || vec![written(save_checkpoint)], read: read_checkpoint },
    Format { name: "standardize", bases: || vec![written(save_scale)], read: read_scale },
    Format { name: "onnx", bases: onnx_files, read: read_onnx },
    Format { name: "architecture", bases: architectures, read: read_architecture },
    Format { name: "table", bases: || vec![written(save_classifier)], read: read_classifier },
];

/// A file of this thread's own.
fn path(name: &str) -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    // Cargo has no such folder for a fuzz target.
    let folder = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    folder.join(format!("hostile-{name}-{}-{thread}", std::process::id()))
}

fn given(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// What a file has that is written by wgrad.
fn written(write: impl FnOnce(&Path)) -> Vec<u8> {
    let path = path("base");
    write(&path);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    bytes
}

fn csv_files() -> Vec<Vec<u8>> {
    let texts = [
        "sepal,petal,species\n5.1,3.5,setosa\n4.9,3.0,\"virginica\"\n6.2,1e-2,setosa\n",
        "a;b;c\n1,5;2,25;ja\n\"3\";4;nein\n",
        "1 2 3\n4 5 6\n7 8 9\n",
        "# a comment\nx\ty\n1e3\t-2.5e-3\n",
        "id,\"a \"\"quoted\"\" name\",z\r\n1,2,3\r\n4,5,6\r\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// By each of several readers, of which one at least takes each of the files.
fn read_csv(bytes: &[u8]) -> Result<()> {
    let readers = [
        Csv::labels("species"),
        Csv::values([0]).missing(Missing::DropRow),
        Csv::labels("c").delimiter(';').decimal(','),
        Csv::values([1]).whitespace().header(false),
        Csv::values([1]).comment('#').delimiter('\t').thousands(','),
    ];
    let results: Vec<_> = readers.iter().map(|reader| reader.read_from(bytes)).collect();
    for data in results.iter().flatten() {
        assert!(data.inputs().iter().chain(data.targets()).all(|v| v.is_finite()));
        assert_eq!(data.inputs().len(), data.len() * data.input_cols());
    }
    match results.iter().all(Result::is_err) {
        true => results.into_iter().next().unwrap().map(|_| ()),
        false => Ok(()),
    }
}

fn idx_bytes(kind: u8, dimensions: &[u32], len: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dimensions.len() as u8];
    dimensions.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend((0..len).map(|i| i as u8));
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// As images, with labels that are whole, and as labels.
fn read_idx(name: &str, bytes: &[u8]) -> Result<()> {
    let extension = if name == "gz" { ".gz" } else { "" };
    let damaged = given(&format!("{name}{extension}"), bytes);
    let labels = given("labels", &idx_bytes(8, &[3], 3));
    let as_labels = idx(&labels, &damaged);
    idx(&damaged, &labels).map(|_| ()).or(as_labels.map(|_| ()))
}

fn model() -> Sequential {
    Sequential::new()
        .add(Linear::new(3, 4))
        .add(ReLU)
        .add(LayerNorm::new(4))
        .add(Residual::new(Sequential::new().add(Linear::new(4, 4).without_bias()).add(BatchNorm1d::new(4))))
        .add(Dropout::new(0.5))
        .add(Linear::new(4, 2))
}

fn save(model: &Sequential, path: &Path) {
    Parameters::new(&Device::cpu(), model, 1).unwrap().save(path).unwrap();
}

fn read_safetensors(bytes: &[u8]) -> Result<()> {
    let parameters = Parameters::new(&Device::cpu(), &model(), 2)?;
    let before = parameters.read()?;
    let path = given("safetensors", bytes);
    let result = parameters.load(&path);
    if result.is_err() {
        assert_eq!(parameters.read()?, before, "refused, and changed the model");
        parameters.load_partial(&path, str::to_string).map(|_| ())?;
    }
    result
}

fn read_model(bytes: &[u8]) -> Result<()> {
    let model = Sequential::from_bytes(bytes)?;
    Parameters::new(&Device::cpu(), &model, 3).map(|_| ())
}

fn trainer() -> Trainer {
    Trainer::new(&Device::cpu(), model(), Mse::new(), Adam::new(0.01), 4).unwrap()
}

fn save_checkpoint(path: &Path) {
    let rows = |cols: usize| (0..8).map(|row| vec![row as f32 / 8.0; cols]).collect::<Vec<_>>();
    let data = Dataset::from_rows(&rows(3), &rows(2)).unwrap();
    let mut trainer = trainer();
    trainer.fit(&data, Fit::new(2, 4)).unwrap();
    trainer.save_checkpoint(path).unwrap();
}

fn read_checkpoint(bytes: &[u8]) -> Result<()> {
    let mut trainer = trainer();
    let before = trainer.parameters().read()?;
    let result = trainer.resume(given("checkpoint", bytes));
    if result.is_err() {
        assert_eq!(trainer.parameters().read()?, before, "refused, and changed the model");
        assert!(trainer.history().epochs.is_empty(), "refused, and changed the history");
    }
    result
}

fn save_scale(path: &Path) {
    let data = Dataset::from_rows(&[[1.0, 2.0], [3.0, 5.0], [4.0, -1.0]], &[[0.0], [1.0], [2.0]]).unwrap();
    Standardize::fit(&data).save(path).unwrap();
}

fn read_scale(bytes: &[u8]) -> Result<()> {
    let scale = Standardize::load(given("standardize", bytes))?;
    // Whatever it says, it says it of columns that it knows.
    scale.apply(&[1.0, 2.0]).map(|_| ()).or_else(|_| scale.apply(&[1.0]).map(|_| ()))
}

fn onnx_files() -> Vec<Vec<u8>> {
    let exported = |model: Sequential, cols| {
        let predictor = Predictor::new(&Device::cpu(), model).unwrap();
        Export::new(&predictor, cols).unwrap().metadata("unit", "cm").onnx().unwrap()
    };
    vec![exported(model(), 3), exported(Sequential::new().add(Embedding::new(3, 2)).add(Linear::new(2, 1)), 1)]
}

fn read_onnx(bytes: &[u8]) -> Result<()> {
    let read = Onnx::from_bytes(bytes)?;
    let predictor = Predictor::new(&Device::cpu(), read.model)?;
    // Whatever the width is, if it is none of these it is refused.
    let _ = [1, 2, 3].map(|cols| predictor.predict(&[1.0; 6], cols));
    Ok(())
}

fn architectures() -> Vec<Vec<u8>> {
    let texts = [
        "Sequential(Linear(3, 4), ReLU, LayerNorm(4), Residual(Sequential(Linear(4, 4, bias=false))), Dropout(0.5))",
        "Sequential(Average(Sequential(Embedding(3, 2)), Embedding(3, 2)), BatchNorm1d(2, momentum=0.2, eps=0.001))",
        "Sequential(ELU(0.5), LeakyReLU(0.01), Pow(2), Affine(2, -1), Softmax, LogSoftmax, GELUTanh)",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// As the text in the header of a file without values.
fn read_architecture(text: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(text);
    let header = serde_json::json!({ "__metadata__": { "architecture": text } }).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    match Sequential::from_bytes(&bytes) {
        // The text is in order, but not the file.
        Err(error) if error.to_string().contains("missing: ") => Ok(()),
        result => result.map(|_| ()),
    }
}

fn save_classifier(path: &Path) {
    let csv = "size,colour,kind\n1,red,a\n2,blue,b\n3,red,a\n4,,b\n5,blue,a\n6,red,b\n";
    let table = Table::read_from(csv.as_bytes()).unwrap();
    let settings = Settings::new("kind").epochs(2).hidden_layer_sizes([3]).members(2);
    Classifier::fit(&Device::cpu(), &table, settings).unwrap().save(path).unwrap();
}

fn read_classifier(bytes: &[u8]) -> Result<()> {
    let classifier = Classifier::from_bytes(&Device::cpu(), bytes)?;
    let row = Table::from_row([("size", "2.5"), ("colour", "red"), ("kind", "")])?;
    let _ = classifier.predict_proba(&row);
    Ok(())
}
