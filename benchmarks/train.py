"""Images a second in training and prediction: the paper's network in Keras against the same in plain PyTorch, same run.

Run: python benchmarks/train.py [--size 256 256] [--batch 8] [--rounds 5] [--steps 8] [--predict]
Both train on the batches that `sound` trains on, augmented and normalised by as many threads as there are cores.
The peer needs PyTorch, which is no part of the environment: `pip install --target FOLDER torch==2.13.0` (a CPU
build will do) and PYTHONPATH=FOLDER; it runs in channels_last, the faster of its layouts. KERAS_BACKEND picks ours:
tensorflow, jax or torch. On a GPU both train in bfloat16, PyTorch by torch.compile and autocast. Each round times
one process of ours and one of the peer.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))
LOSS = {"focal_weight": 0.6, "alpha": None, "gamma": 4.0, "focal_reduction": "mean", "dice_over": "joint"}


def pictures(count, size):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *size), np.uint8), rng.integers(0, 4, (count, *size), np.uint8)


def sound_batches(options):
    """Batches as `sound` trains on them, two more than steps: the first two compile."""
    import yaml

    from lumbarflow.learning import batches

    defined = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["experiments"]
    augmentation = defined["released"]["augmentation"] | defined["sound"]["augmentation"]
    images, masks = pictures(options.batch * (options.steps + 2), options.size)
    how = (options.batch, 1, 0, defined["sound"]["normalisation"], augmentation, None, options.threads)
    return batches.iterate(images, masks, *how)


def timed(options, step, wait):
    """{rate, waiting} of step(x, y) over batches. wait: until the device has done all."""
    waited, started, source = 0.0, 0.0, sound_batches(options)
    for number in range(options.steps + 2):
        if number == 2:
            wait()
            started, waited = time.perf_counter(), 0.0
        asked = time.perf_counter()
        x, y = next(source)
        waited += time.perf_counter() - asked
        step(x, y)
    wait()
    took = time.perf_counter() - started
    return {"rate": options.batch * options.steps / took, "waiting": waited / took}


def ours(options):
    """Steps as the workflow makes them."""
    from lumbarflow.learning import device

    used = device.choose(options.device, options.threads)
    import keras

    from lumbarflow.learning import losses, networks, training

    keras.config.set_dtype_policy(device.precision("auto", used))
    model = networks.build("paper", options.size)
    model.compile(keras.optimizers.Adam(1e-3), loss=losses.make("combined", **LOSS), metrics=[training.Confusion()])
    if options.predict:
        return {**timed(options, lambda x, y: model.predict_on_batch(x), lambda: None), "device": used}
    last = []
    wait = lambda: last and float(last[-1]["loss"])  # noqa: E731
    return {**timed(options, lambda x, y: last.append(training._step(model, x, y)), wait), "device": used}


def peer(options):
    """The same network, loss and optimiser in plain PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(options.threads)

    class Block(nn.Module):
        def __init__(self, given, filters, dropout):
            super().__init__()
            self.layers = nn.Sequential(
                *(nn.Conv2d(given, filters, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(filters), nn.Dropout(dropout)),
                *(nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU()),
            )

        def forward(self, x):
            return self.layers(x)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            shape = ((1, 16, 0.1), (16, 32, 0.1), (32, 64, 0.2), (64, 128, 0.2))
            self.down = nn.ModuleList(Block(*each) for each in shape)
            self.bottom = nn.Sequential(Block(128, 256, 0.3), Block(256, 512, 0.3))
            first = nn.ConvTranspose2d(512, 256, 3, stride=2, padding=1, output_padding=1)
            self.up = nn.ModuleList(
                [nn.Sequential(first, nn.BatchNorm2d(256), nn.LeakyReLU(0.1))]
                + [nn.ConvTranspose2d(given, given // 2, 2, stride=2) for given in (256, 128, 64)]
            )
            shape = ((256 + 128, 256, 0.2), (128 + 64, 128, 0.2), (64 + 32, 64, 0.1), (32 + 16, 32, 0.1))
            self.merge = nn.ModuleList(Block(*each) for each in shape)
            self.last = nn.Conv2d(32, 4, 1)

        def forward(self, x):
            skips = []
            for block in self.down:
                x = block(x)
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = self.bottom(x)
            for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
                x = merge(torch.cat([up(x), skip], 1))
            return torch.softmax(self.last(x).float(), 1)

    def loss(p, truth):
        y = nn.functional.one_hot(truth, 4).permute(0, 3, 1, 2).float()
        clipped = p.clamp(1e-7, 1 - 1e-7)
        focal = ((1 - clipped) ** 4 * -y * clipped.log()).mean()
        axes = (1, 2, 3)
        return 0.6 * focal + 0.4 * (1 - ((2 * (y * p).sum(axes) + 1) / (y.sum(axes) + p.sum(axes) + 1)).mean())

    gpu = options.device != "cpu" and torch.cuda.is_available()
    place = "cuda" if gpu else "cpu"
    network = Network().to(place, memory_format=torch.channels_last)
    trained = sum(p.numel() for p in network.parameters())
    moving = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert trained + moving == 8_037_076, trained + moving  # the same network
    model = torch.compile(network) if gpu or options.compile else network
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)

    def given(x):
        return torch.from_numpy(x).permute(0, 3, 1, 2).to(place, memory_format=torch.channels_last)

    def learn(x, y):
        optimiser.zero_grad()
        with torch.autocast(place, torch.bfloat16, enabled=gpu):
            p = model(given(x))
        loss(p, torch.from_numpy(y).to(place).long()).backward()
        optimiser.step()

    def predict(x, y):
        with torch.inference_mode(), torch.autocast(place, torch.bfloat16, enabled=gpu):
            model(given(x)).cpu().numpy()

    if options.predict:
        model.eval()
    wait = torch.cuda.synchronize if gpu else lambda: None
    return {**timed(options, predict if options.predict else learn, wait), "device": place}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--size", type=int, nargs=2, default=[256, 256])
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--predict", action="store_true", help="time prediction instead of training")
parser.add_argument("--compile", action="store_true", help="the peer by torch.compile on a CPU too")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--device", default="auto", choices=["auto", "cpu", "gpu"])
parser.add_argument("--one", choices=["ours", "peer"], help=argparse.SUPPRESS)
options = parser.parse_args()

if options.one:
    result = {"ours": ours, "peer": peer}[options.one](options)
    result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))
    sys.exit()

runs = {"ours": [], "peer": []}
for _ in range(options.rounds):
    for name, results in runs.items():
        command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(child.stdout.splitlines()[-1]))
rate = {name: statistics.median(each["rate"] for each in results) for name, results in runs.items()}
ratios = [a["rate"] / b["rate"] for a, b in zip(runs["ours"], runs["peer"], strict=True)]
first = runs["ours"][0]
work = "predict" if options.predict else "train"
print(
    f"{work} paper {options.size[0]} x {options.size[1]}, batch {options.batch}, {first['device']}: "
    f"Keras on {os.environ.get('KERAS_BACKEND', 'tensorflow')} {rate['ours']:.1f} images/s, "
    f"PyTorch {rate['peer']:.1f}, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
    f"waiting for data {100 * first['waiting']:.1f}%; "
    f"memory {first['memory']:.0f} and {runs['peer'][0]['memory']:.0f} MiB"
)
