"""The findings of the three abstracts: every claim named exists, and verdicts are the records'."""

import pytest

from linfcourse import experiments, findings, ledger
from linfcourse.experiments import Verdict
from linfcourse.records import recorded_folder

CLAIMS = {c.id: c for name in experiments.NAMES for c in experiments.get(name).claims}
FINDINGS = [(paper, finding) for paper in findings.PAPERS for finding in paper.findings]


@pytest.mark.parametrize(("paper", "finding"), FINDINGS, ids=lambda x: getattr(x, "says", "")[:40])
def test_every_claim_that_a_finding_names_exists(paper, finding):
    unknown = [name for name in finding.claims if name not in CLAIMS]
    assert unknown == []
    assert len(set(finding.claims)) == len(finding.claims)


@pytest.mark.parametrize(("paper", "finding"), FINDINGS, ids=lambda x: getattr(x, "says", "")[:40])
def test_a_finding_without_a_claim_says_why(paper, finding):
    assert finding.claims or finding.remark


def test_the_three_papers_are_there():
    assert [paper.arxiv for paper in findings.PAPERS] == ["2410.08198", "2211.02254", "2404.04454"]


def test_every_claim_that_is_one_of_the_papers_own_tests_a_finding_of_that_paper():
    for claim in CLAIMS.values():
        for paper in findings.PAPERS:
            stated = (f"arXiv:{paper.arxiv}", f"arXiv:{paper.arxiv}, abstract")
            if claim.source == stated[0] or stated[1] in claim.source:
                assert any(claim.id in f.claims for f in paper.findings), claim.id


def test_the_page_shows_the_verdict_of_the_record_and_changes_with_it():
    entries = ledger.read_ledger(recorded_folder(), ["cpu"])
    text = ledger.findings_to_markdown(entries)
    assert all(finding.says in text for _, finding in FINDINGS)
    turned = [
        ledger.Entry(e.experiment, e.claim, e.scale, Verdict("fails", "falsified"), e.seeds)
        for e in entries
    ]
    other = ledger.findings_to_markdown(turned)
    assert "✓ holds" in text and "✓ holds" not in other
    assert other.count("✗ fails") == sum(len(finding.claims) for _, finding in FINDINGS)


def test_without_records_the_page_says_so(tmp_path):
    assert "no record yet" in ledger.findings_to_markdown(ledger.read_ledger(tmp_path))
