"""Compares two folders of numbers from `reference.py`: inputs must be equal, results nearly so."""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

# Double precision, written in single precision. Other processors change the last digit at most.
TOLERANCE = 1e-6


def group_of(key):
    """Names the group that sets a tensor's scale: a case's gradients share one, others stand alone.

    Some gradients are sums that cancel, such as that of a shift which the next batch norm removes.
    Only rounding is left of them, so their own size means nothing.
    """
    folder = key.rpartition("/")[0]
    return folder if folder.endswith("gradient") else key


def main(ours, theirs):
    names = sorted(path.name for path in ours.iterdir())
    assert names == sorted(path.name for path in theirs.iterdir()), f"other files: {names}"
    numbers = 0
    for name in names:
        left, right = load_file(ours / name), load_file(theirs / name)
        assert left.keys() == right.keys(), f"{name} has other tensors"
        scales = {}
        for key, value in left.items():
            scales[group_of(key)] = max(scales.get(group_of(key), 1e-30), value.abs().max().item())
        for key, value in left.items():
            other = right[key]
            assert (value.shape, value.dtype) == (other.shape, other.dtype), (
                f"{name}: {key} has another shape or type"
            )
            if value.dtype == torch.float32:
                off = (value - other).abs().max().item() / scales[group_of(key)]
                assert off <= TOLERANCE, (
                    f"{name}: {key} differs by {off:.1e} of the largest value of {group_of(key)}"
                )
            else:
                assert torch.equal(value, other), f"{name}: {key} differs"
            numbers += value.numel()
    print(f"{len(names)} files with {numbers} numbers are the same")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
