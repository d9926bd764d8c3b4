// Backward of layer_norm for gain and offset: sums over rows, of a share of the rows a workgroup, to be added up afterwards.
// Workgroup (x, y) makes columns 32 x .. from rows share y ... Twin: shaders/src/ops/layer_norm.rs::reference_backward
@group(0) @binding(0) var<storage, read_write> x: array<f32>;       // (rows, d)
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;      // (rows, d)
@group(0) @binding(2) var<storage, read_write> known: array<vec2<f32>>;  // (rows), of layer_norm_dx
@group(0) @binding(3) var<storage, read_write> params: array<u32>;  // rows, d, rows of a workgroup
@group(0) @binding(4) var<storage, read_write> parts: array<f32>;   // (y, 2, d): of the gain, of the offset

const COLUMNS: u32 = 32u;
const ROWS: u32 = 4u;  // rows that a workgroup has under way

var<workgroup> partial: array<vec2<f32>, 128>;

@compute @workgroup_size(128, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let width = params[1];
    let column = group.x * COLUMNS + lane % COLUMNS;
    let first = group.y * params[2];
    let end = min(first + params[2], params[0]);
    var sum = vec2<f32>(0.0);
    if (column < width) {
        for (var row = first + lane / COLUMNS; row < end; row += ROWS) {
            let at = row * width + column;
            let n = (x[at] - known[row].x) * known[row].y;
            sum += vec2<f32>(dy[at] * n, dy[at]);
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane < COLUMNS && column < width) {
        for (var i = 1u; i < ROWS; i++) {
            sum += partial[lane + i * COLUMNS];
        }
        parts[group.y * 2u * width + column] = sum.x;
        parts[(group.y * 2u + 1u) * width + column] = sum.y;
    }
}
