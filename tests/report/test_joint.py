"""A report on a search over precision and pruning marks the version of each pick that the search saw."""

import re
from dataclasses import replace

from nas.report import pareto_json, report_html
from nas.report.plot_style import MARKS
from nas.report.words import VERSIONS
from tests.report.samples import LOCAL, sample


def meant(result):
    """`result` as if its picks' last versions were those that the search saw."""
    return replace(result, picks=tuple(replace(pick, meant=pick.steps[-1].name) for pick in result.picks))


def test_the_version_that_was_searched_for_is_marked_in_page_and_data():
    plain = sample(LOCAL, 0.6)
    joint = meant(plain)
    assert report_html(joint).count("as searched") == len(joint.picks) and "as searched" not in report_html(plain)
    rows = re.findall(r'<th scope="row"[^>]*>(?:(?!</th>).)*as searched</span></th>', report_html(joint), re.DOTALL)
    assert len(rows) == len(joint.picks) and all(joint.picks[0].steps[-1].name in row for row in rows)
    wanted = {pick.architecture.id: pick.meant for pick in joint.picks}
    assert {pick["id"]: pick["searched_as"] for pick in pareto_json(joint)["picks"]} == wanted
    assert all("searched_as" not in pick for pick in pareto_json(plain)["picks"])


def test_every_version_has_words_and_a_mark_of_its_own():
    assert set(VERSIONS) == set(MARKS) and len(set(MARKS.values())) == len(MARKS)
