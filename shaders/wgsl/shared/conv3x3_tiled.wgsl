// The convolution as an implicit matrix product of weights and windows, through shared memory.
//
// Small maps of several images share a workgroup, and every patch brings its own inputs: neighbours load their common
// border twice, but no tile depends on the shape of the map.
//
// For an input channel a thread reads 9 vectors of the patch and 9 of the weights for 576 multiply-adds. That ratio is
// what matters, on a GPU and even more on a rasteriser that emulates one, where a load of a vector costs as much as many
// sums.
//
// Workgroup (x, y) makes patches x * PATCHES .. and output channels y * QUADS * 4 ... It walks the input channels DEPTH
// at a time through shared memory; slice s of the threads takes channels s, s + SLICES .. of those. At the end slices
// are summed through shared memory, which also turns the order of threads so that neighbours write neighbours.
const THREADS: u32 = PATCHES * QUADS * SLICES;
// Weights as vectors of one tap and four output channels; one more than needed a row, for the banks of the memory.
const ROW: u32 = QUADS + 1u;
// Then the inputs as 9 vectors a patch: its 6 x 6 cells in order.
const INPUTS: u32 = DEPTH * 9u * ROW;
const SHARED: u32 = INPUTS + DEPTH * 9u * PATCHES;

var<workgroup> pool: array<vec4<f32>, SHARED>;
var<workgroup> depth: u32;

// Two rows of a patch, 12 cells, into three vectors. `row` is one more than the upper row, `plane` the first row of the
// channel. Channels past the last are zero, and so are cells outside the map.
fn load_rows(to: u32, plane: u32, row: u32, columns: Columns, some: bool) {
    let h = params[3];
    let w = params[4];
    let upper = (plane + clamp(row, 1u, h) - 1u) * w;
    let lower = (plane + min(row + 1u, h) - 1u) * w;
    let upper_in = some && row >= 1u && row <= h;
    let lower_in = some && row + 1u <= h;
    let a = columns.a;
    let b = columns.b;
    let zero = vec4<f32>(0.0);
    let upper_a = vec4<f32>(x[upper + a.x], x[upper + a.y], x[upper + a.z], x[upper + a.w]);
    pool[to] = select(zero, upper_a, columns.a_in & vec4<bool>(upper_in));
    let middle = vec4<f32>(x[upper + b.x], x[upper + b.y], x[lower + a.x], x[lower + a.y]);
    let middle_in = vec4<bool>(columns.b_in, columns.a_in.xy) & vec4<bool>(upper_in, upper_in, lower_in, lower_in);
    pool[to + PATCHES] = select(zero, middle, middle_in);
    let lower_b = vec4<f32>(x[lower + a.z], x[lower + a.w], x[lower + b.x], x[lower + b.y]);
    let lower_b_in = vec4<bool>(columns.a_in.zw, columns.b_in);
    pool[to + 2u * PATCHES] = select(zero, lower_b, lower_b_in & vec4<bool>(lower_in));
}

fn window_row(at: u32) -> mat3x4<f32> {
    return mat3x4<f32>(pool[at], pool[at + ROW], pool[at + 2u * ROW]);
}

fn input_rows(at: u32) -> Rows {
    return two_rows(pool[at], pool[at + PATCHES], pool[at + 2u * PATCHES]);
}

// Sums the slices of row `row` of every patch, adds the bias and stores.
fn store_row(lane: u32, group: vec2<u32>, row: u32, sums: mat4x4<f32>) {
    pool[lane * 4u] = sums[0];
    pool[lane * 4u + 1u] = sums[1];
    pool[lane * 4u + 2u] = sums[2];
    pool[lane * 4u + 3u] = sums[3];
    workgroupBarrier();
    let o_n = params[2];
    let h = params[3];
    let w = params[4];
    // Neighbouring threads: columns of a patch, then patches, then quads.
    for (var i = lane; i < QUADS * PATCHES * 4u; i += THREADS) {
        var sum = pool[i];
        for (var s = 1u; s < SLICES; s++) {
            sum += pool[s * QUADS * PATCHES * 4u + i];
        }
        let spot = patch_at(group.x * PATCHES + i / 4u % PATCHES);
        let line = spot.top + row;
        let column = spot.left + i % 4u;
        if (spot.image < params[0] && line < h && column < w) {
            let o = (group.y * QUADS + i / (PATCHES * 4u)) * 4u;
            for (var k = 0u; k < min(4u, max(o, o_n) - o); k++) {
                store(((spot.image * o_n + o + k) * h + line) * w + column, o + k, sum[k]);
            }
        }
    }
    workgroupBarrier();
}

fn convolve(lane: u32, group: vec2<u32>) {
    // For the barriers the bound of the loop must be the same in all threads, in a way a compiler can see.
    if (lane == 0u) { depth = params[1]; }
    let c_n = workgroupUniformLoad(&depth);
    let strides = Weights(params[5], params[6], params[7] != 0u);
    let patch_lane = lane % PATCHES;
    let quad = lane / PATCHES % QUADS;
    let slice = lane / (PATCHES * QUADS);
    let spot = patch_at(group.x * PATCHES + patch_lane);
    let columns = columns_of(spot.left, params[4]);
    let plane = min(spot.image, params[0] - 1u) * c_n;

    var row0 = mat4x4<f32>();
    var row1 = mat4x4<f32>();
    var row2 = mat4x4<f32>();
    var row3 = mat4x4<f32>();
    for (var c0 = 0u; c0 < c_n; c0 += DEPTH) {
        // Neighbouring threads read neighbouring taps of one quad, and the same rows of neighbouring patches.
        for (var i = lane; i < DEPTH * 9u * QUADS; i += THREADS) {
            let tap = i % (DEPTH * 9u);
            let q = i / (DEPTH * 9u);
            pool[tap * ROW + q] = weights_of(strides, (group.y * QUADS + q) * 4u, c0 + tap / 9u, tap % 9u);
        }
        for (var i = lane / PATCHES; i < DEPTH * 3u; i += QUADS * SLICES) {
            let c = c0 + i / 3u;
            let to = INPUTS + i * 3u * PATCHES + patch_lane;
            load_rows(to, (plane + min(c, c_n - 1u)) * params[3], spot.top + i % 3u * 2u, columns, c < c_n);
        }
        workgroupBarrier();
        for (var c = slice; c < DEPTH; c += SLICES) {
            let weights = c * 9u * ROW + quad;
            let top = window_row(weights);
            let middle = window_row(weights + 3u * ROW);
            let bottom = window_row(weights + 6u * ROW);
            let inputs = INPUTS + c * 9u * PATCHES + patch_lane;
            let rows01 = input_rows(inputs);
            row0 = add_row(row0, top, rows01.upper);
            row0 = add_row(row0, middle, rows01.lower);
            row1 = add_row(row1, top, rows01.lower);
            let rows23 = input_rows(inputs + 3u * PATCHES);
            row0 = add_row(row0, bottom, rows23.upper);
            row1 = add_row(row1, middle, rows23.upper);
            row2 = add_row(row2, top, rows23.upper);
            row1 = add_row(row1, bottom, rows23.lower);
            row2 = add_row(row2, middle, rows23.lower);
            row3 = add_row(row3, top, rows23.lower);
            let rows45 = input_rows(inputs + 6u * PATCHES);
            row2 = add_row(row2, bottom, rows45.upper);
            row3 = add_row(row3, middle, rows45.upper);
            row3 = add_row(row3, bottom, rows45.lower);
        }
        workgroupBarrier();
    }
    store_row(lane, group, 0u, row0);
    store_row(lane, group, 1u, row1);
    store_row(lane, group, 2u, row2);
    store_row(lane, group, 3u, row3);
}
