// The 1x1 convolution: at every pixel the weights times its channels, bias, and what it is added to; NCHW, f32.
// Twin: shaders/src/ops/pointwise.rs::reference
//
// A thread makes four output channels of four pixels, from vectors of four pixels and of four weights: 64 multiply-adds
// for 8 loads. Neighbours read neighbouring pixels and the same weights.
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;       // (b, c, hw / 4)
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<f32>>;  // (o, c / 4)
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;          // (o)
@group(0) @binding(3) var<storage, read_write> onto: array<vec4<f32>>;    // (b, o, hw / 4); anything where there is none
@group(0) @binding(4) var<storage, read_write> params: array<u32>;        // b, c / 4, o, hw / 4, 1 with onto
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;       // (b, o, hw / 4)

const PIXELS: u32 = 16u;  // groups of four pixels of a workgroup
const OUTPUTS: u32 = 4u;  // groups of four output channels of a workgroup

fn add(sum: vec4<f32>, w: vec4<f32>, v: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(w.x), v[0], fma(vec4<f32>(w.y), v[1], fma(vec4<f32>(w.z), v[2], fma(vec4<f32>(w.w), v[3], sum))));
}

fn store(o: u32, to: u32, sums: vec4<f32>) {
    if (o >= params[2]) { return; }
    var v = sums + bias[o];
    if (params[4] != 0u) { v += onto[to]; }
    y[to] = v;
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let depth = params[1];
    let outputs = params[2];
    let pixels = params[3];
    let pixel = group.x * PIXELS + lane % PIXELS;
    let o = (group.y * OUTPUTS + lane / PIXELS) * 4u;
    if (pixel >= pixels || o >= outputs || group.z >= params[0]) { return; }
    // Outputs past the last repeat it; what they give is not stored.
    let outputs_at = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(outputs - 1u)) * depth;
    var at = group.z * depth * 4u * pixels + pixel;
    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    for (var k = 0u; k < depth; k++) {
        let v = mat4x4<f32>(x[at], x[at + pixels], x[at + 2u * pixels], x[at + 3u * pixels]);
        at += 4u * pixels;
        sums0 = add(sums0, weight[outputs_at.x + k], v);
        sums1 = add(sums1, weight[outputs_at.y + k], v);
        sums2 = add(sums2, weight[outputs_at.z + k], v);
        sums3 = add(sums3, weight[outputs_at.w + k], v);
    }
    let to = (group.z * outputs + o) * pixels + pixel;
    store(o, to, sums0);
    store(o + 1u, to + pixels, sums1);
    store(o + 2u, to + 2u * pixels, sums2);
    store(o + 3u, to + 3u * pixels, sums3);
}
