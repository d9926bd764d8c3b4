//! Reading a weight file, of which nothing is trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::load::LoadError;

/// The longest header that is parsed. A network of ten thousand parameters needs about one MiB.
pub const MAX_HEADER: u64 = 16 << 20;

/// A safetensors file in memory, its header checked.
#[derive(Debug, Clone)]
pub struct WeightFile {
    name: String,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl WeightFile {
    /// Checks everything but the numbers. `name` is what errors call the file.
    ///
    /// # Errors
    /// If the file is empty, a pickle, cut short, or has a header that is too long, is not one or names a tensor twice.
    pub fn parse(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, LoadError> {
        let name = name.into();
        let (start, header) = header(&name, &bytes)?;
        // `data_len` is the end of the last tensor, which deserialising has checked to follow all others without gaps.
        let needs = start.saturating_add(header.data_len());
        if needs != bytes.len() {
            return Err(LoadError::Length { file: name, has: bytes.len(), needs });
        }
        let tensors = header.tensors().into_iter().map(|(key, info)| {
            let (from, to) = info.data_offsets;
            (key, Entry { dtype: info.dtype, shape: info.shape.clone(), range: start + from..start + to })
        });
        let tensors = tensors.collect();
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { name, bytes, tensors, metadata })
    }

    /// What errors call the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's own metadata.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The keys of all tensors, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The axes of a tensor, if there is one of that key.
    #[must_use]
    pub fn shape(&self, key: &str) -> Option<&[usize]> {
        self.tensors.get(key).map(|entry| entry.shape.as_slice())
    }

    /// The numbers of a tensor in row-major order, whichever of f32, f16 and bf16 they are kept in.
    ///
    /// # Errors
    /// If there is none of that key, it holds other numbers, or one of them is not finite.
    pub fn values(&self, key: &str) -> Result<Vec<f32>, LoadError> {
        let entry = self.tensors.get(key).ok_or_else(|| self.missing(key))?;
        let bytes = &self.bytes[entry.range.clone()];
        let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
        let values: Vec<f32> = match entry.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => halves().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => halves().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            dtype => {
                let (file, key) = (self.name.clone(), key.to_owned());
                return Err(LoadError::Dtype { file, key, dtype: dtype.to_string() });
            }
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(index) => {
                let (file, key) = (self.name.clone(), key.to_owned());
                Err(LoadError::NotFinite { file, key, index, value: values[index] })
            }
            None => Ok(values),
        }
    }

    /// The error of a key that is not there, with the present key that looks most like it.
    pub(crate) fn missing(&self, key: &str) -> LoadError {
        let nearest = self.keys().map(|other| (distance(key, other), other)).min();
        // More than half of the letters changed is no help.
        let nearest = nearest.filter(|(changes, _)| changes * 2 <= key.len()).map(|(_, other)| other.to_owned());
        LoadError::Missing { file: self.name.clone(), key: key.to_owned(), nearest }
    }
}

/// How many numbers are in a file, by its beginning: its header and the eight bytes before that are enough.
///
/// # Errors
/// Those of [`WeightFile::parse`], but for the length of the file.
pub fn numbers(name: &str, beginning: &[u8]) -> Result<u64, LoadError> {
    let (_, header) = header(name, beginning)?;
    let of = |shape: &[usize]| shape.iter().fold(1u64, |all, &n| all.saturating_mul(n as u64));
    Ok(header.tensors().values().fold(0u64, |all, info| all.saturating_add(of(&info.shape))))
}

/// Where the numbers begin, and what they are; no tensor is named twice.
fn header(name: &str, bytes: &[u8]) -> Result<(usize, Metadata), LoadError> {
    let file = || name.to_owned();
    if bytes.is_empty() {
        return Err(LoadError::Empty { file: file() });
    }
    if is_pickle(bytes) {
        return Err(LoadError::Pickle { file: file() });
    }
    let length = match bytes.first_chunk::<8>() {
        Some(first) => u64::from_le_bytes(*first),
        None => return Err(LoadError::Length { file: file(), has: bytes.len(), needs: 8 }),
    };
    let rest = bytes.len() - 8;
    if length > MAX_HEADER || length > rest as u64 {
        return Err(LoadError::HeaderLength { file: file(), length, rest });
    }
    let start = 8 + length as usize;
    let text = &bytes[8..start];
    let header = serde_json::from_slice::<Once>(text).and_then(|_| serde_json::from_slice(text));
    Ok((start, header.map_err(|e| LoadError::Header { file: file(), reason: e.to_string() })?))
}

/// An object without a key that is there twice: the format forbids them, and readers differ in which of the two they take.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(format!("{key} is there twice")));
            }
        }
        Ok(self)
    }
}

/// PyTorch's own formats: a zip archive of a pickle, or a bare pickle of protocol 2 to 5.
fn is_pickle(bytes: &[u8]) -> bool {
    // A header of 640 bytes begins like a pickle of protocol 2, but its ninth byte opens a JSON object.
    bytes.get(8) != Some(&b'{') && (bytes.starts_with(b"PK") || matches!(bytes, [0x80, 2..=5, ..]))
}

/// Edits that turn one key into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
