"""``python write_torch.py PACKAGES SPEC``: run with PyTorch's own packages and no others. Writes a
module as SPEC says, and what PyTorch itself answers to the rows of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    sys.path.append(sys.argv[1])
    import torch

    spec = json.loads(Path(sys.argv[2]).read_text())
    torch.set_num_threads(1)
    weight = torch.tensor(spec["weight"], dtype=torch.float32)
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(torch.tensor(spec["bias"], dtype=torch.float32))
    last = {"sigmoid": torch.nn.Sigmoid(), "softmax": torch.nn.Softmax(dim=1), "": None}[
        spec["last"]
    ]
    module = torch.nn.Sequential(linear, *([] if last is None else [last])).eval()
    rows = torch.tensor(spec["rows"], dtype=torch.float32)
    if spec["file"].endswith(".pt2"):
        some = {"rows": torch.export.Dim("rows")}
        made = torch.export.export(module, (rows[:4],), dynamic_shapes=({0: some["rows"]},))
        torch.export.save(made, spec["file"])
    else:
        torch.jit.script(module).save(spec["file"])
    with torch.inference_mode():
        print(json.dumps(module(rows).tolist()))


if __name__ == "__main__":
    main()
