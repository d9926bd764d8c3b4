// Layer norm over the last axis, gain, offset; f32. One thread a row, which it reads three times, from the second on out
// of the cache: for the mean, for the variance around it, and for the output.
// Twin: shaders/src/ops/layer_norm.rs::reference
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;       // (rows, d / 4)
@group(0) @binding(1) var<storage, read_write> gain: array<vec4<f32>>;    // (d / 4)
@group(0) @binding(2) var<storage, read_write> offset: array<vec4<f32>>;  // (d / 4); anything where there is none
@group(0) @binding(3) var<storage, read_write> params: array<u32>;        // rows, d / 4, 1 with an offset
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;       // (rows, d / 4)

const EPS: f32 = 1e-5;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let width = params[1];
    if (id.x >= params[0]) { return; }
    let start = id.x * width;
    let share = vec4<f32>(1.0 / f32(width * 4u));
    var sums = vec4<f32>(0.0);
    for (var i = 0u; i < width; i++) {
        sums += x[start + i];
    }
    let mean = dot(sums, share);
    var squares = vec4<f32>(0.0);
    for (var i = 0u; i < width; i++) {
        let v = x[start + i] - mean;
        squares = fma(v, v, squares);
    }
    let scale = inverseSqrt(dot(squares, share) + EPS);
    for (var i = 0u; i < width; i++) {
        var v = (x[start + i] - mean) * scale * gain[i];
        if (params[2] != 0u) { v += offset[i]; }
        y[start + i] = v;
    }
}
