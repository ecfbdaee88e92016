"""Defines the networks of the papers. Names of modules are those of the trainer's parameters."""

import torch.nn as nn
import torch.nn.functional as F


def after_two_convolutions(side):
    """Returns the pixels of a side after `conv 5x5, max-pool 2`, twice."""
    return ((side - 4) // 2 - 4) // 2


class Net(nn.Module):
    """conv 10, pool, relu, conv 20, [channel dropout], pool, relu, fc 50, relu, [dropout], fc.

    `masks` has dropout's factors for channels, [N, 20], and hidden units, [N, 50]. Tests and the
    function norm use none.
    """

    def __init__(self, height, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(
            20 * after_two_convolutions(height) * after_two_convolutions(width), 50
        )
        self.fc2 = nn.Linear(50, classes)
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()

    def forward(self, x, masks=None):
        x = self.relu(self.pool(self.conv1(x)))
        x = self.conv2(x)
        if masks is not None:
            x = x * masks[0][:, :, None, None]
        x = self.relu(self.pool(x))
        x = self.relu(self.fc1(x.flatten(1)))
        if masks is not None:
            x = x * masks[1]
        return self.fc2(x)


class Lenet(nn.Module):
    """conv 20, pool, [bn], conv 50, pool, [bn], conv 500, [bn], fc.

    The third convolution covers its whole input. There is no dropout.
    """

    def __init__(self, height, width, classes, batch_norm):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.conv3 = nn.Conv2d(
            50, 500, (after_two_convolutions(height), after_two_convolutions(width))
        )
        self.fc = nn.Linear(500, classes)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(20) if batch_norm else nn.Identity()
        self.bn2 = nn.BatchNorm2d(50) if batch_norm else nn.Identity()
        self.bn3 = nn.BatchNorm2d(500) if batch_norm else nn.Identity()

    def forward(self, x, masks=None):
        x = self.bn1(self.pool(self.conv1(x)))
        x = self.bn2(self.pool(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.fc(x.flatten(1))


def classifier(architecture, size):
    """Makes a classifier. `size` is height, width, classes; dropout depends on masks."""
    if architecture.startswith("net"):
        return Net(*size)
    return Lenet(*size, batch_norm=architecture == "lenet+bn")


class Vae(nn.Module):
    """x -> hidden (relu) -> mu, logvar; z -> hidden (relu) -> logits of the pixels."""

    def __init__(self, height, width, hidden, latent):
        super().__init__()
        pixels = height * width
        self.image, self.relu = (1, height, width), nn.ReLU()
        self.encoder = nn.ModuleDict(
            {"hidden": nn.Linear(pixels, hidden), "heads": nn.Linear(hidden, 2 * latent)}
        )
        self.decoder = nn.ModuleDict(
            {"hidden": nn.Linear(latent, hidden), "output": nn.Linear(hidden, pixels)}
        )

    def encode(self, x):
        return self.encoder["heads"](self.relu(self.encoder["hidden"](x.flatten(1)))).chunk(
            2, dim=1
        )

    def decode(self, z):
        return self.decoder["output"](self.relu(self.decoder["hidden"](z))).unflatten(1, self.image)


class ConvVae(nn.Module):
    """x -> (conv 4x4 stride 2, bn, elu) three times -> mu, logvar; z -> fc -> (bn, elu, transposed
    conv) three times.

    Each transposed convolution restores the side of its mirror image's input, so odd sides need
    output padding.
    """

    def __init__(self, height, width, hidden, latent):
        super().__init__()
        sides = [(height // 2**level, width // 2**level) for level in range(4)]
        a, b, c = hidden // 8, hidden // 4, hidden // 2
        features = c * sides[3][0] * sides[3][1]
        self.smallest = (c, *sides[3])

        def down(inputs, outputs):
            return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)

        def up(inputs, outputs, side, bias=False):
            odd = (side[0] % 2, side[1] % 2)
            return nn.ConvTranspose2d(
                inputs, outputs, 4, stride=2, padding=1, output_padding=odd, bias=bias
            )

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
        return x
