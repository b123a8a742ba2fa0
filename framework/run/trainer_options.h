#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>

namespace levin {

/// What a Trainer can be told; Lightning's names, meanings and defaults.
struct TrainerOptions {
  /// "auto" (a GPU where there is one), "cpu", "gpu" or "cuda".
  std::string accelerator = "auto";
  /// "auto" (one), a number, -1 (all) or a list "0,2", on each host. For more than one, the program
  /// is started again as often; in processes that torchrun, srun or mpirun started, each takes one.
  CountOrName devices{};
  /// Hosts; their processes are started by torchrun, srun or mpirun.
  int64_t num_nodes = 1;
  /// "auto" (ddp for more than one process), "single_device", "ddp", or "zero_stage_1" (ranks share
  /// out the optimizer's state) and "zero_stage_2" (and the gradients).
  std::string strategy = "auto";
  /// How often all ranks of this host are started again after a failure.
  int64_t max_restarts = 0;
  /// Epochs to train; nothing: 1,000 where max_steps is -1 too; -1: no limit.
  std::optional<int64_t> max_epochs{};
  std::optional<int64_t> min_epochs{};
  /// Optimizer steps to train; -1: no limit.
  int64_t max_steps = -1;
  std::optional<int64_t> min_steps{};
  /// "DD:HH:MM:SS" of training; empty: no limit.
  std::string max_time{};
  /// Batches an epoch of each loop: an int counts, a float is a fraction; 0 leaves the loop out.
  CountOrFraction limit_train_batches{};
  CountOrFraction limit_val_batches{};
  CountOrFraction limit_test_batches{};
  CountOrFraction limit_predict_batches{};
  /// Validate every so many batches (int) or that fraction of an epoch (float).
  CountOrFraction val_check_interval{};
  /// Validate in every n-th epoch; nothing: count val_check_interval's batches across epochs.
  std::optional<int64_t> check_val_every_n_epoch = 1;
  /// Validation batches to try before training; -1: all; 0: none.
  int64_t num_sanity_val_steps = 2;
  /// Train and validate on that many batches (or fraction) only, unshuffled; 0.0: off.
  CountOrFraction overfit_batches = 0.0;
  /// Run n batches of everything once, with no logs and no checkpoints: a test of the plumbing.
  SwitchOrCount fast_dev_run{};
  /// Batches whose gradients make one optimizer step.
  int64_t accumulate_grad_batches = 1;
  /// Clip gradients to that norm (over all parameters) or value; nothing or 0: don't.
  std::optional<double> gradient_clip_val{};
  /// "norm" or "value".
  std::string gradient_clip_algorithm = "norm";
  /// Log step metrics every so many steps; 0: never.
  int64_t log_every_n_steps = 50;
  /// Only deterministic algorithms: the same bits on the same kind of machine.
  bool deterministic = false;
  /// Find the operation that made a NaN gradient (slow).
  bool detect_anomaly = false;
  /// Evaluate in inference mode, outside fit.
  bool inference_mode = true;
  /// LibTorch's threads within an operation, while the Trainer works (it sets them for the whole
  /// process and puts back what was): a number; empty: as LibTorch has them; "auto": fit times a
  /// few whole steps with 1, 2, 4 ... of LibTorch's on the first batches and takes the fastest, 1
  /// unless more win clearly, then puts back the weights, the optimizer and all generators. Not the
  /// default because training_step runs for it: what that changes besides parameters, buffers and
  /// generators stays changed. A resumed run takes the count its checkpoint was taken with.
  /// LibTorch's own where nothing is timed: `deterministic`, a GPU, several processes, no
  /// optimizer, or one that calls its closure again (LBFGS).
  CountOrName threads = "";
  /// "simple": a table on stderr of where the time went, after each run; "trace": a timeline of all
  /// ranks in the run's folder, trace.json, for Perfetto; empty: none.
  std::string profiler{};
  /// Where `levin_logs/version_K` folders go; empty: the current folder.
  std::string default_root_dir{};

  // Of strategy ddp; names and meanings of torch.nn.parallel.DistributedDataParallel.

  /// Parameters that a loss doesn't depend on: off, they are an error.
  bool find_unused_parameters = false;
  /// After each step rank 0's buffers (running means, say) go to the others.
  bool broadcast_buffers = true;
  /// Gradients lie in the buckets that are sent: saves their memory once.
  bool gradient_as_bucket_view = false;
  /// Gradients are sent in pieces of about that many MiB, each as soon as it is complete.
  double bucket_cap_mb = 25.0;
  /// "fp16" or "bf16": gradients are sent in that type; "none".
  std::string gradient_compression = "none";
  /// "auto": NCCL where the device is a GPU, else Gloo, and for gradients shared memory where all
  /// ranks are on one host; "gloo"; "nccl".
  std::string process_group_backend = "auto";
  /// Seconds a rank waits for the others, where they live: when they meet, and in each exchange.
  double process_group_timeout = 1800.0;
  /// Seconds after which a rank that isn't heard of (frozen, or its host gone) counts as failed.
  double heartbeat_timeout = 10.0;
};

Fields describe(TrainerOptions& options);

/// Throws ConfigError for the first option that can't be, or that excludes another.
void validate(const TrainerOptions& options);

/// Seconds of "DD:HH:MM:SS" (leading parts may be left out). Throws ConfigError.
double parse_duration(std::string_view option, std::string_view text);

}  // namespace levin
