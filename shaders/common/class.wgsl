// Class numbers, which lie in tensors as f32.

// Whether a number is one of 0, 1, .. classes - 1.
fn is_class(number: f32, classes: u32) -> bool {
    return !is_nan(number) && number >= 0.0 && number < f32(classes) && number == floor(number);
}
