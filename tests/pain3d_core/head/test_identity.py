"""Identities: adults, product weights, bounded shapes."""

import numpy as np
import pytest

from pain3d.head import Head, Identity
from pain3d.head.ageing import AGED
from pain3d.head.identity import MAX_COEFFICIENT, MAX_MAHALANOBIS, MOST_UNEVEN, PACE, UNEVEN, one_sided, sample_local
from pain3d.random import keyed_generator

HEAD = Head.default()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"age": 17.0}, r"age must be in 18\.\.95 years \(adults only\), got 17"),
        ({"age": float("nan")}, r"age must be in 18\.\.95"),
        ({"sex": 1.5}, r"sex must be in 0\.\.1 \(0 female shapes, 1 male shapes\), got 1\.5"),
        ({"ancestry": (1.0, 1.0, 0.0)}, r"ancestry must be three shares that sum to 1"),
        ({"sex": "female"}, r"sex must be in 0\.\.1 \(0 female shapes, 1 male shapes\), got 'female'$"),
        ({"age": None}, r"age must be in 18\.\.95 years \(adults only\), got None$"),
        (
            {"ancestry": "asian"},
            r"ancestry must be three shares that sum to 1 \(african, asian, caucasian\), got 'asian'$",
        ),
        ({"ancestry": 1.0}, r"ancestry must be three shares that sum to 1 .*, got 1\.0$"),
        ({"local": (0.1, float("inf"))}, r"local must be in -10\.\.10 standard deviations, got inf$"),
    ],
)
def test_out_of_range(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Identity(**fields)  # type: ignore[arg-type]


def test_wrong_number_of_local_shapes() -> None:
    with pytest.raises(ValueError, match="local must have 157 coefficients for this head, got 2"):
        HEAD.identity_vector(Identity(local=(0.1, 0.2)))


def test_macro_weights_are_products_that_sum_to_one() -> None:
    for k in range(20):
        row = HEAD.identity_vector(HEAD.sample_identity(9, k))[0].numpy()
        named = dict(zip(HEAD.identity_names, row, strict=True))
        twelve = [
            w for n, w in named.items() if n.split("-")[0] in ("african", "asian", "caucasian") and n.count("-") == 2
        ]
        assert len(twelve) == 12 and abs(sum(twelve) - 1) < 1e-5 and min(twelve) >= 0
    pure = Identity(age=25, sex=0.0, ancestry=(0.0, 0.0, 1.0))
    named = dict(zip(HEAD.identity_names, HEAD.identity_vector(pure)[0].tolist(), strict=True))
    # "caucasian" ends with "asian": whole names, or two heads are added up.
    assert named["caucasian-female-young"] == 1 and named["asian-female-young"] == 0


def test_local_shapes_are_bounded_and_nearly_symmetric() -> None:
    draws = np.array([sample_local(keyed_generator(0, "test", k), HEAD.local_names) for k in range(200)])
    uneven = np.array([one_sided(name) for name in HEAD.local_names])
    assert 15 < uneven.sum() < 30
    most = 0.3 * PACE * MAX_COEFFICIENT * max(abs(amount) for pair in AGED.values() for amount in pair)
    assert np.abs(draws[:, ~uneven]).max() <= MAX_COEFFICIENT + most
    assert np.abs(draws[:, uneven]).max() <= MOST_UNEVEN
    draws[:, uneven] /= UNEVEN
    index = {name: i for i, name in enumerate(HEAD.local_names)}
    pairs = [(i, index["r-" + n[2:]]) for n, i in index.items() if n.startswith("l-")]
    assert len(pairs) > 20
    correlation = np.mean([np.corrcoef(draws[:, a], draws[:, b])[0, 1] for a, b in pairs])
    assert 0.95 < correlation < 0.99
    # Without the left–right correlation a vector is at most as long as a typical draw.
    single = [i for n, i in index.items() if not n.startswith(("l-", "r-"))]
    assert np.sqrt((draws[:, single] ** 2).mean(1)).max() < 1.25 * MAX_MAHALANOBIS


def test_nobody_is_a_monster() -> None:
    """The skin of 64 people stays within what adult heads differ by: a few millimetres on average."""
    people = [HEAD.sample_identity(11, k) for k in range(64)]
    vertices = HEAD(people).vertices
    front = (HEAD.template[:, 2] > 0.045) & (HEAD.template[:, 1].abs() < 0.09)
    spread = 1000 * (vertices - vertices.mean(0))[:, front].norm(dim=2)
    rms = spread.pow(2).mean(1).sqrt()
    assert 1.5 < rms.mean() < 6 and rms.max() < 10, (rms.mean(), rms.max())
    eyes = vertices[:, HEAD.landmarks[73], 0] - vertices[:, HEAD.landmarks[72], 0]
    assert eyes.min() > 0.050 and eyes.max() < 0.078  # pupil distance of adults: 52 to 78 mm (Dodgson 2004)


def test_same_key_same_person() -> None:
    assert HEAD.sample_identity(4, 2) == HEAD.sample_identity(4, 2) != HEAD.sample_identity(4, 3)
