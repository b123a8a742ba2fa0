#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/framework/core/options.h>

namespace levin {

/// The options of a Trainer. Names, meanings and defaults are Lightning's, where it has the option.
///
///     Trainer trainer({.accelerator = "gpu", .devices = 2, .max_epochs = 10});
struct TrainerOptions {
  /// The kind of device: "auto" (a GPU if there is one), "cpu", "gpu" or "cuda".
  std::string accelerator = "auto";
  /// The devices on each host: "auto" (one), a number, -1 (all), or a list such as "0,2". If this
  /// means several devices, the program is started once for each of them. In processes that
  /// torchrun, srun or mpirun started, each process takes one of the devices.
  CountOrName devices{};
  /// The number of hosts. With more than one, torchrun, srun or mpirun must start the processes.
  int64_t num_nodes = 1;
  /// How ranks work together: "auto" (ddp if there are several processes), "single_device", "ddp",
  /// "zero_stage_1" (each rank keeps a part of the optimizer's state), "zero_stage_2" (and a part
  /// of the gradients), "zero_stage_3" (and a part of the parameters; docs/sharding.md) or
  /// "parameter_server" (see the option of that name).
  std::string strategy = "auto";
  /// The types of numbers that a run computes in (framework/precision/precision.h): "32-true",
  /// "64-true", "bf16-true", "16-true" (module and batches are converted), "bf16-mixed" or
  /// "16-mixed" (parameters stay float32; most products are computed in the smaller type). 64, 32,
  /// 16 and "bf16" stand for 64-true, 32-true, 16-mixed and bf16-mixed. "32-true" leaves modules
  /// and data as they are.
  ///
  /// With 16-mixed, losses are scaled, and a step whose gradients aren't finite is left out: it
  /// counts neither for global_step nor for learning-rate schedules, but in
  /// Progress::skipped_steps, which is logged as "skipped_steps" at the end of each epoch.
  /// 64-true makes data modules read float64, too.
  CountOrName precision = "32-true";
  /// How many times all ranks of this host are restarted after a failure, if the Trainer started
  /// them.
  int64_t max_restarts = 0;
  /// The number of epochs to train; -1: no limit. Nothing: 1,000 epochs, or no limit if max_steps
  /// or max_time is set.
  std::optional<int64_t> max_epochs{};
  /// The number of epochs before which neither a callback nor max_time ends training.
  std::optional<int64_t> min_epochs{};
  /// The number of optimizer steps to train; -1: no limit.
  int64_t max_steps = -1;
  /// The number of optimizer steps before which neither a callback nor max_time ends training.
  std::optional<int64_t> min_steps{};
  /// The time to train, as "DD:HH:MM:SS"; empty: no limit.
  std::string max_time{};
  /// The most batches of an epoch in each loop. An int is a number of batches, a float is a
  /// fraction of them, and 0 leaves the loop out.
  CountOrFraction limit_train_batches{};
  CountOrFraction limit_val_batches{};
  CountOrFraction limit_test_batches{};
  CountOrFraction limit_predict_batches{};
  /// Validate after every so many training batches (int), after that fraction of an epoch (float),
  /// or when that time has passed since the last validation (text, "DD:HH:MM:SS"). With several
  /// ranks, the clock of any of them counts, and all validate after the same batch.
  CountFractionOrTime val_check_interval{};
  /// Validate only in every n-th epoch. Nothing: val_check_interval counts batches, or time, across
  /// epochs.
  std::optional<int64_t> check_val_every_n_epoch = 1;
  /// The number of validation batches of each loader to try before training; -1: all; 0: none.
  int64_t num_sanity_val_steps = 2;
  /// Train and validate on only that many batches (int) or that fraction (float), without
  /// shuffling; 0.0 switches this off.
  CountOrFraction overfit_batches = 0.0;
  /// Ask the data module for its training and validation loaders again before every n-th epoch;
  /// 0: never. DataModule::loader_epoch then says for which epoch.
  int64_t reload_dataloaders_every_n_epochs = 0;
  /// Run this many batches of everything once, without loggers and checkpoints, to try out the
  /// program.
  SwitchOrCount fast_dev_run{};
  /// The number of batches whose gradients make one optimizer step.
  int64_t accumulate_grad_batches = 1;
  /// The value to which gradients are clipped: their norm over all parameters, or each entry.
  /// Nothing or 0: they aren't clipped.
  std::optional<double> gradient_clip_val{};
  /// What is clipped: "norm" or "value".
  std::string gradient_clip_algorithm = "norm";
  /// The number of optimizer steps between two rows of step metrics; 0: no such rows.
  int64_t log_every_n_steps = 50;
  /// Use deterministic algorithms only, which give the same bits on the same kind of machine. An
  /// operation that has none throws or, with "warn", makes LibTorch print a warning.
  SwitchOrName deterministic = false;
  /// Whether cuDNN tries several algorithms for each new shape of input and takes the fastest one,
  /// which may be another one in the next run. Nothing: off with `deterministic`, and otherwise as
  /// LibTorch is set.
  std::optional<bool> benchmark{};
  /// Make backward find the operation that made a NaN gradient, which is slow.
  bool detect_anomaly = false;
  /// Run validate, test and predict in LibTorch's inference mode. The validation within fit never
  /// is.
  bool inference_mode = true;
  /// The number of threads that share the work of a step while the Trainer works: that of
  /// LibTorch's operations and that of Levin's own ones. The Trainer sets LibTorch's number for the
  /// whole process and puts the old one back afterwards.
  ///
  /// Empty: up to as many as LibTorch has (torch::set_num_threads, OMP_NUM_THREADS), where the work
  /// is large enough to pay. Levin's own operations decide each for itself and give the same bits
  /// for any number of threads. LibTorch's are shared by all of its threads or run on one, which
  /// follows from the sizes of the first step's operations, so it is the same in each run of a
  /// program. Threads that wait sleep. A resumed run uses the number of its checkpoint. On a GPU,
  /// LibTorch's number stays as it is.
  ///
  /// A number: as many, also where the work is small, and LibTorch's threads wait as its OpenMP
  /// lets them: without OMP_WAIT_POLICY=passive, they keep their cores for milliseconds.
  ///
  /// "auto": before training, fit times a few whole steps on the first batches with 1, 2, 4 ... of
  /// LibTorch's threads and takes the fastest; more threads are taken only if they are clearly
  /// faster. Then it puts back the weights, the optimizer and all generators. Nothing is timed, and
  /// LibTorch's own number is used, with `deterministic`, on a GPU, with several processes or
  /// model_averaging, and with no optimizer or one that evaluates its closure again (LBFGS). A
  /// resumed run uses the number of its checkpoint.
  ///
  /// "auto" isn't the default because it runs training_step: what that changes besides parameters,
  /// buffers and generators stays changed.
  CountOrName threads = "";
  /// On a GPU: whether training steps are captured in a CUDA graph, which is then replayed for each
  /// batch, so that the host starts a step at once instead of each of its kernels. The results are
  /// the same. "auto": if the module says that it is capturable (Module::capturable;
  /// LogisticRegression and MLP are), the optimizer is Levin's SGD, Adam or AdamW, one process
  /// trains, and no callback has a hook inside the step. With accumulate_grad_batches, the data
  /// must also live on the GPU, and no hook may get the batches. "on": the same, but what stands in
  /// the way is an error. "off": never.
  std::string cuda_graph = "auto";
  /// On a GPU: whether data in memory (a TensorDataset or a Subset of one, without a transform) are
  /// copied to the GPU as a whole, where batches are then gathered. "auto": if they take at most
  /// half of the GPU's free memory and the hooks of batch transfers aren't overridden. Data that
  /// are only evaluated or predicted must also have no more bytes than a pass moves otherwise, or
  /// be Subsets of tensors that are there already. "on": whatever memory they take; what keeps
  /// training data elsewhere is an error. "off": batches are copied one by one, while the GPU
  /// works on earlier ones.
  std::string data_on_device = "auto";
  /// "simple" prints a table of where the time went to stderr after each run. "trace" writes a
  /// timeline of all ranks, trace.json for Perfetto, into the run's folder. "pytorch" records the
  /// operations of some batches by LibTorch's profiler and writes pytorch_trace.json. "nvtx" marks
  /// ranges for Nsight Systems. Empty: nothing is measured.
  std::string profiler{};
  /// The folder in which `levin_logs/version_K` is made; empty: the current folder. `~` and `$HOME`
  /// at its start are the home folder, as in all paths (expand_home). A fit that resumes goes on in
  /// the folder of its checkpoint's run, unless this is another one.
  std::string default_root_dir{};

  // The options below are for several ranks; names and meanings of those up to bucket_cap_mb are
  // those of torch.nn.parallel.DistributedDataParallel.

  /// Allow losses that don't depend on all parameters. If off, such a loss is an error.
  bool find_unused_parameters = false;
  /// Copy rank 0's buffers, such as running means, to the other ranks after each step. With
  /// model_averaging: average them with the weights.
  bool broadcast_buffers = true;
  /// Let gradients be views into the buckets that are sent, which saves their memory once.
  bool gradient_as_bucket_view = false;
  /// The size in MiB of the buckets in which gradients are sent, each as soon as it is complete.
  double bucket_cap_mb = 25.0;
  /// How gradients are sent: "none" (as they are), "fp16" or "bf16" (in that type), or packed into
  /// fewer bytes: "one_bit", "qsgd", "topk" or "powersgd", also with settings
  /// (shipped_gradient_compressions, docs/compression.md). Packed gradients don't go with
  /// zero_stage_2 and 3 and 16-mixed.
  NamedSettings gradient_compression = "none";
  /// How ranks exchange tensors: "gloo", "nccl" or "auto". "auto" is NCCL if the device is a GPU,
  /// and otherwise Gloo; CPU ranks that are all on one host then sum gradients in shared memory.
  std::string process_group_backend = "auto";
  /// Seconds for which a rank waits for ranks that are alive but late, when they meet and in each
  /// exchange.
  double process_group_timeout = 1800.0;
  /// Seconds without a sign of life after which a rank counts as failed: its process is stopped, or
  /// its host is gone.
  double heartbeat_timeout = 10.0;
  /// Let LibTorch's batch norms normalise by the rows of all ranks while the module is trained, as
  /// the layer levin::SyncBatchNorm does. Parameters, buffers and checkpoints stay as they are.
  /// Costs an exchange for each such layer in each forward and backward pass.
  bool sync_batchnorm = false;
  /// Let one rank on each host prepare the data (DataModule::prepare_data). If off, rank 0 alone
  /// does, for hosts that share their files.
  bool prepare_data_per_node = true;
  /// How ranks become one model: "none" (they sum gradients in each step), or, after some steps
  /// that each of them takes by itself, "local_sgd", "post_local_sgd" or "diloco", also with
  /// settings (shipped_model_averagings, docs/averaging.md): {name: diloco, period: 500}. Not with
  /// zero stages, 16-mixed, gradient_compression and sync_batchnorm.
  NamedSettings model_averaging = "none";
  /// The number of ranks over which the layers of a model are spread (docs/pipeline.md). The module
  /// has to be a PipelineModule. 1: every rank has the whole model.
  int64_t pipeline_size = 1;
  /// In which order the ranks of a pipeline make their passes: "gpipe", "1f1b" or
  /// "interleaved1f1b" (PipelineSchedule).
  std::string pipeline_schedule = "1f1b";
  /// The stages of each rank of a pipeline. 0: one, or two with interleaved1f1b.
  int64_t pipeline_chunks = 0;
  /// How many parts each batch is cut into, which flow through the pipeline one after another. 0:
  /// four for each rank of it, with which the ranks wait for at most a fifth of the time. Source:
  /// GPipe, https://arxiv.org/abs/1811.06965.
  int64_t micro_batches = 0;
  /// What becomes of gradients that aren't complete at a deadline after those of the first rank:
  /// "none" (there is no deadline: ranks wait for each other), "drop" or "fold" (into the rank's
  /// next ones), also with settings (GradientDeadlineOptions, docs/deadline.md): {name: drop,
  /// seconds: 0.5}. With ddp on CPUs only, and not with gradient_compression, model_averaging,
  /// pipelines, sync_batchnorm, find_unused_parameters and 16-mixed.
  NamedSettings gradient_deadline = "none";
  /// The number of ranks that share each layer that can be divided, such as ColumnLinear and
  /// RowLinear (docs/parallelism.md); these ranks have the same rows. With pipeline_size, the
  /// ranks of a run are pipeline_size x tensor_size x data. 1: no layer is divided. With ddp only,
  /// not with model_averaging, gradient_deadline and gradient_compression other than fp16 and bf16.
  int64_t tensor_size = 1;
  /// With strategy = parameter_server: when the servers step. "bsp" (by the gradients of all ranks
  /// together, as one process would), "ssp" (by each rank's gradient as it comes; a rank waits for
  /// ranks that are more than `staleness` steps behind it) or "asp" (nobody waits), also with
  /// settings (ServerSettings, docs/parameter_server.md): {name: ssp, servers: 2, staleness: 3}.
  NamedSettings parameter_server = "bsp";
};

/// Lists the options by name for YAML files, command lines and `--help`.
Fields describe(TrainerOptions& options);

/// Throws ConfigError for the first option that is invalid or excludes another.
void validate(const TrainerOptions& options);

/// Returns the seconds of `text`, "DD:HH:MM:SS"; leading parts may be left out. Throws ConfigError,
/// which names `option`, if `text` is no such duration.
double parse_duration(std::string_view option, std::string_view text);

}  // namespace levin
