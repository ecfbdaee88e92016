"""Makes the common inputs of both programs, and writes the results of one.

Inputs have few bits, so that files are small and both programs start from the same numbers: pixels,
labels, masks and numbers of images are bytes; weights and noise are half-precision floats. Results
are written in single precision.
"""

import json
import math
import sys

import numpy as np
import torch
from safetensors.torch import save_file

STEPS, BATCH, SAMPLES = 20, 10, 8
IMAGES, TEST_IMAGES, DECODED = 30, 5, 32
DROPOUT = 0.5


class Random:
    """Draws the numbers of inputs, which are the same for the same seed on every machine."""

    def __init__(self, seed):
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low, high, shape):
        return torch.from_numpy(self.generator.uniform(low, high, shape).astype(np.float16))

    def normal(self, deviation, shape):
        return torch.from_numpy(
            (deviation * self.generator.standard_normal(shape)).astype(np.float16)
        )

    def bytes(self, bound, shape):
        return torch.from_numpy(self.generator.integers(0, bound, shape, dtype=np.uint8))

    def numbers(self, bound, count):
        """Draws distinct numbers."""
        return torch.from_numpy(self.generator.permutation(bound)[:count].astype(np.uint8))


def draw_inputs(random, height, width, classes):
    """Draws images, samples of the function norm and dropout masks, for all runs on images of one
    size.
    """
    return {
        "images": random.bytes(256, (IMAGES, height, width)),
        "labels": random.bytes(classes, (IMAGES,)),
        "test_images": random.bytes(256, (TEST_IMAGES, height, width)),
        "decoded": random.normal(
            1, (DECODED, height, width)
        ),  # in normalised units, as before a decoder's sigmoid
        "kept_channels": random.bytes(2, (STEPS, BATCH, 20)),  # by dropout
        "kept_hidden": random.bytes(2, (STEPS, BATCH, 50)),
    }


def normalised(pixels):
    """Normalises bytes and adds one channel: [N, H, W] -> [N, 1, H, W]."""
    return ((pixels.double() / 255 - 0.1307) / 0.3081)[:, None]


def draw_weights(random, module, he):
    """Draws weights: N(0, 2 / fan_in) if `he`, else uniform in +-1/sqrt(fan_in). Scales of batch
    norm are uniform in (0, 1).

    Parameters that start at zero, such as shifts, start within +-0.1 here: a missing term must not
    hide behind a zero.
    """
    weights = {}
    for path, layer in module.named_modules():
        for name, parameter in layer.named_parameters(path, recurse=False):
            shape = tuple(parameter.shape)
            if isinstance(layer, torch.nn.BatchNorm2d) and name.endswith("weight"):
                weights[name] = random.uniform(0, 1, shape)
            elif isinstance(layer, torch.nn.BatchNorm2d) or (he and name.endswith("bias")):
                weights[name] = random.uniform(-0.1, 0.1, shape)
            elif he:
                weights[name] = random.normal(math.sqrt(2 / fan_in(layer)), shape)
            else:
                bound = 1 / math.sqrt(fan_in(layer))
                weights[name] = random.uniform(-bound, bound, shape)
    return weights


def fan_in(layer):
    """Counts the inputs of one output. Four of the 16 pixels of a transposed filter with stride 2
    meet an output.
    """
    if isinstance(layer, torch.nn.ConvTranspose2d):
        return 4 * layer.in_channels
    return math.prod(layer.weight.shape[1:])


def load(module, weights):
    """Loads weights; running statistics start from 0 and 1."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(weights[name])


def summary(tensor):
    """Returns the Euclidean norm, then all values, or 64 evenly spaced ones."""
    flat = tensor.detach().flatten()
    count, last = min(64, flat.numel()), flat.numel() - 1
    indices = torch.arange(count) * last // max(1, count - 1)
    return torch.cat([flat.norm()[None], flat[indices]])


def gradients(module):
    return {
        f"gradient/{name}": summary(parameter.grad) for name, parameter in module.named_parameters()
    }


def trained(module):
    """Returns weights and running statistics."""
    named = [
        *module.named_parameters(),
        *(item for item in module.named_buffers() if "running" in item[0]),
    ]
    return {f"trained/{name}": summary(tensor) for name, tensor in named}


def save(path, tensors, settings):
    """Saves tensors with a single key of metadata: safetensors writes several in random order."""
    command = " ".join(["python", *sys.argv])
    settings = {
        "command": command,
        "torch": torch.__version__.split("+")[0],
        "steps": STEPS,
    } | settings
    single = {name: t.float() if t.dtype == torch.float64 else t for name, t in tensors.items()}
    save_file(
        {name: t.contiguous() for name, t in single.items()},
        path,
        {"settings": json.dumps(settings)},
    )


def under(prefix, tensors):
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}
