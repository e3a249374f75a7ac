//! Where a model computes.

use burn::tensor::Device;

use crate::error::ModelError;

/// The device of that name, `cpu` or `cuda:N`.
///
/// # Errors
/// The name is another one, or the libtorch that was linked sees no such GPU.
// burn 0.22 deprecates libtorch in favour of kernels of its own, of which none runs these models as fast on a CPU.
#[expect(deprecated, reason = "libtorch is what the models are measured on")]
pub fn device(name: &str) -> Result<Device, ModelError> {
    let missing = |what| ModelError::Device { device: name.to_owned(), what };
    if name == "cpu" {
        return Ok(Device::libtorch());
    }
    let index = name.strip_prefix("cuda:").and_then(|index| index.parse::<usize>().ok());
    let index = index.ok_or_else(|| missing("devices are called cpu and cuda:N"))?;
    if usize::try_from(tch::Cuda::device_count()).unwrap_or(0) <= index {
        return Err(missing("libtorch sees fewer GPUs; link one that knows CUDA, as ops/setup.sh says"));
    }
    Ok(Device::libtorch_cuda(index))
}

/// Lets libtorch use that many threads inside an operation, for the whole process; by itself it takes every core.
pub fn set_threads(threads: usize) {
    let threads = i32::try_from(threads).unwrap_or(i32::MAX).max(1);
    tch::set_num_threads(threads);
}

/// Whether that device is a GPU.
#[expect(deprecated, reason = "see `device`")]
pub(crate) fn is_gpu(device: &Device) -> bool {
    *device != Device::libtorch()
}
