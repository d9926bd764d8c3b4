// Attention over heads of 32 features.
// Twin: shaders/src/ops/attend/plain.rs::forward
const WIDTH: u32 = 8u;  // vectors of a head

#import attend

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    attend(id.x, id.y, id.z);
}
