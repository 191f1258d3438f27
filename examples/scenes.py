"""From NetworkX scenes to a trained relation network: do two objects share a colour?"""

import random
import sys

import networkx as nx
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data import SceneEncoder
from pyg_relational.models import RelationNetwork

rng, epochs = random.Random(0), 2 if "--smoke" in sys.argv else 20
torch.manual_seed(0)
scenes = []
for _ in range(200 if "--smoke" in sys.argv else 4000):
    colours = [rng.choice(["red", "green", "blue", "grey", "black"]) for _ in range(3)]
    scene = nx.Graph(twins=len(set(colours)) < 3)
    for name, colour in zip("abc", colours, strict=True):
        pos = {"x": rng.random(), "y": rng.random()}
        scene.add_node(name, colour=colour, pos=pos)
    scenes.append(scene)

split = len(scenes) * 4 // 5
encoder = SceneEncoder(targets="graph.twins").fit(scenes[:split])
train, test = encoder.transform(scenes[:split]), encoder.transform(scenes[split:])
model = RelationNetwork(train[0].num_features, 2, [64, 64], [64])
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(epochs):
    for batch in DataLoader(train, batch_size=32, shuffle=True):
        out = model(batch.x, batch=batch.batch, batch_size=batch.num_graphs)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(out, batch.y).backward()
        optimizer.step()
(batch,) = DataLoader(test, batch_size=len(test))
out = model(batch.x, batch=batch.batch, batch_size=batch.num_graphs)
print(f"right on {(out.argmax(1) == batch.y).float().mean():.1%} of unseen scenes")
print(encoder.inverse_transform(batch[0]).nodes(data=True))
