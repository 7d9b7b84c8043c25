// Blocks of outputs that an invocation holds: by loads of four neighbours, and as 4 x 4 matrices.

@group(0) @binding(1) var<storage, read> a4: array<vec4f>;
@group(0) @binding(2) var<storage, read> b4: array<vec4f>;

// Rows and columns from four neighbours each, as a product: entry [i][j] is rows[i] * cols[j].
fn outer(rows: vec4f, cols: vec4f) -> mat4x4f {
    return mat4x4f(rows.x * cols, rows.y * cols, rows.z * cols, rows.w * cols);
}

// 8 x 16 outputs, as 2 x 4 blocks of which [i][j] is row i, column j.
fn store_block(part: u32, row: u32, col: u32, sums: array<mat4x4f, 8>) {
    var blocks = sums;
    let rows = min(8u, params.m - row);
    let cols = min(16u, params.n - col);
    for (var i = 0u; i < rows; i++) {
        for (var j = 0u; j < cols; j++) {
            store(part, row + i, col + j, blocks[i / 4u * 4u + j / 4u][i % 4u][j % 4u]);
        }
    }
}
