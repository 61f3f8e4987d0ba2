"""The chart of the custom resource definitions: the repository's own, kept when the chart goes."""

import tarfile

import pytest
import yaml
from rendering import CHARTS, Refused, helm, render

CANONICAL = [yaml.safe_load(path.read_text()) for path in sorted((CHARTS / "../crds").glob("*.yaml"))]
KEEP = {"helm.sh/resource-policy": "keep"}


def test_the_definitions_are_the_repositorys_and_stay_when_the_chart_goes():
    rendered = render(chart="petiole-crds")
    assert CANONICAL
    assert [item["metadata"].pop("annotations") for item in rendered] == [KEEP] * len(CANONICAL)
    assert rendered == CANONICAL


def test_a_packaged_chart_holds_them_too(tmp_path):
    helm("package", "petiole-crds", "--destination", str(tmp_path))
    (package,) = tmp_path.iterdir()
    with tarfile.open(package) as archive:
        assert not [member.name for member in archive.getmembers() if member.issym()]
    assert len(render(chart=str(package))) == len(CANONICAL)


def test_it_has_no_values():
    with pytest.raises(Refused, match="not allowed"):
        render("--set=keep=false", chart="petiole-crds")
