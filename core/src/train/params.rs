//! The parameters of a network as a list of flat tensors, in the order in which Burn visits them.
//!
//! The optimiser, the moving average and checkpoints all work on such lists, so none of them knows a network.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// One flat tensor for every parameter.
pub type Flat = Vec<Tensor<1>>;

/// A flat copy of every parameter, outside any graph.
#[must_use]
pub fn values<M: Module>(module: &M) -> Flat {
    struct Visitor(Flat);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(flatten(plain(param.val())));
        }
    }
    let mut visitor = Visitor(Vec::new());
    module.visit(&mut visitor);
    visitor.0
}

/// A flat gradient for every parameter, zeros for those that took no part.
#[must_use]
pub fn gradients<M: Module>(module: &M, mut grads: Gradients) -> Flat {
    struct Visitor<'a>(&'a mut Gradients, Flat);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let grad = value.grad_remove(self.0).unwrap_or_else(|| plain(value).zeros_like());
            self.1.push(flatten(grad));
        }
    }
    let mut visitor = Visitor(&mut grads, Vec::new());
    module.visit(&mut visitor);
    visitor.1
}

/// The network with other values; `graph` says whether they join a graph of gradients, as they must in training.
///
/// # Panics
/// If `values` is not a list of this network's parameters.
#[must_use]
pub fn replace<M: Module>(module: M, values: Flat, graph: Graph) -> M {
    struct Mapper {
        values: std::vec::IntoIter<Tensor<1>>,
        graph: Graph,
    }
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, old, mapper) = param.consume();
            let value = self.values.next().expect("a value for every parameter").reshape(old.dims());
            let value = match self.graph {
                Graph::Tracked => Tensor::from_inner(value).require_grad(),
                Graph::None => value,
            };
            Param::from_mapped_value(id, value, mapper)
        }
    }
    module.map(&mut Mapper { values: values.into_iter(), graph })
}

/// Whether parameters join a graph of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graph {
    /// They do: the network can be trained.
    Tracked,
    /// They do not: the network can only be run.
    None,
}

fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() { tensor.inner() } else { tensor }
}

fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let n = tensor.dims().iter().product::<usize>();
    tensor.reshape([n])
}
