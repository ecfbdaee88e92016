"""Measures iterations per second of the method in PyTorch, as a user would write it.

It uses nn.Module, torch.optim, single precision and one thread. Seconds are those of the processor,
so that other work on the machine does not count.

`python bench.py [--device cuda] [--compile] [--json FILE] [SECONDS] [CASE...]`: a case is an
architecture, with `fn` for the function norm and its samples if they are not 20 ("lenet+bn fn",
"net fn 100"), or `vae`. On a GPU, too, it is one trial alone. `--compile` is `torch.compile` of the
objective and of the optimiser's step. With `--turns`, one case waits for a line before each turn.
"""

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F

from models import Vae, classifier

BATCH, VAE_BATCH, IMAGES = 10, 20, 300
LAMBDA, SPREAD, DROPOUT = 0.1, 3.0, 0.5
CASES = [
    "net",
    "net fn",
    "net+dropout",
    "net+dropout fn",
    "lenet",
    "lenet fn",
    "lenet+bn",
    "lenet+bn fn",
    "vae",
]


def compiled(function, wanted):
    return torch.compile(function) if wanted else function


def vae_steps(images, compile):
    device = images.device
    vae = Vae(28, 28, 128, 100).to(device)
    optimiser = torch.optim.Adam(vae.parameters(), lr=1e-3)
    x = torch.sigmoid(images)

    def objective(batch):
        mu, logvar = vae.encode(batch)
        logits = vae.decode(mu + torch.exp(logvar / 2) * torch.randn_like(mu))
        bce = F.binary_cross_entropy(torch.sigmoid(logits), batch, reduction="sum") / len(batch)
        return bce + (0.5 * (torch.exp(logvar) + mu**2 - 1 - logvar)).sum(1).mean()

    objective, update = compiled(objective, compile), compiled(optimiser.step, compile)
    while True:
        for numbers in torch.randperm(IMAGES, device=device).split(VAE_BATCH):
            optimiser.zero_grad()
            objective(x[numbers]).backward()
            update()
            yield


def drawn(vae, mu, deviation, samples):
    with torch.no_grad():
        return torch.sigmoid(
            vae.decode(mu + SPREAD * deviation * torch.randn(samples, len(mu), device=mu.device))
        )


def classifier_steps(images, labels, architecture, samples, compile):
    """`samples`: those of the function norm at each step; 0: without it."""
    device = images.device
    model, vae = classifier(architecture, (28, 28, 10)).to(device), Vae(28, 28, 128, 100).to(device)
    mu, deviation = torch.zeros(100, device=device), torch.ones(100, device=device)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    model.train()

    def objective(x, y, masks):
        loss = F.cross_entropy(model(x, masks), y)
        if samples > 0:
            loss = loss + LAMBDA * (model(drawn(vae, mu, deviation, samples)) ** 2).sum(1).mean()
        return loss

    objective, update = compiled(objective, compile), compiled(optimiser.step, compile)
    while True:
        for numbers in torch.randperm(IMAGES, device=device).split(BATCH):
            masks = None
            if architecture == "net+dropout":
                keep = [torch.full((BATCH, n), 1 - DROPOUT, device=device) for n in (20, 50)]
                masks = [torch.bernoulli(keep) / (1 - DROPOUT) for keep in keep]
            optimiser.zero_grad()
            objective(images[numbers], labels[numbers], masks).backward()
            update()
            yield


def warm_up(steps):
    for _ in range(50):
        next(steps)
    return steps


def rate(steps, seconds, device):
    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    # On a CPU the processor time counts; with a GPU the processor only waits.
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    done, start = 0, clock()
    while clock() - start < seconds:
        for _ in range(10):
            next(steps)
        wait()
        done += 10
    return done / (clock() - start)


def main(arguments):
    device = torch.device(arguments.device)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        False  # as the trainer, by default
    )
    images, labels = (
        torch.randn(IMAGES, 1, 28, 28, device=device),
        torch.randint(10, (IMAGES,), device=device),
    )
    rates = {}
    for case in arguments.cases or CASES:
        architecture, *norm = case.split()
        samples = int(norm[1]) if len(norm) > 1 else 20 * len(norm)
        steps = warm_up(
            vae_steps(images, arguments.compile)
            if case == "vae"
            else classifier_steps(images, labels, architecture, samples, arguments.compile)
        )
        if arguments.turns:
            print("ready", flush=True)
            for _ in sys.stdin:
                print(rate(steps, arguments.seconds, device), flush=True)
            return
        rates[case] = rate(steps, arguments.seconds, device)
        print(
            f"{case}: {rates[case]:.1f} iterations/s, {1000 / rates[case]:.3f} ms each", flush=True
        )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(
                {
                    "device": arguments.device,
                    "torch": torch.__version__,
                    "iterations_per_second": rates,
                },
                file,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--turns", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("seconds", nargs="?", type=float, default=3.0)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    main(parser.parse_args())
