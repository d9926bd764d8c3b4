// Layer norm over the last axis, gain, offset, and what it is added to; f32. One thread a row, which it reads three times,
// from the second on out of the cache: for the mean, for the variance around it, and for the output. The input may be a
// view, such as the pixels of a map as tokens, and so may be what it is added to; the output may lie as a map.
// Twin: shaders/src/ops/layer_norm.rs::reference
@group(0) @binding(0) var<storage, read_write> x: array<f32>;       // (b, n, d), elements between neighbours in params
@group(0) @binding(1) var<storage, read_write> gain: array<f32>;    // (d)
@group(0) @binding(2) var<storage, read_write> offset: array<f32>;  // (d); anything where there is none
@group(0) @binding(3) var<storage, read_write> onto: array<f32>;    // (b, n, d) as params say; anything where there is none
@group(0) @binding(4) var<storage, read_write> params: array<u32>;  // b n, n, d, three of x, 1 with an offset, 1 with onto, three of it, three of y
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // (b, n, d) as params say

const EPS: f32 = 1e-5;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let width = params[2];
    let step = params[5];
    if (id.x >= params[0]) { return; }
    let image = id.x / params[1];
    let row = id.x % params[1];
    let start = image * params[3] + row * params[4];
    let share = 1.0 / f32(width);
    var sum = 0.0;
    for (var i = 0u; i < width; i++) {
        sum += x[start + i * step];
    }
    let mean = sum * share;
    var squares = 0.0;
    for (var i = 0u; i < width; i++) {
        let v = x[start + i * step] - mean;
        squares = fma(v, v, squares);
    }
    let scale = inverseSqrt(squares * share + EPS);
    let beside = image * params[8] + row * params[9];
    let to = image * params[11] + row * params[12];
    for (var i = 0u; i < width; i++) {
        var v = (x[start + i * step] - mean) * scale * gain[i];
        if (params[6] != 0u) { v += offset[i]; }
        if (params[7] != 0u) { v += onto[beside + i * params[10]]; }
        y[to + i * params[13]] = v;
    }
}
