"""The runs of ./run bench links: an MLP on MNIST by ranks that are joined by slow links, in each of
the ways to send less. Needs root, for network namespaces and the links (link.cpp).

On the first link, every way trains until it is right about 92 % of the validation images. On the
others, it trains for some steps, in the first round, and their time stands for all: the steps are
the same on every link.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time

TARGET = 0.92
TIMED_STEPS = 60
LIMIT = 900  # seconds after which a run is given up


@dataclasses.dataclass(frozen=True)
class Link:
    """What joins the hosts, each of which has one rank."""

    name: str
    rate: float  # 10^6 bits a second, in each direction
    delay: float  # ms, from one host to another
    loss: float = 0.0  # the share of packets that are lost
    ranks: int = 2

    def arguments(self):
        # Large packets where many are sent, so that the emulation takes no core for itself.
        mtu = 9000 if self.rate > 200 else 1500
        numbers = {"rate": self.rate, "delay": self.delay, "loss": self.loss, "mtu": mtu}
        return [text for name, number in numbers.items() for text in (f"--{name}", str(number))]


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to train, its settings of the Trainer, and how many steps it takes between meetings.

    If its steps aren't alike, some of them don't stand for all, so only the first link has it.
    """

    name: str
    settings: tuple = ()
    period: int = 1
    is_steady: bool = True


LINKS = (
    Link("100 Mbit/s, 10 ms", 100, 10),
    Link("1 Gbit/s, 1 ms", 1000, 1),
    Link("1 Gbit/s, 10 ms", 1000, 10),
    Link("25 Mbit/s, 10 ms", 25, 10),
    Link("100 Mbit/s, 40 ms", 100, 40),
    Link("100 Mbit/s, 10 ms, 1 % lost", 100, 10, 0.01),
    Link("100 Mbit/s, 10 ms, 4 ranks", 100, 10, ranks=4),
)


def named(name, settings):
    return "{" + ", ".join([f"name: {name}", *(f"{k}: {v}" for k, v in settings.items())]) + "}"


def compressed(name, **settings):
    return Way(name, (f"--trainer.gradient_compression={named(name, settings)}",))


def averaged(name, period, **settings):
    text = f"--trainer.model_averaging={named(name, {'period': period} | settings)}"
    return Way(f"{name}, {period}", (text,), period, is_steady="start" not in settings)


WAYS = (
    Way("all-reduce, float32"),
    compressed("fp16"),
    compressed("bf16"),
    compressed("qsgd"),
    compressed("one_bit"),
    compressed("topk"),
    compressed("powersgd", start_powersgd_iter=2),
    averaged("local_sgd", 8),
    averaged("post_local_sgd", 8, start=40),
    averaged("diloco", 16),
)


class Hosts:
    """Network namespaces, joined by the links of a star. A context manager."""

    def __init__(self, program, link, seed):
        self.names = [f"levin-bench-{os.getpid()}-{k}" for k in range(link.ranks)]
        self.command = [program, *link.arguments(), "--seed", str(seed), *self.names]
        self.links = None
        self.lost = None

    def __enter__(self):
        try:
            for name in self.names:
                subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
            self.links = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            if self.links.stdout.readline() != "ready\n":
                raise RuntimeError("the links can't be made")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            raise RuntimeError(error.stderr.decode().strip()) from error
        except Exception:
            self.__exit__()
            raise
        return self

    def on(self, host):
        return ["ip", "netns", "exec", self.names[host]]

    def __exit__(self, *_):
        if self.links is not None:
            self.links.stdin.close()
            self.lost = self.links.stdout.read().strip()
            self.links.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def configuration(mnist, file, steps):
    """Returns the settings of a run as YAML; steps: None trains until the target is reached."""
    end = "max_epochs: 3" if steps is None else f"max_steps: {steps}"
    validation = "val_check_interval: 20" if steps is None else "limit_val_batches: 0"
    return f"""
model: {{class_path: MLP, init_args: {{hidden_sizes: [512, 512]}}}}
optimizer: {{class_path: SGD, init_args: {{learning_rate: 0.05, momentum: 0.9}}}}
data:
  class_path: MNISTDataModule
  init_args: {{data_dir: {mnist}, batch_size: 64, val_split: 5000, download: false}}
trainer:
  accelerator: cpu
  strategy: ddp
  threads: 1
  {end}
  {validation}
  num_sanity_val_steps: 0
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
  logger: false
  callbacks:
    - {{class_path: TimeTo, init_args: {{file: {file}, target: {TARGET}}}}}
"""


class Suite:
    def __init__(self, options, mnist, folder, say):
        self.options, self.mnist, self.say = options, mnist, say
        self.folder = pathlib.Path(folder)

    def run(self, link, way, seed, steps):
        """Trains on all ranks and returns what rank 0 has written."""
        file = self.folder / "result.json"
        file.unlink(missing_ok=True)
        config = self.folder / "run.yaml"
        config.write_text(configuration(self.mnist, file, steps))
        command = [self.options.bin / "bench_time_to", "fit", "--config", config]
        command += [f"--seed_everything={seed}", f"--trainer.num_nodes={link.ranks}"]
        command += [f"--trainer.default_root_dir={self.folder}", *way.settings]
        with Hosts(self.options.bin / "bench_link", link, seed) as hosts:
            ranks = []
            try:
                for rank in range(link.ranks):
                    place = {"RANK": str(rank), "WORLD_SIZE": str(link.ranks)}
                    place |= {"MASTER_ADDR": "10.78.0.1", "MASTER_PORT": "29500"}
                    log = open(self.folder / f"rank{rank}.log", "w", encoding="utf-8")
                    with contextlib.closing(log):
                        ranks.append(
                            subprocess.Popen(
                                [*hosts.on(rank), *command],
                                env=os.environ | place,
                                stdout=log,
                                stderr=subprocess.STDOUT,
                            )
                        )
                until = time.monotonic() + LIMIT
                statuses = [rank.wait(max(0.1, until - time.monotonic())) for rank in ranks]
            finally:
                for rank in ranks:
                    rank.kill()
                    rank.wait()
        if any(statuses) or not file.exists():
            lines = (self.folder / "rank0.log").read_text(errors="replace").strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit statuses {statuses}")
        return json.loads(file.read_text())

    def measure(self, way, seed):
        """Returns a record for each link. A link's `seconds` are those until the target."""
        records = []
        steps = None
        links = LINKS if self.options.rounds > 2 else LINKS[:2]
        for link in links if seed == 1 and way.is_steady else LINKS[:1]:
            is_whole = steps is None
            try:
                result = self.run(link, way, seed, None if is_whole else TIMED_STEPS)
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                raise RuntimeError(f"{way.name}, {link.name}: {error}") from error
            if is_whole:
                if not result["reached"]:
                    raise RuntimeError(f"{way.name} doesn't reach {TARGET}")
                steps = result["steps"]
            step = result["seconds"] / result["steps"]
            records.append(
                {"way": way.name, "link": dataclasses.asdict(link), "round": seed - 1}
                | {"steps": steps, "step_seconds": step, "seconds": step * steps}
                | {"bytes_a_step": result["bytes_a_step"], "is_whole": is_whole}
                | {"period": way.period, "is_steady": way.is_steady}
            )
            bytes_sent = result["bytes_a_step"]
            self.say(
                f"  {way.name:22s} {link.name:28s} {step * 1e3:8.1f} ms and {bytes_sent:11,.0f} "
                f"bytes a step; {steps} steps in {step * steps:7.1f} s"
            )
        return records


def run_links(options, mnist, say, results):
    """Adds a record for each way, link and round as results["links"]."""
    results["links"] = []
    if mnist is None:
        return
    with tempfile.TemporaryDirectory(prefix="bench-links-") as folder:
        suite = Suite(options, mnist, folder, say)
        # All-reduce is always there, as the others are compared with it.
        ways = [w for w in WAYS if not options.case or w is WAYS[0] or w.name in options.case]
        for index in range(options.rounds):
            say(f"links, round {index + 1} of {options.rounds}")
            # Each round starts with another way, so that disturbances meet all of them alike.
            for k in range(len(ways)):
                way = ways[(index + k) % len(ways)]
                try:
                    results["links"] += suite.measure(way, seed=index + 1)
                except RuntimeError as error:
                    results["failures"][f"links, {way.name}"] = str(error)
                    say(f"  failed: {error}")
