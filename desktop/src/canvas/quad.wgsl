// A part of a texture, as large as the viewport. egui's own shader can do more and costs many times as much where a
// processor runs it.

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) uv: vec2<f32>,
}

@group(0) @binding(0) var sheet: texture_2d<f32>;
@group(0) @binding(1) var filtering: sampler;

@vertex
fn corner(@builtin(vertex_index) i: u32, @location(0) uv: vec2<f32>) -> Corner {
    let at = vec2<f32>(f32(i & 1u), f32(i >> 1u));
    return Corner(vec4<f32>(2.0 * at.x - 1.0, 1.0 - 2.0 * at.y, 0.0, 1.0), uv);
}

@fragment
fn colour(in: Corner) -> @location(0) vec4<f32> {
    return textureSample(sheet, filtering, in.uv);
}
