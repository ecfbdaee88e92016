"""Iterations per second of the method as a user of PyTorch would write it: nn.Module, torch.optim, single precision, one thread.
Seconds are those of the processor, so that what else runs on the machine does not count.

`python bench.py [SECONDS] [CASE...]`: a case is an architecture, with `fn` for the function norm ("lenet+bn fn"), or `vae`.
"""

import sys
import time

import torch
import torch.nn.functional as F

from models import Vae, classifier

BATCH, SAMPLES, VAE_BATCH, IMAGES = 10, 20, 20, 300
LAMBDA, SPREAD, DROPOUT = 0.1, 3.0, 0.5


def vae_steps(images):
    vae = Vae(28, 28, 128, 100)
    optimiser = torch.optim.Adam(vae.parameters(), lr=1e-3)
    x = torch.sigmoid(images)
    while True:
        for numbers in torch.randperm(IMAGES).split(VAE_BATCH):
            batch = x[numbers]
            mu, logvar = vae.encode(batch)
            logits = vae.decode(mu + torch.exp(logvar / 2) * torch.randn_like(mu))
            bce = F.binary_cross_entropy(torch.sigmoid(logits), batch, reduction="sum") / len(batch)
            kl = (0.5 * (torch.exp(logvar) + mu**2 - 1 - logvar)).sum(1).mean()
            optimiser.zero_grad()
            (bce + kl).backward()
            optimiser.step()
            yield


def samples(vae, mu, deviation):
    with torch.no_grad():
        return torch.sigmoid(vae.decode(mu + SPREAD * deviation * torch.randn(SAMPLES, len(mu))))


def classifier_steps(images, labels, architecture, function_norm):
    model, vae = classifier(architecture, (28, 28, 10)), Vae(28, 28, 128, 100)
    mu, deviation = torch.zeros(100), torch.ones(100)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    model.train()
    while True:
        for numbers in torch.randperm(IMAGES).split(BATCH):
            masks = None
            if architecture == "net+dropout":
                masks = [torch.bernoulli(torch.full((BATCH, n), 1 - DROPOUT)) / (1 - DROPOUT) for n in (20, 50)]
            loss = F.cross_entropy(model(images[numbers], masks), labels[numbers])
            if function_norm:
                loss = loss + LAMBDA * (model(samples(vae, mu, deviation)) ** 2).sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield


def rate(steps, seconds):
    for _ in range(20):
        next(steps)
    done, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        next(steps)
        done += 1
    return done / (time.process_time() - start)


def main(seconds, cases):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = torch.randn(IMAGES, 1, 28, 28), torch.randint(10, (IMAGES,))
    for case in cases:
        architecture, _, norm = case.partition(" ")
        steps = vae_steps(images) if case == "vae" else classifier_steps(images, labels, architecture, norm == "fn")
        print(f"{case}: {rate(steps, seconds):.1f} iterations/s", flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    all_cases = ["net", "net fn", "lenet", "lenet fn", "lenet+bn", "lenet+bn fn", "vae"]
    main(float(arguments[0]) if arguments else 3.0, arguments[1:] or all_cases)
