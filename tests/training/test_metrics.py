"""The figures of an evaluation: against published tables, scikit-learn and plain loops; defined where data are poor."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef, roc_auc_score

from pain3d.console.refused import RefusedError
from pain3d.training.evaluation import agreement
from pain3d.training.evaluation.bootstrap import difference, interval, resampled_people, resampled_ranking
from pain3d.training.evaluation.metrics import always_yes, compute_metrics, pooled_metrics, value_at
from pain3d.training.evaluation.overlap import refuse_overlap
from pain3d.training.evaluation.predictions import Predictions, concatenate
from pain3d.training.evaluation.spread import spread_scale
from pain3d.training.evaluation.thresholds import best_threshold

# Shrout & Fleiss 1979, table 2: six targets, four judges; table 4 gives ICC(3,1) = .71.
SHROUT = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7))


def made_up(people: int = 12, each: int = 15, seed: int = 0, prefix: str = "p", noise: float = 1.0) -> Predictions:
    """Predictions of a model that is about right; the first picture of each person is neutral."""
    generator = np.random.default_rng(seed)
    count = people * each
    au = generator.integers(0, 6, (count, 6)).astype(np.float32)
    au[:, 5] = generator.random(count) < 0.4
    au[generator.random(count) < 0.3] = 0
    au[::each] = 0
    pspi = au[:, 0] + au[:, 1:3].max(1) + au[:, 3:5].max(1) + au[:, 5]
    guess = np.clip(pspi + np.repeat(generator.normal(0, 0.5, people), each) + generator.normal(0, noise, count), 0, 16)
    binary = np.stack([pspi >= least for least in (1, 2, 3)], 1)
    chance = 1 / (1 + np.exp(-(guess[:, None] - [1, 2, 3] + generator.normal(0, 0.5, (count, 3)))))
    subject = np.repeat(np.arange(people), each)
    return Predictions(
        ids=tuple(f"{prefix}{row}" for row in range(count)),
        subject=tuple(f"{prefix}{number:02d}" for number in subject),
        pspi_true=pspi.astype(np.float32),
        pspi=guess.astype(np.float32),
        au_true=au,
        au=np.maximum(au + generator.normal(0, 0.6, au.shape), 0).astype(np.float32),
        binary_true=binary.astype(np.float32),
        binary=chance.astype(np.float32),
        pain_true=binary[:, 0].astype(np.float32),
        neutral=pspi == 0,
        slices={"sex": tuple("female" if number % 2 else "male" for number in subject)},
    )


def relabelled(predictions: Predictions, level: float) -> Predictions:
    """The same with one true PSPI everywhere."""
    count = len(predictions)
    binary = np.tile(np.array([level >= least for least in (1, 2, 3)], np.float32), (count, 1))
    return dataclasses.replace(
        predictions, pspi_true=np.full(count, level, np.float32), binary_true=binary, neutral=np.full(count, level == 0)
    )


def all_numbers(part: Any) -> list[float]:
    """Every float of nested figures."""
    if isinstance(part, dict):
        return [number for value in part.values() for number in all_numbers(value)]
    if isinstance(part, list):
        return [number for value in part for number in all_numbers(value)]
    return [part] if isinstance(part, float) else []


def test_icc_of_the_paper() -> None:
    assert agreement.icc_3_1(SHROUT) == pytest.approx(0.71, abs=0.005)
    # BMS 11.24 and EMS 1.02 of their table 3: (11.24 - 1.02) / (11.24 + 3 * 1.02)
    assert agreement.icc_3_1(SHROUT) == pytest.approx(10.22 / 14.30, abs=1e-3)
    assert math.isnan(agreement.icc_3_1([[1, 1], [1, 1]])) and math.isnan(agreement.icc_3_1([[1, 2]]))


@pytest.mark.parametrize("seed", range(3))
def test_sums_give_what_whole_columns_give(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 17, 80).astype(float)
    z = x + generator.normal(0, 3, 80)
    y = 0.6 * x + 0.3 * z + 100 + generator.normal(0, 2, 80)
    subject = generator.integers(0, 7, 80)
    total = agreement.sums_by_subject(x, y, subject, 7, z).sum(0)
    base = np.stack([np.ones(80), z], 1)
    rest = [column - base @ np.linalg.lstsq(base, column, rcond=None)[0] for column in (x, y)]
    # Worst seen 2e-15 relative over 200 seeds: two ways of adding the same numbers.
    close = 1e-12
    assert agreement.pearson(total) == pytest.approx(np.corrcoef(x, y)[0, 1], rel=close)
    assert agreement.icc(total) == pytest.approx(agreement.icc_3_1(np.stack([x, y], 1)), rel=close)
    assert agreement.partial(total) == pytest.approx(np.corrcoef(*rest)[0, 1], rel=1e-9)
    assert agreement.slope(total) == pytest.approx(np.polyfit(y, x, 1)[0], rel=1e-9)
    assert agreement.mae(total) == pytest.approx(np.abs(y - x).mean(), rel=close)
    assert agreement.mse(total) == pytest.approx(((y - x) ** 2).mean(), rel=close)
    assert agreement.bias(total) == pytest.approx((y - x).mean(), rel=close)


def test_partial_correlation_unmasks_who_knows_only_pspi() -> None:
    generator = np.random.default_rng(0)
    units = generator.integers(0, 6, (4000, 2)).astype(float)
    total = units.sum(1)
    cheat = total / 2 + generator.normal(0, 0.1, 4000)
    sums = agreement.sums_by_subject(units[:, 0], cheat, np.zeros(4000, int), 1, total).sum(0)
    assert agreement.pearson(sums) > 0.6
    assert abs(agreement.partial(sums)) < 0.05  # seen 0.02


def test_unknown_labels_do_not_count() -> None:
    x, y = np.array([0.0, 1, 2, np.nan, 4]), np.array([0.0, 1, 3, 9, 4])
    subject = np.array([0, 0, 1, 1, 1])
    known = np.isfinite(x)
    found = agreement.sums_by_subject(x, y, subject, 2)
    assert found[:, 0].tolist() == [2, 2]
    assert found == pytest.approx(agreement.sums_by_subject(x[known], y[known], subject[known], 2))


def test_resampled_ranking_is_the_ranking_of_repeated_rows() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(90) < 0.3
    score = np.round(truth + generator.normal(0, 1, 90), 1)  # with ties
    subject = generator.integers(0, 6, 90)
    drawn = resampled_people(6, 20, 0)
    areas = resampled_ranking(truth, score, subject, drawn)
    for counts, area in zip(drawn, areas, strict=True):
        rows = np.repeat(np.arange(90), counts[subject])
        # Worst seen 2e-16: the same pairs in another order.
        assert area == pytest.approx(roc_auc_score(truth[rows], score[rows]), abs=1e-12)


def test_resamples_are_keyed_and_whole() -> None:
    drawn = resampled_people(25, 200, 3)
    assert drawn.shape == (200, 25) and (drawn.sum(1) == 25).all()
    assert (drawn == resampled_people(25, 200, 3)).all()
    assert (drawn != resampled_people(25, 200, 4)).any()


@pytest.mark.parametrize("people", [10, 30])
def test_an_interval_holds_the_truth_as_often_as_it_says(people: int) -> None:
    """Each person has an error of their own: drawing pictures would not see it, drawing people does."""
    generator = np.random.default_rng(0)
    held = []
    for trial in range(600):
        error = np.repeat(generator.normal(0, 1, people), 20) + generator.normal(0, 0.1, 20 * people)
        sums = agreement.sums_by_subject(np.zeros(len(error)), error, np.repeat(np.arange(people), 20), people)
        bounds, _ = interval(agreement.bias(resampled_people(people, 400, trial) @ sums), people)
        assert bounds is not None
        held.append(bounds[0] <= 0 <= bounds[1])
    # Seen 0.935 to 0.948 for 10 people and 0.923 to 0.955 for 30 over three seeds; plain percentiles: 0.89 to 0.91 for
    # 10; an interval over single pictures: 0.34 for 30.
    assert 0.915 <= np.mean(held) <= 0.975


@pytest.mark.parametrize("seed", range(5))
def test_threshold_has_the_best_f1(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = (generator.random(60) < 0.3).astype(float)
    score = np.round(truth + generator.normal(0, 0.7, 60), 1)
    at, _ = best_threshold(np.r_[truth, np.nan], np.r_[score, 5.0])
    assert at is not None
    best = max(f1_score(truth, score >= level) for level in np.unique(score))
    assert f1_score(truth, score >= at) == pytest.approx(best, abs=1e-12)


def test_threshold_that_cannot_be() -> None:
    score = np.array([0.1, 0.2])
    assert best_threshold(np.zeros(2), score) == (None, "the validation pictures have no positives")
    assert best_threshold(np.ones(2), score) == (None, "the validation pictures have no negatives")
    assert best_threshold(np.array([0.0, 1]), np.full(2, 0.5)) == (0.5, None)


def test_the_nest_and_its_figures() -> None:
    test, validation = made_up(), made_up(seed=1, prefix="v")
    found = compute_metrics(test, validation, resamples=200)
    assert not found["undefined"]
    assert found["pictures"] == 180 and found["subjects"] == 12
    pspi = found["pspi"]
    assert pspi["pearson"] == pytest.approx(np.corrcoef(test.pspi_true, test.pspi)[0, 1])
    assert pspi["mae"] == pytest.approx(np.abs(test.pspi - test.pspi_true).mean(), rel=1e-6)  # float32 columns
    assert pspi["rmse"] == pytest.approx(math.sqrt(pspi["mse"]))
    assert pspi["neutral_mean"] == pytest.approx(test.pspi[test.neutral].mean())
    assert pspi["mean_predictor"]["value"] == pytest.approx(validation.pspi_true.mean())
    for name in ("pearson", "icc", "mae", "mse", "rmse", "bias", "neutral_mean"):
        low, high = pspi["ci"][name]
        assert low < pspi[name] < high, name
    head = found["thresholds"]["2"]
    assert head["auroc"] == pytest.approx(roc_auc_score(test.binary_true[:, 1], test.binary[:, 1]))
    chosen, _ = best_threshold(validation.binary_true[:, 1].astype(float), validation.binary[:, 1].astype(float))
    assert chosen is not None and head["threshold"] == chosen
    assert head["f1"] == pytest.approx(f1_score(test.binary_true[:, 1], test.binary[:, 1] >= chosen))
    for name, oracle in (("balanced_accuracy", balanced_accuracy_score), ("mcc", matthews_corrcoef)):
        assert head[name] == pytest.approx(oracle(test.binary_true[:, 1], test.binary[:, 1] >= chosen))
    for name in ("f1", "balanced_accuracy"):
        assert head["ci"][name][0] < head[name] < head["ci"][name][1]
    assert set(found["au"]) == {"AU04", "AU06", "AU07", "AU09", "AU10", "AU43"}
    assert found["au"]["AU43"]["auc"] == pytest.approx(roc_auc_score(test.au_true[:, 5], test.au[:, 5]))
    assert value_at(found, "au_mean.pearson") == pytest.approx(
        np.mean([found["au"][unit]["pearson"] for unit in ("AU04", "AU06", "AU07", "AU09", "AU10")])
    )
    each = [np.corrcoef(test.pspi_true[rows], test.pspi[rows])[0, 1] for rows in np.arange(180).reshape(12, 15)]
    assert pspi["per_subject"]["pearson"] == pytest.approx(np.mean(each))
    assert pspi["per_subject"]["pearson_sd"] == pytest.approx(np.std(each, ddof=1))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == compute_metrics(test, validation, resamples=200)


def test_slices_are_parts() -> None:
    test = made_up()
    found = compute_metrics(test, made_up(seed=1, prefix="v"), resamples=50)["slices"]["sex"]
    assert list(found) == ["female", "male"]
    rows = np.array([word == "male" for word in test.slices["sex"]])
    assert found["male"]["pictures"] == rows.sum() and found["male"]["subjects"] == 6
    assert found["male"]["mae"] == pytest.approx(np.abs(test.pspi - test.pspi_true)[rows].mean(), rel=1e-6)
    assert found["male"]["auroc"] == pytest.approx(roc_auc_score(test.binary_true[rows, 0], test.binary[rows, 0]))


def test_without_validation_there_is_no_f1() -> None:
    found = compute_metrics(made_up(), None, resamples=20)
    assert found["thresholds"]["1"]["f1"] is None and found["thresholds"]["1"]["auroc"] is not None
    assert found["undefined"]["thresholds.1.f1"] == "there are no validation pictures to choose a threshold on"
    assert found["pspi"]["mean_predictor"]["mae"] is None


def test_the_threshold_never_sees_the_test() -> None:
    """Other test labels, other test scores: the same thresholds."""
    validation = made_up(seed=1, prefix="v")
    one, other = (compute_metrics(made_up(seed=seed), validation, resamples=0)["thresholds"] for seed in (0, 7))
    assert [one[least]["threshold"] for least in one] == [other[least]["threshold"] for least in other]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("constant labels", "the labels are constant"),
        ("constant predictions", "the predictions are constant"),
        ("no labels", "no picture with a known PSPI"),
        ("two pictures", "fewer than 3 pictures"),
    ],
)
def test_poor_data_have_a_reason(name: str, reason: str) -> None:
    test, count = made_up(), 180
    poor = {
        "constant labels": relabelled(test, 4),
        "constant predictions": dataclasses.replace(test, pspi=np.full(count, 3, np.float32)),
        "no labels": dataclasses.replace(test, pspi_true=np.full(count, np.nan, np.float32)),
        "two pictures": test.only([0, 1]),
    }[name]
    found = compute_metrics(poor, made_up(seed=1, prefix="v"), resamples=20)
    assert found["pspi"]["pearson"] is None and found["undefined"]["pspi.pearson"] == reason
    assert found["pspi"]["ci"]["pearson"] is None and found["undefined"]["pspi.ci.pearson"] == reason
    assert all(math.isfinite(number) for number in all_numbers(found))
    json.dumps(found, allow_nan=False)


def test_every_null_has_its_reason() -> None:
    def nulls(part: Any, path: str = "") -> list[str]:
        if isinstance(part, dict):
            return [name for key, value in part.items() for name in nulls(value, f"{path}.{key}")]
        return [path[1:]] if part is None else []

    test = made_up()
    blank = dataclasses.replace(
        test,
        pspi_true=np.full(180, np.nan, np.float32),
        au_true=np.full((180, 6), np.nan, np.float32),
        binary_true=np.full((180, 3), np.nan, np.float32),
        neutral=np.zeros(180, bool),
    )
    for poor in (test.only(np.arange(15)), test.only([0]), relabelled(test, 0), relabelled(test, 9), blank):
        found = compute_metrics(poor, None, resamples=10)
        reasons = found.pop("undefined")
        assert sorted(nulls(found)) == sorted(reasons)
        assert all(reasons.values())


def test_one_person_has_no_interval() -> None:
    found = compute_metrics(made_up().only(np.arange(15)), made_up(seed=1, prefix="v"), resamples=20)
    assert found["pspi"]["pearson"] is not None and found["pspi"]["ci"]["pearson"] is None
    assert found["undefined"]["pspi.ci.pearson"] == "one subject: nobody to draw again"


def test_constant_predictor_is_what_it_is() -> None:
    """An ICC of 0, an AUROC of one half, and the F1 of saying yes to all."""
    same = {"pspi": np.full(180, 5, np.float32), "binary": np.full((180, 3), 0.7, np.float32)}
    test, validation = made_up(), made_up(seed=1, prefix="v")
    found = compute_metrics(dataclasses.replace(test, **same), dataclasses.replace(validation, **same), resamples=0)
    head = found["thresholds"]["1"]
    assert found["pspi"]["icc"] == 0 and head["auroc"] == 0.5
    assert head["f1"] == pytest.approx(head["f1_always_yes"]) and head["recall"] == 1
    assert head["balanced_accuracy"] == 0.5 and head["mcc"] == 0
    yes = always_yes(test, resamples=0)["thresholds"]["1"]
    for name in ("auroc", "balanced_accuracy", "mcc", "f1", "precision", "recall"):
        assert yes[name] == head[name]


def test_no_positives() -> None:
    found = compute_metrics(relabelled(made_up(), 0), made_up(seed=1, prefix="v"), resamples=20)
    assert found["thresholds"]["1"]["auroc"] is None and found["thresholds"]["1"]["f1"] is None
    assert found["undefined"]["thresholds.1.auroc"] == "the labels have no positives"
    assert found["pspi"]["mae"] is not None


def test_folds_keep_their_own_thresholds() -> None:
    folds = [
        (made_up(5, seed=seed, prefix=f"{seed}-"), made_up(5, seed=seed + 9, prefix=f"v{seed}-")) for seed in (0, 1)
    ]
    found = pooled_metrics(folds, resamples=20)
    each = [compute_metrics(*fold, resamples=0) for fold in folds]
    assert found["pictures"] == 150 and found["subjects"] == 10
    assert found["folds"]["pspi.pearson"]["each"] == [one["pspi"]["pearson"] for one in each]
    assert found["folds"]["pspi.mae"]["mean"] == pytest.approx(np.mean([one["pspi"]["mae"] for one in each]))
    thresholds = [one["thresholds"]["1"]["threshold"] for one in each]
    yes = np.concatenate([test.binary[:, 0] >= least for (test, _), least in zip(folds, thresholds, strict=True)])
    truth = np.concatenate([test.binary_true[:, 0] for test, _ in folds])
    assert found["thresholds"]["1"]["f1"] == pytest.approx(f1_score(truth, yes))


def test_leave_one_subject_out_is_defined() -> None:
    test, validation = made_up(4, 6), made_up(seed=1, prefix="v")
    constant = test.only(np.array(test.subject) == "p00")
    people = [test.only(np.array(test.subject) == name) for name in test.people[1:]]
    found = pooled_metrics(
        [(relabelled(constant, 0), validation), *((one, validation) for one in people)], resamples=20
    )
    assert found["folds"]["pspi.pearson"]["folds"] == 3 and found["folds"]["pspi.pearson"]["each"][0] is None
    assert found["pspi"]["pearson"] is not None


def test_one_person_or_no_resample_makes_no_interval() -> None:
    assert interval([0.1, 0.2], 1) == (None, "one subject: nobody to draw again")
    assert interval([], 5) == (None, "no resamples were asked for")
    assert interval([0.1] * 8 + [math.nan] * 2, 5) == (None, "2 of 10 resamples don't have it")
    assert interval([0.1] * 19 + [math.nan], 5) == ([0.1, 0.1], None)


def test_nobody_is_on_both_sides() -> None:
    refuse_overlap(["a", "b"], ["c"])
    with pytest.raises(RefusedError, match=r"^subject 'b' \(and 1 other\) was trained on: it can't be tested on$"):
        refuse_overlap(["b", "c", "a"], ["c", "d", "b"])
    test = made_up()
    with pytest.raises(RefusedError, match="subject 'p00' is in test and validation"):
        compute_metrics(test, dataclasses.replace(test, ids=tuple(f"v{name}" for name in test.ids)))
    with pytest.raises(RefusedError, match="subject 'p00' is tested in folds 0 and 1"):
        pooled_metrics([(test, None), (test, None)])
    with pytest.raises(RefusedError, match="no test pictures"):
        compute_metrics(test.only([]), None)


def test_difference_is_judged_pair_by_pair() -> None:
    test = made_up(noise=1.0)
    worse = dataclasses.replace(
        test, pspi=(test.pspi + np.random.default_rng(3).normal(0, 0.3, 180)).astype(np.float32)
    )
    shuffled: npt.NDArray[np.int64] = np.random.default_rng(0).permutation(180)
    found = difference(test, worse.only(shuffled), resamples=300)
    assert found["mae"]["difference"] == pytest.approx(
        np.abs(test.pspi - test.pspi_true).mean() - np.abs(worse.pspi - worse.pspi_true).mean(), rel=1e-5
    )
    # The errors' own intervals overlap, that of their difference leaves 0 out.
    alone = [compute_metrics(one, None, resamples=300)["pspi"]["ci"]["mae"] for one in (test, worse)]
    assert alone[0][1] > alone[1][0] and found["mae"]["ci"][1] < 0
    assert difference(test, test)["pearson"] == {"difference": 0.0, "ci": [0.0, 0.0]}
    with pytest.raises(RefusedError, match="'p0' isn't in both"):
        difference(test, test.only(np.arange(1, 180)))


def test_together_keeps_everybody() -> None:
    both = concatenate([made_up(2, 3), made_up(1, 3, prefix="q")])
    assert len(both) == 9 and both.people == ("p00", "p01", "q00") and len(both.slices["sex"]) == 9
    assert both.subject_index.tolist() == [0] * 3 + [1] * 3 + [2] * 3


def test_a_spread_is_scaled_to_the_errors_and_judged() -> None:
    generator = np.random.default_rng(9)
    found = made_up(noise=0.0)
    true = generator.uniform(0.5, 2.0, len(found)).astype(np.float32)
    off = (generator.normal(size=len(found)) * true).astype(np.float32)
    found = dataclasses.replace(found, pspi=found.pspi_true + off, pspi_std=true / 5)
    scale = spread_scale(found)
    assert scale == pytest.approx(5, rel=0.1)  # seen 4.99
    judged = compute_metrics(dataclasses.replace(found, pspi_std=found.pspi_std * scale), None, resamples=0)["pspi"]
    assert judged["spread"]["within_1"] == pytest.approx(0.683, abs=0.01)
    assert judged["spread"]["within_2"] == pytest.approx(0.954, abs=0.03)  # of 180 pictures; seen 0.967
    assert judged["spread"]["pearson"] > 0.3  # seen 0.5
    assert "spread" not in compute_metrics(made_up(), None, resamples=0)["pspi"]
    assert spread_scale(made_up()) == 1.0
