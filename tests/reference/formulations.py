"""Times ways of convolving many lanes at once, each lane with its own filters.

The passes are forward and backward, through lenet's two convolutions.

    fold      as unfold, with the gradient of the input by torch's fold
    grouped   one convolution with a group for each lane, gradients by autograd
    unfold    inputs laid out with a row for each pixel of the output, and one batched product;
              explicit gradients, the input's by adding the windows back, as the trainer does it
    sum       as unfold, with the gradient of the input as a sum over the pixels of the filter
    vmap      torch.func.vmap of the convolution, gradients by autograd
    loop      one convolution after the other, for comparison

`python formulations.py [--device cuda] [--json FILE] [--lanes 1,2,4] [--images 30]` prints the
median milliseconds of a pass forward and backward. All ways must agree on the gradients. Precision
is single, without TF32.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

SIDE = 5
# Inputs, outputs, side of the image, whether the gradient of the input is needed.
LAYERS = {"conv1": (1, 20, 28, False), "conv2": (20, 50, 12, True)}


def grouped(x, weight, of_output, of_input):
    """Shapes: x [K, N, C, H, W], weight [K, O, C, 5, 5], of_output [K, N, O, h, w]."""
    k, n, c, height, width = x.shape
    images = x.transpose(0, 1).reshape(n, k * c, height, width).requires_grad_(of_input)
    filters = weight.flatten(0, 1).requires_grad_(True)
    output = F.conv2d(images, filters, groups=k)
    wanted = [filters, images] if of_input else [filters]
    gradients = torch.autograd.grad(output, wanted, of_output.transpose(0, 1).reshape(output.shape))
    return gradients[0].view(weight.shape), gradients[1].view(n, k, c, height, width).transpose(
        0, 1
    ) if of_input else None


def unfold(x, weight, of_output, of_input, way="windows"):
    """Channels last: x [K, N, H, W, C], weight [K, O, 5, 5, C], of_output [K, N, h, w, O]."""
    k, n, height, width, c = x.shape
    h, w = height - SIDE + 1, width - SIDE + 1
    windows = x.unfold(2, SIDE, 1).unfold(3, SIDE, 1)  # [K, N, h, w, C, 5, 5]
    columns = windows.permute(0, 1, 2, 3, 5, 6, 4).reshape(k, n * h * w, SIDE * SIDE * c)
    filters = weight.reshape(k, -1, SIDE * SIDE * c)
    columns.bmm(filters.transpose(1, 2))
    of_rows = of_output.reshape(k, n * h * w, -1)
    of_weight = of_rows.transpose(1, 2).bmm(columns).view(weight.shape)
    if not of_input:
        return of_weight, None
    of_columns = of_rows.bmm(filters).view(k, n, h, w, SIDE, SIDE, c)
    if way == "windows":
        of_windows = of_columns.permute(0, 1, 2, 3, 6, 4, 5)
        of_rows = torch.ops.aten.unfold_backward(of_windows, [k, n, h, width, c, SIDE], 3, SIDE, 1)
        return of_weight, torch.ops.aten.unfold_backward(
            of_rows, [k, n, height, width, c], 2, SIDE, 1
        )
    if way == "fold":
        of_pixels = of_columns.permute(0, 1, 6, 4, 5, 2, 3).reshape(k * n, c * SIDE * SIDE, h * w)
        return of_weight, F.fold(of_pixels, (height, width), SIDE).view(
            k, n, c, height, width
        ).permute(0, 1, 3, 4, 2)
    of_x = torch.zeros_like(x)
    for row in range(SIDE):
        for column in range(SIDE):
            of_x[:, :, row : row + h, column : column + w] += of_columns[:, :, :, :, row, column]
    return of_weight, of_x


def fold(x, weight, of_output, of_input):
    return unfold(x, weight, of_output, of_input, "fold")


def sum_over_filter(x, weight, of_output, of_input):
    return unfold(x, weight, of_output, of_input, "sum")


def vmap(x, weight, of_output, of_input):
    x, weight = x.detach().requires_grad_(of_input), weight.detach().requires_grad_(True)
    output = torch.func.vmap(F.conv2d)(x, weight)
    gradients = torch.autograd.grad(output, [weight, x] if of_input else [weight], of_output)
    return gradients[0], gradients[1] if of_input else None


def loop(x, weight, of_output, of_input):
    weights, inputs = [], []
    for x, weight, of_output in zip(x, weight, of_output):
        x, weight = x.detach().requires_grad_(of_input), weight.detach().requires_grad_(True)
        gradients = torch.autograd.grad(
            F.conv2d(x, weight), [weight, x] if of_input else [weight], of_output
        )
        weights.append(gradients[0])
        inputs.extend(gradients[1:])
    return torch.stack(weights), torch.stack(inputs) if of_input else None


def channels_last(tensors):
    return [tensor.movedim(2, -1).contiguous() for tensor in tensors]


def milliseconds(work, device):
    def timed():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return 1000 * (time.perf_counter() - start)

    first = [timed() for _ in range(3)][-1]
    return statistics.median(timed() for _ in range(max(3, min(30, int(500 / max(first, 0.01))))))


def close(one, other):
    # cuDNN may convolve through a transform, which rounds more coarsely: 1e-4 is too strict on an
    # H100.
    return (one - other).abs().max() <= 1e-3 * other.abs().max()


def main(arguments):
    device = torch.device(arguments.device)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    results = []
    for layer, (inputs, outputs, side, of_input) in LAYERS.items():
        for k in arguments.lanes:
            x = torch.randn(k, arguments.images, inputs, side, side, device=device)
            weight = torch.randn(k, outputs, inputs, SIDE, SIDE, device=device)
            of_output = torch.randn(k, arguments.images, outputs, side - 4, side - 4, device=device)
            tensors = (x, weight, of_output)
            last = channels_last(tensors)
            ways = {"unfold": (unfold, last), "sum": (sum_over_filter, last), "fold": (fold, last)}
            ways |= {
                "grouped": (grouped, tensors),
                "vmap": (vmap, tensors),
                "loop": (loop, tensors),
            }
            times, expected = {}, None
            for name, (way, given) in ways.items():
                try:
                    of_weight, of_x = way(*given, of_input)
                    if given is last:
                        of_weight, of_x = (
                            of_weight.movedim(-1, 2),
                            None if of_x is None else of_x.movedim(-1, 2),
                        )
                    expected = expected or (of_weight, of_x)
                    assert close(of_weight, expected[0]), name
                    assert of_x is None or close(of_x, expected[1]), name
                    times[name] = milliseconds(lambda: way(*given, of_input), device)
                except torch.OutOfMemoryError:
                    times[name] = None
            text = ", ".join(
                f"{name} " + ("-" if t is None else f"{t:.3f}") for name, t in times.items()
            )
            print(f"{layer}, {k} lanes: {text} ms", flush=True)
            results.append(
                {"layer": layer, "lanes": k, "images": arguments.images, "milliseconds": times}
            )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"device": arguments.device, "results": results}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json")
    parser.add_argument(
        "--images", type=int, default=30, help="of each lane: a batch of 10 and 20 samples"
    )
    parser.add_argument(
        "--lanes",
        type=lambda text: [int(k) for k in text.split(",")],
        default=[2**i for i in range(9)],
    )
    main(parser.parse_args())
