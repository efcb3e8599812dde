"""Views that agree at every step: the denoised estimate of each sampler, and who waits for whom."""

from inspect import signature

import pytest
import torch

from pain3d.console.refused import RefusedError
from pain3d.pipeline.texture.blending import BLENDABLE, blend_steps, line_of, pack, paint_together, unpack
from pain3d.torchvision_schemas import import_torchvision

import_torchvision()
import diffusers  # noqa: E402  # after torchvision

PREDICTIONS = ("epsilon", "v_prediction", "sample")


def scheduler_of(name: str, prediction: str):
    kind = getattr(diffusers, name)
    made = kind() if name.startswith("Flow") else kind(prediction_type=prediction)
    made.set_timesteps(5)
    return made


def told(prediction: str, clean: torch.Tensor, noise: torch.Tensor, kept: float) -> torch.Tensor:
    """What a net that knows all would say."""
    if prediction == "epsilon":
        return noise
    return clean if prediction == "sample" else kept**0.5 * noise - (1 - kept) ** 0.5 * clean


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", [name for name in BLENDABLE if not name.startswith("Flow")])
def test_the_line_finds_what_was_noised(name: str, prediction: str) -> None:
    scheduler = scheduler_of(name, prediction)
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, 4, 4, 4, generator=generator)
    for place, timestep in enumerate(scheduler.timesteps):
        noisy = scheduler.add_noise(clean, noise, timestep[None])
        by_table = hasattr(scheduler, "sigmas")
        kept = 1 / (1 + float(scheduler.sigmas[place]) ** 2) if by_table else float(scheduler.alphas_cumprod[timestep])
        a, b = line_of(scheduler, timestep)
        found = a * noisy + b * told(prediction, clean, noise, kept)
        torch.testing.assert_close(found, clean, rtol=0, atol=2e-4)  # worst seen 6e-5, epsilon at the noisiest time


def test_the_line_of_flow_matching() -> None:
    scheduler = scheduler_of("FlowMatchEulerDiscreteScheduler", "flow")
    clean, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    for timestep in scheduler.timesteps:
        noisy = scheduler.scale_noise(clean, timestep[None], noise)
        a, b = line_of(scheduler, timestep)
        torch.testing.assert_close(a * noisy + b * (noise - clean), clean, rtol=0, atol=1e-5)  # worst seen 1e-6


def test_other_samplers_are_refused() -> None:
    with pytest.raises(RefusedError, match="PNDMScheduler: views can't be blended"):
        line_of(scheduler_of("PNDMScheduler", "epsilon"), torch.tensor(1))


@pytest.mark.parametrize("name", BLENDABLE)
def test_steps_under_a_blend(name: str) -> None:
    """One that changes nothing leaves every bit; one that sets the estimate is where the last step ends."""
    ends = {}
    goal = torch.full((2, 4, 4, 4), 0.25)
    for label, blend in {"none": None, "same": lambda x: x.clone(), "goal": lambda x: goal}.items():
        scheduler = scheduler_of(name, "epsilon")
        if blend is not None:
            blend_steps(scheduler, blend, (4, 4))
        generator = torch.Generator().manual_seed(3)
        latents = torch.randn(2, 4, 4, 4, generator=generator)
        for timestep in scheduler.timesteps:
            output = torch.randn(latents.shape, generator=generator)
            named = {"generator": generator} if "generator" in signature(scheduler.step).parameters else {}
            latents = scheduler.step(output, timestep, latents, return_dict=False, **named)[0]
        ends[label] = latents
    assert torch.equal(ends["none"], ends["same"])
    if name not in ("DDPMScheduler", "TCDScheduler"):  # whose last step leaves a little noise
        torch.testing.assert_close(ends["goal"], goal, rtol=0, atol=1e-6)  # worst seen 3e-7


def test_a_blend_keeps_its_shape() -> None:
    scheduler = scheduler_of("DDIMScheduler", "epsilon")
    blend_steps(scheduler, lambda x: x[:1], (4, 4))
    with pytest.raises(ValueError, match=r"a blend must keep the shape \[2, 4, 4, 4\], got \[1, 4, 4, 4\]"):
        scheduler.step(torch.ones(2, 4, 4, 4), scheduler.timesteps[0], torch.ones(2, 4, 4, 4))


def test_tokens_and_pictures() -> None:
    pictures = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    tokens = pack(pictures, tokens=True)
    assert tokens.shape == (2, 6, 12)
    assert tokens[0, 1, :4].tolist() == [2, 3, 8, 9]  # the second 2 × 2 pixels of the first channel
    assert torch.equal(unpack(tokens, (4, 6)), pictures)
    assert unpack(pictures, (4, 6)) is pictures and pack(pictures, tokens=False) is pictures


def test_paintings_take_turns() -> None:
    heard: list[str] = []

    def painting(name: str, steps: int = 2):
        def paint(blend):
            value = torch.full((1, 1), float(ord(name)))
            for step in range(steps):
                heard.append(f"{name}{step}")
                value = blend(value)
            return value

        return paint

    ends = paint_together([painting("a"), painting("c")], lambda x: x.mean(0, keepdim=True).expand_as(x))
    assert heard == ["a0", "c0", "a1", "c1"]
    assert [float(end) for end in ends] == [98.0, 98.0]
    with pytest.raises(RuntimeError, match="equally many steps"):
        paint_together([painting("a", 1), painting("b", 2)], lambda x: x)


def test_a_failure_ends_all() -> None:
    ended = []

    def waits(blend):
        try:
            return blend(torch.zeros(1, 1))
        finally:
            ended.append(True)

    def fails(blend):
        raise KeyError("told to")

    with pytest.raises(KeyError, match="told to"):
        paint_together([waits, fails, waits], lambda x: x)
    assert ended == [True]  # the third never began
    with pytest.raises(ZeroDivisionError):
        paint_together([waits, waits], lambda x: 1 / 0)
    assert len(ended) == 3
