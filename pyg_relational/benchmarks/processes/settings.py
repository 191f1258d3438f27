"""What is trained, quickly or not."""

WARM_UP = 5  # steps that are not timed
BATCH_SIZE = 64
# The last batch of each split is smaller than the others.
SCENES = {"train": 620, "val": 8, "test": 301}
# Objects of a scene, at least and at most.
OBJECTS = {False: (5, 40), True: (1, 6)}
CHANNELS = {False: [64, 64, 64], True: [8, 8]}
