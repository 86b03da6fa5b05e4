"""Each rule on a series made so that the right choice is known."""

import math

import pytest

from colorgan.evaluation.inflection import (
    NEEDS,
    RULES,
    artefact_area,
    choose,
    chroma_law,
    duality_gap,
    fresh_critic,
    held_out_critic,
    one_standard_error,
)


def series(first_step=0, **columns):
    length = max(len(values) for values in columns.values())
    return [
        {"step": first_step + 20 * index, **{name: values[index] for name, values in columns.items()}}
        for index in range(length)
    ]


def critic(values, error=0.05):
    return series(critic_overfit=values, critic_overfit_error=[error] * len(values))


def test_held_out_critic_stops_before_the_ratio_leaves_two_errors_of_the_start():
    choice = held_out_critic(critic([0.2, 0.25, 0.29, 0.31, 0.1]))
    assert (choice.step, choice.over, choice.level) == (40, True, pytest.approx(0.3))
    assert not held_out_critic(critic([0.2, 0.25, 0.29])).over


def told(accuracy, num_groups, first_step=20):
    return series(first_step, fresh_accuracy=accuracy, num_groups=[float(num_groups)] * len(accuracy))


def test_fresh_critic_takes_the_least_accuracy_before_it_rises():
    values = [0.9, 0.8, 0.7, 0.72, 0.79, 0.5]  # with 100 photos 1.64 errors of 0.7 are 0.075
    choice = fresh_critic(told(values, num_groups=100))
    assert (choice.step, choice.over) == (60, True)
    assert fresh_critic(told(values[:4], num_groups=100)).step == 60
    assert fresh_critic(told(values, num_groups=25)).step == 120, "of fewer photos a rise of twice that tells nothing"


def test_a_start_that_is_better_than_the_first_snapshots_chooses_none_of_these():
    bump = [0.7, 0.8, 0.72, 0.65]  # step 0 comes first
    choice = choose("fresh_critic", told(bump, num_groups=100, first_step=0))
    assert (choice.step, choice.over) == (60, False)
    choice = choose("one_standard_error", judged([50.0, 58.0, 52.0, 50.3, 49.9], [40.0] * 5, first_step=0))
    assert (choice.step, choice.over) == (60, False)
    choice = choose("one_standard_error", judged([49.0, 58.0, 55.0, 53.0, 52.0, 51.0], [40.0] * 6, first_step=0))
    assert (choice.step, choice.over) == (100, False)
    gaps = [1.0, 5.0, 4.0, 3.0, 2.0, 2.5, 3.0, 4.0]
    assert choose("duality_gap", series(0, duality_gap=gaps)).step == 80


def test_duality_gap_takes_its_first_smooth_minimum():
    values = [5.0, 4.0, 9.0, 3.0, 2.0, 2.5, 3.0, 4.0, 5.0, 0.0, 0.0]
    assert duality_gap(series(20, duality_gap=values)).step == 100
    assert not duality_gap(series(20, duality_gap=[3.0, 2.0, 1.0])).over


def test_artefact_area_stops_before_it_jumps():
    grown = [0.0, 0.001, 0.002, 0.0035, 0.004, 0.005, 0.0065]
    choice = artefact_area(series(artefact_area=[*grown, 0.05, 0.06]))
    assert (choice.step, choice.over) == (20 * (len(grown) - 1), True)
    assert not artefact_area(series(artefact_area=[0.0, 0.5, 0.9])).over, "without a past no growth is a jump"


def judged(distance, colorfulness, harm=1.0, error=0.6, first_step=20):
    """A series whose differences from the best have a standard error."""
    length, best = len(distance), distance.index(min(distance))
    spread = [0 if index == best else error for index in range(length)]
    return series(
        first_step,
        chroma_distance=distance,
        chroma_distance_replicates=[[d - s, d + s] for d, s in zip(distance, spread, strict=True)],
        colorfulness=colorfulness,
        colorfulness_truth=[40.0] * length,
        ciede2000=[10.0 * harm] * length,
        ciede2000_twin=[10.0] * length,
    )


def test_one_standard_error_takes_the_earliest_that_is_as_good_and_of_the_right_colorfulness():
    distance, colorful = [9.0, 5.5, 5.2, 5.0, 8.0], [20.0, 30.0, 35.0, 41.0, 60.0]
    assert one_standard_error(judged(distance, colorful)).step == 60
    assert one_standard_error(judged(distance, [10.0] * 5)).step == 40, "none is colourful: the distance alone counts"
    assert one_standard_error(judged(distance, colorful, harm=1.2)).step == 40


def test_one_standard_error_is_over_once_three_in_a_row_are_worse():
    distance = [9.0, 5.0, 7.0, 7.0]
    assert judged(distance, [40.0] * 4, error=0)[0]["chroma_distance_replicates"] == [9.0, 9.0]
    assert not one_standard_error(judged(distance, [40.0] * 4)).over
    assert one_standard_error(judged([*distance, 7.0], [40.0] * 5)).over


def law(divergence, colorfulness):
    truth = [40.0] * len(divergence)
    return series(chroma_divergence=divergence, colorfulness=colorfulness, colorfulness_truth=truth)


def test_chroma_law_stops_where_the_divergence_rises_or_colours_pass_the_photos():
    rising = [0.5, 0.4, 0.3, 0.31, 0.32, 0.33, 0.2]
    assert chroma_law(law(rising, [20.0] * 7)).step == 40
    choice = chroma_law(law([0.5, 0.4, 0.3, 0.2], [20.0, 35.0, 41.0, 50.0]))
    assert (choice.step, choice.over) == (20, True)
    assert chroma_law(law([0.5, 0.4], [20.0, 21.0])).step == 20


def test_rules_that_are_over_do_not_change_their_choice():
    long = [
        {**a, **b, **c, **d}
        for a, b, c, d in zip(
            critic([0.2, 0.25, 0.4, 0.2, 0.2, 0.2]),
            told([0.8, 0.7, 0.95, 0.4, 0.4, 0.4], num_groups=100),
            law([0.5, 0.4, 0.3, 0.2, 0.1, 0.1], [20, 35, 41, 20, 20, 20]),
            series(20, duality_gap=[4, 3, 1, 2, 3, 4]),
            strict=True,
        )
    ]
    for name in ("held_out_critic", "fresh_critic", "chroma_law", "duality_gap"):
        choices = [RULES[name](long[:count]) for count in range(1, len(long) + 1)]
        first = next(index for index, choice in enumerate(choices) if choice.over)
        assert {choice.step for choice in choices[first:]} == {choices[first].step}, name


def test_choose_never_names_step_zero_and_says_when_there_is_nothing_to_go_by():
    choice = choose("held_out_critic", critic([0.2, 0.9, 0.9]))
    assert choice.step == 20
    assert choose("held_out_critic", critic([0.2])) is None
    assert choose("held_out_critic", critic([math.nan, math.nan])) is None
    assert choose("duality_gap", critic([0.1, 0.2])) is None


def test_each_rule_says_what_it_needs():
    assert set(NEEDS) == set(RULES)
