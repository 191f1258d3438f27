import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_relational.datasets.sort_of_clevr import SortOfCLEVR
from pyg_relational.transforms.required import required


class PermuteColours(BaseTransform):
    r"""Renames the colours of a Sort-of-CLEVR scene at random, in its objects and in
    its questions alike.

    No answer depends on which colour has which name, so this is an exact symmetry of
    the task; each scene stands for 720. Works on single scenes and on batches made
    with :obj:`follow_batch=["u"]`, whose scenes are renamed independently.

    Shapes:
        - **input:** state descriptions :obj:`x` :math:`(N, 10)` and questions
          :obj:`u` :math:`(Q, 12)` that start with the six colours
        - **output:** the same

    Raises:
        ValueError: If the scene has no :obj:`x` or :obj:`u`, or a batch no
            :obj:`u_batch`.
    """

    def forward(self, data: Data) -> Data:
        r"""Renames the colours of a copy."""
        x, u = required(
            data, ["x", "u"], "rename their colours", "use state descriptions"
        )
        if "batch" in data:
            if "u_batch" not in data:
                raise ValueError(
                    "'u_batch' is missing; load batches with follow_batch=['u']"
                )
            scenes, x_scene, u_scene = data.num_graphs, data.batch, data.u_batch
        else:
            scenes, x_scene, u_scene = 1, 0, 0
        count = len(SortOfCLEVR.COLOURS)
        # [B, 6]: the colour that each colour takes its name from
        names = torch.rand(scenes, count, device=x.device).argsort(dim=1)
        for name, rows, scene in (("x", x, x_scene), ("u", u, u_scene)):
            order = names[scene].expand(rows.size(0), -1)
            colours = rows[:, :count].gather(1, order)
            data[name] = torch.cat([colours, rows[:, count:]], dim=1)
        return data
