"""Choose the device and the precision of a training, and list the versions in use."""

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from .. import DataError, job
from . import gpus

BACKENDS = ("tensorflow", "jax", "torch")
CPU = "/proc/cpuinfo"
HALF = "avx512_bf16"  # x86 CPUs that multiply in bfloat16: AMD's since Zen 4, Intel's servers since Sapphire Rapids
UNUSED = ("matplotlib", "pandas")  # Keras imports them, where they are, for functions that nothing here calls


def choose(wanted: str, threads: int) -> str:
    """Prepare the Keras backend for `auto`, `cpu` or `gpu` and return the device used (`cpu` or `gpu`). Of several GPUs
    this process takes one that no other training holds, and only as much of its memory as it needs.

    Must be called before Keras is imported; what a user's ~/.keras/keras.json says does not count. Raises DataError if
    `gpu` is wanted and the backend sees none, and for a backend that Keras does not know or that is not installed.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS or not find_spec(backend):
        why = "is not installed" if backend in BACKENDS else f"is none of {', '.join(BACKENDS)}"
        raise DataError(f"the environment variable KERAS_BACKEND is {backend!r}, which {why}; set it to tensorflow")
    taken = None
    if wanted == "cpu":
        os.environ[gpus.CHOICE] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    else:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"  # in the log stands what TensorFlow could not load
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        taken = gpus.take(gpus.listed())
    with _hidden(UNUSED):  # a sixth of the time that a job takes to start
        import keras
    found = _gpus(backend, threads)
    if wanted == "gpu" and not found:
        raise DataError(
            f"config.device is gpu, but {backend} sees no GPU (CUDA_VISIBLE_DEVICES is "
            f"{os.environ.get(gpus.CHOICE, 'not set')}); install envs/cuda.lock and check "
            "nvidia-smi, or set device to auto or cpu"
        )
    if taken is not None and not found:
        gpus.free()
        logging.getLogger(__name__).warning(
            "this machine has a GPU (%s), but %s sees none and trains on the CPU; the log says what it could not load; "
            "`make install ENV=cuda` installs TensorFlow with its libraries",
            *(taken, backend),
        )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    used = "gpu" if found and wanted != "cpu" else "cpu"
    logging.getLogger(__name__).info("%s on %s %s, %d threads", backend, used, found, threads)
    return used


def _gpus(backend: str, threads: int) -> list[str]:
    """Names of the GPUs that a backend sees; it is to use so many threads, and grow into a GPU's memory."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        found = tf.config.list_physical_devices("GPU")
        for each in found:
            tf.config.experimental.set_memory_growth(each, True)
        return [each.name for each in found]
    if backend == "jax":
        import jax

        return [str(each) for each in jax.devices() if each.platform == "gpu"]
    import torch

    torch.set_num_threads(threads)
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


@contextmanager
def _hidden(packages: tuple[str, ...]) -> Iterator[None]:
    """Packages that are not to be found inside the block (nothing is done about one that is already imported)."""
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: what Python takes for "not there"
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def precision(wanted: str, used: str) -> str:
    """Keras's dtype policy for `auto`, `float32` or `bfloat16` on a device (cpu or gpu): auto is bfloat16 where that
    device multiplies in it, as GPUs and newer CPUs do. There a step of a U-Net takes three quarters of the time.

    Raises DataError for `bfloat16` on a CPU that does not: TensorFlow takes more than twice as long there, or stops.
    """
    multiplies = used == "gpu" or HALF in _cpu_flags()
    if wanted == "bfloat16" and not multiplies:
        raise DataError(
            f"training.precision is bfloat16, but this CPU does not multiply in it (no {HALF} in {CPU}); set it to "
            "auto or float32"
        )
    return "mixed_bfloat16" if multiplies and wanted != "float32" else "float32"


def _cpu_flags() -> list[str]:
    """What the CPU can do, in Linux's words; empty without Linux."""
    path = Path(CPU)
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def versions() -> dict[str, str]:
    """The backend, and versions of what determines the numbers of a training."""
    found = {"python": platform.python_version(), "backend": os.environ["KERAS_BACKEND"]}
    return found | job.versions(("keras", "tensorflow", "jax", "torch", "numpy", "opencv-python-headless"))
