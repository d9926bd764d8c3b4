//! Parameters by name, and the files they are kept in.
//!
//! A parameter's path is the names of the fields that lead to it, joined by dots: `downs.0.pre.conv.weight`. Files are
//! safetensors and nothing else: a pickle can run code while it is being read, so none is ever opened.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the walk over a network's parameters |
//! | `save.rs` | [`save`]: the same network, the same bytes |
//! | `file.rs` | [`WeightFile`]: bytes that are not trusted, checked |
//! | `load.rs` | [`load`]: every parameter from the file, every tensor of the file used |
//! | `keys.rs` | [`imagen_pytorch`](keys::imagen_pytorch): our paths in the reference's words |

pub mod file;
pub mod keys;
pub mod load;
pub mod save;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

pub use file::{MAX_HEADER, WeightFile, numbers};
pub use load::{Leftover, LoadError, load};
pub use save::{SaveError, Storage, save};

/// A parameter and where it stands.
#[derive(Debug, Clone)]
pub struct Named {
    /// The path, for example `downs.0.pre.conv.weight`.
    pub path: String,
    /// The identity by which gradients and optimisers know it.
    pub id: ParamId,
    /// Its axes.
    pub shape: Vec<usize>,
    /// `[n]`, its values in row-major order, cut off from any graph.
    pub values: Tensor<1>,
}

/// All parameters of floating point, in the order of the fields.
#[must_use]
pub fn named<M: Module>(module: &M) -> Vec<Named> {
    let mut walk = Walk::default();
    module.visit(&mut walk);
    walk.found
}

/// The path itself as the only key: for files of our own.
#[must_use]
pub fn same(path: &str) -> Vec<String> {
    vec![path.to_owned()]
}

#[derive(Default)]
struct Walk {
    path: Vec<String>,
    found: Vec<Named>,
}

impl ModuleVisitor for Walk {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        let values = value.detach().reshape([shape.iter().product::<usize>()]);
        self.found.push(Named { path: self.path.join("."), id: param.id, shape, values });
    }
}

#[cfg(test)]
mod tests;
