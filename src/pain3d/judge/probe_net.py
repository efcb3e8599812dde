"""Knows the probe: a small siamese conv net, how it is fed, how it learns, and what it then says. Seeded throughout.

Settings are those that worked in earlier measurements on these faces: AdamW 2e-3, weight decay 0.05, a short warm-up,
then cosine; an average of the weights (0.995) is what is tested; bfloat16 with channels last, which on two cores is
1.6 to 1.9 times as fast. One neutral face is encoded for every four pictures of its person.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 112  # pixels of a picture as the net sees it
PEOPLE, PICTURES = 16, 4  # of a batch: people, and pictures of each
RATE, DECAY, WARM_UP, AVERAGE = 2e-3, 0.05, 150, 0.995
# Channels and blocks at 56, 28, 14 and 7 pixels. None at 56: on a CPU the cost there is not the convolutions but what
# stands between them.
STAGES = ((32, 0), (64, 1), (128, 1), (192, 1))
EMBEDDING = 128
CLOSED_WEIGHT = 0.2  # of the loss of AU43 beside the squared errors of intensities on 0–1
Pool = tuple[Tensor, Tensor, Tensor, Tensor]
"""Crops [N, C, C, 3] uint8, labels [N, 6] (AU43 last), person [N], places of neutral pictures [P, K] int64."""


class Block(nn.Module):
    """Two 3 × 3 convolutions around which the input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] to the same shape."""
        inside = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.second_norm(self.second(inside)).add_(x), inplace=True)


class Probe(nn.Module):
    """Pictures [B, 3, 112, 112] → action units [B, 6]: five intensities on 0–1 and the logit of closed eyes.

    Args:
        seed: Of the first weights.
        neutral: Whether the person's neutral picture is seen too.
    """

    def __init__(self, seed: int, neutral: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, blocks in STAGES:
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            layers += [Block(width) for _ in range(blocks)]
            before = width
        self.trunk = nn.Sequential(*layers)
        self.narrow = nn.Conv2d(before, 32, 1)
        self.embed = nn.Linear(32 * 7 * 7, EMBEDDING)  # not a mean over the picture: where a line is tells its muscle
        self.mix = nn.Linear(EMBEDDING * (2 if neutral else 1), EMBEDDING)
        self.out = nn.Linear(EMBEDDING, 6)
        self.neutral = neutral
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.out.weight, std=0.01, generator=generator)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, 112, 112] → [B, 128]."""
        seen = F.relu(self.narrow(self.trunk(pictures)))
        return F.relu(self.embed(seen.flatten(1)))

    def decide(self, faces: Tensor, neutrals: Tensor | None) -> Tensor:
        """Embeddings of faces [B, 128] and of the neutral face of each → [B, 6]."""
        both = faces if neutrals is None else torch.cat([faces, neutrals], 1)
        out: Tensor = self.out(F.relu(self.mix(both)))
        return out


def train(pool: Pool, steps: int, seed: int, neutral: bool, step_done: Callable[[int], None]) -> Probe:
    """Train a probe on a pool of pictures of people, and hand back the average of its weights, ready to be asked.

    Args:
        pool: What it learns from.
        steps: Batches of PEOPLE × PICTURES.
        seed: Of weights, batches and augmentation.
        neutral: Whether it sees the neutral face.
        step_done: Called with the number of pictures after each step.
    """
    crops, labels, person, neutrals = pool
    net: Probe = Probe(seed, neutral).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean: Probe = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed + 1)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY, fused=True)
    places = [torch.nonzero(person == number)[:, 0] for number in range(len(neutrals))]
    warm_up = min(WARM_UP, max(1, steps // 10))
    net.train()
    for step in range(steps):
        rate = min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = RATE * rate
        people = torch.randint(len(places), (PEOPLE,), generator=generator)
        chosen = torch.cat(
            [places[p][torch.randint(len(places[p]), (PICTURES,), generator=generator)] for p in people.tolist()]
        )
        batch = crops[chosen]
        if neutral:
            which = torch.randint(neutrals.shape[1], (PEOPLE,), generator=generator)
            batch = torch.cat([batch, crops[neutrals[people, which]]])
        with torch.autocast("cpu", torch.bfloat16):
            embedded = net.encode(augmented(batch, generator))
            faces = embedded[: len(chosen)]
            known = embedded[len(chosen) :].repeat_interleave(PICTURES, 0) if neutral else None
            said = net.decide(faces, known)
        loss = loss_of(said.float(), labels[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        _average(mean, net, min(AVERAGE, (step + 1) / (step + 10)))
        step_done(len(chosen))
    mean.eval()
    return mean


def loss_of(said: Tensor, labels: Tensor) -> Tensor:
    """Squared error of five intensities on 0–1 plus the weighted cross entropy of closed eyes."""
    intensities = F.mse_loss(said[:, :5], labels[:, :5] / 5, reduction="none").sum(1).mean()
    return intensities + CLOSED_WEIGHT * F.binary_cross_entropy_with_logits(said[:, 5], labels[:, 5])


@torch.no_grad()
def ask(net: Probe, pool: Pool, step_done: Callable[[int], None]) -> Tensor:
    """What the probe says of all pictures of a pool, [N, 6]: intensities 0–5 and the chance of closed eyes.

    The neutral face is the person's first.
    """
    crops, _, person, neutrals = pool
    known = None
    said = []
    with torch.autocast("cpu", torch.bfloat16):
        if net.neutral:
            known = torch.cat([net.encode(plain(crops[part])) for part in torch.split(neutrals[:, 0], 256)])
        for part in torch.split(torch.arange(len(crops)), 256):
            faces = net.encode(plain(crops[part]))
            said.append(net.decide(faces, known[person[part]] if known is not None else None).float())
            step_done(len(part))
    out = torch.cat(said)
    return torch.cat([out[:, :5] * 5, out[:, 5:].sigmoid()], 1)


def plain(crops: Tensor) -> Tensor:
    """The middle of crops [B, C, C, 3] uint8 → [B, 3, 112, 112] around 0."""
    edge = (crops.shape[1] - SIDE) // 2
    middle = crops[:, edge : edge + SIDE, edge : edge + SIDE].permute(0, 3, 1, 2)
    return middle.float().div_(255).sub_(0.45).div_(0.25).contiguous(memory_format=torch.channels_last)


def augmented(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Crops [B, C, C, 3] uint8 → [B, 3, 112, 112]: moved, scaled, rolled, mirrored, and lit otherwise."""
    count, side = len(crops), crops.shape[1]

    def draw(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * 2 - 1

    scale = SIDE / side * (1 + 0.06 * draw(1))
    roll = math.radians(3) * draw(1)
    mirror = torch.where(draw(1) < 0, -1.0, 1.0)
    cos, sin = scale * roll.cos(), scale * roll.sin()
    shift = 0.06 * draw(2)
    turn = torch.stack([torch.cat([cos * mirror, -sin, shift[:, :1]], 1),
                        torch.cat([sin * mirror, cos, shift[:, 1:]], 1)], 1)  # fmt: skip
    pictures = crops.permute(0, 3, 1, 2).float().div_(255)
    grid = F.affine_grid(turn, [count, 3, SIDE, SIDE], align_corners=False)
    seen = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    gain = (1 + 0.20 * draw(1, 1, 1)) * (1 + 0.08 * draw(3, 1, 1))
    contrast = 1 + 0.25 * draw(1, 1, 1)
    middle = seen.mean((1, 2, 3), keepdim=True)
    seen = ((seen - middle) * contrast + middle) * gain
    grain = torch.randn(-(-count // 8), 3, SIDE, SIDE, generator=generator)  # shared by 8: drawing it costs most
    noise = grain.repeat(8, 1, 1, 1)[:count] * (0.015 * (draw(1, 1, 1) + 1))
    return (seen + noise).clamp_(0, 1).sub_(0.45).div_(0.25).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _average(mean: Probe, net: Probe, keep: float) -> None:
    """Move the average towards the net; what counts batches is taken as it is."""
    for old, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)
