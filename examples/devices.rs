//! Lists the devices that wgrad can run on, the one that `Device::auto` prefers first: each line, its number and its name
//! are names for `WGRAD_DEVICE` and `Device::named`. With names as arguments it says which devices they open.

use clap::Parser;

/// Lists the devices that wgrad can run on, or says which ones names open.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, a number or a line of the list, or a part of an adapter's name
    names: Vec<String>,
}

fn main() -> wgrad::Result<()> {
    let names = Options::parse().names;
    for name in &names {
        println!("{name}: {}", wgrad::Device::named(name)?.describe());
    }
    if names.is_empty() {
        for (number, device) in wgrad::Device::list().iter().enumerate() {
            println!("{number}: {device}");
        }
    }
    Ok(())
}
