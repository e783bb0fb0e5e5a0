"""scripts/check-includes names an include that points backwards, and none that doesn't."""

import subprocess
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / "scripts" / "check-includes"
HEADERS = ("lib/lb/model/m.h", "lib/lb/desired/d.h", "lib/lb/reconcile/r.h", "lib/lb/serve/s.h",
           "lib/maglev/maglev.h", "cmd/lbd/daemon.h", "xdp/abi.h")


@pytest.mark.parametrize("file, include, good", [
    ("lib/lb/desired/d.cpp", '"lb/model/m.h"', True),
    ("lib/lb/desired/d.cpp", '"maglev/maglev.h"', True),
    ("lib/lb/desired/d.cpp", '"lb/reconcile/r.h"', False),
    ("lib/lb/model/m.cpp", '"lb/desired/d.h"', False),
    ("lib/lb/reconcile/r.cpp", '"lb/serve/s.h"', False),
    ("lib/maglev/x.cpp", '"lb/model/m.h"', False),
    ("lib/lb/serve/s.cpp", '"lbd/daemon.h"', False),
    ("cmd/lbd/main.cpp", '"lb/serve/s.h"', True),
    ("xdp/x.bpf.c", '"abi.h"', True),
    ("lib/lb/model/m.cpp", "<vector>", True),
    ("lib/lb/model/m.cpp", '"nowhere.h"', False),
])
def test_an_include_points_one_way(tmp_path, file, include, good):
    for header in HEADERS:
        (tmp_path / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / header).write_text("#pragma once\n")
    (tmp_path / file).write_text(f"#include {include}\n")
    done = subprocess.run([CHECK, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == good, done.stderr
    assert good or f"{file}:1:" in done.stderr
