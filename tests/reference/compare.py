"""Compares two folders of numbers from `reference.py`: inputs must be equal, what was computed nearly so."""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

# Double precision, written in single precision: other processors change the last digit at most.
TOLERANCE = 1e-6


def main(ours, theirs):
    names = sorted(path.name for path in ours.iterdir())
    assert names == sorted(path.name for path in theirs.iterdir()), f"other files: {names}"
    numbers = 0
    for name in names:
        left, right = load_file(ours / name), load_file(theirs / name)
        assert left.keys() == right.keys(), f"{name} has other tensors"
        for key, value in left.items():
            other = right[key]
            assert (value.shape, value.dtype) == (other.shape, other.dtype), f"{name}: {key} has another shape or type"
            if value.dtype == torch.float32:
                scale = value.abs().max().clamp(min=1e-30)
                same = ((value - other).abs().max() / scale).item() <= TOLERANCE
            else:
                same = torch.equal(value, other)
            assert same, f"{name}: {key} differs"
            numbers += value.numel()
    print(f"{len(names)} files with {numbers} numbers are the same")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
