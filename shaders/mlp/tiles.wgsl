// The products, in tiles that an invocation holds in registers: written out, as drivers that run on the CPU are slow where
// a tile is an array. A tile has four units, and the rows of `high` cells.

// z = weights x, where the gradient of y will be.
fn forward_tiles(lane: u32, here: Layer) {
    for (var t = lane; t < here.fours * (blocks / high); t += lanes) {
        let row = t % (blocks / high) * high;
        let four = t / (blocks / high);
        var x = here.x + row;
        var w = here.weights + four;
        var c0 = vec4f();
        var c1 = vec4f();
        var c2 = vec4f();
        var c3 = vec4f();
        var e0 = vec4f();
        var e1 = vec4f();
        var e2 = vec4f();
        var e3 = vec4f();
        for (var k = 0u; k <= here.inputs; k++) {
            let weights = weight(w);
            let x0 = cell(x);
            c0 += x0 * weights.x;
            c1 += x0 * weights.y;
            c2 += x0 * weights.z;
            c3 += x0 * weights.w;
            if high == 2u {
                let x1 = cell(x + 1u);
                e0 += x1 * weights.x;
                e1 += x1 * weights.y;
                e2 += x1 * weights.z;
                e3 += x1 * weights.w;
            }
            x += blocks;
            w += here.fours;
        }
        put_product(here, 4u * four, row, c0);
        put_product(here, 4u * four + 1u, row, c1);
        put_product(here, 4u * four + 2u, row, c2);
        put_product(here, 4u * four + 3u, row, c3);
        if high == 2u {
            put_product(here, 4u * four, row + 1u, e0);
            put_product(here, 4u * four + 1u, row + 1u, e1);
            put_product(here, 4u * four + 2u, row + 1u, e2);
            put_product(here, 4u * four + 3u, row + 1u, e3);
        }
    }
}

fn put_product(here: Layer, unit: u32, row: u32, z: vec4f) {
    if unit < here.outputs {
        set_cell(here.dy + unit * blocks + row, z);
    }
}

// y = function(z), and in the place of z the derivative, which the gradient will be multiplied by. Not within the tiles,
// of which each would have the function's code many times.
fn apply_function(lane: u32, here: Layer) {
    for (var i = lane; i < here.outputs * blocks; i += lanes) {
        let z = cell(here.dy + i);
        let y = activated(here.function, z);
        set_cell(here.y + i, y);
        set_cell(here.dy + i, derivatives(here.function, z, y));
    }
}

// dx = function' (transposed weights) dy. Behind the last output dy and the weights are 0.
fn backward_tiles(lane: u32, here: Layer, wanted: bool) {
    let tiles = select(0u, (here.inputs + 3u) / 4u * (blocks / high), wanted);
    for (var t = lane; t < tiles; t += lanes) {
        let row = t % (blocks / high) * high;
        let k = t / (blocks / high) * 4u;
        // The row behind the last input is the bias.
        let w0 = here.weights + k * here.fours;
        let w1 = here.weights + min(k + 1u, here.inputs) * here.fours;
        let w2 = here.weights + min(k + 2u, here.inputs) * here.fours;
        let w3 = here.weights + min(k + 3u, here.inputs) * here.fours;
        var dy = here.dy + row;
        var c0 = vec4f();
        var c1 = vec4f();
        var c2 = vec4f();
        var c3 = vec4f();
        var e0 = vec4f();
        var e1 = vec4f();
        var e2 = vec4f();
        var e3 = vec4f();
        for (var j = 0u; j < here.fours; j++) {
            let v0 = weight(w0 + j);
            let v1 = weight(w1 + j);
            let v2 = weight(w2 + j);
            let v3 = weight(w3 + j);
            let d0 = cell(dy);
            let d1 = cell(dy + blocks);
            let d2 = cell(dy + 2u * blocks);
            let d3 = cell(dy + 3u * blocks);
            c0 += d0 * v0.x + d1 * v0.y + d2 * v0.z + d3 * v0.w;
            c1 += d0 * v1.x + d1 * v1.y + d2 * v1.z + d3 * v1.w;
            c2 += d0 * v2.x + d1 * v2.y + d2 * v2.z + d3 * v2.w;
            c3 += d0 * v3.x + d1 * v3.y + d2 * v3.z + d3 * v3.w;
            if high == 2u {
                let f0 = cell(dy + 1u);
                let f1 = cell(dy + blocks + 1u);
                let f2 = cell(dy + 2u * blocks + 1u);
                let f3 = cell(dy + 3u * blocks + 1u);
                e0 += f0 * v0.x + f1 * v0.y + f2 * v0.z + f3 * v0.w;
                e1 += f0 * v1.x + f1 * v1.y + f2 * v1.z + f3 * v1.w;
                e2 += f0 * v2.x + f1 * v2.y + f2 * v2.z + f3 * v2.w;
                e3 += f0 * v3.x + f1 * v3.y + f2 * v3.z + f3 * v3.w;
            }
            dy += 4u * blocks;
        }
        multiply_gradient(here, k, row, c0);
        multiply_gradient(here, k + 1u, row, c1);
        multiply_gradient(here, k + 2u, row, c2);
        multiply_gradient(here, k + 3u, row, c3);
        if high == 2u {
            multiply_gradient(here, k, row + 1u, e0);
            multiply_gradient(here, k + 1u, row + 1u, e1);
            multiply_gradient(here, k + 2u, row + 1u, e2);
            multiply_gradient(here, k + 3u, row + 1u, e3);
        }
    }
}

fn multiply_gradient(here: Layer, unit: u32, row: u32, four: vec4f) {
    if unit < here.inputs {
        let i = here.dx + unit * blocks + row;
        set_cell(i, four * cell(i));
    }
}

// The weights' gradient, sums over the rows of x dy, and their update. A tile has four outputs and four inputs, or eight.
fn update_tiles(lane: u32, here: Layer) {
    let tall = 4u * high;
    for (var t = lane; t < (here.inputs + tall) / tall * here.fours; t += lanes) {
        let four = t % here.fours;
        let k = t / here.fours * tall;
        let x0 = here.x + k * blocks;
        let x1 = here.x + min(k + 1u, here.inputs) * blocks;
        let x2 = here.x + min(k + 2u, here.inputs) * blocks;
        let x3 = here.x + min(k + 3u, here.inputs) * blocks;
        let x4 = here.x + min(k + 4u, here.inputs) * blocks;
        let x5 = here.x + min(k + 5u, here.inputs) * blocks;
        let x6 = here.x + min(k + 6u, here.inputs) * blocks;
        let x7 = here.x + min(k + 7u, here.inputs) * blocks;
        let dy = here.dy + 4u * four * blocks;
        var g0 = vec4f();
        var g1 = vec4f();
        var g2 = vec4f();
        var g3 = vec4f();
        var g4 = vec4f();
        var g5 = vec4f();
        var g6 = vec4f();
        var g7 = vec4f();
        for (var row = 0u; row < blocks; row++) {
            let d0 = cell(dy + row);
            let d1 = cell(dy + blocks + row);
            let d2 = cell(dy + 2u * blocks + row);
            let d3 = cell(dy + 3u * blocks + row);
            g0 += dots(cell(x0 + row), d0, d1, d2, d3);
            g1 += dots(cell(x1 + row), d0, d1, d2, d3);
            g2 += dots(cell(x2 + row), d0, d1, d2, d3);
            g3 += dots(cell(x3 + row), d0, d1, d2, d3);
            if high == 2u {
                g4 += dots(cell(x4 + row), d0, d1, d2, d3);
                g5 += dots(cell(x5 + row), d0, d1, d2, d3);
                g6 += dots(cell(x6 + row), d0, d1, d2, d3);
                g7 += dots(cell(x7 + row), d0, d1, d2, d3);
            }
        }
        update_weights(here, k, four, g0);
        update_weights(here, k + 1u, four, g1);
        update_weights(here, k + 2u, four, g2);
        update_weights(here, k + 3u, four, g3);
        if high == 2u {
            update_weights(here, k + 4u, four, g4);
            update_weights(here, k + 5u, four, g5);
            update_weights(here, k + 6u, four, g6);
            update_weights(here, k + 7u, four, g7);
        }
    }
}

fn dots(x: vec4f, d0: vec4f, d1: vec4f, d2: vec4f, d3: vec4f) -> vec4f {
    return vec4f(dot(x, d0), dot(x, d1), dot(x, d2), dot(x, d3));
}
