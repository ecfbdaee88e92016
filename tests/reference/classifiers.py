"""Trains classifiers by SGD: cross-entropy, with or without smoothed labels, + lambda * function
norm.
"""

import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F

from dumps import (
    BATCH,
    DECODED,
    DROPOUT,
    IMAGES,
    SAMPLES,
    STEPS,
    gradients,
    load,
    normalised,
    summary,
    trained,
)
from margins import draw_clear
from models import classifier

LAMBDA, WEIGHT_DECAY = 0.1, 5e-4
LEARNING_RATE, MOMENTUM = 0.01, 0.5
LABEL_SMOOTHING = 0.1


def case(architecture, function_norm, weight_decay, units="vae", batch_norm="train"):
    """Makes a case. The samples' `units` and their `batch_norm` default to those of the published
    study.
    """
    settings = {"architecture": architecture, "lambda": function_norm, "weight_decay": weight_decay}
    return settings | {"units": units, "batch_norm": batch_norm}


def cases(architecture):
    """Makes cases with each switch on and off, then with other treatments of the samples."""
    for function_norm, weight_decay in itertools.product([0, LAMBDA], [0, WEIGHT_DECAY]):
        yield case(architecture, function_norm, weight_decay)
    if architecture != "net+dropout":
        yield case(architecture, LAMBDA, 0, units="normalised")
    if architecture == "lenet+bn":
        yield case(architecture, LAMBDA, 0, batch_norm="train-no-update")
        yield case(architecture, LAMBDA, 0, batch_norm="eval")


def smoothed_cases():
    """Makes cases with smoothed labels, alone and beside the function norm, for networks with each
    switch.
    """
    for architecture in ["net", "net+dropout"]:
        for function_norm in [0, LAMBDA]:
            yield case(architecture, function_norm, WEIGHT_DECAY) | {
                "label_smoothing": LABEL_SMOOTHING
            }


def in_units(decoded, units):
    """Converts samples: the VAE's own units are the sigmoid of normalised ones."""
    return torch.sigmoid(decoded) if units == "vae" else decoded


def set_momentum(model, momentum):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


def function_norm(model, samples, batch_norm):
    """Computes the mean of ||f(x)||^2, without dropout."""
    if batch_norm == "eval":
        model.eval()
    elif batch_norm == "train-no-update":
        set_momentum(model, 0.0)
    logits = model(samples)
    model.train()
    set_momentum(model, 0.1)
    return (logits**2).sum(1).mean()


def forward(model, settings, inputs, step, images, samples):
    """Computes the images' logits and the samples' function norm, which is zero if it is switched
    off.
    """
    masks = None
    if settings["architecture"] == "net+dropout":
        masks = [
            inputs[name][step].double() / (1 - DROPOUT) for name in ["kept_channels", "kept_hidden"]
        ]
    logits = model(normalised(inputs["images"][images.long()]), masks)
    if settings["lambda"] == 0:
        return logits, torch.zeros(())
    decoded = inputs["decoded"][samples.long()].double()[:, None]
    return logits, function_norm(
        model, in_units(decoded, settings["units"]), settings["batch_norm"]
    )


def train(settings, size, weights, inputs, random):
    model = classifier(settings["architecture"], size)
    load(model, weights)
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        weight_decay=settings["weight_decay"],
    )
    expected, batches, nlls, norms = {}, [], [], []
    model.train()
    for step in range(STEPS):
        images, samples = draw_clear(
            model,
            draw=lambda: (random.numbers(IMAGES, BATCH), random.numbers(DECODED, SAMPLES)),
            forward=lambda model, images, samples: forward(
                model, settings, inputs, step, images, samples
            ),
        )
        batches.append((images, samples))
        logits, norm = forward(model, settings, inputs, step, images, samples)
        labels = inputs["labels"][images.long()].long()
        nll = F.cross_entropy(logits, labels)
        loss = F.cross_entropy(logits, labels, label_smoothing=settings.get("label_smoothing", 0.0))
        optimiser.zero_grad()
        (loss + settings["lambda"] * norm).backward()
        if step == 0:
            expected |= {"logits": summary(logits)} | gradients(model)
        optimiser.step()
        nlls.append(nll.detach())
        norms.append(norm.detach())
    images, samples = zip(*batches)
    expected |= {"batches": torch.stack(images), "nll": torch.stack(nlls)} | trained(model)
    if settings["lambda"] > 0:
        expected |= {"samples": torch.stack(samples), "function_norm": torch.stack(norms)}
    model.eval()
    with torch.no_grad():
        return expected | {"test_logits": summary(model(normalised(inputs["test_images"])))}
