"""Measures iterations per second of the method in JAX, as a user would write it.

It uses `jit` of a `lax.scan` of steps, single precision and one thread. Seconds are those of the
processor, so that other work on the machine does not count. A convolution is either
`lax.conv_general_dilated` or a product of patches and weights. With `--lanes N`, `vmap` trains N
trials in one program, and a rate counts the iterations of all of them.

`python bench_jax.py [--form patches|convolution] [--lanes N] [--json FILE] [SECONDS] [CASE...]`:
cases are those of bench.py. With `--turns`, one case waits for a line before each turn.
"""

import argparse
import json
import os
import sys
import time

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
from jax import lax

BATCH, VAE_BATCH, IMAGES, SIDE = 10, 20, 300, 28
HIDDEN, LATENT, PIXELS = 128, 100, SIDE * SIDE
LAMBDA, SPREAD, DROPOUT = 0.1, 3.0, 0.5
LEARNING_RATE, MOMENTUM = 0.01, 0.5
ADAM = {"rate": 1e-3, "first": 0.9, "second": 0.999, "epsilon": 1e-8}
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


def convolution(x, weights):
    """x: [N, H, W, C]; weights: [K, K, C, O]."""
    return lax.conv_general_dilated(
        x, weights, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def patches(x, weights):
    """The same as one product of [N * h * w, K * K * C] and [K * K * C, O]."""
    side = weights.shape[0]
    height, width = x.shape[1] - side + 1, x.shape[2] - side + 1
    if (height, width) == (1, 1):
        return (x.reshape(len(x), -1) @ weights.reshape(-1, weights.shape[-1]))[:, None, None, :]
    columns = [x[:, i : i + height, j : j + width, :] for i in range(side) for j in range(side)]
    return jnp.concatenate(columns, axis=-1) @ weights.reshape(-1, weights.shape[-1])


def pool(x):
    top = jnp.maximum(x[:, 0::2, 0::2], x[:, 0::2, 1::2])
    return jnp.maximum(top, jnp.maximum(x[:, 1::2, 0::2], x[:, 1::2, 1::2]))


def uniform(key, shape, inputs):
    bound = inputs**-0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def layer(key, *shape):
    inputs = 1
    for size in shape[:-1]:
        inputs *= size
    first, second = jax.random.split(key)
    return {"w": uniform(first, shape, inputs), "b": uniform(second, shape[-1:], inputs)}


def norm(channels):
    return {"w": jnp.ones(channels), "b": jnp.zeros(channels)}


def initial(key, architecture):
    keys = jax.random.split(key, 4)
    if architecture.startswith("net"):
        shapes = {
            "conv1": (5, 5, 1, 10),
            "conv2": (5, 5, 10, 20),
            "fc1": (320, 50),
            "fc2": (50, 10),
        }
        return {name: layer(key, *shape) for key, (name, shape) in zip(keys, shapes.items())}
    shapes = {
        "conv1": (5, 5, 1, 20),
        "conv2": (5, 5, 20, 50),
        "conv3": (4, 4, 50, 500),
        "fc": (500, 10),
    }
    weights = {name: layer(key, *shape) for key, (name, shape) in zip(keys, shapes.items())}
    if architecture == "lenet+bn":
        weights |= {"bn1": norm(20), "bn2": norm(50), "bn3": norm(500)}
    return weights


def statistics(architecture):
    """Running means and variances of batch norm, by layer."""
    sizes = {"bn1": 20, "bn2": 50, "bn3": 500} if architecture == "lenet+bn" else {}
    return {name: (jnp.zeros(size), jnp.ones(size)) for name, size in sizes.items()}


def batch_norm(x, weights, running):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    count = x.size // x.shape[-1]
    updated = (
        0.9 * running[0] + 0.1 * mean,
        0.9 * running[1] + 0.1 * variance * count / (count - 1),
    )
    return (x - mean) * lax.rsqrt(variance + 1e-5) * weights["w"] + weights["b"], updated


def logits(weights, running, x, convolve, masks=None):
    """x: [N, 28, 28, 1]. Logits, and the running statistics after this batch."""

    def conv(x, name):
        return convolve(x, weights[name]["w"]) + weights[name]["b"]

    def linear(x, name):
        return x @ weights[name]["w"] + weights[name]["b"]

    if "fc1" in weights:
        x = jax.nn.relu(pool(conv(x, "conv1")))
        x = conv(x, "conv2")
        if masks is not None:
            x = x * masks[0][:, None, None, :]
        x = jax.nn.relu(linear(jax.nn.relu(pool(x)).reshape(len(x), -1), "fc1"))
        if masks is not None:
            x = x * masks[1]
        return linear(x, "fc2"), running
    running = dict(running)
    for number, name in enumerate(["conv1", "conv2", "conv3"], start=1):
        x = conv(x, name)
        x = pool(x) if number < 3 else x
        if running:
            x, running[f"bn{number}"] = batch_norm(
                x, weights[f"bn{number}"], running[f"bn{number}"]
            )
    return linear(x.reshape(len(x), -1), "fc"), running


def vae(key):
    keys = jax.random.split(key, 4)
    shapes = {
        "hidden": (PIXELS, HIDDEN),
        "heads": (HIDDEN, 2 * LATENT),
        "decoder": (LATENT, HIDDEN),
        "output": (HIDDEN, PIXELS),
    }
    return {name: layer(key, *shape) for key, (name, shape) in zip(keys, shapes.items())}


def decode(weights, z):
    hidden = jax.nn.relu(z @ weights["decoder"]["w"] + weights["decoder"]["b"])
    return hidden @ weights["output"]["w"] + weights["output"]["b"]


def classifier_epoch(architecture, samples, convolve):
    """From a state to the state after 30 steps, each on ten images of a fresh permutation.

    `samples`: those of the function norm at each step; 0: without it.
    """

    def objective(weights, running, images, labels, drawn, masks):
        scores, running = logits(weights, running, images, convolve, masks)
        loss = -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1).mean()
        if drawn is not None:
            scores, running = logits(weights, running, drawn, convolve)
            loss = loss + LAMBDA * (scores**2).sum(1).mean()
        return loss, running

    def epoch(state, data):
        images, labels, decoder = data
        key, shuffle = jax.random.split(state["key"])
        order = jax.random.permutation(shuffle, IMAGES).reshape(-1, BATCH)

        def step(state, numbers):
            key, noise, channels, units = jax.random.split(state["key"], 4)
            masks = drawn = None
            if architecture == "net+dropout":
                shapes = [(channels, (BATCH, 20)), (units, (BATCH, 50))]
                masks = [
                    jax.random.bernoulli(k, 1 - DROPOUT, shape) / (1 - DROPOUT)
                    for k, shape in shapes
                ]
            if samples > 0:
                z = SPREAD * jax.random.normal(noise, (samples, LATENT))
                drawn = jax.nn.sigmoid(decode(decoder, z)).reshape(samples, SIDE, SIDE, 1)
            gradient, running = jax.grad(objective, has_aux=True)(
                state["weights"], state["running"], images[numbers], labels[numbers], drawn, masks
            )
            velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, state["velocity"], gradient)
            weights = jax.tree.map(lambda w, v: w - LEARNING_RATE * v, state["weights"], velocity)
            return {"key": key, "weights": weights, "velocity": velocity, "running": running}, None

        return lax.scan(step, state | {"key": key}, order)[0]

    return epoch


def vae_epoch(state, data):
    """From a state to the state after 15 steps of Adam."""
    x = data[0].reshape(IMAGES, PIXELS)
    key, shuffle = jax.random.split(state["key"])
    order = jax.random.permutation(shuffle, IMAGES).reshape(-1, VAE_BATCH)

    def objective(weights, x, noise):
        hidden = jax.nn.relu(x @ weights["hidden"]["w"] + weights["hidden"]["b"])
        mu, logvar = jnp.split(hidden @ weights["heads"]["w"] + weights["heads"]["b"], 2, axis=1)
        scores = decode(weights, mu + jnp.exp(logvar / 2) * noise)
        # Cross-entropy of the sigmoid of the scores.
        bce = (jax.nn.softplus(scores) - x * scores).sum() / len(x)
        return bce + (0.5 * (jnp.exp(logvar) + mu**2 - 1 - logvar)).sum(1).mean()

    def step(state, numbers):
        key, noise = jax.random.split(state["key"])
        gradient = jax.grad(objective)(
            state["weights"], x[numbers], jax.random.normal(noise, (VAE_BATCH, LATENT))
        )
        t = state["t"] + 1
        m = jax.tree.map(
            lambda m, g: ADAM["first"] * m + (1 - ADAM["first"]) * g, state["m"], gradient
        )
        v = jax.tree.map(
            lambda v, g: ADAM["second"] * v + (1 - ADAM["second"]) * g * g, state["v"], gradient
        )
        rate = ADAM["rate"] * jnp.sqrt(1 - ADAM["second"] ** t) / (1 - ADAM["first"] ** t)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + ADAM["epsilon"]), state["weights"], m, v
        )
        return {"key": key, "weights": weights, "m": m, "v": v, "t": t}, None

    return lax.scan(step, state | {"key": key}, order)[0]


def start(case, key, convolve):
    """The state of one trial, the function of an epoch, and its steps."""
    first, second = jax.random.split(key)
    if case == "vae":
        weights = vae(first)
        zeros = jax.tree.map(jnp.zeros_like, weights)
        return (
            {"key": second, "weights": weights, "m": zeros, "v": zeros, "t": 0.0},
            vae_epoch,
            IMAGES // VAE_BATCH,
        )
    architecture, *norm = case.split()
    samples = int(norm[1]) if len(norm) > 1 else 20 * len(norm)
    weights = initial(first, architecture)
    state = {
        "key": second,
        "weights": weights,
        "velocity": jax.tree.map(jnp.zeros_like, weights),
        "running": statistics(architecture),
    }
    return state, classifier_epoch(architecture, samples, convolve), IMAGES // BATCH


def turns(case, form, lanes):
    """A function that measures the iterations of all lanes per second of the processor."""
    convolve = {"patches": patches, "convolution": convolution}[form]
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], (IMAGES, SIDE, SIDE, 1))
    data = (
        jax.nn.sigmoid(images) if case == "vae" else images,
        jax.random.randint(keys[1], (IMAGES,), 0, 10),
        vae(keys[2]),
    )
    _, epoch, steps = start(case, keys[0], convolve)
    trials = jax.random.split(keys[1], lanes)
    state = jax.vmap(lambda key: start(case, key, convolve)[0])(trials)

    def epochs(state):
        return lax.scan(lambda state, _: (epoch(state, data), None), state, None, length=4)[0]

    run = jax.jit(jax.vmap(epochs) if lanes > 1 else epochs, donate_argnums=0)
    if lanes == 1:
        state = jax.tree.map(lambda x: x[0], state)
    state = jax.block_until_ready(run(state))

    def rate(seconds):
        nonlocal state
        done, begun = 0, time.process_time()
        while time.process_time() - begun < seconds:
            state = jax.block_until_ready(run(state))
            done += 4 * steps * lanes
        return done / (time.process_time() - begun)

    return rate


def main(arguments):
    jax.config.update("jax_platforms", "cpu")
    # The cheapest of its generators.
    jax.config.update("jax_default_prng_impl", "unsafe_rbg")
    rates = {}
    for case in arguments.cases or CASES:
        rate = turns(case, arguments.form, arguments.lanes)
        if arguments.turns:
            print("ready", flush=True)
            for _ in sys.stdin:
                print(rate(arguments.seconds), flush=True)
            return
        rates[case] = rate(arguments.seconds)
        print(
            f"{case}: {rates[case]:.1f} iterations/s, {1000 / rates[case]:.3f} ms each", flush=True
        )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"jax": jax.__version__, "iterations_per_second": rates}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=["patches", "convolution"], default="patches")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--turns", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("seconds", nargs="?", type=float, default=3.0)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    main(parser.parse_args())
