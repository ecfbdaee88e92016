"""Computes the confusion matrix of a trial's weights in PyTorch's modules.

Arguments: the weights (safetensors), then images and labels of the test set (IDX files, plain or
gzip). The output has the rows and columns of the trial's own confusion.csv.
"""

import gzip
import json
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from models import classifier


def read_idx(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path) as file:
        content = file.read()
    sides = np.frombuffer(content, ">u4", content[3], 4)
    return torch.from_numpy(
        np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sides).copy()
    )


def main(weights, images, labels):
    with safe_open(weights, "pt") as file:
        settings = json.loads(file.metadata()["swfn"])["settings"]
    images, labels = read_idx(images), read_idx(labels).long()
    state = load_file(weights)
    classes = len(next(state[name] for name in ("fc.bias", "fc2.bias") if name in state))
    model = classifier(settings["architecture"], (*images.shape[1:], classes))
    model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        predicted = torch.cat(
            [model(((x / 255 - 0.1307) / 0.3081).unsqueeze(1)).argmax(1) for x in images.split(500)]
        )
    counts = torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(
        classes, classes
    )
    print("class", *range(classes), "images", "accuracy", sep=",")
    for row, right in zip(enumerate(counts.tolist()), (counts.diagonal() / counts.sum(1)).tolist()):
        print(row[0], *row[1], sum(row[1]), right, sep=",")


if __name__ == "__main__":
    main(*sys.argv[1:])
