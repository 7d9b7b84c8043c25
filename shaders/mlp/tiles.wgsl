// The products, in tiles that an invocation holds in registers: written out, as drivers that run on the CPU are slow where
// a tile is an array. A tile has the units of `wide` cells, and the rows of `high`.

// z = weights x, where the gradient of y will be.
fn forward_tiles(lane: u32, here: Layer) {
    for (var t = lane; t < (here.fours + wide - 1u) / wide * (blocks / high); t += lanes) {
        let row = t % (blocks / high) * high;
        let four = t / (blocks / high) * wide;
        let next = select(0u, 1u, four + 1u < here.fours);
        var x = here.x + row;
        var w = here.weights + four;
        var c0 = vec4f();
        var c1 = vec4f();
        var c2 = vec4f();
        var c3 = vec4f();
        var c4 = vec4f();
        var c5 = vec4f();
        var c6 = vec4f();
        var c7 = vec4f();
        var e0 = vec4f();
        var e1 = vec4f();
        var e2 = vec4f();
        var e3 = vec4f();
        var e4 = vec4f();
        var e5 = vec4f();
        var e6 = vec4f();
        var e7 = vec4f();
        for (var k = 0u; k <= here.inputs; k++) {
            let v = weight(w);
            let x0 = cell(x);
            var x1 = vec4f();
            c0 += x0 * v.x;
            c1 += x0 * v.y;
            c2 += x0 * v.z;
            c3 += x0 * v.w;
            if high == 2u {
                x1 = cell(x + 1u);
                e0 += x1 * v.x;
                e1 += x1 * v.y;
                e2 += x1 * v.z;
                e3 += x1 * v.w;
            }
            if wide == 2u {
                let u = weight(w + next);
                c4 += x0 * u.x;
                c5 += x0 * u.y;
                c6 += x0 * u.z;
                c7 += x0 * u.w;
                e4 += x1 * u.x;
                e5 += x1 * u.y;
                e6 += x1 * u.z;
                e7 += x1 * u.w;
            }
            x += blocks;
            w += here.fours;
        }
        put_products(here, 4u * four, row, c0, c1, c2, c3);
        if high == 2u {
            put_products(here, 4u * four, row + 1u, e0, e1, e2, e3);
        }
        if wide == 2u {
            put_products(here, 4u * four + 4u, row, c4, c5, c6, c7);
            put_products(here, 4u * four + 4u, row + 1u, e4, e5, e6, e7);
        }
    }
}

// Of four units from this one on.
fn put_products(here: Layer, unit: u32, row: u32, z0: vec4f, z1: vec4f, z2: vec4f, z3: vec4f) {
    put_product(here, unit, row, z0);
    put_product(here, unit + 1u, row, z1);
    put_product(here, unit + 2u, row, z2);
    put_product(here, unit + 3u, row, z3);
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
    let broad = 4u * wide;
    let tiles = select(0u, (here.inputs + broad - 1u) / broad * (blocks / high), wanted);
    for (var t = lane; t < tiles; t += lanes) {
        let row = t % (blocks / high) * high;
        let k = t / (blocks / high) * broad;
        // The row behind the last input is the bias.
        let w0 = here.weights + k * here.fours;
        let w1 = here.weights + min(k + 1u, here.inputs) * here.fours;
        let w2 = here.weights + min(k + 2u, here.inputs) * here.fours;
        let w3 = here.weights + min(k + 3u, here.inputs) * here.fours;
        let w4 = here.weights + min(k + 4u, here.inputs) * here.fours;
        let w5 = here.weights + min(k + 5u, here.inputs) * here.fours;
        let w6 = here.weights + min(k + 6u, here.inputs) * here.fours;
        let w7 = here.weights + min(k + 7u, here.inputs) * here.fours;
        var dy = here.dy + row;
        var c0 = vec4f();
        var c1 = vec4f();
        var c2 = vec4f();
        var c3 = vec4f();
        var c4 = vec4f();
        var c5 = vec4f();
        var c6 = vec4f();
        var c7 = vec4f();
        var e0 = vec4f();
        var e1 = vec4f();
        var e2 = vec4f();
        var e3 = vec4f();
        var e4 = vec4f();
        var e5 = vec4f();
        var e6 = vec4f();
        var e7 = vec4f();
        for (var j = 0u; j < here.fours; j++) {
            let d0 = cell(dy);
            let d1 = cell(dy + blocks);
            let d2 = cell(dy + 2u * blocks);
            let d3 = cell(dy + 3u * blocks);
            var f0 = vec4f();
            var f1 = vec4f();
            var f2 = vec4f();
            var f3 = vec4f();
            if high == 2u {
                f0 = cell(dy + 1u);
                f1 = cell(dy + blocks + 1u);
                f2 = cell(dy + 2u * blocks + 1u);
                f3 = cell(dy + 3u * blocks + 1u);
            }
            let v0 = weight(w0 + j);
            c0 += mixed(v0, d0, d1, d2, d3);
            e0 += mixed(v0, f0, f1, f2, f3);
            let v1 = weight(w1 + j);
            c1 += mixed(v1, d0, d1, d2, d3);
            e1 += mixed(v1, f0, f1, f2, f3);
            let v2 = weight(w2 + j);
            c2 += mixed(v2, d0, d1, d2, d3);
            e2 += mixed(v2, f0, f1, f2, f3);
            let v3 = weight(w3 + j);
            c3 += mixed(v3, d0, d1, d2, d3);
            e3 += mixed(v3, f0, f1, f2, f3);
            if wide == 2u {
                let v4 = weight(w4 + j);
                c4 += mixed(v4, d0, d1, d2, d3);
                e4 += mixed(v4, f0, f1, f2, f3);
                let v5 = weight(w5 + j);
                c5 += mixed(v5, d0, d1, d2, d3);
                e5 += mixed(v5, f0, f1, f2, f3);
                let v6 = weight(w6 + j);
                c6 += mixed(v6, d0, d1, d2, d3);
                e6 += mixed(v6, f0, f1, f2, f3);
                let v7 = weight(w7 + j);
                c7 += mixed(v7, d0, d1, d2, d3);
                e7 += mixed(v7, f0, f1, f2, f3);
            }
            dy += 4u * blocks;
        }
        multiply_gradients(here, k, row, c0, c1, c2, c3);
        if high == 2u {
            multiply_gradients(here, k, row + 1u, e0, e1, e2, e3);
        }
        if wide == 2u {
            multiply_gradients(here, k + 4u, row, c4, c5, c6, c7);
            multiply_gradients(here, k + 4u, row + 1u, e4, e5, e6, e7);
        }
    }
}

fn mixed(v: vec4f, d0: vec4f, d1: vec4f, d2: vec4f, d3: vec4f) -> vec4f {
    return d0 * v.x + d1 * v.y + d2 * v.z + d3 * v.w;
}

// Of four units from this one on.
fn multiply_gradients(here: Layer, unit: u32, row: u32, g0: vec4f, g1: vec4f, g2: vec4f, g3: vec4f) {
    multiply_gradient(here, unit, row, g0);
    multiply_gradient(here, unit + 1u, row, g1);
    multiply_gradient(here, unit + 2u, row, g2);
    multiply_gradient(here, unit + 3u, row, g3);
}

fn multiply_gradient(here: Layer, unit: u32, row: u32, four: vec4f) {
    if unit < here.inputs {
        let i = here.dx + unit * blocks + row;
        set_cell(i, four * cell(i));
    }
}

// The weights' gradient, sums over the rows of x dy, and their update. A tile has the outputs of `wide` cells, and four inputs
// for each of `high`.
fn update_tiles(lane: u32, here: Layer) {
    let tall = 4u * high;
    let across = (here.fours + wide - 1u) / wide;
    for (var t = lane; t < (here.inputs + tall) / tall * across; t += lanes) {
        let four = t % across * wide;
        let next = select(0u, 4u, four + 1u < here.fours);
        let k = t / across * tall;
        let x0 = here.x + k * blocks;
        let x1 = here.x + min(k + 1u, here.inputs) * blocks;
        let x2 = here.x + min(k + 2u, here.inputs) * blocks;
        let x3 = here.x + min(k + 3u, here.inputs) * blocks;
        let x4 = here.x + min(k + 4u, here.inputs) * blocks;
        let x5 = here.x + min(k + 5u, here.inputs) * blocks;
        let x6 = here.x + min(k + 6u, here.inputs) * blocks;
        let x7 = here.x + min(k + 7u, here.inputs) * blocks;
        let dy = here.dy + 4u * four * blocks;
        let dz = dy + next * blocks;
        var g0 = vec4f();
        var g1 = vec4f();
        var g2 = vec4f();
        var g3 = vec4f();
        var g4 = vec4f();
        var g5 = vec4f();
        var g6 = vec4f();
        var g7 = vec4f();
        var h0 = vec4f();
        var h1 = vec4f();
        var h2 = vec4f();
        var h3 = vec4f();
        var h4 = vec4f();
        var h5 = vec4f();
        var h6 = vec4f();
        var h7 = vec4f();
        for (var row = 0u; row < blocks; row++) {
            let d0 = cell(dy + row);
            let d1 = cell(dy + blocks + row);
            let d2 = cell(dy + 2u * blocks + row);
            let d3 = cell(dy + 3u * blocks + row);
            var f0 = vec4f();
            var f1 = vec4f();
            var f2 = vec4f();
            var f3 = vec4f();
            if wide == 2u {
                f0 = cell(dz + row);
                f1 = cell(dz + blocks + row);
                f2 = cell(dz + 2u * blocks + row);
                f3 = cell(dz + 3u * blocks + row);
            }
            let y0 = cell(x0 + row);
            g0 += dots(y0, d0, d1, d2, d3);
            h0 += dots(y0, f0, f1, f2, f3);
            let y1 = cell(x1 + row);
            g1 += dots(y1, d0, d1, d2, d3);
            h1 += dots(y1, f0, f1, f2, f3);
            let y2 = cell(x2 + row);
            g2 += dots(y2, d0, d1, d2, d3);
            h2 += dots(y2, f0, f1, f2, f3);
            let y3 = cell(x3 + row);
            g3 += dots(y3, d0, d1, d2, d3);
            h3 += dots(y3, f0, f1, f2, f3);
            if high == 2u {
                let y4 = cell(x4 + row);
                g4 += dots(y4, d0, d1, d2, d3);
                h4 += dots(y4, f0, f1, f2, f3);
                let y5 = cell(x5 + row);
                g5 += dots(y5, d0, d1, d2, d3);
                h5 += dots(y5, f0, f1, f2, f3);
                let y6 = cell(x6 + row);
                g6 += dots(y6, d0, d1, d2, d3);
                h6 += dots(y6, f0, f1, f2, f3);
                let y7 = cell(x7 + row);
                g7 += dots(y7, d0, d1, d2, d3);
                h7 += dots(y7, f0, f1, f2, f3);
            }
        }
        update_four(here, k, four, g0, g1, g2, g3);
        if high == 2u {
            update_four(here, k + 4u, four, g4, g5, g6, g7);
        }
        if wide == 2u {
            update_four(here, k, four + 1u, h0, h1, h2, h3);
            update_four(here, k + 4u, four + 1u, h4, h5, h6, h7);
        }
    }
}

// Of four inputs from this one on.
fn update_four(here: Layer, k: u32, four: u32, g0: vec4f, g1: vec4f, g2: vec4f, g3: vec4f) {
    update_weights(here, k, four, g0);
    update_weights(here, k + 1u, four, g1);
    update_weights(here, k + 2u, four, g2);
    update_weights(here, k + 3u, four, g3);
}

fn dots(x: vec4f, d0: vec4f, d1: vec4f, d2: vec4f, d3: vec4f) -> vec4f {
    return vec4f(dot(x, d0), dot(x, d1), dot(x, d2), dot(x, d3));
}
