// The number of the step, for kernels that do something else in each.

struct Step {
    step: u32,
}

@group(1) @binding(0) var<uniform> now: Step;

// The last step of a dispatch that runs several.
@group(1) @binding(1) var<uniform> last: Step;
