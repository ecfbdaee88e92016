"""Expected numbers for the trainer's tests, computed by PyTorch.

This is the method as a user of PyTorch would write it from the papers, in double precision: nn.Module, autograd, torch.optim.SGD.
It shares no code with the trainer. Weights, images, noise and masks come from `formula`, which the tests compute too, so that
the file of expected numbers stays small.
"""

import json
import math
import re

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

BATCH, SAMPLES, STEPS = 5, 4, 5
LEARNING_RATE, MOMENTUM = 0.01, 0.5


def formula(name, shape, low, high):
    """Numbers in [low, high), rounded to single precision: a hash of (name, index) in arithmetic modulo 2^32."""
    key = 0
    for byte in name.encode():
        key = (key * 31 + byte) % 2**32
    key = key * 0x9E3779B1 % 2**32
    x = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(key)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    values = low + (high - low) * (x.astype(np.float64) / 2**32)
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(shape)


def set_weights(module):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "bn" in name:
                low, high = (0.2, 1) if name.endswith("weight") else (-0.1, 0.1)
            else:
                high = 1 / math.sqrt(math.prod(parameter.shape[1:])) if parameter.dim() > 1 else 0.1
                low = -high
            parameter.copy_(formula(name, tuple(parameter.shape), low, high))


class Net(nn.Module):
    """conv 10, pool, relu, conv 20, [channel dropout], pool, relu, fc 50, relu, [dropout], fc 10."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x, masks=None):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = self.conv2(x)
        if masks is not None:
            x = x * masks[0][:, :, None, None]
        x = F.relu(F.max_pool2d(x, 2))
        x = F.relu(self.fc1(x.flatten(1)))
        if masks is not None:
            x = x * masks[1]
        return self.fc2(x)


class Lenet(nn.Module):
    """conv 20, pool, [bn], conv 50, pool, [bn], conv 500, [bn], fc 10."""

    def __init__(self, batch_norm):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.conv3 = nn.Conv2d(50, 500, 4)
        self.fc = nn.Linear(500, 10)
        self.batch_norm = batch_norm
        if batch_norm:
            self.bn1 = nn.BatchNorm2d(20)
            self.bn2 = nn.BatchNorm2d(50)
            self.bn3 = nn.BatchNorm2d(500)

    def forward(self, x, masks=None):
        x = F.max_pool2d(self.conv1(x), 2)
        if self.batch_norm:
            x = self.bn1(x)
        x = F.max_pool2d(self.conv2(x), 2)
        if self.batch_norm:
            x = self.bn2(x)
        x = self.conv3(x)
        if self.batch_norm:
            x = self.bn3(x)
        return self.fc(x.flatten(1))


def summary(tensor):
    """Norm, then six values spread over the tensor."""
    flat = tensor.detach().flatten()
    return [flat.norm().item()] + [flat[i * (flat.numel() - 1) // 5].item() for i in range(6)]


def summaries(named):
    return {name: summary(tensor) for name, tensor in named}


def classifier(architecture, function_norm, weight_decay):
    model = Net() if architecture.startswith("net") else Lenet(architecture == "lenet+bn")
    set_weights(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=weight_decay)
    result = {
        "architecture": architecture,
        "lambda": function_norm,
        "weight_decay": weight_decay,
        "batch": BATCH,
        "samples": SAMPLES if function_norm > 0 else 0,
        "learning_rate": LEARNING_RATE,
        "momentum": MOMENTUM,
        "nll": [],
        "function_norm": [],
    }
    for step in range(STEPS):
        # A name whose numbers leave no two values of a pooling window nearly equal: single precision would pick the other one.
        images = formula(f"digits {step}", (BATCH, 1, 28, 28), -0.42, 2.82)
        labels = torch.tensor([(7 * i + step) % 10 for i in range(BATCH)])
        masks = None
        if architecture == "net+dropout":
            channels = formula(f"channels {step}", (BATCH, 20), 0, 1)
            hidden = formula(f"hidden {step}", (BATCH, 50), 0, 1)
            masks = [(channels >= 0.5) * 2.0, (hidden >= 0.5) * 2.0]
        model.train()
        logits = model(images, masks)
        nll = F.cross_entropy(logits, labels)
        objective, norm = nll, None
        if function_norm > 0:
            samples = formula(f"samples {step}", (SAMPLES, 1, 28, 28), 0, 1)
            norm = (model(samples) ** 2).sum(1).mean()  # without dropout; through batch norm in training mode
            objective = nll + function_norm * norm
        optimiser.zero_grad()
        objective.backward()
        if step == 0:
            result["logits"] = logits.detach().tolist()
            result["gradients"] = summaries((name, p.grad) for name, p in model.named_parameters())
        optimiser.step()
        result["nll"].append(nll.item())
        if norm is not None:
            result["function_norm"].append(norm.item())
    result["parameters"] = summaries(model.named_parameters())
    result["buffers"] = summaries((n, b) for n, b in model.named_buffers() if "running" in n)
    model.eval()
    with torch.no_grad():
        result["test_logits"] = model(formula("test images", (3, 1, 28, 28), -0.42, 2.82)).tolist()
    return result


class Vae(nn.Module):
    """784 -> 128 (relu) -> mu, logvar; z -> 128 (relu) -> 784 (sigmoid)."""

    def __init__(self, pixels=784, hidden=128, latent=100):
        super().__init__()
        self.encoder = nn.ModuleDict({"hidden": nn.Linear(pixels, hidden), "heads": nn.Linear(hidden, 2 * latent)})
        self.decoder = nn.ModuleDict({"hidden": nn.Linear(latent, hidden), "output": nn.Linear(hidden, pixels)})

    def decode(self, z):
        return torch.sigmoid(self.decoder["output"](F.relu(self.decoder["hidden"](z))))

    def forward(self, x, noise):
        mu, logvar = self.encoder["heads"](F.relu(self.encoder["hidden"](x))).chunk(2, dim=1)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar


class ConvVae(nn.Module):
    """conv 4x4 stride 2 padding 1, bn, elu, three times -> mu, logvar; z -> fc, then bn, elu, transposed conv, three times."""

    def __init__(self, height, width, hidden, latent):
        super().__init__()
        sides = [(height // 2**level, width // 2**level) for level in range(4)]
        a, b, c = hidden // 8, hidden // 4, hidden // 2
        features = c * sides[3][0] * sides[3][1]
        self.smallest = (c, *sides[3])

        def down(inputs, outputs):
            return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)

        def up(inputs, outputs, size, bias=False):
            odd = (size[0] % 2, size[1] % 2)
            return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, output_padding=odd, bias=bias)

        self.encoder = nn.ModuleDict(
            {
                "conv1": down(1, a),
                "bn1": nn.BatchNorm2d(a),
                "conv2": down(a, b),
                "bn2": nn.BatchNorm2d(b),
                "conv3": down(b, c),
                "bn3": nn.BatchNorm2d(c),
                "heads": nn.Linear(features, 2 * latent),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "input": nn.Linear(latent, features),
                "bn1": nn.BatchNorm2d(c),
                "conv1": up(c, b, sides[2]),
                "bn2": nn.BatchNorm2d(b),
                "conv2": up(b, a, sides[1]),
                "bn3": nn.BatchNorm2d(a),
                "conv3": up(a, 1, sides[0], bias=True),
            }
        )

    def encode(self, x):
        for level in "123":
            x = F.elu(self.encoder["bn" + level](self.encoder["conv" + level](x)))
        return self.encoder["heads"](x.flatten(1)).chunk(2, dim=1)

    def decode(self, z):
        x = self.decoder["input"](z).unflatten(1, self.smallest)
        for level in "123":
            x = self.decoder["conv" + level](F.elu(self.decoder["bn" + level](x)))
        return torch.sigmoid(x)

    def forward(self, x, noise):
        mu, logvar = self.encode(x)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar


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


def vae(batch=6, latent=100, learning_rate=1e-3, spread=3.0):
    model = Vae(latent=latent)
    set_weights(model)
    optimiser = OldAdam(model.parameters(), learning_rate)
    result = {"batch": batch, "latent": latent, "learning_rate": learning_rate, "spread": spread, "losses": []}
    for step in range(STEPS):
        x = formula(f"vae images {step}", (batch, 784), 0, 1)
        noise = formula(f"vae noise {step}", (batch, latent), -1.7, 1.7)
        reconstruction, mu, logvar = model(x, noise)
        bce = F.binary_cross_entropy(reconstruction, x, reduction="sum") / batch
        kl = (0.5 * (torch.exp(logvar) + mu**2 - 1 - logvar)).sum(1).mean()
        (bce + kl).backward()
        if step == 0:
            result["gradients"] = summaries((name, p.grad) for name, p in model.named_parameters())
        optimiser.step()
        result["losses"].append((bce + kl).item())
    result["parameters"] = summaries(model.named_parameters())
    with torch.no_grad():
        mu, logvar = mu.mean(0), logvar.mean(0)
        noise = formula("sample noise", (3, latent), -1.7, 1.7)
        result["samples"] = summary(model.decode(mu + spread * torch.exp(logvar / 2) * noise))
    return result


def conv_vae(height=28, width=30, hidden=64, latent=10, batch=6, learning_rate=1e-3, spread=3.0):
    model = ConvVae(height, width, hidden, latent)
    set_weights(model)
    optimiser = OldAdam(model.parameters(), learning_rate)
    result = {"height": height, "width": width, "hidden": hidden, "latent": latent, "batch": batch}
    result |= {"learning_rate": learning_rate, "spread": spread, "losses": []}
    for step in range(STEPS):
        x = formula(f"conv vae images {step}", (batch, 1, height, width), 0, 1)
        noise = formula(f"conv vae noise {step}", (batch, latent), -1.7, 1.7)
        reconstruction, mu, logvar = model(x, noise)
        bce = F.binary_cross_entropy(reconstruction, x, reduction="sum") / batch
        kl = (0.5 * (torch.exp(logvar) + mu**2 - 1 - logvar)).sum(1).mean()
        (bce + kl).backward()
        if step == 0:
            result["mu"] = mu.tolist()
            result["logvar"] = logvar.tolist()
            result["gradients"] = summaries((name, p.grad) for name, p in model.named_parameters())
        optimiser.step()
        result["losses"].append((bce + kl).item())
    result["parameters"] = summaries(model.named_parameters())
    result["buffers"] = summaries((n, b) for n, b in model.named_buffers() if "running" in n)
    model.eval()
    with torch.no_grad():
        test_mu, test_logvar = model.encode(formula("conv vae test images", (3, 1, height, width), 0, 1))
        result["test_codes"] = [test_mu.tolist(), test_logvar.tolist()]
        mu, logvar = mu.mean(0), logvar.mean(0)
        noise = formula("conv sample noise", (3, latent), -1.7, 1.7)
        result["samples"] = summary(model.decode(mu + spread * torch.exp(logvar / 2) * noise))
    return result


def adam():
    """Constant gradients from 1e-10 to 1: only the small ones tell where epsilon is added."""
    gradients = [10.0**-exponent for exponent in range(11)]
    weights = torch.zeros(len(gradients), requires_grad=True)
    optimiser = OldAdam([weights], 1e-3)
    for _ in range(STEPS):
        (weights * torch.tensor(gradients)).sum().backward()
        optimiser.step()
    return {"gradients": gradients, "weights": weights.tolist()}


def main():
    architectures = ["net", "net+dropout", "lenet", "lenet+bn"]
    expected = {
        "torch": torch.__version__.split("+")[0],
        "formula": {"name": "conv1.weight", "values": formula("conv1.weight", (4,), -1, 1).tolist()},
        "classifiers": [classifier(a, *switches) for a in architectures for switches in [(0, 0), (0.1, 5e-4)]],
        "vae": vae(),
        "conv_vae": conv_vae(),
        "adam": adam(),
    }
    # Ten digits: far more than single precision can tell apart. One line for each list or summary.
    text = json.dumps(json.loads(json.dumps(expected), parse_float=lambda x: float(f"{float(x):.10g}")), indent=1)
    print(re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match.group().split()), text))


main()
