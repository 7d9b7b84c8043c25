//! Lists the devices that wgrad can run on, the one that `Device::auto` prefers first: each line, its number and its name
//! are names for `WGRAD_DEVICE` and `Device::named`. With names as arguments it says which devices they open.

fn main() -> wgrad::Result<()> {
    let names: Vec<_> = std::env::args().skip(1).collect();
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
