"""The Python of the pages runs, block after block, in one folder."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("page", "least"), [("README.md", 5), ("../docs/SCALING.md", 1)])
def test_the_code_of_a_page_runs(tmp_path, monkeypatch, page, least):
    monkeypatch.chdir(tmp_path)
    path = FOLDER / page
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= least
    names = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(path), "exec"), names)
