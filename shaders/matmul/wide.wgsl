// A 128 x 128 block per workgroup, 8 x 8 outputs per invocation, in all 16 KiB of workgroup memory that every adapter
// has: for large matrices whose rows in memory, and stretches of k, are multiples of four.
//
// The first half of the invocations loads A, the other half B: four vectors each, which lie along k or across it, and
// are turned so that a place of the tile holds four rows (columns) of one k. Places are swapped within a line by
// `wide_place`, so that invocations side by side write to, and read from, different banks.

// Of a workgroup.
const ROWS = 128u;
const COLS = 128u;
const TILE_K = 16u;     // of k, at a time

var<workgroup> wide_a: array<vec4f, 512>;   // [16 of k][128 rows]
var<workgroup> wide_b: array<vec4f, 512>;   // [16 of k][128 columns]

fn wide_place(p: u32, four: u32) -> u32 {
    return p * 32u + (four ^ (p / 4u * 2u));
}

@compute @workgroup_size(256)
fn wide(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = block_of(group, groups, ROWS, COLS);
    if block.part >= params.parts {
        return;
    }
    // What this invocation loads; a line is a row of A or a column of B.
    let of_b = lane >= 128u;
    let t = lane % 128u;
    let start = select(params.a_start, params.b_start, of_b);
    let line_step = select(params.a_row, params.b_col, of_b);
    let k_step = select(params.a_col, params.b_row, of_b);
    let lines = select(params.m, params.n, of_b);
    let along_k = k_step == 1u;
    let load_p = select(t / 32u, t % 4u, along_k) * 4u;
    let load_at = select(t % 32u, t / 4u, along_k);
    let line = select(block.row, block.col, of_b) + load_at * 4u;

    let x = lane % 16u;
    let y = lane / 16u;
    let four = vec4u(0u, 1u, 2u, 3u);
    var sum00 = mat4x4f();
    var sum01 = mat4x4f();
    var sum10 = mat4x4f();
    var sum11 = mat4x4f();
    for (var first = block.first; first < block.end; first += TILE_K) {
        // What lies past the end is read from within it, and zeroed.
        let p = first + load_p;
        let along = min(line + four, vec4u(lines - 1u)) * line_step + min(p, block.end - 4u);
        let across = min(p + four, vec4u(block.end - 1u)) * k_step + min(line, lines - 4u);
        let at = (start + select(across, along, along_k)) / 4u;
        var loaded: mat4x4f;
        if of_b {
            loaded = mat4x4f(b4[at.x], b4[at.y], b4[at.z], b4[at.w]);
        } else {
            loaded = mat4x4f(a4[at.x], a4[at.y], a4[at.z], a4[at.w]);
        }
        if along_k {
            loaded = transpose(loaded);
        }
        for (var i = 0u; i < 4u; i++) {
            let value = select(vec4f(), loaded[i], p + i < block.end);
            if of_b {
                wide_b[wide_place(load_p + i, load_at)] = value;
            } else {
                wide_a[wide_place(load_p + i, load_at)] = value;
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < TILE_K; i++) {
            let rows0 = wide_a[wide_place(i, y)];
            let rows1 = wide_a[wide_place(i, y + 16u)];
            let cols0 = wide_b[wide_place(i, x)];
            let cols1 = wide_b[wide_place(i, x + 16u)];
            sum00 += outer(rows0, cols0);
            sum01 += outer(rows0, cols1);
            sum10 += outer(rows1, cols0);
            sum11 += outer(rows1, cols1);
        }
        workgroupBarrier();
    }
    var sums = array<mat4x4f, 4>(sum00, sum01, sum10, sum11);
    for (var i = 0u; i < 8u; i++) {
        let row = block.row + i / 4u * 64u + y * 4u + i % 4u;
        for (var j = 0u; j < 8u; j++) {
            let col = block.col + j / 4u * 64u + x * 4u + j % 4u;
            store(block.part, row, col, sums[i / 4u * 2u + j / 4u][i % 4u][j % 4u]);
        }
    }
}
