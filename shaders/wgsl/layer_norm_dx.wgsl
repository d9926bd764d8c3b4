// Backward of layer_norm for its input; f32. One thread a row. It keeps what it knows of the row for layer_norm_da.
// Twin: shaders/src/ops/layer_norm.rs::reference_backward
@group(0) @binding(0) var<storage, read_write> x: array<f32>;       // (rows, d)
@group(0) @binding(1) var<storage, read_write> gain: array<f32>;    // (d)
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;      // (rows, d)
@group(0) @binding(3) var<storage, read_write> params: array<u32>;  // rows, d
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;      // (rows, d)
@group(0) @binding(5) var<storage, read_write> known: array<vec2<f32>>;  // (rows): its mean, and one over its deviation

const EPS: f32 = 1e-5;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let width = params[1];
    if (id.x >= params[0]) { return; }
    let start = id.x * width;
    let share = 1.0 / f32(width);
    var sum = 0.0;
    for (var i = 0u; i < width; i++) {
        sum += x[start + i];
    }
    let mean = sum * share;
    var squares = 0.0;
    for (var i = 0u; i < width; i++) {
        let v = x[start + i] - mean;
        squares = fma(v, v, squares);
    }
    let scale = inverseSqrt(squares * share + EPS);
    // With n the normal row and g = gain dy: dx = scale (g - mean(g) - n mean(g n)).
    var means = vec2<f32>(0.0);
    for (var i = 0u; i < width; i++) {
        let g = dy[start + i] * gain[i];
        means += vec2<f32>(g, g * (x[start + i] - mean) * scale);
    }
    means *= share;
    for (var i = 0u; i < width; i++) {
        let n = (x[start + i] - mean) * scale;
        dx[start + i] = scale * (dy[start + i] * gain[i] - means.x - n * means.y);
    }
    known[id.x] = vec2<f32>(mean, scale);
}
