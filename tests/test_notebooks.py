"""Notebooks run at toy size without Jupyter; what is committed is executed, small and plain."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_000_000
MOST_CODE_CELLS = 9
MOST_LINES_OF_A_FUNCTION = 5
# Constants of the first code cell, and what they are in a test.
TOY = {"MODULES": "30", "STRIDE": "16", "FEATURES": "131072", "SEEDS": "2", "STAND_IN": "2000"}
# A path of somebody's machine: the root of a home, temporary or system folder, or a drive letter.
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|usr|var|opt|work|mnt|srv|Users)/|\b[A-Z]:\\"
)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source_of(cell):
    return "".join(cell["source"])


def at_toy_size(source):
    for name, value in TOY.items():
        source = re.sub(rf"^{name} = \d+\b", f"{name} = {value}", source, flags=re.MULTILINE)
    return source


def texts_of(output):
    """Yield every piece of text of an output; pictures are none."""
    yield "".join(output.get("text", ""))
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            yield "".join(value)


def test_notebooks__are_there():
    assert NOTEBOOKS


@pytest.fixture
def pyplot():
    """Return matplotlib.pyplot, drawing to memory; leave no figure behind."""
    matplotlib = pytest.importorskip("matplotlib", reason="the notebooks draw with matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture
def home(tmp_path_factory, monkeypatch):
    """Make a home where scripts/fetch_data.py has put no words, and a model of random numbers."""
    folder = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder))
    cache = folder / ".cache" / "streamsparse"
    cache.mkdir(parents=True)
    pieces = [chr(code) for code in range(33, 127)]
    vocabulary = ["[UNK]", "[CLS]", "[SEP]", *pieces, *(f"##{piece}" for piece in pieces)]
    (cache / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    write_toy_model(cache / "model.safetensors", len(vocabulary))


def write_toy_model(path, words):
    """Write tensors with the names and the width of MiniLM's: one layer, a narrow inner one."""
    width, inner = 384, 8
    tables = {"word": words, "position": 512, "token_type": 2}
    shapes = {f"embeddings.{k}_embeddings.weight": (v, width) for k, v in tables.items()}
    layer = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "attention.output.LayerNorm": (width,),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
        "output.LayerNorm": (width,),
    }
    parts = {"embeddings.LayerNorm": (width,)}
    parts |= {f"encoder.layer.0.{name}": shape for name, shape in layer.items()}
    for name, shape in parts.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    header, stop = {}, 0
    for name, shape in shapes.items():
        start, stop = stop, stop + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": (start, stop)}
    text = json.dumps(header).encode()
    values = np.random.default_rng(0).standard_normal(stop // 4, np.float32)
    path.write_bytes(len(text).to_bytes(8, "little") + text + (values / 16).tobytes())


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@each_notebook
def test_notebook__runs_at_toy_size(path, pyplot, tmp_path, monkeypatch, capsys):
    if any("from distributed import" in source_of(cell) for cell in code_cells(path)):
        pytest.importorskip("distributed", reason="this notebook starts a cluster")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(path), start=1):
        code = compile(at_toy_size(source_of(cell)), f"{path.name}, code cell {number}", "exec")
        exec(code, namespace)
    assert capsys.readouterr().out
    assert pyplot.get_fignums()
    assert not list(tmp_path.iterdir())
    for number in pyplot.get_fignums():
        pyplot.figure(number).savefig(tmp_path / f"{number}.png")


@each_notebook
def test_notebook__has_constants_that_the_test_makes_small(path):
    first = source_of(code_cells(path)[0])
    assert at_toy_size(first) != first


@each_notebook
def test_notebook__is_smaller_than_a_megabyte(path):
    assert path.stat().st_size < MOST_BYTES


@each_notebook
def test_notebook__has_fewer_than_ten_code_cells(path):
    assert 0 < len(code_cells(path)) <= MOST_CODE_CELLS


@each_notebook
def test_notebook__was_executed_from_top_to_bottom_without_an_error(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell["outputs"], source_of(cell)
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", texts_of(output)


@each_notebook
def test_notebook__outputs__name_no_path_of_a_machine(path):
    for cell in code_cells(path):
        for output in cell["outputs"]:
            for text in texts_of(output):
                assert not MACHINE_PATH.search(text), text


@each_notebook
def test_notebook__functions__have_at_most_five_lines(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(source_of(cell))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.end_lineno - node.body[0].lineno + 1
                assert body <= MOST_LINES_OF_A_FUNCTION, f"{node.name}: {body} lines"


@each_notebook
def test_notebook__imports__only_what_is_public(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(source_of(cell))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("streamsparse"):
                assert node.module == "streamsparse.demo.corpus"
                assert not [alias.name for alias in node.names if alias.name.startswith("_")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("read /home/somebody/data", True),
        (r"C:\Users\somebody", True),
        ("1,024 / 0.2 / 0.1", False),
        ("a/home/b", False),
    ],
)
def test_machine_path__is_told_from_other_text(text, found):
    assert bool(MACHINE_PATH.search(text)) is found
