"""Trains VAEs by the Adam of that time, and draws samples for the function norm from them."""

import math

import torch
import torch.nn.functional as F

from classifiers import function_norm, in_units
from dumps import BATCH, IMAGES, STEPS, gradients, load, normalised, summary, trained, under
from margins import draw_clear

LEARNING_RATE, SPREAD = 1e-3, 3.0


class OldAdam:
    """Adam with epsilon added before the bias correction, as PyTorch had it before version 1.3."""

    def __init__(self, parameters, learning_rate):
        self.parameters, self.learning_rate, self.t = list(parameters), learning_rate, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def step(self):
        self.t += 1
        step_size = self.learning_rate * math.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        with torch.no_grad():
            for p, m, v in zip(self.parameters, self.m, self.v):
                m.mul_(0.9).add_(p.grad, alpha=0.1)
                v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                p.addcdiv_(m, v.sqrt() + 1e-8, value=-step_size)
                p.grad = None


def forward(vae, x, noise):
    """Returns the reconstruction and the codes."""
    mu, logvar = vae.encode(x)
    return torch.sigmoid(vae.decode(mu + torch.exp(logvar / 2) * noise)), mu, logvar


def train(vae, weights, inputs, noise, random):
    """Trains a VAE and also returns the last batch's codes.

    The loss is cross-entropy summed over pixels + KL divergence, as a mean over the batch.
    """
    load(vae, weights)
    optimiser = OldAdam(vae.parameters(), LEARNING_RATE)
    expected, batches, losses = {}, [], []
    own_units = torch.sigmoid(normalised(inputs["images"]))
    vae.train()
    for step in range(STEPS):
        eps = noise[step].double()
        (images,) = draw_clear(
            vae,
            draw=lambda: (random.numbers(IMAGES, BATCH),),
            forward=lambda vae, images: forward(vae, own_units[images.long()], eps),
        )
        x = own_units[images.long()]
        reconstruction, mu, logvar = forward(vae, x, eps)
        bce = F.binary_cross_entropy(reconstruction, x, reduction="sum") / BATCH
        kl = (0.5 * (torch.exp(logvar) + mu**2 - 1 - logvar)).sum(1).mean()
        loss = bce + kl
        loss.backward()
        if step == 0:
            expected |= {"mu": summary(mu), "logvar": summary(logvar)} | gradients(vae)
        optimiser.step()
        batches.append(images)
        losses.append(loss.detach())
    expected |= {"batches": torch.stack(batches), "losses": torch.stack(losses)} | trained(vae)
    return expected, (mu.detach(), logvar.detach())


def samples(vae, mu, logvar, noise, net):
    """Decodes samples from latent statistics and computes the function norm of a net, for both
    units.
    """
    z = mu.mean(0) + SPREAD * torch.exp(logvar.mean(0) / 2) * noise.double()
    decoded = vae.decode(z)
    expected = {}
    for units in ["vae", "normalised"]:
        x = in_units(decoded, units)
        expected |= under(
            units, {"samples": summary(x), "function_norm": function_norm(net, x, "train")[None]}
        )
    return expected


def run(vae, weights, inputs, noise, sample_noise, net, random):
    expected, last_batch = train(vae, weights, inputs, noise, random)
    vae.eval()
    with torch.no_grad():
        test_mu, test_logvar = vae.encode(torch.sigmoid(normalised(inputs["test_images"])))
        expected |= {"test_mu": summary(test_mu), "test_logvar": summary(test_logvar)}
        subset = vae.encode(torch.sigmoid(normalised(inputs["images"])))
        for statistics, (mu, logvar) in {"last-batch": last_batch, "subset": subset}.items():
            expected |= under(statistics, samples(vae, mu, logvar, sample_noise, net))
    return expected


def adam(gradients):
    """Steps along constant gradients: only those of epsilon's size show where it is added."""
    weights = torch.zeros(len(gradients), requires_grad=True)
    optimiser = OldAdam([weights], LEARNING_RATE)
    for _ in range(STEPS):
        (weights * gradients.double()).sum().backward()
        optimiser.step()
    return weights.detach()
