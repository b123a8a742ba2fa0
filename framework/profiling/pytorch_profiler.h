#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/profiling/profiler.h>

namespace levin {

/// Options of PytorchProfiler.
struct PytorchProfilerOptions {
  /// The number of batches at the beginning of a run that aren't recorded.
  int64_t skip_batches = 5;
  /// The number of batches after these that are recorded; later ones aren't. Recording takes about
  /// a microsecond and some hundred bytes for each operation.
  int64_t batches = 20;
  /// Record the shapes of the operations' inputs, and the memory that they take.
  bool record_shapes = false;
  bool profile_memory = false;
};

/// What an operation took in the batches recorded, all of its calls together.
struct OperationTime {
  /// LibTorch's name of it, such as "aten::addmm", or that of a kernel on the GPU.
  std::string name;
  int64_t calls = 0;
  /// On the host, with the operations that it calls, or on the GPU.
  double seconds = 0.0;
  bool on_gpu = false;
};

/// Records each operation of LibTorch by LibTorch's own profiler (Kineto), on the GPU as well,
/// besides adding up the numbers of SimpleProfiler. Lightning: PyTorchProfiler.
///
///     trainer.set_profiler(std::make_unique<levin::PytorchProfiler>(
///         levin::PytorchProfilerOptions{.skip_batches = 100, .batches = 5}));
///
/// It writes `pytorch_trace.json` into the run's folder (`pytorch_trace_test.json` and so on for
/// other stages than fit; "-rank<r>" is added for other ranks than 0), which Perfetto
/// (ui.perfetto.dev), chrome://tracing and TensorBoard's plugin open, and prints the operations
/// that took longest. The parts of a step ("forward" ...) are events around their operations. A run
/// that fails, or that is shorter than the batches to skip, leaves no trace.
class PytorchProfiler : public SimpleProfiler {
 public:
  using Options = PytorchProfilerOptions;
  /// At the end of a run, rank 0 writes the table of operations and the file's path to `out`; with
  /// null it doesn't. Throws ConfigError for negative numbers of batches.
  explicit PytorchProfiler(PytorchProfilerOptions options = {}, std::FILE* out = stderr);
  ~PytorchProfiler() override;

  void begin_run(Stage stage) override;
  void begin(Part part) override;
  void end(Part part) override;
  void end_run(bool failed) override;

  /// The operations of the batches recorded in the last run, the longest first.
  const std::vector<OperationTime>& operations() const { return operations_; }

 private:
  struct Recording;
  void start();
  void stop();
  std::string table() const;
  /// The number of batches of the run so far.
  int64_t batches() const;

  PytorchProfilerOptions options_;
  std::FILE* table_out_;
  std::unique_ptr<Recording> recording_;
  int64_t depth_ = 0;        // the parts that are open
  int64_t forwards_ = 0;     // of this run
  int64_t first_step_ = -1;  // that of the run's first part
  std::vector<OperationTime> operations_;
};

}  // namespace levin
