//! Writing parameters.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use half::f16;
use serde_json::json;

use super::named;

/// How numbers are kept in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Half precision: half the bytes, 11 bits of each number. For shipping.
    F16,
    /// Single precision: what training needs to go on.
    F32,
}

/// Why parameters could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The device did not hand them over.
    #[error("{key}: cannot be read from the device: {reason}")]
    Read {
        /// The tensor's key.
        key: String,
        /// What the device says.
        reason: String,
    },
    /// A number that the file could not hold; [`load`](super::load) would refuse it.
    #[error("{key}: element {index} is {value}, which {storage:?} cannot hold")]
    NotFinite {
        /// The tensor's key.
        key: String,
        /// Row-major index.
        index: usize,
        /// The number.
        value: f32,
        /// What it should have been kept as.
        storage: Storage,
    },
    /// Two parameters under one key.
    #[error("{key}: the key of two parameters")]
    Duplicate {
        /// The key.
        key: String,
    },
}

/// The bytes of a safetensors file with every parameter of `module` under `rename(path)`.
///
/// Tensors and metadata are sorted by key, so that the same network gives the same bytes.
///
/// # Errors
/// If a parameter cannot be read, holds a number that is not finite in `storage`, or shares its key.
pub async fn save<M: Module>(
    module: &M,
    metadata: &BTreeMap<String, String>,
    storage: Storage,
    rename: impl Fn(&str) -> String,
) -> Result<Vec<u8>, SaveError> {
    let mut tensors = Tensors::new(storage);
    for param in named(module) {
        tensors.add(rename(&param.path), param.shape, param.values).await?;
    }
    Ok(tensors.assemble(metadata))
}

/// Tensors on their way into a file.
#[derive(Debug)]
pub struct Tensors {
    storage: Storage,
    by_key: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
}

impl Tensors {
    /// None yet.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self { storage, by_key: BTreeMap::new() }
    }

    /// One more, read from its device.
    ///
    /// # Shapes
    /// - values: `[n]`, as many as `shape` has elements
    ///
    /// # Errors
    /// If it cannot be read, holds a number that is not finite, or its key is taken.
    pub async fn add(&mut self, key: String, shape: Vec<usize>, values: Tensor<1>) -> Result<(), SaveError> {
        let read = |reason: String| SaveError::Read { key: key.clone(), reason };
        let data = values.into_data_async().await.map_err(|e| read(format!("{e:?}")))?;
        let values: Vec<f32> = data.try_into_vec_as().map_err(|e| read(format!("{e:?}")))?;
        let bytes = encode(&key, &values, self.storage)?;
        match self.by_key.insert(key.clone(), (shape, bytes)) {
            Some(_) => Err(SaveError::Duplicate { key }),
            None => Ok(()),
        }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn assemble(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        assemble(metadata, self.storage, &self.by_key)
    }
}

fn encode(key: &str, values: &[f32], storage: Storage) -> Result<Vec<u8>, SaveError> {
    let holds = |v: f32| match storage {
        Storage::F16 => f16::from_f32(v).is_finite(),
        Storage::F32 => v.is_finite(),
    };
    if let Some(index) = values.iter().position(|&v| !holds(v)) {
        return Err(SaveError::NotFinite { key: key.to_owned(), index, value: values[index], storage });
    }
    Ok(match storage {
        Storage::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Storage::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    })
}

/// The file by hand: the safetensors crate writes metadata in the order of a hash map, another one at every run.
fn assemble(
    metadata: &BTreeMap<String, String>,
    storage: Storage,
    tensors: &BTreeMap<String, (Vec<usize>, Vec<u8>)>,
) -> Vec<u8> {
    let dtype = match storage {
        Storage::F16 => "F16",
        Storage::F32 => "F32",
    };
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert("__metadata__", json!(metadata));
    }
    let mut end = 0;
    for (key, (shape, bytes)) in tensors {
        let start = end;
        end += bytes.len();
        header.insert(key, json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }));
    }
    let mut header = json!(header).to_string().into_bytes();
    // Spaces up to a multiple of eight bytes, so that the numbers are aligned, as the format asks.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = Vec::with_capacity(8 + header.len() + end);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header);
    for (_, bytes) in tensors.values() {
        file.extend(bytes);
    }
    file
}
