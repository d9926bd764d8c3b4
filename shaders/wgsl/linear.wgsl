// The linear layer: rows times the transposed weights, bias, and what it is added to.
// Twin: shaders/src/ops/linear.rs::reference
//
// A thread makes four rows of four outputs and reads both operands straight from memory, four inputs a vector: 64
// multiply-adds for 8 loads, which neighbours repeat out of the cache. The rows of a U-Net's tokens are few, so that what
// counts is how many threads there are and how little they wait; there is no shared memory and no barrier.
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;       // (rows, inputs / 4)
@group(0) @binding(1) var<storage, read_write> weight: array<vec4<f32>>;  // (outputs, inputs / 4)
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;          // (outputs); anything where there is none
@group(0) @binding(3) var<storage, read_write> onto: array<f32>;          // (rows, outputs); anything where there is none
@group(0) @binding(4) var<storage, read_write> params: array<u32>;        // rows, outputs, inputs / 4, 1 with a bias, 1 with onto
@group(0) @binding(5) var<storage, read_write> y: array<f32>;             // (rows, outputs)

const ROWS: u32 = 8u;     // groups of four rows of a workgroup
const OUTPUTS: u32 = 8u;  // groups of four outputs of a workgroup

fn products(v: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return vec4<f32>(dot(v, w[0]), dot(v, w[1]), dot(v, w[2]), dot(v, w[3]));
}

fn store(row: u32, o: u32, sums: vec4<f32>) {
    let rows = params[0];
    let outputs = params[1];
    if (row >= rows) { return; }
    for (var i = 0u; i < min(4u, outputs - o); i++) {
        var v = sums[i];
        if (params[3] != 0u) { v += bias[o + i]; }
        if (params[4] != 0u) { v += onto[row * outputs + o + i]; }
        y[row * outputs + o + i] = v;
    }
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let rows = params[0];
    let outputs = params[1];
    let depth = params[2];
    let row = (group.x * ROWS + lane / OUTPUTS) * 4u;
    let o = (group.y * OUTPUTS + lane % OUTPUTS) * 4u;
    if (row >= rows || o >= outputs) { return; }
    // Rows and outputs past the last repeat it; what they give is not stored.
    let rows_at = min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), vec4<u32>(rows - 1u)) * depth;
    let outputs_at = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(outputs - 1u)) * depth;
    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    for (var k = 0u; k < depth; k++) {
        let w = mat4x4<f32>(weight[outputs_at.x + k], weight[outputs_at.y + k], weight[outputs_at.z + k], weight[outputs_at.w + k]);
        sums0 += products(x[rows_at.x + k], w);
        sums1 += products(x[rows_at.y + k], w);
        sums2 += products(x[rows_at.z + k], w);
        sums3 += products(x[rows_at.w + k], w);
    }
    store(row, o, sums0);
    store(row + 1u, o, sums1);
    store(row + 2u, o, sums2);
    store(row + 3u, o, sums3);
}
