// A 64 x 64 block per workgroup, 4 x 4 outputs per invocation; 16 columns of A and 16 rows of B at a time pass
// through workgroup memory (8.5 KiB of the 16 KiB that every adapter has; a line has 17 places for 16, so that
// neighbours along k fall into other banks).

// Of a workgroup.
const ROWS = 64u;
const COLS = 64u;
const TILE_K = 16u;     // of k, at a time

var<workgroup> tile_a: array<vec4f, 272>;   // [16 of k][64 rows]
var<workgroup> tile_b: array<vec4f, 272>;   // [16 of k][64 columns]

fn tile_load_a(row: u32, p: u32, end: u32) -> f32 {
    if row < params.m && p < end {
        return a[params.a_start + row * params.a_row + p * params.a_col];
    }
    return 0.0;
}

fn tile_load_b(p: u32, col: u32, end: u32) -> f32 {
    if p < end && col < params.n {
        return b[params.b_start + p * params.b_row + col * params.b_col];
    }
    return 0.0;
}

@compute @workgroup_size(256)
fn tiled(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = block_of(group, groups, ROWS, COLS);
    if block.part >= params.parts {
        store_row_sum(block.beyond * 256u + lane);
        return;
    }
    let x = lane % 16u;
    let y = lane / 16u;
    // Each invocation loads four neighbours of each tile; invocations go along what is contiguous in memory.
    let a_along_k = params.a_col == 1u;
    let b_along_k = params.b_row == 1u;
    let a_at = select(x, y, a_along_k);
    let a_p = select(y, x, a_along_k);
    let b_at = select(x, y, b_along_k);
    let b_p = select(y, x, b_along_k);
    let load_row = block.row + a_at * 4u;
    let load_col = block.col + b_at * 4u;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var first = block.first; first < block.end; first += TILE_K) {
        var p = first + a_p;
        tile_a[a_p * 17u + a_at] = vec4f(
            tile_load_a(load_row, p, block.end),
            tile_load_a(load_row + 1u, p, block.end),
            tile_load_a(load_row + 2u, p, block.end),
            tile_load_a(load_row + 3u, p, block.end),
        );
        p = first + b_p;
        tile_b[b_p * 17u + b_at] = vec4f(
            tile_load_b(p, load_col, block.end),
            tile_load_b(p, load_col + 1u, block.end),
            tile_load_b(p, load_col + 2u, block.end),
            tile_load_b(p, load_col + 3u, block.end),
        );
        workgroupBarrier();
        for (var i = 0u; i < TILE_K; i++) {
            let rows = tile_a[i * 17u + y];
            let cols = tile_b[i * 17u + x];
            sum0 += rows.x * cols;
            sum1 += rows.y * cols;
            sum2 += rows.z * cols;
            sum3 += rows.w * cols;
        }
        workgroupBarrier();
    }
    let row = block.row + y * 4u;
    let col = block.col + x * 4u;
    for (var j = 0u; j < 4u; j++) {
        store(block.part, row, col + j, sum0[j]);
        store(block.part, row + 1u, col + j, sum1[j]);
        store(block.part, row + 2u, col + j, sum2[j]);
        store(block.part, row + 3u, col + j, sum3[j]);
    }
}
