// Backward of attention for the queries, over heads of 64 features.
// Twin: shaders/src/ops/attend/plain.rs::backward
const WIDTH: u32 = 16u;  // vectors of a head

#import attend_dq

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    gradient(id.x, id.y, id.z);
}
