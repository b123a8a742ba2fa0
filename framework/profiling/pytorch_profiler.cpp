#include <levin/framework/profiling/pytorch_profiler.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <ATen/Context.h>
#include <ATen/record_function.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

namespace kineto = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

constexpr size_t kOperationsShown = 15;

std::vector<OperationTime> operation_sums(const std::vector<kineto::KinetoEvent>& events) {
  std::map<std::pair<std::string, bool>, OperationTime> sums;
  for (const auto& event : events) {
    const bool on_gpu = event.deviceType() != c10::DeviceType::CPU;
    OperationTime& sum = sums[{event.name(), on_gpu}];
    ++sum.calls;
    sum.seconds += static_cast<double>(event.durationNs()) * 1e-9;
  }
  std::vector<OperationTime> result;
  for (auto& [key, sum] : sums) {
    sum.name = key.first;
    sum.on_gpu = key.second;
    result.push_back(std::move(sum));
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return result;
}

}  // namespace

/// LibTorch's profiler at work, and its result.
struct PytorchProfiler::Recording {
  bool is_active = true;
  std::vector<std::unique_ptr<at::RecordFunction>> parts;  // that are open
  std::unique_ptr<kineto::ProfilerResult> result;
};

PytorchProfiler::PytorchProfiler(PytorchProfilerOptions options, std::FILE* out)
    : SimpleProfiler(nullptr), options_(options), table_out_(out) {
  if (options_.skip_batches < 0) {
    throw ConfigError::invalid_value("PytorchProfiler.skip_batches",
                                     fmt::to_string(options_.skip_batches), "must be at least 0");
  }
  if (options_.batches < 1) {
    throw ConfigError::invalid_value("PytorchProfiler.batches", fmt::to_string(options_.batches),
                                     "must be at least 1");
  }
}

PytorchProfiler::~PytorchProfiler() { stop(); }

void PytorchProfiler::begin_run(Stage stage) {
  SimpleProfiler::begin_run(stage);
  stop();
  recording_.reset();
  operations_.clear();
  depth_ = forwards_ = 0;
  first_step_ = -1;
}

int64_t PytorchProfiler::batches() const {
  return std::max(forwards_, global_step() - std::max<int64_t>(first_step_, 0));
}

void PytorchProfiler::start() {
  const ProfilerConfig config(ProfilerState::KINETO, options_.record_shapes,
                              options_.profile_memory);
  std::set<ActivityType> activities{ActivityType::CPU};
  if (at::hasCUDA()) activities.insert(ActivityType::CUDA);
  kineto::prepareProfiler(config, activities);
  kineto::enableProfiler(config, activities,
                         {at::RecordScope::FUNCTION, at::RecordScope::USER_SCOPE});
  recording_ = std::make_unique<Recording>();
}

void PytorchProfiler::stop() {
  if (!recording_ || !recording_->is_active) return;
  recording_->parts.clear();
  recording_->is_active = false;
  recording_->result = kineto::disableProfiler();
}

void PytorchProfiler::begin(Part part) {
  SimpleProfiler::begin(part);
  if (first_step_ < 0) first_step_ = global_step();
  if (depth_++ == 0) {  // between two parts, so that each of them is recorded whole or not at all
    const int64_t done = batches();
    if (!recording_ && done >= options_.skip_batches) start();
    if (recording_ && done >= options_.skip_batches + options_.batches) stop();
  }
  if (part == Part::forward) ++forwards_;
  if (!recording_ || !recording_->is_active) return;
  auto& mark = *recording_->parts.emplace_back(
      std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE));
  if (mark.isActive()) mark.before(part_name(part).data());
}

void PytorchProfiler::end(Part part) {
  --depth_;
  if (recording_ && recording_->is_active && !recording_->parts.empty()) {
    recording_->parts.pop_back();
  }
  SimpleProfiler::end(part);
}

void PytorchProfiler::end_run(bool failed) {
  stop();
  SimpleProfiler::end_run(failed);
  const auto recording = std::exchange(recording_, nullptr);
  if (failed) return;
  const auto run_folder = folder() ? folder()() : std::filesystem::path();  // asked by every rank
  if (!recording) return;
  operations_ = operation_sums(recording->result->events());
  const bool prints = table_out_ != nullptr && ranks().is_zero();
  if (prints) diagnostics::print(table_out_, table());
  if (run_folder.empty()) return;
  const Stage stage = profile().stage;
  const std::string name =
      stage == Stage::fit ? "pytorch_trace" : fmt::format("pytorch_trace_{}", stage_name(stage));
  const std::string rank = ranks().is_zero() ? "" : fmt::format("-rank{}", ranks().rank());
  const auto path = run_folder / fmt::format("{}{}.json", name, rank);
  recording->result->save(path.string());
  if (prints) diagnostics::print(table_out_, fmt::format("wrote the trace {}\n", path.string()));
}

std::string PytorchProfiler::table() const {
  std::string text = fmt::format("{:<50}{:>5}{:>10}{:>12}{:>12}\n", "operation", "on", "calls",
                                 "seconds", "mean us");
  for (size_t i = 0; i < std::min(kOperationsShown, operations_.size()); ++i) {
    const auto& one = operations_[i];
    text += fmt::format("{:<50.50}{:>5}{:>10}{:>12.6f}{:>12.2f}\n", one.name,
                        one.on_gpu ? "gpu" : "cpu", one.calls, one.seconds,
                        one.seconds * 1e6 / static_cast<double>(one.calls));
  }
  return text;
}

}  // namespace levin
