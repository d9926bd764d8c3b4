//! Filling a network from a file.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};

use super::file::{MAX_HEADER, WeightFile};

/// Why a file's weights were not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// No bytes.
    #[error("{file}: the file is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// PyTorch's own format.
    #[error("{file}: this is a PyTorch pickle, which can run code when opened; only safetensors files are read")]
    Pickle {
        /// The file.
        file: String,
    },
    /// More bytes for the header than there are or should be.
    #[error(
        "{file}: a header of {length} bytes, where {rest} bytes follow and {MAX_HEADER} are allowed; the file is cut \
         short, or not safetensors"
    )]
    HeaderLength {
        /// The file.
        file: String,
        /// Bytes of the header, as the file says.
        length: u64,
        /// Bytes after the eight that say so.
        rest: usize,
    },
    /// The header is not what the format asks for.
    #[error("{file}: not a safetensors header: {reason}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Fewer or more bytes than the header describes.
    #[error("{file}: {has} bytes, where {needs} are needed; the file is {}", if .has < .needs { "cut short" } else { "too long" })]
    Length {
        /// The file.
        file: String,
        /// Bytes of the file.
        has: usize,
        /// Bytes it should have.
        needs: usize,
    },
    /// A parameter that the file does not have.
    #[error("{file}: no tensor {key}{}", .nearest.as_ref().map(|n| format!("; the nearest is {n}")).unwrap_or_default())]
    Missing {
        /// The file.
        file: String,
        /// The key that was looked for.
        key: String,
        /// The key most like it.
        nearest: Option<String>,
    },
    /// A tensor of another shape.
    #[error("{file}: {key} has shape {found:?}, the network's is {wanted:?}")]
    Shape {
        /// The file.
        file: String,
        /// The tensor's key.
        key: String,
        /// In the file.
        found: Vec<usize>,
        /// In the network.
        wanted: Vec<usize>,
    },
    /// Numbers that are no weights.
    #[error("{file}: {key} holds {dtype}; weights are F32, F16 or BF16")]
    Dtype {
        /// The file.
        file: String,
        /// The tensor's key.
        key: String,
        /// What it holds.
        dtype: String,
    },
    /// A weight that would spoil every output.
    #[error("{file}: {key} is {value} at element {index}")]
    NotFinite {
        /// The file.
        file: String,
        /// The tensor's key.
        key: String,
        /// Row-major index.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Tensors that no parameter took.
    #[error("{file}: the network has no place for {} of its tensors: {}", .keys.len(), first_few(.keys))]
    Leftover {
        /// The file.
        file: String,
        /// Their keys, sorted.
        keys: Vec<String>,
    },
}

fn first_few(keys: &[String]) -> String {
    let more = if keys.len() > 3 { ", .." } else { "" };
    format!("{}{more}", keys[..keys.len().min(3)].join(", "))
}

/// What happens to tensors of a file that no parameter took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// They are an error: most likely the file belongs to another network.
    Refuse,
    /// They are ignored: the file holds more than this network.
    Allow,
    /// Those whose keys begin so are an error, others are ignored: the network is one part of the file's.
    RefuseUnder(&'static str),
}

impl Leftover {
    fn refuses(self, key: &str) -> bool {
        match self {
            Self::Refuse => true,
            Self::Allow => false,
            Self::RefuseUnder(prefix) => key.starts_with(prefix),
        }
    }
}

/// `module` with every parameter from `file`.
///
/// `rename` gives the keys under which a path may stand in the file; the first that is there is taken. Shapes must be
/// equal but for axes of length one. Whether a parameter learns, its device and its identity stay.
///
/// # Errors
/// If a parameter is missing or of another shape, a number is not finite, or a tensor of the file is not used that
/// `leftover` refuses.
pub fn load<M: Module>(
    module: M,
    file: &WeightFile,
    rename: impl Fn(&str) -> Vec<String>,
    leftover: Leftover,
) -> Result<M, LoadError> {
    let mut filler = Filler { file, rename, path: Vec::new(), used: BTreeSet::new(), error: None };
    let module = module.map(&mut filler);
    if let Some(error) = filler.error {
        return Err(error);
    }
    let unused = file.keys().filter(|key| !filler.used.contains(*key) && leftover.refuses(key));
    let unused: Vec<String> = unused.map(ToOwned::to_owned).collect();
    if !unused.is_empty() {
        return Err(LoadError::Leftover { file: file.name().to_owned(), keys: unused });
    }
    Ok(module)
}

struct Filler<'a, F> {
    file: &'a WeightFile,
    rename: F,
    path: Vec<String>,
    used: BTreeSet<String>,
    /// The first thing that went wrong; nothing is filled after it.
    error: Option<LoadError>,
}

impl<F: Fn(&str) -> Vec<String>> Filler<'_, F> {
    /// The numbers for the parameter at the current path.
    fn find(&mut self, wanted: &[usize]) -> Result<Vec<f32>, LoadError> {
        let path = self.path.join(".");
        let candidates = (self.rename)(&path);
        let present = candidates.iter().find_map(|key| Some((key, self.file.shape(key)?)));
        let Some((key, found)) = present else {
            return Err(self.file.missing(candidates.first().unwrap_or(&path)));
        };
        if !same_but_for_ones(found, wanted) {
            let (file, key) = (self.file.name().to_owned(), key.clone());
            return Err(LoadError::Shape { file, key, found: found.to_vec(), wanted: wanted.to_vec() });
        }
        let values = self.file.values(key)?;
        self.used.insert(key.clone());
        Ok(values)
    }
}

impl<F: Fn(&str) -> Vec<String>> ModuleMapper for Filler<'_, F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let shape = param.lazy_shape();
        match self.find(shape.as_slice()) {
            Ok(values) => {
                let (id, device) = (param.id, param.lazy_device());
                let data = TensorData::new(values, shape);
                let tensor = device.memory_persistent_allocations(data, |data| Tensor::from_data(data, &device));
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

/// Axes of length one hold nothing: a gain `[c, 1, 1]` is a gain `[c]`.
fn same_but_for_ones(a: &[usize], b: &[usize]) -> bool {
    let long = |n: &&usize| **n != 1;
    a.iter().filter(long).eq(b.iter().filter(long))
}
