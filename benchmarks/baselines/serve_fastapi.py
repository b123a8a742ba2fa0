"""Serves a linear softmax classifier with FastAPI, uvicorn and PyTorch, as FastAPI's documentation
does it: a pydantic model for the body, a function that isn't async, one process.

    serve_fastapi.py WEIGHTS.npz --port PORT
"""

import argparse

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Rows(BaseModel):
    rows: list[list[float]]


def make_app(path):
    arrays = np.load(path)
    weight, bias = torch.from_numpy(arrays["weight"]), torch.from_numpy(arrays["bias"])
    model = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        model.weight.copy_(weight)
        model.bias.copy_(bias)
    model.eval()
    app = FastAPI()

    @app.post("/predict")
    def predict(body: Rows):
        with torch.inference_mode():
            probabilities = model(torch.tensor(body.rows)).softmax(dim=1)
        return {
            "classes": probabilities.argmax(dim=1).tolist(),
            "probabilities": probabilities.tolist(),
        }

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    app = make_app(arguments.weights)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="error", access_log=False)


if __name__ == "__main__":
    main()
