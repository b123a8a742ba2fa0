"""Serves a linear softmax classifier with LitServe and PyTorch, with batching, as LitServe's
documentation does it: one request is one row, and `predict` gets a batch of them.

    serve_litserve.py WEIGHTS.npz --port PORT
"""

import argparse

import litserve
import numpy as np
import torch


class Classifier(litserve.LitAPI):
    """Answers {"rows": [[...]]} with the classes and probabilities of its rows."""

    def __init__(self, path, threads, **options):
        super().__init__(**options)
        self.path, self.threads = path, threads

    def setup(self, device):
        torch.set_num_threads(self.threads)
        arrays = np.load(self.path)
        self.weight = torch.from_numpy(arrays["weight"]).to(device)
        self.bias = torch.from_numpy(arrays["bias"]).to(device)

    def decode_request(self, request):
        return torch.tensor(request["rows"])

    def batch(self, inputs):
        self.counts = [len(rows) for rows in inputs]
        return torch.cat(inputs)

    def predict(self, x):
        with torch.inference_mode():
            return torch.nn.functional.linear(x, self.weight, self.bias).softmax(dim=1)

    def unbatch(self, output):
        return list(output.split(self.counts))

    def encode_response(self, output):
        return {"classes": output.argmax(dim=1).tolist(), "probabilities": output.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    api = Classifier(
        arguments.weights, arguments.threads, max_batch_size=arguments.batch, batch_timeout=0.001
    )
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=arguments.port, log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main()
