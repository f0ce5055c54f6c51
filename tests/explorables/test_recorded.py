"""What the text says is seen in the figures that show recorded runs."""

from statistics import fmean

from linfcourse.experiments import first_look, gpt_path
from linfcourse.experiments.experiment import best_lr
from linfcourse.experiments.gpt_path_results import measured_lr
from linfcourse.explorables import chapter_01, chapter_11


def order(rate: float, tried: str) -> list[str]:
    return [
        method
        for method in sorted(
            first_look.ORDER,
            key=lambda m: chapter_01.final(m, chapter_01.taken(m, rate, tried)),
        )
    ]


def test_with_all_rates_chapter_1_shows_every_method_at_its_best():
    record = first_look.recorded()
    for rate in chapter_01.RATES:
        for method in first_look.ORDER:
            taken = chapter_01.taken(method, rate, "all five rates")
            assert taken == best_lr(record, method=method)
            assert chapter_01.RATES[0] < taken < chapter_01.RATES[-1]
        ranked = [method for method, _, _ in first_look.ranking(record)]
        assert order(rate, "all five rates") == ranked


def test_with_one_rate_for_all_or_a_narrow_grid_the_winner_can_be_chosen():
    winners = [order(rate, "this rate alone")[0] for rate in chapter_01.RATES]
    assert winners == ["adam", "adam", "sgd", "sgd", "sgd"]
    assert order(0.05, "this rate alone") == ["sgd", "rotated_adam", "adasgd", "adam"]
    assert chapter_01.allowed(0.2, "it and its neighbours") == (0.05, 0.2, 0.8)
    assert order(0.2, "it and its neighbours")[0] == "sgd"
    assert chapter_01.allowed(0.003, "it and its neighbours") == (0.003, 0.012)


def test_a_run_of_chapter_11_is_the_first_optimizers_own_until_the_change():
    record = gpt_path.recorded()
    for first, second in (("adam", "sgd"), ("sgd", "adam")):
        changed = f"{first}_then_{second}"
        alone, both = (
            [t.result["steps"] for t in record.select(method=m, lr=measured_lr(record, m))]
            for m in (first, changed)
        )
        assert len(both) == 5
        for a, b in zip(alone, both, strict=True):
            assert a[:2] == b[:2]
    assert chapter_11.run_of("Adam", "SGD", 2.5) == "adam"
    assert chapter_11.run_of("Adam", "SGD", 2.4) == "adam_then_sgd"


def test_chapter_11_shows_what_its_claims_are_judged_by():
    for run in ("adam", "sgd", "adam_then_sgd", "sgd_then_adam"):
        expected = gpt_path.mean_log_ratios(gpt_path.recorded(), run)
        assert (
            max(abs(a - b) for a, b in zip(chapter_11.mean_ratios(run, 2.4), expected, strict=True))
            < 1e-12
        )


def test_after_sgd_adam_evens_queries_and_keys_and_leaves_the_mlps():
    def mean(run, *kinds):
        found = chapter_11.ratios(run, 2.4)
        return fmean(fmean(found[name]) for name in found if name.split()[1] in kinds)

    adam, changed, sgd = (mean(run, "query", "key") for run in ("adam", "sgd_then_adam", "sgd"))
    assert adam < changed < adam + 0.5 * (sgd - adam)
    for layer in ("1 up", "1 down", "2 up", "2 down"):
        found = [fmean(chapter_11.ratios(run, 2.4)[layer]) for run in ("sgd", "sgd_then_adam")]
        assert found[1] >= found[0], layer
