"""Results as JSON: what is written is read back, older documents too, and anything else is refused by key."""

from pathlib import Path

import orjson
import pytest
from made_up_results import results_of

from model_store.errors import ReportInvalid
from model_store.evaluation.figures import Difference, Figure
from model_store.reports.documents import SCHEMA_VERSION
from model_store.reports.results import Calibration, ContestPart, KShotResults


def written(path: Path, document: dict) -> Path:
    path.write_bytes(orjson.dumps(document))
    return path


def test_what_is_written_is_read_back(results, tmp_path):
    results.write(tmp_path / "report.json")
    assert KShotResults.read(tmp_path / "report.json") == results


def test_the_document_has_a_version_and_only_the_keys_that_were_set(results):
    assert set(KShotResults(max_items=5).as_dict()) == {"schema_version", "max_items"}
    assert results.as_dict()["schema_version"] == SCHEMA_VERSION
    assert "ablations" not in results.as_dict()


def test_figures_are_flat_in_json(results):
    figures = results.as_dict()["models"]["kshot"]["3"]
    assert figures["ndcg@10"] == results.models["kshot"][3]["ndcg@10"].mean
    assert figures["ndcg@10 interval"] == list(results.models["kshot"][3]["ndcg@10"].interval)
    assert "coverage@10 interval" not in figures
    best = results.as_dict()["best_baseline"]["3"]
    assert list(best) == ["name", "ndcg@10", "difference", "interval"]


def test_the_difference_to_a_fixed_reference_has_no_name():
    part = ContestPart(models={}, against_reference={"maml": {1: Difference(0.4, 0.1, (0.0, 0.2))}})
    document = part.model_dump(mode="json")["against_reference"]["maml"]["1"]
    assert document == {"ndcg@10": 0.4, "difference": 0.1, "interval": [0.0, 0.2]}
    assert ContestPart.model_validate(orjson.loads(orjson.dumps(part.model_dump(mode="json")))) == part


def test_weights_of_any_part_are_read():
    document = {"regularisation": None, "shots": {"1": {"dense": 1, "text": 0.5, "before": 0.1, "after": 0.2}}}
    calibration = Calibration.model_validate(document)
    assert calibration.shots[1].weights == {"dense": 1, "text": 0.5}
    assert calibration.model_dump(mode="json", exclude_unset=True) == document


def test_a_size_stays_an_integer(results, tmp_path):
    results.write(tmp_path / "report.json")
    choice = KShotResults.read(tmp_path / "report.json").baselines["EASE"].choice[1]
    assert isinstance(choice["regularisation"], int)
    assert isinstance(choice["beta"], float)


def test_an_older_document_is_read(results, tmp_path):
    """Without a version, attributes, event types, reasons and entropy, as earlier reports were."""
    document = results.as_dict()
    del document["schema_version"]
    for key in ("n_attributes", "n_users_described", "reason", "types", "value_min", "value_max", "columns"):
        del document["data"][key]
    del document["protocol"]["items"]
    old = KShotResults.read(written(tmp_path / "report.json", document))
    assert old.models == results.models
    assert (old.data.value_min, old.data.value_max) == (4.0, 5.0)
    assert old.training.history == results.training.history


def test_keys_of_later_documents_are_ignored(results, tmp_path):
    document = results.as_dict() | {"pages": 3}
    assert KShotResults.read(written(tmp_path / "report.json", document)) == results


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, r"schema version 2, expected 1; use a kshot of that version"),
        ({"models": {"kshot": {"three": {}}}}, r"models\.kshot\.three.*: .*integer"),
        ({"models": {"kshot": {"3": {"mrr": "high"}}}}, r"models\.kshot\.3\.mrr.*: .*number"),
        ({"best_baseline": {"3": {"ndcg@10": 1}}}, r"best_baseline\.3.*difference: .*required"),
        ({"training": {}}, r"training\.history: Field required"),
        ({"data": {"histogram": 3}}, r"data\.\w+: "),
    ],
)
def test_a_wrong_document_is_refused_by_key(tmp_path, change, message):
    path = written(tmp_path / "report.json", results_of().as_dict() | change)
    with pytest.raises(ReportInvalid, match=rf"report\.json: .*{message}"):
        KShotResults.read(path)


def test_a_file_that_is_absent_or_not_json_is_refused(tmp_path):
    with pytest.raises(ReportInvalid, match=r"report\.json: cannot be read \(No such file"):
        KShotResults.read(tmp_path / "report.json")
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ReportInvalid, match=r"report\.json: the whole document: Invalid JSON"):
        KShotResults.read(tmp_path / "report.json")


def test_a_figure_without_interval_is_read():
    document = {"models": {"kshot": {"0": {"coverage@10": 0.5}}}}
    assert KShotResults.model_validate(document).models == {"kshot": {0: {"coverage@10": Figure(0.5)}}}
