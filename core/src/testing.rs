//! Goldens for the tests beside the code.

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

pub(crate) struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Self { bytes: std::fs::read(path).unwrap() }
    }

    fn raw(&self, key: &str) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(key).unwrap();
        (view.shape().to_vec(), view.data().to_vec())
    }

    pub(crate) fn values(&self, key: &str) -> Vec<f32> {
        self.raw(key).1.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub(crate) fn integers(&self, key: &str) -> Vec<i64> {
        self.raw(key).1.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub(crate) fn flat(&self, key: &str) -> Tensor<1> {
        let values = self.values(key);
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &Device::flex())
    }

    pub(crate) fn row(&self, key: &str, row: usize) -> Tensor<1> {
        let width = self.raw(key).0[1];
        let values = self.values(key)[row * width..(row + 1) * width].to_vec();
        Tensor::from_data(TensorData::new(values, [width]), &Device::flex())
    }
}

pub(crate) fn close(got: &Tensor<1>, want: &Tensor<1>, tolerance: f32) {
    let (got, want) = (numbers(got), numbers(want));
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{i}: {g} not {w}");
    }
}

pub(crate) fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().try_to_vec().unwrap()
}
