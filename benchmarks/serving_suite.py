"""The runs of ./run bench serving: logistic regression on MNIST behind `levin serve`, FastAPI and
LitServe, loaded by `levin bench-serve`; and the soak, an hour of load at 80 % of the maximum.

All servers have both cores, as has the generator. One of them is loaded at a time, and the others
stand still. In each round, the programs take turns for every number of connections.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = (1, 8, 32, 128)
SECONDS, TRIAL_SECONDS = 4.0, 1.0  # of a load
MANY_ROWS, MANY_ROWS_CONNECTIONS = 16, 32  # of the loads with several rows a request
APART = "levin_apart"  # a server with a processor of its own
APART_CONNECTIONS = 128  # of the loads of a server that shares its core with nobody
START_LIMIT = 120  # seconds after which a server that doesn't answer is given up
LOAD = 0.8  # the soak's share of the maximum
SAMPLE_SECONDS = 10  # between two looks at the memory of the soak's server


@dataclasses.dataclass(frozen=True)
class Program:
    """A server and how it is asked."""

    name: str
    server: str
    format: str = "rows"


PROGRAMS = (
    Program("levin, rows", "levin"),
    Program("levin, V2 JSON", "levin", "json"),
    Program("levin, V2 binary", "levin", "binary"),
    Program("levin, rows, TLS", "levin_tls"),
    Program("levin, rows, Redis", "levin_redis"),
    Program("FastAPI", "fastapi"),
    Program("LitServe", "litserve"),
)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def pause_p99_ms(seconds=0.5):
    """Returns the wait in ms that the machine's pauses alone give 1 % of the moments.

    Looks at the clock all the time: where it jumps, the machine ran something else, such as another
    virtual machine. No server on it can have a lower 99th percentile of its latency.
    """
    gaps, last = [], time.perf_counter()
    end = last + seconds
    while last < end:
        now = time.perf_counter()
        if now - last > 1e-4:
            gaps.append(now - last)
        last = now
    return 1000 * wait_of_share(gaps, 0.01 * seconds)


def wait_of_share(gaps, share):
    """Returns the w for which the parts of the gaps beyond w are `share` long in all."""
    longer, below = 0.0, sorted(gaps, reverse=True)
    for count, gap in enumerate(below, start=1):
        longer += gap
        following = below[count] if count < len(below) else 0.0
        if longer - count * following >= share:
            return (longer - share) / count
    return 0.0


class Server:
    """A process that listens on a port, with its children. A context manager."""

    def __init__(self, name, command, port, log, scheme="http"):
        self.name, self.port, self.log = name, port, pathlib.Path(log)
        self.url = f"{scheme}://127.0.0.1:{port}"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with self.log.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                list(map(str, command)),
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def wait_until(self, is_ready):
        until = time.monotonic() + START_LIMIT
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                lines = self.log.read_text(errors="replace").strip().splitlines()
                raise RuntimeError(f"{self.name}: {lines[-1] if lines else 'it does not start'}")
            time.sleep(0.1)

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def classes_of(url, body):
    """Returns the classes that a server answers for rows, None if it doesn't answer yet."""
    request = urllib.request.Request(
        f"{url}/predict", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
    except (OSError, urllib.error.URLError):
        return None
    if "predictions" in answer:  # Levin's
        return [each["class"] for each in answer["predictions"]]
    return answer["classes"]


def on_processors(processors):
    """Returns what to write before a command to keep it on some processors; empty: on all."""
    return ["taskset", "-c", ",".join(map(str, processors))] if processors else []


@contextlib.contextmanager
def stopped(servers):
    """Lets servers stand still: some take time of the processors while nobody asks them."""
    try:
        for server in servers:
            os.killpg(server.process.pid, signal.SIGSTOP)
        yield
    finally:
        for server in servers:
            os.killpg(server.process.pid, signal.SIGCONT)


# --- the model and its rows --------------------------------------------------------------------


def train(levin, images, folder):
    """Trains for an epoch and returns the checkpoint."""
    config = folder / "train.yaml"
    config.write_text(
        f"""
seed_everything: 1
model: {{class_path: LogisticRegression, init_args: {{learning_rate: 0.001}}}}
data:
  class_path: MNISTDataModule
  init_args: {{data_dir: {images}, batch_size: 128, download: false}}
trainer:
  {{accelerator: cpu, max_epochs: 1, threads: 1, limit_val_batches: 0, num_sanity_val_steps: 0,
    logger: false, enable_progress_bar: false, enable_model_summary: false,
    default_root_dir: {folder}}}
"""
    )
    subprocess.run([levin, "fit", "--config", config], check=True, capture_output=True)
    return next(folder.glob("levin_logs/*/checkpoints/*.ckpt"))


# --- the suite ---------------------------------------------------------------------------------


class Suite:
    def __init__(self, options, images, folder, say):
        self.options, self.say = options, say
        self.folder = pathlib.Path(folder)
        self.levin = options.bin / "levin"
        if images is None:
            say("without MNIST, the images are made up")
            images = self.folder / "mnist"
            self.write_files(images)
        self.checkpoint = train(self.levin, images, self.folder)
        self.write_files(self.folder, "--mnist", images, "--checkpoint", self.checkpoint)
        self.rows = (self.folder / "rows.json").read_bytes()
        self.failures = {}

    def write_files(self, *arguments):
        command = [self.options.python, "-B", HERE / "baselines" / "serving_files.py", *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(lines[-1])

    def serve(self, name):
        """Returns a server that isn't ready yet."""
        port = free_port()
        levin = [self.levin, "serve", self.checkpoint, "--port", port]
        python = [self.options.python, "-B"]
        baselines, weights = HERE / "baselines", self.folder / "weights.npz"
        commands = {
            "levin": levin,
            "levin_tls": levin
            + ["--tls-certificate", self.folder / "cert.pem", "--tls-key", self.folder / "key.pem"],
            "fastapi": [*python, baselines / "serve_fastapi.py", weights, "--port", port],
            "litserve": [*python, baselines / "serve_litserve.py", weights, "--port", port],
        }
        commands[APART] = [*on_processors(sorted(os.sched_getaffinity(0))[:1]), *levin]
        if name == "levin_redis":
            commands[name] = [*levin, "--redis", f"redis://127.0.0.1:{self.redis.port}/0"]
        scheme = "https" if name == "levin_tls" else "http"
        return Server(name, commands[name], port, self.folder / f"{name}.log", scheme)

    def make_certificate(self):
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout"
        files = [self.folder / "key.pem", "-out", self.folder / "cert.pem"]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)

    def start_redis(self, stack):
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server isn't installed")
        port = free_port()
        command = [program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir"]
        server = Server("redis", [*command, self.folder], port, self.folder / "redis.log")
        self.redis = stack.enter_context(server)
        server.wait_until(lambda: listens(port))

    def start(self, stack, names):
        """Starts servers and returns those that answer as Levin does; the others fail."""
        servers = {}
        for name in names:
            try:
                if name == "levin_tls":
                    self.make_certificate()
                if name == "levin_redis":
                    self.start_redis(stack)
                server = stack.enter_context(self.serve(name))
                if name == "levin_tls":
                    server.wait_until(lambda s=server: listens(s.port))
                else:
                    server.wait_until(lambda s=server: classes_of(s.url, self.rows) is not None)
                servers[name] = server
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                self.failures[name] = str(error)
                self.say(f"  {name} failed: {error}")
        if "levin" in servers:
            expected = classes_of(servers["levin"].url, self.rows)
            for name in [n for n in servers if n not in ("levin", "levin_tls")]:
                if classes_of(servers[name].url, self.rows) != expected:
                    self.failures[name] = "its answers are others than Levin's"
                    del servers[name]
        return servers

    def load(self, url, form, connections, seconds, rate=0.0, warmup=0.5, rows=1, processors=None):
        """Returns the figures of a load, whose generator is on some processors or on all."""
        command = [self.levin, "bench-serve", url, "--json", "--format", form, "--rows"]
        command += [self.folder / "rows.npy", "--connections", connections, "--rate", rate]
        command += ["--seconds", seconds, "--warmup", warmup, "--insecure", "--request-rows", rows]
        if form != "rows":
            command += ["--model", "LogisticRegression"]
        command = [*on_processors(processors or []), *command]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if not lines:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(said[-1])
        return json.loads(lines[-1])

    def measure(self, servers, program, connections, index, records):
        seconds = SECONDS if self.options.rounds > 2 else TRIAL_SECONDS
        url = servers[program.server].url
        figures = self.load(url, program.format, connections, seconds)
        record = {"kind": "closed", "program": program.name, "round": index} | figures
        records.append(record)
        latency = record["latency_ms"]
        self.say(
            f"  {program.name:20s} {connections:3d} connections {record['throughput']:9,.0f} "
            f"answers a second, p50 {latency['p50']:7.2f}, p99 {latency['p99']:7.2f} ms"
        )

    def measure_many_rows(self, servers, program, index, records):
        """Measures requests of several rows each, in the tensor formats."""
        if program.server != "levin" or program.format == "rows":
            return
        seconds = SECONDS if self.options.rounds > 2 else TRIAL_SECONDS
        url, connections = servers[program.server].url, MANY_ROWS_CONNECTIONS
        figures = self.load(url, program.format, connections, seconds, rows=MANY_ROWS)
        record = {"kind": "many rows", "program": program.name, "round": index, "rows": MANY_ROWS}
        records.append(record | figures)
        rate = MANY_ROWS * figures["throughput"]
        self.say(f"  {program.name:20s} {rate:9,.0f} rows a second, {MANY_ROWS} a request")

    def measure_apart(self, servers, program, index, records):
        """Measures the tensor formats with the server on one core and the generator on another."""
        processors = sorted(os.sched_getaffinity(0))
        if program.server != "levin" or program.format == "rows":
            return
        if APART not in servers or len(processors) < 2:
            return
        seconds = SECONDS if self.options.rounds > 2 else TRIAL_SECONDS
        url = servers[APART].url
        figures = self.load(
            url, program.format, APART_CONNECTIONS, seconds, processors=processors[1:2]
        )
        record = {"kind": "apart", "program": program.name, "round": index}
        records.append(record | figures)
        self.say(
            f"  {program.name:20s} {figures['throughput']:9,.0f} answers a second of a server with "
            "a core of its own"
        )

    def measure_half(self, servers, program, index, records):
        """Measures the latency at half of the maximum of this round."""
        rates = [
            record["throughput"]
            for record in records
            if record["kind"] == "closed"
            and (record["program"], record["round"]) == (program.name, index)
        ]
        best = max(rates, default=0.0)
        if best == 0.0:
            return
        seconds = 2 * SECONDS if self.options.rounds > 2 else TRIAL_SECONDS
        url = servers[program.server].url
        paused = pause_p99_ms()
        figures = self.load(url, program.format, max(CONNECTIONS), seconds, rate=best / 2)
        record = {"kind": "half", "program": program.name, "round": index, "pause_p99_ms": paused}
        records.append(record | figures)
        p99 = figures["latency_ms"]["p99"]
        self.say(f"  {program.name:20s} {best / 2:9,.0f} requests a second, p99 {p99:7.2f} ms")

    def rounds(self):
        records = []
        with contextlib.ExitStack() as stack:
            servers = self.start(stack, [*dict.fromkeys(p.server for p in PROGRAMS), APART])
            programs = [p for p in PROGRAMS if p.server in servers]
            for index in range(self.options.rounds):
                self.say(f"serving, round {index + 1} of {self.options.rounds}")
                for connections in CONNECTIONS:
                    shift = (index + connections) % max(1, len(programs))
                    for program in programs[shift:] + programs[:shift]:
                        self.guarded(program, self.measure, servers, connections, index, records)
                for program in programs:
                    self.guarded(program, self.measure_many_rows, servers, index, records)
                    self.guarded(
                        program, self.measure_apart, servers, index, records, server=APART
                    )
                    self.guarded(program, self.measure_half, servers, index, records)
        return records

    def guarded(self, program, measure, servers, *arguments, server=None):
        asked = server or program.server
        others = [each for name, each in servers.items() if name != asked]
        try:
            with stopped(others):
                measure(servers, program, *arguments)
        except (RuntimeError, ValueError) as error:
            self.failures[program.name] = str(error)
            self.say(f"  {program.name} failed: {error}")

    # --- the soak ---

    def soak(self, minutes):
        """Returns the figures of each minute, and the memory of the server over the time."""
        with contextlib.ExitStack() as stack:
            servers = self.start(stack, ["levin"])
            if "levin" not in servers:
                raise RuntimeError(self.failures.get("levin", "the server doesn't start"))
            server = servers["levin"]
            most = self.load(server.url, "rows", 32, 10.0)["throughput"]
            rate = LOAD * most
            self.say(f"soak: {minutes:g} minutes at {rate:,.0f} requests a second")
            memory, is_over = [], threading.Event()
            start = time.monotonic()

            def watch():
                while not is_over.is_set():
                    seconds = time.monotonic() - start
                    memory.append({"seconds": seconds} | resident(server.process.pid))
                    is_over.wait(SAMPLE_SECONDS)

            watcher = threading.Thread(target=watch)
            watcher.start()
            figures = []
            try:
                left = 60.0 * minutes
                while left > 0.5:
                    figures.append(self.load(server.url, "rows", 64, min(60.0, left), rate, 0.0))
                    left -= 60.0
                    last = figures[-1]
                    self.say(
                        f"  minute {len(figures):3d}: {last['answered']:10,d} answers, "
                        f"{errors_of(last)} errors, p50 {last['latency_ms']['p50']:.2f}, "
                        f"p99 {last['latency_ms']['p99']:.2f} ms, {memory[-1]['mib']:.1f} MiB"
                    )
            finally:
                is_over.set()
                watcher.join()
            return {"maximum": most, "rate": rate, "minutes": figures, "memory": memory}


def errors_of(figures):
    names = ("refused", "failed", "broken", "expired", "unfinished")
    return sum(figures[name] for name in names)


def resident(pid):
    """Returns the memory and the threads of a process."""
    with contextlib.suppress(OSError):
        fields = dict(
            line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").open() if ":" in line
        )
        return {"mib": int(fields["VmRSS"].split()[0]) / 1024, "threads": int(fields["Threads"])}
    return {"mib": 0.0, "threads": 0}


def run_serving(options, images, say, results):
    """Adds results["serving"], a record for each load; or, with --case soak, results["soak"]."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        try:
            suite = Suite(options, images, folder, say)
        except (OSError, RuntimeError, subprocess.CalledProcessError, StopIteration) as error:
            results["failures"]["serving"] = f"the model can't be trained: {error}"
            return
        try:
            if "soak" in (options.case or []):
                results["soak"] = suite.soak(options.minutes)
            else:
                results["serving"] = suite.rounds()
        except (RuntimeError, ValueError) as error:
            results["failures"]["serving"] = str(error)
            say(f"  failed: {error}")
        results["failures"] |= {f"serving, {k}": v for k, v in suite.failures.items()}
