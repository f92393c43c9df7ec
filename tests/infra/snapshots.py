"""Writes the kept snapshots: `make snapshots`, after a deliberate change of the templates."""

import shutil
import tempfile
from pathlib import Path

from tests.infra.bicep import Bicep
from tests.infra.deployment import KEPT, ROOT, SETS, as_kept, evaluate


def main() -> None:
    bicep = Bicep()
    with tempfile.TemporaryDirectory() as folder:
        infra = Path(shutil.copytree(ROOT / "infra", Path(folder) / "infra"))
        for name in SETS:
            (KEPT / f"{name}.json").write_text(as_kept(evaluate(bicep, infra, name)), "utf-8")
    bicep.close()


if __name__ == "__main__":
    main()
