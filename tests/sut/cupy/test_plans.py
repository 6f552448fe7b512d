"""The choice among plans, and what is kept of it from run to run."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from sut.cupy import plans
from sut.cupy.book import PlanBook
from sut.cupy.convolution import CudnnPlan, Problem
from sut.cupy.executor import Resident
from sut.cupy.files import read
from sut.cupy.steps import problem_of, steps_of


def test_plans_are_kept_from_run_to_run(tmp_path):
    path = tmp_path / "deep" / "plans.json"
    book = PlanBook(path)
    book.put("a problem", "eng4")
    book.save()
    assert PlanBook(path).get("a problem") == "eng4"
    other = PlanBook(path)
    for mine, problem in ((book, "another"), (other, "a third")):  # at the same time
        mine.put(problem, "eng5")
    book.save()
    other.save()
    assert {PlanBook(path).get(name) for name in ("another", "a third")} == {"eng5"}
    for broken in ("{broken", "5", 100_000 * "["):
        path.write_text(broken)
        assert PlanBook(path).get("a problem") is None


class _Rivals:
    """A cuDNN that offers the plans "a" to "h", of which "a" cannot be built, beside a kernel of
    our own for problems of one pixel; ``fastest`` is. ``refuses``: to read what was compiled."""

    def __init__(self, monkeypatch):
        self.timed, self.graphs, self.fastest, self.refuses = [], 0, "d", False
        self.cudnn = SimpleNamespace(
            backend_version=lambda: 9, __version__="1", pygraph=lambda handle: _Read(self)
        )
        monkeypatch.setattr(plans, "Graph", self._graph)
        monkeypatch.setattr(plans, "_pretended", lambda cp, problem: {})
        monkeypatch.setattr(plans, "_timed", self._timed)
        runtime = SimpleNamespace(
            getDeviceProperties=lambda device: {"name": b"Card"}, driverGetVersion=lambda: 13000
        )
        device = lambda: SimpleNamespace(id=0)  # noqa: E731
        empty = lambda count, dtype: SimpleNamespace(data=SimpleNamespace(ptr=0))  # noqa: E731
        self.cp = SimpleNamespace(
            cuda=SimpleNamespace(runtime=runtime, Device=device), empty=empty, uint8=None
        )
        self.own = SimpleNamespace(
            version="1", plans=lambda p: [_Plan("own")] if p.filters[1:] == (1, 1) else []
        )

    def _graph(self, cudnn, handle, problem):
        self.graphs += 1
        return SimpleNamespace(plans=lambda: [_Plan(name) for name in "abcdefgh"])

    def _timed(self, cp, stream, run):
        name = run.func.__self__.name
        self.timed.append(name)
        return 1.0 if name == self.fastest else 2.0

    def choose(self, book, problem, like=None):
        return self.plan(book, problem, like).name

    def plan(self, book, problem, like=None):
        self.timed.clear()
        return plans.Tuner(self.cp, self.cudnn, 7, None, book, self.own).choose(problem, like)


class _Plan:
    def __init__(self, name):
        self.name, self.workspace = name, 0

    def build(self):
        if self.name == "a":
            raise RuntimeError("not on this device")

    def run(self, pointers, workspace, handle):
        pass

    def compiled(self):
        if self.name == "e":
            raise RuntimeError("this engine cannot be written")
        return None if self.name == "own" else self.name.encode()


class _Read:
    """A graph of cuDNN's that reads what was compiled."""

    def __init__(self, rivals):
        self.rivals, self.ran = rivals, []

    def deserialize(self, handle, data):
        if self.rivals.refuses or handle != 7:
            raise ValueError("of another cuDNN")
        self.data = bytes(data)

    def get_workspace_size(self):
        return 11

    def execute(self, pack, workspace, handle):
        self.ran.append((pack, workspace, handle))


def test_a_plan_is_tuned_once_and_sizes_between_take_after_it(monkeypatch):
    rivals, book = _Rivals(monkeypatch), PlanBook(None)
    full, between = _problem(64, 3), _problem(48, 3)
    assert rivals.choose(book, full) == "d"
    assert rivals.timed == ["b", "c", "d", "e", "f"]  # the likeliest six, less the one that fails
    assert rivals.choose(book, full) == "d"
    assert rivals.timed == []
    assert rivals.choose(book, between, like=full) == "d"
    assert rivals.timed == []
    assert rivals.choose(book, _problem(40, 3), like=_problem(128, 3)) == "d"
    assert rivals.timed == ["b", "c", "d", "e", "f"]


def test_what_is_to_be_compiled_is_known_before(monkeypatch, tmp_path):
    rivals, book = _Rivals(monkeypatch), PlanBook(tmp_path / "plans.json")
    tuner = plans.Tuner(rivals.cp, rivals.cudnn, 7, None, book, rivals.own)
    one, three, between = _problem(64), _problem(64, 3), _problem(48, 3)
    pairs = [(one, None), (three, None), (one, None), (between, three)]
    assert tuner.lacks(iter(pairs)) == [(one, None), (three, None), (between, None)]
    tuner.choose(three)
    assert tuner.lacks(pairs) == [(one, None), (between, "d")]  # named, and not compiled yet
    tuner.choose(between, three)
    assert tuner.lacks(pairs) == [(one, None)]
    rivals.fastest = "own"
    tuner.choose(one)
    assert tuner.lacks(pairs) == []
    rivals.own.version = "2"  # another choice, among other kernels, of what they solve
    assert tuner.lacks(pairs) == [(one, None)]
    for kept in (tmp_path / "plans").iterdir():
        kept.unlink()
    assert tuner.lacks(pairs) == [(one, None), (three, "d"), (between, "d")]


@pytest.mark.parametrize("fastest", ["c", "f", "own"])
def test_what_other_processes_compiled_is_not_compiled_again(monkeypatch, tmp_path, fastest):
    rivals, book = _Rivals(monkeypatch), PlanBook(tmp_path / "plans.json")
    rivals.fastest = fastest
    tuner = plans.Tuner(rivals.cp, rivals.cudnn, 7, None, book, rivals.own)
    problem, asked = _problem(64), []

    def compiled(wanted):
        asked.extend(wanted)
        return {(problem, name): name.encode() for name in "bcd"}

    tuner.compile([(problem, None)], SimpleNamespace(compile=compiled))
    assert asked == [(problem, None)]
    chosen = tuner.choose(problem)
    assert rivals.timed == ["own", "b", "c", "d", "e", "f"]
    assert (chosen.name, chosen.workspace) == (fastest, 11 if fastest == "c" else 0)
    assert rivals.choose(PlanBook(None), problem) == fastest  # chooses as well without them
    again = rivals.plan(book, problem)
    assert again.workspace == (0 if fastest == "own" else 11)
    assert rivals.timed == []


def test_what_other_processes_compiled_and_cannot_be_read_is_compiled_here(monkeypatch):
    rivals = _Rivals(monkeypatch)
    rivals.refuses = True
    tuner = plans.Tuner(rivals.cp, rivals.cudnn, 7, None, PlanBook(None), rivals.own)
    full, between = _problem(64, 3), _problem(48, 3)
    made = {(problem, name): b"made" for problem in (full, between) for name in "bcd"}
    tuner.compile([], SimpleNamespace(compile=lambda wanted: made))
    for plan in (tuner.choose(full), tuner.choose(between, full)):
        assert isinstance(plan, _Plan) and plan.name == "d"
    assert rivals.timed == ["b", "c", "d", "e", "f"]


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_what_takes_minutes_is_said_before(monkeypatch, networks, lacking):
    """``lacking``: of the plans, nothing, what was compiled, or everything."""
    network, events = read(networks["mobilenet"], "classes"), []
    own = object.__new__(Resident)
    own.cp, own.cudnn, own.book, own._rivals = MagicMock(), None, None, None
    own.network, own.steps, own._plans = network, steps_of(network), {}
    own._say = lambda message: events.append(message.split(":")[0])

    class Tuner:
        def __init__(self, *given):
            pass

        def lacks(self, pairs):
            pairs = list(pairs)
            events.append({(problem.image[0], like and like.image[0]) for problem, like in pairs})
            name = None if lacking == 2 else "a plan"
            return [(problem, name) for problem, _ in dict.fromkeys(pairs)] if lacking else []

        def compile(self, wanted, compilers):
            events.append(len(wanted))

        def choose(self, problem, like):
            return problem

    monkeypatch.setattr("sut.cupy.executor.Tuner", Tuner)
    found = own.plans((1, 8, 16, 32), None, None)
    steps = [x for x in own.steps if x.kind in ("convolution", "dense")]
    assert {(name, plan.image[0]) for (name, _), plan in found.items()} >= {
        (steps[0].layer.name, 16)
    }
    assert all(size == plan.image[0] for (_, size), plan in found.items())
    assert len(found) == 4 * len(steps)
    for sizes, pairs in ((3, {(1, None), (8, None), (32, None)}), (1, {(16, 32)})):
        assert events.pop(0) == pairs
        count = sizes * len({problem_of(step, network, 1) for step in steps}) if lacking else 0
        if lacking:
            assert events.pop(0) == f"compiling plans for {count} convolutions"
        assert events.pop(0) == count
    assert not events


def test_our_kernel_is_timed_beside_cudnns_and_needs_no_graph_once_it_is_chosen(monkeypatch):
    rivals, book = _Rivals(monkeypatch), PlanBook(None)
    rivals.fastest = "own"
    assert rivals.choose(book, _problem(64)) == "own"
    assert rivals.timed == ["own", "b", "c", "d", "e", "f"]
    assert rivals.choose(book, _problem(64)) == "own"
    assert (rivals.timed, rivals.graphs) == ([], 1)


def test_a_plan_that_was_chosen_beside_other_kernels_is_chosen_anew(monkeypatch):
    rivals, book = _Rivals(monkeypatch), PlanBook(None)
    assert rivals.choose(book, _problem(64)) == rivals.choose(book, _problem(64, 3)) == "d"
    rivals.own.version, rivals.fastest = "2", "own"
    assert rivals.choose(book, _problem(64)) == "own"
    assert rivals.choose(book, _problem(64, 3)) == "d"
    assert rivals.timed == []


def test_where_cudnn_has_no_graph_our_kernel_is_enough(monkeypatch):
    def none(cudnn, handle, problem):
        raise ValueError("not supported")

    rivals, book = _Rivals(monkeypatch), PlanBook(None)
    monkeypatch.setattr(plans, "Graph", none)
    assert rivals.choose(book, _problem(64)) == "own"
    with pytest.raises(RuntimeError, match=r"cuDNN has no graph.*: not supported"):
        rivals.choose(book, _problem(64, 3))


def test_what_was_compiled_is_read_in_the_next_process(monkeypatch, tmp_path):
    rivals, book = _Rivals(monkeypatch), PlanBook(tmp_path / "plans.json")
    full, between = _problem(64, 3), _problem(48, 3)
    assert isinstance(rivals.plan(book, full), _Plan)
    assert isinstance(rivals.plan(book, between, like=full), _Plan)
    book.save()
    again, rivals.graphs = PlanBook(tmp_path / "plans.json"), 0
    for problem in (full, between):
        plan = rivals.plan(again, problem)
        assert (plan.name, plan.workspace) == ("d", 11)
    assert (rivals.timed, rivals.graphs) == ([], 0)
    plan.run({"x": 100, "residual": 200, "y": 300}, 400, 7)
    assert plan._graph.data == b"d"
    assert plan._graph.ran == [({1: 100, 5: 200, 7: 300}, 400, 7)]


@pytest.mark.parametrize(
    "change", ["refuses", "broken", "cuDNN", "frontend", "driver", "graph", "gone"]
)
def test_what_cannot_be_read_is_compiled_again(monkeypatch, tmp_path, change):
    rivals, book = _Rivals(monkeypatch), PlanBook(tmp_path / "plans.json")
    rivals.plan(book, _problem(64, 3))
    (kept,) = (tmp_path / "plans").iterdir()
    match change:
        case "refuses":
            rivals.refuses = True
        case "broken":
            kept.write_bytes(kept.read_bytes()[:-3])
        case "cuDNN":
            rivals.cudnn.backend_version = lambda: 10
        case "frontend":
            rivals.cudnn.__version__ = "2"
        case "driver":
            rivals.cp.cuda.runtime.driverGetVersion = lambda: 13010
        case "graph":
            monkeypatch.setattr(plans, "VERSION", "another")
        case "gone":
            kept.unlink()
    plan = rivals.plan(book, _problem(64, 3))
    assert isinstance(plan, _Plan) and plan.name == "d"
    assert bool(rivals.timed) == (change == "cuDNN")  # names hold for one version of cuDNN
    if change not in ("refuses", "cuDNN"):
        assert rivals.plan(book, _problem(64, 3)).workspace == 11  # and kept again


def test_a_plan_that_cannot_be_written_is_compiled_each_time(monkeypatch, tmp_path):
    rivals, book = _Rivals(monkeypatch), PlanBook(tmp_path / "plans.json")
    rivals.fastest = "e"
    for _ in range(2):
        plan = rivals.plan(book, _problem(64, 3))
        assert isinstance(plan, _Plan) and plan.name == "e"
    assert rivals.graphs == 2 and not (tmp_path / "plans").exists()


def test_without_a_file_nothing_is_written_for_it(monkeypatch):
    asked = []
    PlanBook(None).keep("a plan", lambda: asked.append("compiled"))
    assert not asked


class _Graph:
    """A graph of cuDNN's, which writes the plan that was built last."""

    def get_plan_name_at_index(self, index):
        return f"eng{index}"

    def get_workspace_size_plan_at_index(self, index):
        return 100 + index

    def build_plan_at_index(self, index):
        self.last = index

    def serialize(self):
        return [self.last]


def test_the_plan_that_is_kept_is_not_the_one_that_was_tried_last():
    graph = _Graph()
    tried = [CudnnPlan(graph, index) for index in range(3)]
    for plan in tried:
        plan.build()
    assert [plan.compiled() for plan in tried] == [b"\0", b"\1", b"\2"]
    assert (tried[1].name, tried[1].workspace) == ("eng1", 101)


def test_a_folder_that_cannot_be_written_costs_time_only(monkeypatch, tmp_path):
    (tmp_path / "plans").write_text("no folder")
    rivals, book = _Rivals(monkeypatch), PlanBook(tmp_path / "plans.json")
    for _ in range(2):
        assert isinstance(rivals.plan(book, _problem(64, 3)), _Plan)


def _problem(batch, kernel=1):
    pads = (kernel // 2,) * 4
    filters = (8, kernel, kernel)
    return Problem((batch, 8, 4, 4), filters, 1, pads, "fp16", "fp16", False, None, None)
