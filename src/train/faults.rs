//! What training does when the device goes, or its memory is full: at every point where it can happen.

use crate::data::{Dataset, Labels, disk};
use crate::nn::{Dropout, Linear, Mse, ReLU, Sequential};
use crate::optim::Adam;
use crate::{Device, DeviceOptions, ErrorKind, Fit, Result, StepPath, Trainer};

const EPOCHS: usize = 3;

fn data() -> [Dataset; 2] {
    [60, 20].map(|rows| disk(rows, 1, Labels::PlusMinusOneHot).unwrap())
}

fn trainer(device: &Device) -> Result<Trainer> {
    let model = Sequential::new().add(Linear::new(2, 8)).add(ReLU).add(Dropout::new(0.1)).add(Linear::new(8, 2));
    Trainer::new(device, model, Mse::new(), Adam::new(0.01), 3)
}

fn fit<'a>(validation: &'a Dataset, path: &std::path::Path) -> Fit<'a> {
    Fit::until(EPOCHS, 16).validation(validation).path(StepPath::Layered).checkpoint(path, 1)
}

fn adapters() -> impl Iterator<Item = Device> {
    ["vulkan", "gl", "metal", "dx12"].into_iter().filter_map(|name| Device::named(name).ok())
}

fn opened_anew(device: &Device) -> Device {
    DeviceOptions::new(device.describe().backend.to_string()).open().unwrap()
}

/// A file in a folder of its own.
fn checkpoint(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("wgrad-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("checkpoint.safetensors")
}

/// However far it came, the device's loss is said, and training goes on from the last epoch, by its checkpoint or by what the
/// trainer has kept, on the same adapter to the bit of a training that was never interrupted.
#[test]
#[cfg_attr(skip_gpu_tests, ignore = "no GPU: see tests/common/devices.rs")]
fn a_device_may_be_lost_at_any_point() {
    let path = checkpoint("lost");
    for adapter in adapters().take(1) {
        // With a checkpoint an epoch waits for the one before.
        for path in [Some(&*path), None] {
            lose_at_each_point(&adapter, path);
        }
    }
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

fn lose_at_each_point(adapter: &Device, checkpoint: Option<&std::path::Path>) {
    let [train, validation] = data();
    let fit = || {
        let fit = Fit::until(EPOCHS, 16).validation(&validation).path(StepPath::Layered);
        if let Some(path) = checkpoint { fit.checkpoint(path, 1) } else { fit }
    };
    let saved = std::env::temp_dir().join(format!("wgrad-saved-{}.safetensors", std::process::id()));
    let remove = || {
        for path in checkpoint.into_iter().chain([&*saved]) {
            let _ = std::fs::remove_file(path);
        }
    };
    let whole = {
        let mut trainer = trainer(adapter).unwrap();
        trainer.fit(&train, fit()).unwrap();
        trainer.parameters().read().unwrap()
    };
    let (mut lost, mut too_late, mut kept) = (0, 0, 0);
    for n in 1.. {
        remove();
        let device = opened_anew(adapter);
        device.lose_at_use(n);
        let mut first = None;
        let result = trainer(&device).and_then(|trainer| {
            let trainer = first.insert(trainer);
            trainer.fit(&train, fit())?;
            trainer.parameters().read()
        });
        match result {
            Ok(values) => {
                assert_eq!(values, whole, "use {n}");
                if device.withdraw_faults() {
                    break;
                }
                // The values were there before.
                too_late += 1;
            }
            Err(error) => {
                lost += 1;
                assert_eq!(error.kind(), ErrorKind::DeviceLost, "use {n}: {error}");
                assert!(error.to_string().contains("open a Device again"), "use {n}: {error}");
            }
        }
        let mut on_cpu = trainer(&Device::cpu()).unwrap();
        match &first {
            Some(first) if on_cpu.resume_from(first).is_ok() => {
                kept += 1;
                assert_eq!(on_cpu.history(), first.history(), "use {n}");
                first.save_checkpoint(&saved).unwrap();
            }
            _ => assert!(first.is_none_or(|first| first.history().epochs.is_empty()), "use {n}"),
        }
        // Every third point, as a training takes far longer than the loss of a device.
        if n % 12 == 0 {
            on_cpu.fit(&train, fit()).unwrap();
            assert_eq!(on_cpu.history().epochs.len(), EPOCHS, "use {n}");
        } else if n % 3 == 0 {
            let mut again = trainer(&opened_anew(adapter)).unwrap();
            match (n / 3 % 4, checkpoint) {
                (1, Some(path)) if path.exists() => again.resume(path).unwrap(),
                (2, _) if saved.exists() => again.resume(&saved).unwrap(),
                _ => again.resume_from(&on_cpu).unwrap(),
            }
            again.fit(&train, fit()).unwrap();
            assert_eq!(again.parameters().read().unwrap(), whole, "use {n}");
        }
    }
    remove();
    println!("{}: lost at {lost} points, with something kept at {kept}", adapter.name());
    assert!(lost > 30 && too_late <= 1, "{lost} points; {too_late} of which nobody noticed");
    assert!(kept > lost / 2, "{lost} points; something was kept at {kept}");
}

/// Full memory is an error with sizes, or no error where less memory will do; then everything works as if nothing had been.
#[test]
#[cfg_attr(skip_gpu_tests, ignore = "no GPU: see tests/common/devices.rs")]
fn memory_may_be_full_at_any_point() {
    let [train, validation] = data();
    let path = checkpoint("memory");
    for device in adapters() {
        let run = || -> Result<Vec<f32>> {
            let mut trainer = trainer(&device)?;
            trainer.fit(&train, fit(&validation, &path))?;
            trainer.predict(train.inputs(), 2)
        };
        let whole = run().unwrap();
        let (mut refused, mut unharmed) = (0, 0);
        for n in 1.. {
            let _ = std::fs::remove_file(&path);
            device.refuse_allocation(n);
            match run() {
                Ok(values) => {
                    assert_eq!(values, whole, "allocation {n}");
                    if device.withdraw_faults() {
                        break;
                    }
                    unharmed += 1;
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "allocation {n}: {error}");
                    let text = error.to_string();
                    assert!(text.contains(" MiB) exceed the free memory of "), "allocation {n}: {text}");
                    if n % 5 == 0 {
                        assert_eq!(run().unwrap(), whole, "after allocation {n}");
                    }
                }
            }
        }
        println!("{}: {refused} errors, {unharmed} times it did without", device.name());
        // Data that finds no room is streamed.
        assert!(refused > 10 && unharmed > 0, "{refused} errors, {unharmed} times it did without");
    }
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}
