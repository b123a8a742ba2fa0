"""Trains with PyTorch Lightning's Trainer: TensorDataset, DataLoader (with page-locked memory for a
GPU) and Adam. The loss is logged, but there is no logger, no checkpoint and no progress bar. Prints
a line of JSON.
"""

import logging
import warnings

import pytorch_lightning
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import program


class Classifier(pytorch_lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return self.model(inputs)

    def training_step(self, batch, batch_index):
        inputs, labels = batch
        loss = F.cross_entropy(self(inputs), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Epochs(pytorch_lightning.Callback):
    def __init__(self, recorder):
        self.recorder = recorder

    def on_train_epoch_end(self, trainer, module):
        self.recorder.epoch()


class FirstStep(pytorch_lightning.Callback):
    def __init__(self, recorder):
        self.recorder = recorder

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.recorder.step()


def train(model, inputs, labels, arguments, recorder):
    is_gpu = arguments.device == "cuda"
    loader = DataLoader(
        TensorDataset(inputs, labels),
        batch_size=arguments.batch_size,
        shuffle=True,
        pin_memory=is_gpu,
    )
    trainer = pytorch_lightning.Trainer(
        max_epochs=arguments.epochs,
        max_steps=1 if arguments.only_first_step else -1,
        accelerator="gpu" if is_gpu else "cpu",
        devices=1 if is_gpu else "auto",
        callbacks=[FirstStep(recorder) if arguments.only_first_step else Epochs(recorder)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(model), loader)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    version = f", Lightning {pytorch_lightning.__version__}"
    program.main(__doc__, {"lightning": train}, version)
