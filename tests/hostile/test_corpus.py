"""The corpus of hostile files: each within 20 s of CPU and 1 GB, no traceback, one line of error at most."""

import pytest
from bounded import run
from corpus import FILES


@pytest.mark.parametrize("name", FILES)
def test_hostile_files_are_borne_or_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp() / "corpus"
    base.mkdir(exist_ok=True)
    case = FILES[name]
    path = base / (name.replace(" ", "-") + case.suffix)
    case.make(path)
    folder = tmp_path_factory.mktemp("run")
    for line in case.commands[: None if name in ("padding views", "98 million empty cells") else 2]:
        outcome = run([word.replace("{}", str(path)) for word in line.split()], folder)
        assert not outcome.faults(), (line, outcome.faults(), outcome.line[-500:])
        if outcome.code:
            assert not list(folder.glob(".*")), "left behind"
