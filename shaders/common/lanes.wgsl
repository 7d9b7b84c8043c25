// What the invocations of a workgroup have, added up in a tree of fixed shape: the same order of additions on every run.

var<workgroup> partial: array<f32, 256>;

// Of `lanes` invocations, a power of two, down to `left` sums: the lanes i, i + left, i + 2 left.. get the sum of theirs.
// A second call needs a barrier before it.
fn sum_lanes(lane: u32, lanes: u32, left: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = lanes / 2u; half >= left; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    return partial[lane % left];
}
