//! Lists the devices that wgrad can run on, the one that `Device::auto` prefers first: each line, its number and its name
//! are names for `WGRAD_DEVICE` and `Device::named`. With names as arguments it says which devices they open.

use clap::Parser;
use wgrad::Device;

/// Lists the devices that wgrad can run on.
#[derive(Parser)]
struct Options {
    /// Open these devices, and say which they are, instead of listing all: names, numbers of the list, auto, cpu, gpu...
    #[arg(long = "device", value_name = "NAME")]
    named: Vec<String>,
    /// The same
    names: Vec<String>,
}

fn main() -> wgrad::Result<()> {
    let Options { named, names } = Options::parse();
    for name in named.iter().chain(&names) {
        println!("{name}: {}", Device::named(name)?.describe());
    }
    if named.is_empty() && names.is_empty() {
        for (number, device) in Device::list().iter().enumerate() {
            println!("{number}: {device}");
        }
    }
    Ok(())
}
