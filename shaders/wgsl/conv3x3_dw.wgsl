// The gradient of the 3x3 convolution with respect to its weight: of every pair of channels nine sums over all pixels of
// all images. Stride 1, zero padding 1; NCHW, f32.
// Twin: shaders/src/ops/conv3x3.rs::Conv3x3
//
// Workgroup (x, y, z) makes 32 output channels, those from 32 x on, of 16 input channels, those from 16 y on, over patches
// z * share .. of the map, which are so few that a device is full; what the workgroups of one pair of channels make is added
// up afterwards. A thread keeps four output channels of one input channel in registers, 36 sums. For a patch it reads 9 vectors of
// inputs and 16 of gradients for 576 multiply-adds.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;       // (b, c, h, w)
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;      // (b, o, h, w)
@group(0) @binding(2) var<storage, read_write> params: array<u32>;  // b, c, o, h, w, patches of a workgroup
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;      // (z, o, c, 3, 3)

const QUADS: u32 = 8u;      // groups of four output channels of a workgroup
const CHANNELS: u32 = 16u;  // input channels of a workgroup
const PATCHES: u32 = 2u;    // patches in shared memory at a time
const THREADS: u32 = QUADS * CHANNELS;
// Gradients as vectors of four output channels of one pixel, then inputs as 9 vectors a patch and channel: its 6 x 6 cells
// in order.
const INPUTS: u32 = PATCHES * 16u * QUADS;

#import conv3x3_patches

var<workgroup> pool: array<vec4<f32>, INPUTS + PATCHES * CHANNELS * 9u>;
var<workgroup> rounds: u32;

// One pixel of a patch, four output channels from `o` on. Channels past the last repeat it: what they give is not stored.
fn gradients_at(spot: Patch, pixel: u32, o: u32, some: bool) -> vec4<f32> {
    let line = spot.top + pixel / 4u;
    let column = spot.left + pixel % 4u;
    let last = params[2] - 1u;
    let plane = params[3] * params[4];
    let first = spot.image * params[2] * plane + min(line, params[3] - 1u) * params[4] + min(column, params[4] - 1u);
    let v = vec4<f32>(
        dy[first + min(o, last) * plane],
        dy[first + min(o + 1u, last) * plane],
        dy[first + min(o + 2u, last) * plane],
        dy[first + min(o + 3u, last) * plane],
    );
    return select(vec4<f32>(0.0), v, vec4<bool>(some && line < params[3] && column < params[4]));
}

// One of the 6 x 6 cells of a patch; zero outside the map.
fn cell_at(plane: u32, spot: Patch, cell: u32, some: bool) -> f32 {
    let row = spot.top + cell / 6u;  // one more than the row
    let column = spot.left + cell % 6u;
    let at = (plane + clamp(row, 1u, params[3]) - 1u) * params[4] + clamp(column, 1u, params[4]) - 1u;
    let inside = some && row >= 1u && row <= params[3] && column >= 1u && column <= params[4];
    return select(0.0, x[at], inside);
}

fn inputs_at(spot: Patch, c: u32, vector: u32, some: bool) -> vec4<f32> {
    let plane = (spot.image * params[1] + min(c, params[1] - 1u)) * params[3];
    let cell = vector * 4u;
    return vec4<f32>(
        cell_at(plane, spot, cell, some),
        cell_at(plane, spot, cell + 1u, some),
        cell_at(plane, spot, cell + 2u, some),
        cell_at(plane, spot, cell + 3u, some),
    );
}

fn input_rows(at: u32) -> Rows {
    return two_rows(pool[at], pool[at + 1u], pool[at + 2u]);
}

// A row of gradients, a column of the matrix a pixel, a row of it an output channel.
fn gradient_row(at: u32) -> mat4x4<f32> {
    return mat4x4<f32>(pool[at], pool[at + QUADS], pool[at + 2u * QUADS], pool[at + 3u * QUADS]);
}

// The sums of a row of the window (a column of the matrix is a tap, a row an output channel) plus a row of gradients over
// a row of inputs.
fn add_row(sums: mat3x4<f32>, d: mat4x4<f32>, v: array<f32, 6>) -> mat3x4<f32> {
    return mat3x4<f32>(
        sums[0] + d * vec4<f32>(v[0], v[1], v[2], v[3]),
        sums[1] + d * vec4<f32>(v[1], v[2], v[3], v[4]),
        sums[2] + d * vec4<f32>(v[2], v[3], v[4], v[5]),
    );
}

fn store_row(at: u32, o: u32, row: u32, sums: mat3x4<f32>) {
    let step = params[1] * 9u;
    for (var k = 0u; k < min(4u, params[2] - o); k++) {
        for (var i = 0u; i < 3u; i++) {
            dw[at + k * step + row * 3u + i] = sums[i][k];
        }
    }
}

@compute @workgroup_size(128, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    // For the barriers the bound of the loop must be the same in all threads, in a way a compiler can see.
    if (lane == 0u) { rounds = (params[5] + PATCHES - 1u) / PATCHES; }
    let rounds_n = workgroupUniformLoad(&rounds);
    let patches = params[0] * ((params[3] + 3u) / 4u) * ((params[4] + 3u) / 4u);
    let first = group.z * params[5];
    let end = min(first + params[5], patches);
    let quad = lane % QUADS;
    let channel = lane / QUADS;

    var top = mat3x4<f32>();
    var middle = mat3x4<f32>();
    var bottom = mat3x4<f32>();
    for (var round = 0u; round < rounds_n; round++) {
        let from_patch = first + round * PATCHES;
        // Neighbouring threads read neighbouring pixels of one channel, and neighbouring cells.
        for (var i = lane; i < PATCHES * 16u * QUADS; i += THREADS) {
            let pixel = i % 16u;
            let q = i / 16u % QUADS;
            let p = i / (16u * QUADS);
            let index = from_patch + p;
            let spot = patch_at(min(index, patches - 1u));
            pool[(p * 16u + pixel) * QUADS + q] = gradients_at(spot, pixel, (group.x * QUADS + q) * 4u, index < end);
        }
        for (var i = lane; i < PATCHES * CHANNELS * 9u; i += THREADS) {
            let index = from_patch + i / (CHANNELS * 9u);
            let spot = patch_at(min(index, patches - 1u));
            let c = group.y * CHANNELS + i / 9u % CHANNELS;
            pool[INPUTS + i] = inputs_at(spot, c, i % 9u, index < end);
        }
        workgroupBarrier();
        for (var p = 0u; p < PATCHES; p++) {
            let gradients = p * 16u * QUADS + quad;
            let inputs = INPUTS + (p * CHANNELS + channel) * 9u;
            let rows01 = input_rows(inputs);
            let d0 = gradient_row(gradients);
            top = add_row(top, d0, rows01.upper);
            middle = add_row(middle, d0, rows01.lower);
            let rows23 = input_rows(inputs + 3u);
            bottom = add_row(bottom, d0, rows23.upper);
            let d1 = gradient_row(gradients + 4u * QUADS);
            top = add_row(top, d1, rows01.lower);
            middle = add_row(middle, d1, rows23.upper);
            bottom = add_row(bottom, d1, rows23.lower);
            let d2 = gradient_row(gradients + 8u * QUADS);
            top = add_row(top, d2, rows23.upper);
            middle = add_row(middle, d2, rows23.lower);
            let rows45 = input_rows(inputs + 6u);
            bottom = add_row(bottom, d2, rows45.upper);
            let d3 = gradient_row(gradients + 12u * QUADS);
            top = add_row(top, d3, rows23.lower);
            middle = add_row(middle, d3, rows45.upper);
            bottom = add_row(bottom, d3, rows45.lower);
        }
        workgroupBarrier();
    }
    let o = (group.x * QUADS + quad) * 4u;
    let c = group.y * CHANNELS + channel;
    if (o >= params[2] || c >= params[1]) { return; }
    let at = ((group.z * params[2] + o) * params[1] + c) * 9u;
    store_row(at, o, 0u, top);
    store_row(at, o, 1u, middle);
    store_row(at, o, 2u, bottom);
}
