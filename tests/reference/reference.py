"""Computes the expected numbers of the trainer's tests in PyTorch, with their inputs.

This is the method as a user of PyTorch would write it from the papers, in double precision:
nn.Module, autograd, torch.optim.SGD. It shares no code with the trainer. The one argument is the
output folder.
"""

import sys
from pathlib import Path

import torch

import classifiers
import vaes
from dumps import (
    BATCH,
    DROPOUT,
    SAMPLES,
    STEPS,
    Random,
    draw_inputs,
    draw_weights,
    load,
    save,
    under,
)
from models import ConvVae, Vae, classifier

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

# Height, width, classes: the published ones, and others that are not square.
PUBLISHED, OTHER = (28, 28, 10), (16, 20, 7)


def name_of(size):
    return f"{size[0]}x{size[1]}"


def classifier_file(folder, family, size, inputs, weights, cases, random):
    tensors = under("initial", weights)
    for number, case in enumerate(cases):
        tensors |= under(number, classifiers.train(case, size, weights, inputs, random))
    common = {"inputs": name_of(size), "classes": size[2], "dropout": DROPOUT}
    common |= {"learning_rate": classifiers.LEARNING_RATE, "momentum": classifiers.MOMENTUM}
    save(folder / f"{family}-{name_of(size)}.safetensors", tensors, common | {"cases": cases})


def vae_file(folder, name, vae, size, inputs, settings, net_weights, random):
    weights = draw_weights(random, vae, he=True)
    noise = random.normal(1, (STEPS, BATCH, settings["latent"]))
    sample_noise = random.normal(1, (SAMPLES, settings["latent"]))
    net = classifier("net", size)
    load(net, net_weights)
    tensors = under("initial", weights) | {"noise": noise, "sample_noise": sample_noise}
    tensors |= vaes.run(vae, weights, inputs, noise, sample_noise, net, random)
    settings |= {"inputs": name_of(size), "classes": size[2]}
    settings |= {"learning_rate": vaes.LEARNING_RATE, "spread": vaes.SPREAD}
    save(folder / f"{name}.safetensors", tensors, settings)


def main(folder):
    folder.mkdir(exist_ok=True)
    inputs, nets = {}, {}
    for seed, size in enumerate([PUBLISHED, OTHER]):
        random = Random(seed)
        inputs[size] = draw_inputs(random, *size)
        save(folder / f"inputs-{name_of(size)}.safetensors", inputs[size], {})
        nets[size] = draw_weights(random, classifier("net", size), he=False)
        lenet = draw_weights(random, classifier("lenet+bn", size), he=False)
        for family, weights in {"net": nets[size], "lenet": lenet}.items():
            architectures = {"net": ["net", "net+dropout"], "lenet": ["lenet", "lenet+bn"]}[family]
            cases = [
                case for architecture in architectures for case in classifiers.cases(architecture)
            ]
            if size == OTHER:
                cases = [case for case in cases if case["lambda"] > 0 and case["weight_decay"] > 0]
            classifier_file(folder, family, size, inputs[size], weights, cases, random)
    random = Random(3)
    cases = list(classifiers.smoothed_cases())
    classifier_file(
        folder, "smoothing", PUBLISHED, inputs[PUBLISHED], nets[PUBLISHED], cases, random
    )
    random = Random(2)
    sizes = {"hidden": 128, "latent": 100, "family": "vanilla"}
    vae = Vae(*PUBLISHED[:2], sizes["hidden"], sizes["latent"])
    vae_file(folder, "vae", vae, PUBLISHED, inputs[PUBLISHED], sizes, nets[PUBLISHED], random)
    sizes = {"hidden": 64, "latent": 10, "family": "convolutional"}
    vae = ConvVae(*OTHER[:2], sizes["hidden"], sizes["latent"])
    vae_file(folder, "conv-vae", vae, OTHER, inputs[OTHER], sizes, nets[OTHER], random)
    gradients = torch.tensor([10.0**-exponent for exponent in range(11)], dtype=torch.float32)
    adam = {"gradients": gradients, "weights": vaes.adam(gradients)}
    save(folder / "adam.safetensors", adam, {"learning_rate": vaes.LEARNING_RATE})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
