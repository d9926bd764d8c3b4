// 3x3 convolution without shared memory: a thread makes four output channels of one patch, straight from memory.
// Twin: shaders/src/ops/conv3x3.rs::Conv3x3
//
// For few output channels, of which a tile of 32 would waste most, and for devices whose shared memory is memory like
// any other. Neighbours read the same weights and neighbouring patches. 72 loads a channel for 576 multiply-adds.
#import conv3x3_patches
#import conv3x3

fn input_row(plane: u32, row: u32, columns: Columns) -> array<f32, 6> {
    let at = (plane + clamp(row, 1u, params[3]) - 1u) * params[4];
    let inside = row >= 1u && row <= params[3];
    let a = vec4<f32>(x[at + columns.a.x], x[at + columns.a.y], x[at + columns.a.z], x[at + columns.a.w]);
    let b = vec2<f32>(x[at + columns.b.x], x[at + columns.b.y]);
    let u = select(vec4<f32>(0.0), a, columns.a_in & vec4<bool>(inside));
    let v = select(vec2<f32>(0.0), b, columns.b_in & vec2<bool>(inside));
    return array<f32, 6>(u.x, u.y, u.z, u.w, v.x, v.y);
}

fn window_row(strides: Weights, o: u32, c: u32, row: u32) -> mat3x4<f32> {
    let tap = row * 3u;
    return mat3x4<f32>(
        weights_of(strides, o, c, tap),
        weights_of(strides, o, c, tap + 1u),
        weights_of(strides, o, c, tap + 2u),
    );
}

fn store_row(spot: Patch, o: u32, row: u32, sums: mat4x4<f32>) {
    let o_n = params[2];
    let line = spot.top + row;
    if (line >= params[3]) { return; }
    for (var k = 0u; k < min(4u, o_n - o); k++) {
        let to = ((spot.image * o_n + o + k) * params[3] + line) * params[4] + spot.left;
        for (var i = 0u; i < min(4u, params[4] - spot.left); i++) {
            store(to + i, o + k, sums[i][k]);
        }
    }
}

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let patches = params[0] * ((params[3] + 3u) / 4u) * ((params[4] + 3u) / 4u);
    let o = id.x / patches * 4u;
    if (o >= params[2]) { return; }
    let spot = patch_at(id.x % patches);
    let strides = Weights(params[5], params[6], params[7] != 0u);
    let columns = columns_of(spot.left, params[4]);
    var row0 = mat4x4<f32>();
    var row1 = mat4x4<f32>();
    var row2 = mat4x4<f32>();
    var row3 = mat4x4<f32>();
    for (var c = 0u; c < params[1]; c++) {
        let plane = (spot.image * params[1] + c) * params[3];
        let top = window_row(strides, o, c, 0u);
        let middle = window_row(strides, o, c, 1u);
        let bottom = window_row(strides, o, c, 2u);
        let inputs0 = input_row(plane, spot.top, columns);
        row0 = add_row(row0, top, inputs0);
        let inputs1 = input_row(plane, spot.top + 1u, columns);
        row0 = add_row(row0, middle, inputs1);
        row1 = add_row(row1, top, inputs1);
        let inputs2 = input_row(plane, spot.top + 2u, columns);
        row0 = add_row(row0, bottom, inputs2);
        row1 = add_row(row1, middle, inputs2);
        row2 = add_row(row2, top, inputs2);
        let inputs3 = input_row(plane, spot.top + 3u, columns);
        row1 = add_row(row1, bottom, inputs3);
        row2 = add_row(row2, middle, inputs3);
        row3 = add_row(row3, top, inputs3);
        let inputs4 = input_row(plane, spot.top + 4u, columns);
        row2 = add_row(row2, bottom, inputs4);
        row3 = add_row(row3, middle, inputs4);
        let inputs5 = input_row(plane, spot.top + 5u, columns);
        row3 = add_row(row3, bottom, inputs5);
    }
    store_row(spot, o, 0u, row0);
    store_row(spot, o, 1u, row1);
    store_row(spot, o, 2u, row2);
    store_row(spot, o, 3u, row3);
}
