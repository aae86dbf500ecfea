"""Tests of the grids that examples/capture rounds weights to."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/capture"))

try:
    import torch

    import copies
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


class grids(unittest.TestCase):
    def test_each_block_has_a_scale_of_its_own(self):
        torch.manual_seed(12)
        weight = torch.randn(200, 150) * torch.logspace(-3, 3, 150)
        weight[:, 32:64] = 0
        e4m3 = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
        e4m3 = e4m3[~e4m3.isnan()]
        values = {"fp8": e4m3, "int8": torch.arange(-127.0, 128), "int4": torch.arange(-7.0, 8)}
        for kind, (rows, columns, largest, _) in copies.GRIDS.items():
            found = copies.quantised(weight, kind)
            for row in range(0, 200, rows):
                for column in range(0, 150, columns or 150):
                    part = (slice(row, row + rows), slice(column, column + (columns or 150)))
                    scale = weight[part].abs().max() / largest
                    # The nearest number of the grid, by looking at all of them.
                    distance = (weight[part][..., None] - values[kind] * scale).abs().amin(-1)
                    self.assertTrue(torch.allclose((found[part] - weight[part]).abs(), distance, rtol=1e-4, atol=0))


if __name__ == "__main__":
    unittest.main()
