// Attention over heads of 64 features.
// Twin: shaders/src/ops/attend/plain.rs::forward
const WIDTH: u32 = 16u;  // vectors of a head

#import attend

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    attend(id.x, id.y, id.z);
}
