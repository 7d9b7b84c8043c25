//! Lists the devices that wgrad can run on, the one that `Device::auto` prefers first.

fn main() {
    for device in wgrad::Device::list() {
        println!("{device}");
    }
}
