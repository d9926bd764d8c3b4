// What every kernel of the 3x3 convolution shares: stride 1, zero padding 1, bias, and what it is added to; NCHW, f32.
//
// A thread keeps 4 output channels of one patch in registers, 64 sums.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;       // (b, c, h, w)
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;  // 3x3 for every pair of channels
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;    // (o)
@group(0) @binding(3) var<storage, read_write> onto: array<f32>;    // (b, o, h, w); anything where there is none
@group(0) @binding(4) var<storage, read_write> params: array<u32>;  // b, c, o, h, w, then see Weights, then 1 with onto
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // (b, o, h, w)

fn store(to: u32, o: u32, sum: f32) {
    var v = sum + bias[o];
    if (params[8] != 0u) { v += onto[to]; }
    y[to] = v;
}

// Where the 3x3 weights of a pair of channels lie. The gradient of the input is the same convolution with channels
// exchanged and the window turned by half a circle.
struct Weights {
    outputs: u32,      // elements from an output channel to the next
    inputs: u32,       // from an input channel to the next
    turned: bool,
}

// Four output channels from `o` on of one tap. Channels past the last repeat it: what they give is not stored.
fn weights_of(strides: Weights, o: u32, c: u32, tap: u32) -> vec4<f32> {
    let last = params[2] - 1u;
    let at = min(c, params[1] - 1u) * strides.inputs + select(tap, 8u - tap, strides.turned);
    return vec4<f32>(
        weight[min(o, last) * strides.outputs + at],
        weight[min(o + 1u, last) * strides.outputs + at],
        weight[min(o + 2u, last) * strides.outputs + at],
        weight[min(o + 3u, last) * strides.outputs + at],
    );
}

// The six columns of a patch: clamped into the map, and whether they lie in it (the second always does).
struct Columns {
    a: vec4<u32>,
    b: vec2<u32>,
    a_in: vec4<bool>,
    b_in: vec2<bool>,
}

fn columns_of(left: u32, w: u32) -> Columns {
    let a = vec4<u32>(left, left + 1u, left + 2u, left + 3u);  // one more than the column
    let b = vec2<u32>(left + 4u, left + 5u);
    return Columns(
        clamp(a, vec4<u32>(1u), vec4<u32>(w)) - 1u,
        clamp(b, vec2<u32>(1u), vec2<u32>(w)) - 1u,
        vec4<bool>(a.x >= 1u, true, a.z <= w, a.w <= w),
        b <= vec2<u32>(w),
    );
}

// The sums of a row of the patch (a column of the matrix is a pixel, a row an output channel) plus one row of the window,
// `w`, over one row of the inputs.
fn add_row(sums: mat4x4<f32>, w: mat3x4<f32>, v: array<f32, 6>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(w[0], vec4<f32>(v[0]), fma(w[1], vec4<f32>(v[1]), fma(w[2], vec4<f32>(v[2]), sums[0]))),
        fma(w[0], vec4<f32>(v[1]), fma(w[1], vec4<f32>(v[2]), fma(w[2], vec4<f32>(v[3]), sums[1]))),
        fma(w[0], vec4<f32>(v[2]), fma(w[1], vec4<f32>(v[3]), fma(w[2], vec4<f32>(v[4]), sums[2]))),
        fma(w[0], vec4<f32>(v[3]), fma(w[1], vec4<f32>(v[4]), fma(w[2], vec4<f32>(v[5]), sums[3]))),
    );
}
