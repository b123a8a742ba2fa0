"""Files of torch.save and checkpoints of Lightning with the tensors they hold.

The files are written into the folder torch_files. Elements are hexadecimal digits, little-endian
and row-major. For the two checkpoints, `probabilities` are those of the rows `inputs`.
"""

import logging
import pathlib
import warnings
from collections import OrderedDict

import pytorch_lightning
import torch

from common import emit

FOLDER = pathlib.Path(__file__).resolve().parent / "torch_files"
INPUTS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5], [0.0, -1.0, 2.5, 0.5]]


def elements(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()


def expected(tensors):
    return [
        {
            "name": name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "elements": elements(tensor),
        }
        for name, tensor in sorted(tensors.items())
    ]


def case(name, saved, tensors, **options):
    torch.save(saved, FOLDER / name, **options)
    return {"file": name, "tensors": expected(tensors)}


def types():
    numbers = torch.tensor([[0.0, -1.5, 2.0], [100.0, -0.0, 1e-7]], dtype=torch.float64)
    floating = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
    whole = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool")
    result = {name: numbers.to(getattr(torch, name)) for name in floating}
    result |= {name: numbers.clamp(0, 100).to(getattr(torch, name)) for name in whole}
    result |= {name: numbers.to(getattr(torch, name)) for name in ("complex64", "complex128")}
    return result


def views():
    table = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return {
        "table": table,
        "corner": table[1:, 2:],
        "turned": table.t(),
        "row": table[2],
        "number": table[1, 1],
        "repeated": table[0, 1].expand(2, 3),
        "none": table[:0],
    }


def module():
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2, bias=False)
    )
    net.double()
    net.register_parameter("scale", torch.nn.Parameter(torch.ones(2)))
    return net


def training_state(net):
    """What a training loop saves by itself: the weights among other things."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return {
        "epoch": 3,
        "loss": 0.25,
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "path": pathlib.PurePosixPath("data"),
    }


class Classifier(pytorch_lightning.LightningModule):
    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]


class LogisticRegression(Classifier):
    def __init__(self, in_features, num_classes, learning_rate=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.linear = torch.nn.Linear(in_features, num_classes, dtype=torch.float32)

    def forward(self, x):
        return self.linear(x)


class MLP(Classifier):
    def __init__(self, in_features, num_classes, hidden_sizes, activation="tanh",
                 learning_rate=0.02):
        super().__init__()
        self.save_hyperparameters()
        sizes = [in_features, *hidden_sizes]
        layers = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            layers += [torch.nn.Linear(inputs, outputs, dtype=torch.float32), torch.nn.Tanh()]
        layers.append(torch.nn.Linear(sizes[-1], num_classes, dtype=torch.float32))
        self.net = torch.nn.Sequential(*layers)
        self.loss = torch.nn.CrossEntropyLoss(weight=torch.ones(num_classes, dtype=torch.float32))

    def forward(self, x):
        return self.net(x)


def checkpoint(name, model):
    x = torch.randn(24, 4, dtype=torch.float32)
    data = torch.utils.data.TensorDataset(x, torch.arange(24) % 3)
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=8))
    trainer.save_checkpoint(FOLDER / name)
    with torch.no_grad():
        logits = model(torch.tensor(INPUTS, dtype=torch.float32))
    return {
        "file": name,
        "tensors": expected(model.state_dict()),
        "hyper_parameters": dict(model.hparams),
        "inputs": INPUTS,
        "probabilities": logits.softmax(1),
    }


def main():
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(0)
    net = module()
    weights = net.state_dict()
    parallel = OrderedDict((f"module.{name}", value) for name, value in weights.items())
    nested = {"encoder": {"weight": torch.ones(2, 2)}, "heads": {0: {"bias": torch.zeros(3)}}}
    flat = {"encoder.weight": torch.ones(2, 2), "heads.0.bias": torch.zeros(3)}
    parameters = {"tied": net.scale, "also_tied": net.scale}
    emit(
        __doc__.strip(),
        tools={"pytorch-lightning": pytorch_lightning.__version__},
        cases=[
            case("types.pt", types(), types()),
            case("views.pt", views(), views()),
            case("module.pt", weights, weights),
            case("data_parallel.pt", parallel, parallel),
            case("training_state.pt", training_state(net), weights),
            case("nested.pt", nested, flat),
            case("parameters.pt", parameters, parameters),
            case("protocol_4.pt", weights, weights, pickle_protocol=4),
        ],
        checkpoints=[
            checkpoint("logistic_regression.ckpt", LogisticRegression(4, 3)),
            checkpoint("mlp.ckpt", MLP(4, 3, [5, 5])),
        ],
    )


if __name__ == "__main__":
    main()
