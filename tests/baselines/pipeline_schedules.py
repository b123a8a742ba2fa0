"""The order of actions of torch.distributed.pipelining's schedules, one line for each rank.

An action is written as PyTorch writes it: the stage, F (forward) or B (backward), the micro-batch.
GPipe and 1F1B are carried out by PyTorch with stages that only note what they are asked for (its
table of 1F1B numbers the last rank's forward passes from 1). For Interleaved1F1B its table is
taken, without the idle slots (None): when a rank waits follows from the order.
"""

from torch.distributed.pipelining import schedules

from common import emit

SIMPLE = [(1, 1), (2, 2), (2, 5), (3, 2), (3, 7), (4, 4), (4, 8), (4, 10)]
INTERLEAVED = [(1, 2, 4), (2, 2, 1), (2, 2, 4), (2, 3, 6), (3, 2, 6), (4, 2, 4), (4, 2, 8),
               (4, 2, 10), (4, 3, 3)]


class NotingStage:
    """A stage that computes nothing, and notes each pass."""

    def __init__(self, index, count):
        self.stage_index = index
        self.is_first, self.is_last = index == 0, index == count - 1
        self.actions = []

    def forward_one_chunk(self, chunk, *args, **kwargs):
        self.actions.append(f"{self.stage_index}F{chunk}")

    def backward_one_chunk(self, chunk, *args, **kwargs):
        self.actions.append(f"{self.stage_index}B{chunk}")

    def perform_reduce_grad(self, *args):
        pass

    def get_fwd_recv_ops(self, chunk):
        return []

    get_fwd_send_ops = get_bwd_recv_ops = get_bwd_send_ops = get_fwd_recv_ops


def carried_out(schedule_class, rank, ranks, micro_batches):
    schedule = schedule_class.__new__(schedule_class)
    stage = NotingStage(rank, ranks)
    schedule._stage, schedule._num_stages, schedule._n_microbatches = stage, ranks, micro_batches
    schedule._has_backward, schedule.scale_grads = True, False
    schedule._check_inputs = lambda *args: ([()] * micro_batches, [{}] * micro_batches)
    schedule._initialize_stage = lambda *args: None
    schedule._maybe_compute_loss = schedule._maybe_get_loss = lambda *args: None
    schedule._update_losses = lambda *args: None
    schedule._step_microbatches()
    return stage.actions


def interleaved(rank, ranks, chunks, micro_batches):
    schedule = schedules.ScheduleInterleaved1F1B.__new__(schedules.ScheduleInterleaved1F1B)
    schedule.pp_group_size, schedule.n_local_stages = ranks, chunks
    schedule._n_microbatches = micro_batches
    rounds = max(1, micro_batches // ranks)
    assert micro_batches % rounds == 0
    schedule.microbatches_per_round = micro_batches // rounds
    actions = schedule._calculate_single_rank_operations(rank)
    return [str(action) for action in actions if action is not None]


def case(name, ranks, chunks, micro_batches):
    lines = []
    for rank in range(ranks):
        if name == "interleaved1f1b":
            actions = interleaved(rank, ranks, chunks, micro_batches)
        else:
            kind = schedules.ScheduleGPipe if name == "gpipe" else schedules.Schedule1F1B
            actions = carried_out(kind, rank, ranks, micro_batches)
        lines.append(f"rank {rank}: " + " ".join(actions))
    return {"schedule": name, "ranks": ranks, "chunks": chunks, "micro_batches": micro_batches,
            "table": lines}


def main():
    cases = [case(name, ranks, 1, micro_batches)
             for ranks, micro_batches in SIMPLE for name in ("gpipe", "1f1b")]
    cases += [case("interleaved1f1b", *sizes) for sizes in INTERLEAVED]
    emit(__doc__.strip(), cases=cases)


if __name__ == "__main__":
    main()
