"""Trains with hand-written PyTorch loops. Prints a line of JSON.

data_loader  TensorDataset, DataLoader and Adam; to a GPU, batches go from page-locked memory
fused        batches taken from the tensors by index, fused Adam; on a GPU, the data are there
"""

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import program


def batches(inputs, labels, arguments, loop):
    """Yields the batches of one epoch in random order."""
    if loop == "data_loader":
        data = TensorDataset(inputs, labels)
        pins = arguments.device == "cuda"
        return DataLoader(data, batch_size=arguments.batch_size, shuffle=True, pin_memory=pins)
    rows = torch.randperm(len(inputs), device=inputs.device).split(arguments.batch_size)
    return ((inputs[index], labels[index]) for index in rows)


def train(model, inputs, labels, arguments, recorder):
    device = arguments.device
    is_fused = arguments.loop == "fused"
    model.to(device)
    if is_fused:
        inputs, labels = inputs.to(device), labels.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=is_fused or None)
    for _ in range(arguments.epochs):
        for batch_inputs, batch_labels in batches(inputs, labels, arguments, arguments.loop):
            batch_inputs = batch_inputs.to(device, non_blocking=True)
            batch_labels = batch_labels.to(device, non_blocking=True)
            optimizer.zero_grad()
            F.cross_entropy(model(batch_inputs), batch_labels).backward()
            optimizer.step()
            recorder.step()
            if arguments.only_first_step:
                return
        recorder.epoch()


if __name__ == "__main__":
    program.main(__doc__, {"data_loader": train, "fused": train})
